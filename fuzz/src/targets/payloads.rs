//! Attacks `gateway::ingest`: documents and ids as clients send them.
//!
//! - Every document is in the body of exactly one shard, and every body is a JSON array.
//! - The same payload gives the same bodies.

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use gateway::api::documents::payload::{ParseOptions, PayloadFormat, parse, split_ids};
use router::ShardSet;
use serde_json::value::RawValue;

use crate::mutate::mutate;

const SHARDS: u32 = 5;

/// Sound payloads to damage.
const JSON: &str = r#"[{"id":1,"a":"b"},{"id":"x-2","a":[1,2.5,null,{"b":"\u00e9"}]},{"id":3}]"#;
const NDJSON: &str = "{\"id\":1}\n{\"id\":\"two\",\"a\":{\"b\":[]}}\n\n{\"id\":3}";
const CSV: &str = "id,a:number,b:boolean,c\n1,2.5,true,\"x,y\"\ntwo,,false,\"\"\"z\"\"\"\n";
const IDS: &str = r#"[1,"two",3.5,null,"\u00e9"]"#;

pub(crate) fn run(bytes: &[u8]) {
    for format in formats() {
        check(bytes, format);
    }
    check_ids(bytes);
    // Running out of bytes to choose by is no finding.
    let _ = attack(Unstructured::new(bytes));
}

fn formats() -> [PayloadFormat; 3] {
    [PayloadFormat::Json, PayloadFormat::Ndjson, PayloadFormat::Csv { delimiter: b',' }]
}

fn attack(mut choices: Unstructured<'_>) -> Result<()> {
    let which = choices.int_in_range(0..=3)?;
    let mut payload = [JSON, NDJSON, CSV, IDS][which].as_bytes().to_vec();
    mutate(&mut choices, &mut payload)?;
    match formats().get(which) {
        Some(format) => check(&payload, *format),
        None => check_ids(&payload),
    }
    Ok(())
}

fn check(bytes: &[u8], format: PayloadFormat) {
    for primary_key in [None, Some("id")] {
        let options = ParseOptions { primary_key, expiry_allowed: false };
        let Ok(payload) = parse(Bytes::copy_from_slice(bytes), format, options) else { continue };
        let shards = payload.shards(SHARDS);
        assert_eq!(shards.len(), payload.len(), "each document has a shard");
        let mut found = 0;
        for shard in 0..SHARDS {
            let wanted: ShardSet = std::iter::once(shard).collect();
            let body = payload.body(&shards, &wanted, None);
            let expected = shards.iter().filter(|of| **of == shard).count();
            let documents = body.map_or(0, |body| array(&body));
            assert_eq!(documents, expected, "documents of shard {shard}");
            found += documents;
        }
        assert_eq!(found, payload.len(), "a document is nowhere or twice");
        for document in payload.documents() {
            assert!(!document.id.is_empty() && document.id.len() <= 511, "an id no node takes");
            assert!(document.raw.starts_with('{'), "a document is no object");
        }
    }
}

fn check_ids(bytes: &[u8]) {
    let Ok(ids) = split_ids(bytes) else { return };
    let shards = ids.shards(SHARDS);
    let bodies = (0..SHARDS).filter_map(|shard| ids.body(&shards, &std::iter::once(shard).collect()));
    assert_eq!(bodies.map(|body| array(&body)).sum::<usize>(), ids.ids().len(), "an id is nowhere or twice");
}

/// The number of elements of an array. All of it must be sound to a reader that does not unescape, like that of nodes:
/// it accepts half surrogate pairs.
fn array(body: &[u8]) -> usize {
    let elements: Vec<&RawValue> = serde_json::from_slice(body).expect("a body for a node is a JSON array");
    elements.len()
}
