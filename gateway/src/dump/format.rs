//! The contents of a dump besides documents: keys, tasks and indexes in the forms that Meilisearch reads.
//!
//! Invariant: one Meilisearch node loads it (format V6, 1.15 to 1.50); what has no counterpart on one node is left
//! out. Keys carry no secret: it follows from the master key.

use serde_json::{Map, Value, json};
use store::{IndexRecord, TaskKind, TaskRecord, TaskStatus};
use time::{OffsetDateTime, macros::format_description};

use crate::{api::tasks::view::date, auth::ApiKey};

/// The name of a dump made at a moment.
#[must_use]
pub fn uid(now: OffsetDateTime) -> String {
    let form = format_description!("[year][month][day]-[hour][minute][second][subsecond digits:3]");
    now.format(&form).unwrap_or_default()
}

/// `metadata.json` of a dump; `version` is that of the oldest node.
#[must_use]
pub fn metadata(version: &str, now: OffsetDateTime) -> Value {
    json!({"dumpVersion": "V6", "dbVersion": version, "dumpDate": date(now)})
}

/// `metadata.json` of an index.
#[must_use]
pub fn index_metadata(record: &IndexRecord) -> Value {
    json!({
        "uid": record.uid,
        "primaryKey": record.primary_key,
        "createdAt": date(record.created_at),
        "updatedAt": date(record.updated_at),
    })
}

/// Settings without the keys of embedders: nodes show only the start of a key, which is not usable.
#[must_use]
pub fn without_hidden_keys(mut settings: Value) -> Value {
    for embedder in settings["embedders"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        drop_hidden_keys(embedder);
    }
    settings
}

fn drop_hidden_keys(embedder: &mut Value) {
    let Some(members) = embedder.as_object_mut() else { return };
    if members.get("apiKey").and_then(Value::as_str).is_some_and(|key| key.ends_with("X...")) {
        members.remove("apiKey");
    }
    members.values_mut().for_each(drop_hidden_keys);
}

/// A line of `keys.jsonl`.
#[must_use]
pub fn key(key: &ApiKey) -> Value {
    let mut line = json!({
        "uid": key.uid,
        "actions": key.actions,
        "indexes": key.indexes,
        "expires_at": key.expires_at.map(date),
        "created_at": date(key.created_at),
        "updated_at": date(key.updated_at),
    });
    for (name, value) in [("name", &key.name), ("description", &key.description)] {
        if let Some(value) = value {
            line[name] = json!(value);
        }
    }
    line
}

/// A line of `tasks/queue.jsonl`: a task that has ended, of a kind that can be written.
#[must_use]
pub fn task(record: &TaskRecord) -> Option<Value> {
    if !record.status.is_finished() {
        return None;
    }
    let (kind, details) = kind_and_details(record)?;
    let mut line = json!({
        "uid": record.uid,
        "batchUid": null,
        "indexUid": record.index_uid,
        "status": record.status.as_str(),
        "type": kind,
        "enqueuedAt": date(record.enqueued_at),
        "startedAt": record.started_at.or(record.finished_at).map(date),
        "finishedAt": record.finished_at.map(date),
    });
    if !details.is_null() {
        line["details"] = details;
    }
    if let (TaskStatus::Canceled, Some(canceler)) = (record.status, record.canceler()) {
        line["canceledBy"] = json!(canceler);
    }
    if let Some(error) = &record.error {
        line["error"] = json!(error);
    }
    if let Some(metadata) = &record.custom_metadata {
        line["customMetadata"] = json!(metadata);
    }
    Some(line)
}

fn kind_and_details(record: &TaskRecord) -> Option<(Value, Value)> {
    let details = record.details.clone().unwrap_or_default();
    let count = |name: &str| details[name].as_u64().unwrap_or(0);
    let done = |name: &str| details[name].as_u64().or(record.status.is_finished().then_some(0));
    Some(match record.kind {
        TaskKind::DocumentAdditionOrUpdate => (
            json!({"documentImport": {
                "primary_key": null,
                "method": "ReplaceDocuments",
                "documents_count": count("receivedDocuments"),
                "allow_index_creation": true,
            }}),
            json!({"DocumentAdditionOrUpdate": {
                "received_documents": count("receivedDocuments"),
                "indexed_documents": done("indexedDocuments"),
            }}),
        ),
        TaskKind::DocumentDeletion => (
            json!({"documentDeletion": {"documents_ids": []}}),
            json!({"DocumentDeletion": {
                "provided_ids": count("providedIds"),
                "deleted_documents": done("deletedDocuments"),
            }}),
        ),
        TaskKind::SettingsUpdate => (
            json!({"settings": {"settings": details, "is_deletion": false, "allow_index_creation": true}}),
            json!({"SettingsUpdate": {"settings": details}}),
        ),
        TaskKind::IndexCreation => (
            json!({"indexCreation": {"primary_key": details["primaryKey"]}}),
            json!({"IndexInfo": {
                "primary_key": details["primaryKey"],
                "new_index_uid": null,
                "old_index_uid": null,
            }}),
        ),
        TaskKind::IndexUpdate => (
            json!({"indexUpdate": {"primary_key": details["primaryKey"], "uid": details["newIndexUid"]}}),
            json!({"IndexInfo": {
                "primary_key": details["primaryKey"],
                "new_index_uid": details["newIndexUid"],
                "old_index_uid": details["oldIndexUid"],
            }}),
        ),
        TaskKind::IndexDeletion => {
            (json!("indexDeletion"), json!({"ClearAll": {"deleted_documents": done("deletedDocuments")}}))
        }
        TaskKind::IndexSwap => {
            let swaps = json!({"swaps": details["swaps"]});
            (json!({"indexSwap": swaps}), json!({"IndexSwap": swaps}))
        }
        TaskKind::DumpCreation => (
            json!({"dumpCreation": {"keys": [], "instance_uid": null}}),
            json!({"Dump": {"dump_uid": details["dumpUid"]}}),
        ),
        TaskKind::SnapshotCreation => (json!("snapshotCreation"), Value::Null),
        TaskKind::DocumentEdition
        | TaskKind::TaskCancelation
        | TaskKind::TaskDeletion
        | TaskKind::Export
        | TaskKind::UpgradeDatabase
        | TaskKind::IndexCompaction
        | TaskKind::NetworkTopologyChange
        | TaskKind::DsrUpdate
        | TaskKind::DsrClear => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_is_named_by_its_moment() {
        let moment = time::macros::datetime!(2026-11-21 11:35:50.124978 UTC);
        assert_eq!(uid(moment), "20261121-113550124");
    }

    #[test]
    fn the_start_of_a_key_is_no_key() {
        let settings =
            json!({"embedders": {"a": {"source": "openAi", "apiKey": "abXXXX..."}, "b": {"apiKey": "k"}}});
        let shown = without_hidden_keys(settings);
        assert_eq!(shown, json!({"embedders": {"a": {"source": "openAi"}, "b": {"apiKey": "k"}}}));
    }
}
