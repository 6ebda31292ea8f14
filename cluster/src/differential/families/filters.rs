//! The filter grammar: every operator, nesting, arrays, places.

use serde_json::{Value, json};

use crate::differential::corpus::THINGS;
use crate::differential::families::Asker;
use crate::differential::question::Question;

/// The deepest nesting of AND and OR.
const DEPTH_MAX: u8 = 3;

/// A filtered search without words, or with a few.
fn filtered(asker: &mut Asker<'_>, filter: Value) -> Question {
    let mut body = json!({"filter": filter, "attributesToRetrieve": ["id"]});
    if asker.once_in(4) {
        body["q"] = json!(format!("{} ", asker.common()));
    }
    Question::search(THINGS, body)
}

pub(super) fn filter(asker: &mut Asker<'_>) -> Question {
    let filter = any_filter(asker);
    filtered(asker, filter)
}

pub(super) fn geo(asker: &mut Asker<'_>) -> Question {
    let mut filter = geo_condition(asker);
    match asker.random.u8(..4) {
        0 => filter = format!("NOT {filter}"),
        1 => filter = format!("{filter} AND {}", condition(asker)),
        2 => filter = format!("{filter} OR {}", geo_condition(asker)),
        _ => {}
    }
    filtered(asker, json!(filter))
}

pub(super) fn contains(asker: &mut Asker<'_>) -> Question {
    let part = asker.begun().replace(['"', '\''], "");
    let field = asker.one_of(&["title", "tags", "category", "maker.name"]);
    let operator = asker.one_of(&["CONTAINS", "NOT CONTAINS", "STARTS WITH", "NOT STARTS WITH"]);
    filtered(asker, json!(format!("{field} {operator} \"{part}\"")))
}

/// A filter as a string, or as arrays of strings.
pub(super) fn any_filter(asker: &mut Asker<'_>) -> Value {
    match asker.random.u8(..4) {
        0 => json!([condition(asker), [condition(asker), condition(asker)]]),
        1 => json!([[condition(asker)], [condition(asker), expression(asker, 1)]]),
        _ => json!(expression(asker, 0)),
    }
}

fn expression(asker: &mut Asker<'_>, depth: u8) -> String {
    if depth == DEPTH_MAX || asker.random.bool() {
        return condition(asker);
    }
    let (left, right) = (expression(asker, depth + 1), expression(asker, depth + 1));
    match asker.random.u8(..5) {
        0 => format!("NOT ({left} OR {right})"),
        1 => format!("({left}) AND NOT ({right})"),
        2 => format!("{left} AND {right}"),
        3 => format!("({left} OR {right})"),
        _ => format!("{left} OR {right}"),
    }
}

pub(super) fn condition(asker: &mut Asker<'_>) -> String {
    const FIELDS: &[&str] = &[
        "price",
        "rank",
        "edge",
        "flag",
        "none",
        "empty",
        "maker",
        "maker.founded",
        "parts.size",
        "tags",
        "nope",
        "exactness",
        "_geo",
    ];
    match asker.random.u8(..12) {
        0 => format!("{} EXISTS", asker.one_of(FIELDS)),
        1 => format!("{} NOT EXISTS", asker.one_of(FIELDS)),
        2 => format!("{} IS NULL", asker.one_of(FIELDS)),
        3 => format!("{} IS NOT NULL", asker.one_of(FIELDS)),
        4 => format!("{} IS EMPTY", asker.one_of(FIELDS)),
        5 => format!("{} IS NOT EMPTY", asker.one_of(FIELDS)),
        6 => geo_condition(asker),
        7 => text_condition(asker),
        8 => list_condition(asker),
        _ => number_condition(asker),
    }
}

fn number_condition(asker: &mut Asker<'_>) -> String {
    let (field, number) = match asker.random.u8(..8) {
        0 => ("price", format!("{}", f64::from(asker.random.u32(..400)) / 4.0)),
        1 => ("rank", asker.random.i32(-20..20).to_string()),
        2 => {
            let edges = ["0", "-0.0", "1e308", "9007199254740992", "18446744073709551615", "0.1", "-1.5"];
            ("edge", asker.one_of(&edges).to_owned())
        }
        3 => ("maker.founded", asker.random.u32(1900..1930).to_string()),
        4 => ("parts.size", asker.random.u8(..20).to_string()),
        5 => ("at", (1_700_000_000 + asker.random.u32(..300_000)).to_string()),
        6 => ("id", asker.random.u32(..20_000).to_string()),
        _ => ("bucket", asker.random.u8(..150).to_string()),
    };
    match asker.random.u8(..8) {
        0 => format!("{field} {} TO {number}", asker.random.i32(-30..100)),
        1 => format!("{field} != {number}"),
        2 => format!("{field} < {number}"),
        3 => format!("{field} <= {number}"),
        4 => format!("{field} >= {number}"),
        5 => format!("{field} > {number}"),
        _ => format!("{field} = {number}"),
    }
}

fn text_condition(asker: &mut Asker<'_>) -> String {
    let (tag, category) = (asker.random.usize(30..60), asker.random.usize(100..112));
    match asker.random.u8(..7) {
        0 => format!("tags = \"{}\"", asker.words().ranked(tag)),
        1 => format!("tags != \"{}\"", asker.words().ranked(tag)),
        2 => format!("category = \"{}\"", asker.words().ranked(category)),
        3 => format!("shade = {}", asker.one_of(&["red", "RED", "bleu", "green", "\" green \""])),
        4 => format!("flag = {}", asker.one_of(&["true", "false", "1", "TRUE"])),
        5 => format!("rank = {}", asker.one_of(&["true", "\"false\"", "3", "\"3\""])),
        _ => format!("date > \"2024-{:02}-01T00:00:00Z\"", asker.random.u8(1..=12)),
    }
}

fn list_condition(asker: &mut Asker<'_>) -> String {
    let not = asker.one_of(&["", "NOT "]);
    match asker.random.u8(..4) {
        0 => {
            let ids = (0..asker.random.usize(1..6)).map(|_| asker.random.u16(..400).to_string());
            format!("id {not}IN [{}]", ids.collect::<Vec<_>>().join(", "))
        }
        1 => format!("rank {not}IN [1, 2, true, \"{}\"]", asker.words().ranked(210)),
        2 => format!("tags {not}IN [\"{}\", \"{}\"]", asker.words().ranked(31), asker.words().ranked(44)),
        _ => format!("category {not}IN []"),
    }
}

fn geo_condition(asker: &mut Asker<'_>) -> String {
    let (lat, lng) = middle(asker);
    if asker.random.bool() {
        let radius = asker.one_of(&["0", "1", "5", "3000", "100000", "5000000"]);
        return format!("_geoRadius({lat}, {lng}, {radius})");
    }
    let (height, width) = (asker.one_of(&[0.001, 0.5, 8.0]), asker.one_of(&[0.001, 0.5, 20.0]));
    let (top, bottom) = (lat + height, lat - height);
    format!("_geoBoundingBox([{top}, {}], [{bottom}, {}])", wrapped(lng + width), wrapped(lng - width))
}

/// The longitude, wrapped at the date line.
fn wrapped(lng: f64) -> f64 {
    if lng > 180.0 { lng - 360.0 } else { lng }
}

/// A point near documents.
pub(super) fn middle(asker: &mut Asker<'_>) -> (f64, f64) {
    asker.one_of(&[(48.85, 2.35), (45.47, 9.18), (-33.86, 151.2), (0.0, 0.0), (64.0, -21.0), (-17.7, 179.9)])
}
