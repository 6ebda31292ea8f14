//! Orders that depend on documents alone: sorts, distances, and distinct documents.

use serde_json::{Value, json};

use crate::differential::corpus::{THINGS, VARIANTS};
use crate::differential::families::{Asker, filters};
use crate::differential::question::Question;

/// A sorted search, sometimes filtered, with words or on a later page.
fn sorted(asker: &mut Asker<'_>, sort: Value) -> Question {
    let mut body = json!({"sort": sort});
    if asker.once_in(3) {
        body["q"] = json!(format!("\"{}\"", asker.common()));
    }
    if asker.once_in(3) {
        body["filter"] = json!(filters::condition(asker));
    }
    match asker.random.u8(..4) {
        0 => {
            body["offset"] = json!(asker.random.u8(..120));
            body["limit"] = json!(asker.random.u8(1..60));
        }
        1 => body["limit"] = json!(200),
        _ => {}
    }
    Question::search(THINGS, body)
}

fn by_one_of(asker: &mut Asker<'_>, fields: &[&str]) -> Question {
    let rule = rule(asker, fields);
    sorted(asker, json!([rule]))
}

fn rule(asker: &mut Asker<'_>, fields: &[&str]) -> String {
    let field = asker.one_of(fields);
    format!("{field}:{}", asker.one_of(&["asc", "desc"]))
}

pub(super) fn number(asker: &mut Asker<'_>) -> Question {
    by_one_of(asker, &["price", "at", "maker.founded", "id", "words"])
}

pub(super) fn text(asker: &mut Asker<'_>) -> Question {
    by_one_of(asker, &["title", "date", "exactness", "tags"])
}

/// Numbers, strings, booleans, arrays and missing values in one field.
pub(super) fn mixed(asker: &mut Asker<'_>) -> Question {
    by_one_of(asker, &["rank", "rank", "flag"])
}

pub(super) fn edges(asker: &mut Asker<'_>) -> Question {
    by_one_of(asker, &["edge"])
}

pub(super) fn several(asker: &mut Asker<'_>) -> Question {
    let fields = ["rank", "flag", "price", "words", "exactness", "title", "edge", "maker.founded"];
    let count = asker.random.usize(2..=4);
    let mut rules = (0..count).map(|_| rule(asker, &fields)).collect::<Vec<_>>();
    if asker.once_in(4) {
        let place = asker.random.usize(..rules.len());
        rules.insert(place, geo_rule(asker));
    }
    sorted(asker, json!(rules))
}

fn geo_rule(asker: &mut Asker<'_>) -> String {
    let (lat, lng) = filters::middle(asker);
    format!("_geoPoint({lat}, {lng}):{}", asker.one_of(&["asc", "desc"]))
}

pub(super) fn geo(asker: &mut Asker<'_>) -> Question {
    let mut rules = vec![geo_rule(asker)];
    match asker.random.u8(..4) {
        0 => rules.push(rule(asker, &["price", "rank", "id"])),
        1 => rules.insert(0, rule(asker, &["flag", "words", "exactness"])),
        2 => rules.push(geo_rule(asker)),
        _ => {}
    }
    sorted(asker, json!(rules))
}

pub(super) fn distinct(asker: &mut Asker<'_>) -> Question {
    let field = asker.one_of(&["category", "tags", "rank", "maker.name", "words", "shade", "none", "bucket"]);
    let mut question = match asker.random.u8(..3) {
        0 => sorted(asker, json!([])),
        _ => number(asker),
    };
    question = question.with("distinct", json!(field));
    if asker.random.bool() {
        question = question.without("offset").without("limit");
        question = question.with("page", json!(asker.random.u8(1..4)));
        question = question.with("hitsPerPage", json!(asker.random.u8(1..12)));
    }
    if asker.once_in(4) {
        question = question.with("facets", json!(["category", "flag"]));
    }
    question
}

pub(super) fn distinct_setting(asker: &mut Asker<'_>) -> Question {
    let mut body = json!({});
    if asker.random.bool() {
        body["q"] = json!(format!("\"{}\"", asker.common()));
    }
    if asker.random.bool() {
        body["sort"] = json!([rule(asker, &["size", "id"])]);
    }
    if asker.once_in(3) {
        body["filter"] = json!(format!("size > {}", asker.random.u8(..30)));
    }
    if asker.once_in(5) {
        body["distinct"] = json!("size");
    }
    match asker.random.u8(..3) {
        0 => body["offset"] = json!(asker.random.u8(..40)),
        1 => body["page"] = json!(asker.random.u8(1..4)),
        _ => {}
    }
    Question::search(VARIANTS, body)
}
