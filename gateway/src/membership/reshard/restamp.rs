//! A document as the copies under another number of shards have it: marked with another shard, else the same.
//!
//! Invariant: the text of every other member stays as it is, and members keep their order.

use std::{borrow::Cow, fmt};

use router::reserved::{SHARD_FIELD, shard_marker};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::repair::digest::{VECTORS_FIELD, digest};

/// One document for the copies that are to have it.
pub(super) struct Restamped {
    pub(super) shard: u32,
    pub(super) raw: String,
}

/// Marks a document, as a node gives it, with its shard among so many; `None` when it has no primary key.
///
/// # Errors
/// When it is no document.
pub(super) fn restamp(raw: &str, primary_key: &str, shards: u32) -> serde_json::Result<Option<Restamped>> {
    let Some(found) = digest(raw, primary_key)? else { return Ok(None) };
    let shard = router::shard_of(&found.key, shards);
    let Members(members) = serde_json::from_str(raw)?;
    let mut out = String::with_capacity(raw.len() + 8);
    out.push('{');
    for (name, value) in members {
        // No vectors are not said.
        let is_empty = name == VECTORS_FIELD && value.get() == "{}";
        if name == SHARD_FIELD || is_empty {
            continue;
        }
        out.push_str(&serde_json::to_string(&name)?);
        out.push(':');
        out.push_str(value.get());
        out.push(',');
    }
    let marker = shard_marker(shard);
    out.push_str(&format!("\"{SHARD_FIELD}\":\"{}\"}}", String::from_utf8_lossy(&marker)));
    Ok(Some(Restamped { shard, raw: out }))
}

/// The members of an object in their order.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;

        impl<'de> Visitor<'de> for Each {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a document")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(name) = map.next_key::<Cow<'de, str>>()? {
                    members.push((name, map.next_value()?));
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(Each).map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_shard_changes() {
        let old = String::from_utf8_lossy(&shard_marker(router::shard_of("7", 4))).into_owned();
        let new = String::from_utf8_lossy(&shard_marker(router::shard_of("7", 16))).into_owned();
        let raw = format!(
            r#"{{"b":1.0,"id":7,"{SHARD_FIELD}":"{old}","t\"x":{{"{SHARD_FIELD}":"no"}},"a":[1,2],"_vectors":{{}}}}"#
        );
        let found = restamp(&raw, "id", 16).unwrap().unwrap();
        assert_eq!(found.shard, router::shard_of("7", 16));
        let expected = format!(
            r#"{{"b":1.0,"id":7,"t\"x":{{"{SHARD_FIELD}":"no"}},"a":[1,2],"{SHARD_FIELD}":"{new}"}}"#
        );
        assert_eq!(found.raw, expected);
        assert!(restamp(r#"{"a":1}"#, "id", 16).unwrap().is_none());
        assert!(restamp("[]", "id", 16).is_err());
    }
}
