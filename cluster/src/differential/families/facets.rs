//! Counts of facet values, their order and truncation, statistics, and facet search.

use serde_json::{Value, json};

use crate::differential::corpus::{GOODS, THINGS};
use crate::differential::families::{Asker, filters};
use crate::differential::question::Question;

const FACETS: &[&str] = &[
    "tags",
    "category",
    "bucket",
    "price",
    "flag",
    "edge",
    "maker",
    "parts.size",
    "words",
    "date",
    "nope",
    "maker.*",
];

/// A search whose candidates do not depend on statistics: no words, or one whole word.
fn counted(asker: &mut Asker<'_>, index: &'static str, facets: Value) -> Question {
    let mut body = json!({"facets": facets, "limit": asker.random.u8(..3)});
    if asker.once_in(3) {
        body["q"] = json!(format!("\"{}\"", asker.common()));
    }
    if index == THINGS && asker.random.bool() {
        body["filter"] = json!(filters::condition(asker));
    }
    if asker.once_in(4) {
        body["page"] = json!(1);
    }
    Question::search(index, body)
}

pub(super) fn facets(asker: &mut Asker<'_>) -> Question {
    let known = &FACETS[..FACETS.len() - 2];
    let facets = match asker.random.u8(..6) {
        0 => json!(["*"]),
        _ => json!(asker.some_of(known, 4)),
    };
    let mut question = counted(asker, THINGS, facets);
    // Spellings depend on which document was met first; they have a family of their own.
    if question.member("facets") == &json!(["*"]) {
        question = question.with("facets", json!(known));
    }
    question
}

pub(super) fn cut(asker: &mut Asker<'_>) -> Question {
    let facets = match asker.random.u8(..3) {
        0 => json!(["*"]),
        _ => json!(asker.some_of(&["brand", "colour", "stock"], 3)),
    };
    counted(asker, GOODS, facets)
}

/// Values with several spellings count as one; `*` requests them and all others.
pub(super) fn spellings(asker: &mut Asker<'_>) -> Question {
    let facets = asker.one_of(&[
        json!(["shade"]),
        json!(["shade", "rank"]),
        json!(["*"]),
        json!(["rank", "exactness"]),
    ]);
    counted(asker, THINGS, facets)
}

pub(super) fn search(asker: &mut Asker<'_>) -> Question {
    let index = asker.one_of(&[THINGS, THINGS, GOODS]);
    let names: &[&str] = match index {
        GOODS => &["brand", "colour"],
        _ => &["tags", "category", "maker.name", "title", "date"],
    };
    let mut body = json!({"facetName": asker.one_of(names)});
    match asker.random.u8(..4) {
        0 => {}
        1 => body["facetQuery"] = json!(asker.any()),
        2 => body["facetQuery"] = json!(""),
        _ => body["facetQuery"] = json!(asker.begun()),
    }
    if asker.once_in(3) {
        body["q"] = json!(format!("\"{}\"", asker.common()));
    }
    if index == THINGS && asker.once_in(3) {
        body["filter"] = json!(filters::condition(asker));
    }
    if asker.once_in(6) {
        body["matchingStrategy"] = json!("all");
    }
    Question::post(index, "facet-search", body)
}
