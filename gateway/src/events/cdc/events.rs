//! Entries of the stream as events: pure.
//!
//! Invariants: an entry always makes the same events with the same ids. Without documents an event has up to
//! [`KEYS_MAX`] keys, with documents it has one.

use serde_json::{Value, json};
use store::LogEntry;

use crate::config::limits::CDC_KEYS_PER_EVENT_MAX as KEYS_MAX;

/// The events of an entry; those of an index that is not wanted are left out.
#[must_use]
pub(crate) fn of_entry(entry: &LogEntry, wanted: Option<&str>, with_documents: bool) -> Vec<Value> {
    let end = entry.body.iter().position(|byte| *byte == b'\n').unwrap_or(entry.body.len());
    let Ok(line) = serde_json::from_slice::<Value>(&entry.body[..end]) else { return Vec::new() };
    if wanted.is_some_and(|wanted| line["index"] != wanted) {
        return Vec::new();
    }
    let keys = line["primaryKeys"].as_array().map(Vec::as_slice).unwrap_or_default();
    let shards = line["shardIds"].as_array().map(Vec::as_slice).unwrap_or_default();
    let task = &line["taskUid"];
    if let Some(operation @ ("refuse" | "cancel")) = line["operation"].as_str() {
        let mut event = event(&line, format!("{task}-{operation}"), &[], shards);
        event["error"] = line["error"].clone();
        return vec![event];
    }
    if keys.is_empty() {
        let mut event = event(&line, format!("{task}-0"), &[], &[]);
        if !line["filter"].is_null() {
            event["filter"] = line["filter"].clone();
        } else if line["operation"] == "delete" {
            event["all"] = json!(true);
        }
        return vec![event];
    }
    let documents = match with_documents {
        true => entry.body.get(end + 1..).unwrap_or_default(),
        false => &[],
    };
    let documents =
        documents.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect::<Vec<_>>();
    let chunk = if documents.len() == keys.len() { 1 } else { KEYS_MAX };
    let chunks = keys.chunks(chunk).zip(shards.chunks(chunk)).enumerate();
    let events = chunks.map(|(number, (keys, shards))| {
        let first = number * chunk;
        let mut event = event(&line, format!("{task}-{first}"), keys, shards);
        if let Some(document) = documents.get(first).filter(|_| chunk == 1) {
            event["document"] = serde_json::from_slice(document).unwrap_or_default();
        }
        event
    });
    events.collect()
}

fn event(line: &Value, id: String, keys: &[Value], shards: &[Value]) -> Value {
    let mut shards = shards.to_vec();
    shards.sort_by_key(Value::as_u64);
    shards.dedup();
    json!({
        "eventId": id,
        "taskUid": line["taskUid"],
        "index": line["index"],
        "operation": line["operation"],
        "primaryKeys": keys,
        "shardIds": shards,
        "settingsVersion": line["settingsVersion"],
        "timestamp": line["timestamp"],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(line: &Value, documents: &str) -> LogEntry {
        LogEntry { sequence: 7, header: Value::Null, body: format!("{line}\n{documents}").into() }
    }

    #[test]
    fn one_entry_makes_the_same_events_again() {
        let keys = (0..2500).map(|key| key.to_string()).collect::<Vec<_>>();
        let shards = (0..2500).map(|key| key % 4).collect::<Vec<_>>();
        let line =
            json!({"taskUid": 9, "index": "a", "operation": "add", "primaryKeys": keys, "shardIds": shards});
        let events = of_entry(&entry(&line, ""), None, true);
        let ids = events.iter().map(|event| event["eventId"].as_str().unwrap()).collect::<Vec<_>>();
        assert_eq!(ids, ["9-0", "9-1000", "9-2000"]);
        assert_eq!(events[2]["primaryKeys"].as_array().unwrap().len(), 500);
        assert_eq!(events[0]["shardIds"], json!([0, 1, 2, 3]));
        assert!(of_entry(&entry(&line, ""), Some("b"), true).is_empty());
    }

    #[test]
    fn documents_come_one_by_one() {
        let line = json!({"taskUid": 9, "index": "a", "operation": "update", "primaryKeys": ["x", "y"], "shardIds": [1, 0]});
        let with = entry(&line, "{\"id\":\"x\",\"n\":1e2}\n{\"id\":\"y\"}\n");
        let events = of_entry(&with, Some("a"), true);
        assert_eq!(events.len(), 2);
        assert_eq!((&events[1]["document"]["id"], &events[1]["eventId"]), (&json!("y"), &json!("9-1")));
        assert_eq!(events[0]["shardIds"], json!([1]));
        let without = of_entry(&with, None, false);
        assert_eq!((without.len(), without[0].get("document")), (1, None));
    }

    #[test]
    fn what_was_not_done_is_an_event_of_its_task() {
        let error = json!({"message": "too wide", "code": "max_fields_limit_exceeded"});
        let line =
            json!({"taskUid": 9, "index": "a", "operation": "refuse", "shardIds": [4, 1], "error": error});
        let event = of_entry(&entry(&line, ""), Some("a"), true).remove(0);
        assert_eq!((&event["eventId"], &event["shardIds"]), (&json!("9-refuse"), &json!([1, 4])));
        assert_eq!((&event["error"], &event["primaryKeys"]), (&error, &json!([])));
        assert_eq!((event.get("all"), event.get("document")), (None, None));
        let line = json!({"taskUid": 9, "index": "a", "operation": "cancel", "shardIds": [], "error": null});
        let event = of_entry(&entry(&line, ""), None, false).remove(0);
        assert_eq!((&event["eventId"], &event["error"]), (&json!("9-cancel"), &Value::Null));
    }

    #[test]
    fn deletions_without_keys_say_what_they_delete() {
        let of = |filter: Value| {
            let line = json!({"taskUid": 9, "index": "a", "operation": "delete", "primaryKeys": [], "shardIds": [], "filter": filter});
            of_entry(&entry(&line, ""), None, true).remove(0)
        };
        assert_eq!(of(json!("a = 1"))["filter"], "a = 1");
        assert_eq!(of(Value::Null)["all"], true);
        let broken = LogEntry { sequence: 1, header: Value::Null, body: "{".into() };
        assert!(of_entry(&broken, None, true).is_empty());
    }
}
