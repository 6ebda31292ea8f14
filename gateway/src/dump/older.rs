//! What dumps of versions 4 and 5 have, in the words of version 6: pure.
//!
//! Invariants: folders of indexes are named by ids there, and one file gives the indexes' names; settings are called as
//! today. A key of version 4 has no uid, so it gets one that follows from what it has: reading it again gives the same.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Builder;

/// Versions that name folders by ids.
const OLDER: [&str; 2] = ["V4", "V5"];

/// An action that keys of version 4 may have, and none has since.
const ACTION_GONE: &str = "dumps.get";

/// Whether dumps of a version are laid out as this file says.
pub(crate) fn is_older(version: &str) -> bool {
    OLDER.contains(&version)
}

/// A line of `index_uuids/data.jsonl`: the folder of an index, and the index's name.
pub(crate) fn name(line: &Value) -> Option<(String, String)> {
    Some((line["index_meta"]["uuid"].as_str()?.to_owned(), line["uid"].as_str()?.to_owned()))
}

/// What `meta.json` of a folder says: the primary key, and the settings.
pub(crate) fn index(mut meta: Value) -> (Option<String>, Value) {
    let primary_key = meta["primary_key"].as_str().map(str::to_owned);
    (primary_key, meta["settings"].take())
}

/// A line of `keys` as a key of version 6; `None` when nothing that it allows is there any more.
pub(crate) fn key(mut key: Value) -> Option<Value> {
    if key["id"].is_null() || !key["uid"].is_null() {
        return Some(key);
    }
    let actions = key["actions"].as_array_mut()?;
    actions.retain(|action| action != ACTION_GONE);
    if actions.is_empty() {
        return None;
    }
    // The rest of a key may be changed by its owner, and it stays the same key.
    let text = json!([OLDER[0], key["id"], key["created_at"]]).to_string();
    let digest: [u8; 32] = Sha256::digest(text).into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    key["uid"] = json!(Builder::from_random_bytes(bytes).into_uuid());
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_settings_are_found() {
        let line = json!({"uid": "films", "index_meta": {"uuid": "22c2", "creation_task_id": 9}});
        assert_eq!(name(&line), Some(("22c2".to_owned(), "films".to_owned())));
        assert_eq!(name(&json!({"uid": "films"})), None);
        let meta = json!({"settings": {"stopWords": ["a"]}, "primary_key": "id"});
        assert_eq!(index(meta), (Some("id".to_owned()), json!({"stopWords": ["a"]})));
        assert_eq!(index(json!({"primary_key": null})), (None, Value::Null));
    }

    #[test]
    fn a_key_of_version_4_gets_the_same_uid_each_time() {
        let old =
            |actions: Value| json!({"id": [1, 2, 3, 4, 5, 6, 7, 8], "actions": actions, "created_at": "x"});
        let read = key(old(json!(["search", "dumps.get"]))).unwrap();
        assert_eq!(read["actions"], json!(["search"]));
        let uid = read["uid"].as_str().unwrap().parse::<uuid::Uuid>().unwrap();
        assert_eq!(uid.get_version_num(), 4);
        assert_eq!(key(old(json!(["*"]))).unwrap()["uid"], read["uid"]);
        let other = json!({"id": [9, 2, 3, 4, 5, 6, 7, 8], "actions": ["*"], "created_at": "x"});
        assert_ne!(key(other).unwrap()["uid"], read["uid"]);
        assert_eq!(key(old(json!(["dumps.get"]))), None);
        let newer = json!({"uid": "k", "actions": []});
        assert_eq!(key(newer.clone()), Some(newer));
    }
}
