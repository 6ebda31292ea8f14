//! Documents of mixed shape: text, nested objects, arrays, nulls, missing fields, mixed types, places, vectors.
//! Invariant: no field has the name of a member that the comparison ignores.

use fastrand::Rng;
use serde_json::{Map, Value, json};

use crate::differential::corpus::{DIMENSIONS, GOODS, Index, NOTES, THINGS, VARIANTS, Words};

/// Numbers at the limits of f64, that round, or that are one of the two zeros.
const EDGES: &[&str] = &[
    "0",
    "-0.0",
    "1e308",
    "-1e308",
    "5e-324",
    "9007199254740993",
    "-9007199254740993",
    "18446744073709551615",
    "-9223372036854775808",
    "0.1",
    "0.30000000000000004",
    "1.5",
    "-1.5",
    "3",
];
/// Centres of the places, some near the edges of the map.
const PLACES: &[(f64, f64)] = &[
    (48.85, 2.35),
    (45.47, 9.18),
    (-33.86, 151.2),
    (0.0, 0.0),
    (64.1, -21.9),
    (-17.7, 179.99),
    (51.5, -0.12),
];
/// Several spellings of a few facet values.
const SHADES: &[&str] = &["Red", "red", "RED", "Bleu", "bleu", "Blëu", "green", " green "];

pub(super) fn indexes(random: &mut Rng, words: &Words, documents: usize) -> Vec<Index> {
    let some = (documents / 4).max(20);
    let all = |random: &mut Rng, count: usize, make: fn(&mut Rng, &Words, usize) -> Value| {
        (0..count).map(|number| make(random, words, number)).collect()
    };
    vec![
        Index {
            uid: THINGS,
            primary_key: "id",
            settings: things_settings(words),
            documents: all(random, documents, thing),
        },
        Index {
            uid: NOTES,
            primary_key: "key",
            settings: notes_settings(words),
            documents: all(random, some, note),
        },
        Index {
            uid: GOODS,
            primary_key: "sku",
            settings: goods_settings(),
            documents: all(random, some, good),
        },
        Index {
            uid: VARIANTS,
            primary_key: "id",
            settings: variants_settings(),
            documents: all(random, some, variant),
        },
    ]
}

fn things_settings(words: &Words) -> Value {
    json!({
        "searchableAttributes": ["title", "text", "tags", "maker.name", "words"],
        "filterableAttributes": [
            "id", "title", "tags", "category", "bucket", "price", "rank", "edge", "flag", "date", "at", "maker",
            "parts.size", "parts.name", "none", "empty", "shade", "words", "exactness", "_geo",
        ],
        "sortableAttributes": [
            "id", "title", "tags", "price", "rank", "edge", "flag", "date", "at", "maker.founded", "words",
            "exactness", "_geo",
        ],
        "synonyms": {
            (words.ranked(3)): [words.ranked(40), format!("{} {}", words.ranked(5), words.ranked(6))],
            (words.ranked(60)): [words.ranked(61)],
        },
        "stopWords": [words.ranked(0), words.ranked(1)],
        "embedders": {"own": {"source": "userProvided", "dimensions": DIMENSIONS}},
    })
}

fn thing(random: &mut Rng, words: &Words, number: usize) -> Value {
    let mut thing = Map::new();
    thing.insert("id".into(), json!(number + 1));
    let count = random.usize(1..=5);
    thing.insert("title".into(), json!(words.sentence(random, count)));
    match random.u8(..12) {
        0 => {}
        1 => {
            thing.insert("text".into(), Value::Null);
        }
        _ => {
            let count = random.usize(4..=24);
            thing.insert("text".into(), json!(words.sentence(random, count)));
        }
    }
    let tags = (0..random.usize(..4)).map(|_| words.ranked(random.usize(30..60)));
    thing.insert("tags".into(), json!(tags.collect::<Vec<_>>()));
    // Every value is equally frequent, so only the values decide the order by count.
    thing.insert("category".into(), json!(words.ranked(100 + number % 12)));
    thing.insert("bucket".into(), json!(number % 150));
    thing.insert("shade".into(), json!(SHADES[random.usize(..SHADES.len())]));
    sortable_members(random, words, &mut thing);
    nested_members(random, words, &mut thing);
    if random.u8(..5) > 0 {
        thing.insert("_geo".into(), place(random));
    }
    match random.u8(..12) {
        0 => {
            thing.insert("_vectors".into(), json!({"own": null}));
        }
        1 => {
            thing.insert("_vectors".into(), json!({"own": [vector(random), vector(random)]}));
        }
        _ => {
            thing.insert("_vectors".into(), json!({"own": vector(random)}));
        }
    }
    Value::Object(thing)
}

fn sortable_members(random: &mut Rng, words: &Words, thing: &mut Map<String, Value>) {
    if random.u8(..5) > 0 {
        let price = random.u32(..400);
        thing
            .insert("price".into(), if random.bool() { json!(price) } else { json!(f64::from(price) / 4.0) });
    }
    let rank = match random.u8(..9) {
        0 | 1 => Some(json!(random.i32(-20..20))),
        2 | 3 => Some(json!(words.ranked(random.usize(200..230)))),
        4 => Some(json!(random.bool())),
        5 => Some(json!([random.i32(-20..20), words.ranked(random.usize(200..230)), true])),
        6 => Some(Value::Null),
        7 => Some(json!([])),
        _ => None,
    };
    thing.extend(rank.map(|rank| ("rank".to_owned(), rank)));
    let edge = EDGES[random.usize(..EDGES.len())];
    thing.extend(serde_json::from_str(edge).ok().map(|edge: Value| ("edge".to_owned(), edge)));
    if random.u8(..6) > 0 {
        thing.insert("flag".into(), json!(random.bool()));
    }
    let day = random.u32(1..=28);
    thing.insert("date".into(), json!(format!("2024-{:02}-{day:02}T00:00:00Z", random.u32(1..=12))));
    thing.insert("at".into(), json!(1_700_000_000 + i64::from(random.u32(..5_000)) * 60));
    // Named like the rules of which scores consist.
    thing.insert("words".into(), json!(random.u8(..10)));
    if random.bool() {
        let kinds = ["exactMatch", "noExactMatch", "matchesStart"];
        thing.insert("exactness".into(), json!(kinds[random.usize(..kinds.len())]));
    }
}

fn nested_members(random: &mut Rng, words: &Words, thing: &mut Map<String, Value>) {
    let maker = |random: &mut Rng| {
        let founded = random.u32(1900..1930);
        json!({"name": words.ranked(random.usize(300..320)), "founded": founded, "site": {"code": random.u8(..5)}})
    };
    let value = match random.u8(..8) {
        0 => None,
        1 => Some(json!([maker(random), maker(random)])),
        _ => Some(maker(random)),
    };
    thing.extend(value.map(|maker| ("maker".to_owned(), maker)));
    let parts = (0..random.usize(..3)).map(|_| {
        let sizes: Vec<u8> = (0..random.usize(1..3)).map(|_| random.u8(..20)).collect();
        json!({"name": words.any(random), "size": sizes})
    });
    thing.insert("parts".into(), json!(parts.collect::<Vec<_>>()));
    let none = [Some(Value::Null), Some(json!(1)), Some(json!("null")), None];
    thing.extend(none[random.usize(..4)].clone().map(|none| ("none".to_owned(), none)));
    let empty = [json!(""), json!([]), json!({}), json!(" "), json!("full"), json!([[]])];
    thing.insert("empty".into(), empty[random.usize(..empty.len())].clone());
}

/// A place near a centre: far, within a metre, or exactly there; as numbers or strings.
fn place(random: &mut Rng) -> Value {
    let (lat, lng) = PLACES[random.usize(..PLACES.len())];
    let step = |random: &mut Rng, unit: f64| f64::from(random.i32(-400..400)) * unit;
    match random.u8(..6) {
        0 => json!({"lat": lat, "lng": lng}),
        1 => json!({"lat": lat + step(random, 1e-8), "lng": lng + step(random, 1e-8)}),
        2 => json!({"lat": lat.to_string(), "lng": lng.to_string()}),
        3 => json!({"lat": lat + step(random, 2e-5), "lng": lng - step(random, 2e-5).abs()}),
        _ => json!({"lat": lat + step(random, 0.02), "lng": lng - step(random, 0.02).abs()}),
    }
}

pub(super) fn vector(random: &mut Rng) -> Vec<f64> {
    (0..DIMENSIONS).map(|_| f64::from(random.i32(-100..100)) / 64.0).collect()
}

fn notes_settings(words: &Words) -> Value {
    json!({
        "filterableAttributes": ["year", "language", "key"],
        "sortableAttributes": ["year"],
        "rankingRules": ["words", "typo", "year:desc", "proximity", "attribute", "sort", "exactness"],
        "typoTolerance": {
            "minWordSizeForTypos": {"oneTypo": 4, "twoTypos": 7},
            "disableOnWords": [words.ranked(12)],
            "disableOnAttributes": ["title"],
        },
        "localizedAttributes": [{"locales": ["jpn"], "attributePatterns": ["title"]}],
        "dictionary": ["C++"],
        "nonSeparatorTokens": ["+"],
        "proximityPrecision": "byAttribute",
    })
}

fn note(random: &mut Rng, words: &Words, number: usize) -> Value {
    let (title, body) = (random.usize(1..=4), random.usize(3..=15));
    let mut note = json!({
        "key": number,
        "title": words.sentence(random, title),
        "body": {"first": words.sentence(random, body), "rest": [words.any(random), words.any(random)]},
        "year": random.u32(2000..2010),
    });
    if random.bool() {
        note["language"] = json!(["jpn", "eng", "heb"][random.usize(..3)]);
    }
    note
}

fn goods_settings() -> Value {
    json!({
        "displayedAttributes": ["sku", "name", "brand"],
        "filterableAttributes": ["brand", "colour", "stock"],
        "sortableAttributes": ["stock", "brand"],
        "faceting": {"maxValuesPerFacet": 5, "sortFacetValuesBy": {"*": "alpha", "brand": "count"}},
        "pagination": {"maxTotalHits": 40},
    })
}

fn good(random: &mut Rng, words: &Words, number: usize) -> Value {
    let count = random.usize(1..=6);
    json!({
        "sku": format!("s-{number:06}"),
        "name": words.sentence(random, count),
        "brand": words.ranked(400 + crate::differential::corpus::skewed(random, 30)),
        "colour": words.ranked(random.usize(440..455)),
        "stock": random.u8(..20),
    })
}

fn variants_settings() -> Value {
    json!({
        "searchableAttributes": ["name"],
        "filterableAttributes": ["family", "size", "id"],
        "sortableAttributes": ["size", "id"],
        "distinctAttribute": "family",
    })
}

fn variant(random: &mut Rng, words: &Words, number: usize) -> Value {
    let count = random.usize(1..=4);
    let mut variant = json!({"id": number, "name": words.sentence(random, count), "size": random.u8(..30)});
    let family = |random: &mut Rng| words.ranked(500 + random.usize(..25));
    match random.u8(..10) {
        0 => {}
        1 => variant["family"] = json!([family(random), family(random)]),
        2 => variant["family"] = json!(random.u8(..4)),
        3 => variant["family"] = json!(family(random).to_uppercase()),
        _ => variant["family"] = json!(family(random)),
    }
    variant
}
