//! Vector searches: alone, combined with words, and neighbours of a document.

use serde_json::json;

use crate::differential::corpus::THINGS;
use crate::differential::families::{Asker, filters};
use crate::differential::question::Question;

pub(super) fn vector(asker: &mut Asker<'_>) -> Question {
    let mut body = json!({
        "vector": asker.vector(),
        "hybrid": {"embedder": "own", "semanticRatio": 1.0},
        "showRankingScore": true,
        "attributesToRetrieve": ["id", "title"],
    });
    if asker.once_in(3) {
        body["filter"] = json!(filters::condition(asker));
    }
    if asker.once_in(3) {
        body["limit"] = json!(asker.random.u8(1..60));
        body["offset"] = json!(asker.random.u8(..20));
    }
    if asker.once_in(4) {
        body["retrieveVectors"] = json!(true);
    }
    if asker.once_in(4) {
        body["facets"] = json!(["category"]);
    }
    if asker.once_in(5) {
        body["showRankingScoreDetails"] = json!(true);
    }
    Question::search(THINGS, body)
}

pub(super) fn hybrid(asker: &mut Asker<'_>) -> Question {
    let ratio = asker.one_of(&[0.0, 0.1, 0.3, 0.5, 0.5, 0.7, 0.9]);
    let q = if asker.once_in(3) { asker.loose_text() } else { format!("\"{}\"", asker.common()) };
    vector(asker).with("q", json!(q)).with("hybrid", json!({"embedder": "own", "semanticRatio": ratio}))
}

pub(super) fn similar(asker: &mut Asker<'_>) -> Question {
    let id = asker.document(THINGS).map_or(json!(1), |document| document["id"].clone());
    let mut body = json!({"id": id, "embedder": "own", "attributesToRetrieve": ["id"]});
    if asker.once_in(3) {
        body["filter"] = json!(filters::condition(asker));
    }
    if asker.once_in(3) {
        body["limit"] = json!(asker.random.u8(..50));
        body["offset"] = json!(asker.random.u8(..20));
    }
    if asker.once_in(3) {
        body["showRankingScore"] = json!(true);
    }
    if asker.once_in(4) {
        body["rankingScoreThreshold"] = json!(f64::from(asker.random.u32(..20)) / 20.0);
    }
    if asker.once_in(5) {
        body["retrieveVectors"] = json!(true);
    }
    Question::post(THINGS, "similar", body)
}
