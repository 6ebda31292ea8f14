//! Small corpora that are difficult for a cluster: lopsided, empty, identical, flat, deep.
//! Invariant: every index exists even if it is empty.

use serde_json::{Value, json};

use crate::differential::corpus::{Index, Words};

/// The number of shards of a cluster in the harness, which `lopsided` depends on.
const SHARDS: u32 = 64;
/// The word of the documents in a single shard.
pub(in crate::differential) const NEEDLE: &str = "needle";
/// The number of facet values, all with the same count.
const FLAT_VALUES: usize = 1_000;
const FLAT_DOCUMENTS: usize = 40;
const DEEP_LEVELS: usize = 40;

pub(super) fn indexes(words: &Words) -> Vec<Index> {
    let settings = json!({
        "filterableAttributes": ["kind", "size", "values", "more"],
        "sortableAttributes": ["kind", "size"],
    });
    let index = |uid, settings: &Value, documents| Index {
        uid,
        primary_key: "id",
        settings: settings.clone(),
        documents,
    };
    let by_count = json!({
        "filterableAttributes": ["values", "more"],
        "faceting": {"maxValuesPerFacet": 30, "sortFacetValuesBy": {"values": "count"}},
    });
    vec![
        index("lopsided", &settings, lopsided(words)),
        index("void", &settings, Vec::new()),
        index("lone", &settings, vec![json!({"id": 1, "kind": "only", "size": 3, "text": NEEDLE})]),
        index("alike", &settings, (0..50).map(alike).collect()),
        index("flat", &settings, flat()),
        index("counted", &by_count, flat()),
        index("deep", &settings, (0..12).map(deep).collect()),
    ]
}

/// All documents that match the needle are in one shard; the others are spread.
fn lopsided(words: &Words) -> Vec<Value> {
    let document = |id: u32| {
        let in_one = router::shard_of(&id.to_string(), SHARDS) == 5;
        let text = if in_one { NEEDLE } else { "hay" };
        let place = usize::try_from(id).unwrap_or_default();
        json!({"id": id, "kind": text, "size": id % 7, "text": format!("{text} {}", words.ranked(place))})
    };
    (0..600).map(document).filter(|document| document["kind"] == NEEDLE || document["size"] == 0).collect()
}

fn alike(id: u32) -> Value {
    json!({"id": id, "kind": "same", "size": 1, "text": format!("the same {NEEDLE}"), "values": ["a", "b"]})
}

/// Every value is in as many documents as any other.
fn flat() -> Vec<Value> {
    let of = |document: usize, copies: usize| {
        let values = (0..FLAT_VALUES * copies).filter(|place| place % FLAT_DOCUMENTS == document);
        values.map(|place| format!("value {:04}", place * 7 % FLAT_VALUES)).collect::<Vec<_>>()
    };
    let document = |id: usize| json!({"id": id, "values": of(id, 1), "more": of(id, 2), "size": id % 3});
    (0..FLAT_DOCUMENTS).map(document).collect()
}

/// Nested objects and arrays, with text at the bottom.
fn deep(id: u32) -> Value {
    let mut value = json!(format!("{NEEDLE} {id}"));
    for level in 0..DEEP_LEVELS {
        value = if level % 3 == 2 { json!([value, level]) } else { json!({"in": value}) };
    }
    json!({"id": id, "kind": {"in": {"in": ["x", id % 3]}}, "size": [[id]], "nest": value})
}
