//! Parts of a list of hits: pages, offsets, its end, and a score threshold.

use serde_json::{Value, json};

use crate::differential::corpus::{GOODS, THINGS};
use crate::differential::families::{Asker, filters};
use crate::differential::question::Question;

/// A search with a known order: no words, or whole words in quotes, sometimes sorted.
fn listed(asker: &mut Asker<'_>) -> Value {
    let mut body = json!({"attributesToRetrieve": ["id", "price"]});
    if asker.random.bool() {
        body["q"] = json!(format!("\"{}\"", asker.common()));
    }
    if asker.once_in(3) {
        body["sort"] = json!(["price:asc"]);
    }
    if asker.once_in(3) {
        body["filter"] = json!(filters::condition(asker));
    }
    body
}

pub(super) fn pages(asker: &mut Asker<'_>) -> Question {
    let mut body = listed(asker);
    if asker.random.bool() {
        body["page"] = json!(asker.one_of(&[0, 1, 1, 2, 3, 5, 12, 100_000]));
    }
    if asker.random.bool() || body["page"].is_null() {
        body["hitsPerPage"] = json!(asker.one_of(&[0, 1, 2, 7, 20, 50, 1_000, 5_000]));
    }
    if asker.once_in(4) {
        // Pages take precedence over offsets.
        body["offset"] = json!(3);
        body["limit"] = json!(4);
    }
    Question::search(THINGS, body)
}

pub(super) fn offsets(asker: &mut Asker<'_>) -> Question {
    let mut body = listed(asker);
    body["offset"] = json!(asker.one_of(&[0, 1, 5, 20, 60, 250, 900, 995, 1_000, 5_000, 1_000_000]));
    if asker.random.bool() {
        body["limit"] = json!(asker.one_of(&[0, 1, 3, 20, 60, 200, 1_000, 2_000]));
    }
    Question::search(THINGS, body)
}

/// Hits beyond the most that an index shows.
pub(super) fn hits_cut(asker: &mut Asker<'_>) -> Question {
    let mut body = json!({});
    if asker.once_in(3) {
        body["q"] = json!(format!("\"{}\"", asker.common()));
    }
    if asker.random.bool() {
        body["sort"] = json!(["stock:desc"]);
    }
    if asker.random.bool() {
        body["page"] = json!(asker.random.u8(1..5));
        body["hitsPerPage"] = json!(asker.random.u8(10..50));
    } else {
        body["offset"] = json!(asker.random.u8(..60));
        body["limit"] = json!(asker.random.u8(..60));
    }
    Question::search(GOODS, body)
}

pub(super) fn threshold(asker: &mut Asker<'_>) -> Question {
    let threshold = f64::from(asker.random.u32(..=20)) / 20.0;
    let mut body = json!({"q": asker.loose_text(), "rankingScoreThreshold": threshold});
    if asker.random.bool() {
        body["page"] = json!(asker.random.u8(1..3));
    }
    if asker.once_in(3) {
        body["facets"] = json!(["category"]);
    }
    Question::search(THINGS, body)
}
