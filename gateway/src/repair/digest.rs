//! What is compared of a stored document: its key, its stamp, its shard and a hash of its content.
//!
//! Invariants: two copies have the same content hash exactly when they are equal as JSON values, in whatever order
//! their members stand. The stamp is not part of the hash. Vectors count as nodes store them, in single precision,
//! and all ways to say that there are none are equal.

use std::{borrow::Cow, fmt};

use router::reserved::{SHARD_FIELD, UPDATED_AT_FIELD, parse_shard_marker, parse_timestamp};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The member that holds a document's vectors.
pub(crate) const VECTORS_FIELD: &str = "_vectors";

/// One stored document, reduced to what is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Digest {
    /// The primary key's value in its string form.
    pub key: String,
    pub content: u64,
    /// The hash of the content without the mark of its shard, to compare copies under different numbers of shards.
    pub unmarked: u64,
    /// The hybrid logical clock of its last write, where it has one.
    pub stamp: Option<u64>,
    /// The shard that it is marked with.
    pub shard: Option<u32>,
}

/// Reads one document of a node's answer; `None` when it has no primary key.
pub(crate) fn digest(raw: &str, primary_key: &str) -> serde_json::Result<Option<Digest>> {
    let mut deserializer = serde_json::Deserializer::from_str(raw);
    let mut found = deserializer.deserialize_map(Document { primary_key })?;
    if found.key.is_none() && primary_key.contains('.') {
        found.key = nested_key(raw, primary_key)?;
    }
    let Found { unmarked, mark, stamp, shard, .. } = found;
    let content = unmarked.wrapping_add(mark);
    Ok(found.key.map(|key| Digest { key, content, unmarked, stamp, shard }))
}

/// The value of a primary key that names a member of a member.
fn nested_key(raw: &str, primary_key: &str) -> serde_json::Result<Option<String>> {
    let mut value: &serde_json::Value = &serde_json::from_str(raw)?;
    for name in primary_key.split('.') {
        match value.get(name) {
            Some(member) => value = member,
            None => return Ok(None),
        }
    }
    Ok(Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
}

struct Document<'a> {
    primary_key: &'a str,
}

#[derive(Default)]
struct Found {
    key: Option<String>,
    unmarked: u64,
    /// What the mark of the shard adds to the hash.
    mark: u64,
    stamp: Option<u64>,
    shard: Option<u32>,
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = Found;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a document")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found, A::Error> {
        let mut found = Found::default();
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            let raw = map.next_value::<&'de RawValue>()?.get();
            let inner = |error| A::Error::custom(error);
            match &*name {
                UPDATED_AT_FIELD => {
                    let text = serde_json::from_str::<Cow<'_, str>>(raw).unwrap_or_default();
                    found.stamp = parse_timestamp(text.as_bytes());
                    continue;
                }
                SHARD_FIELD => {
                    let text = serde_json::from_str::<Cow<'_, str>>(raw).unwrap_or_default();
                    found.shard = parse_shard_marker(text.as_bytes());
                }
                VECTORS_FIELD if raw.trim_matches(['{', '}', ' ']).is_empty() => continue,
                other if other == self.primary_key => {
                    found.key = Some(match raw.starts_with('"') {
                        true => serde_json::from_str(raw).map_err(inner)?,
                        false => raw.to_owned(),
                    });
                }
                _ => {}
            }
            let value = ValueHash { vectors: &*name == VECTORS_FIELD };
            let value = value.deserialize(&mut serde_json::Deserializer::from_str(raw)).map_err(inner)?;
            let part = if name == SHARD_FIELD { &mut found.mark } else { &mut found.unmarked };
            *part = part.wrapping_add(member(&name, value));
        }
        Ok(found)
    }
}

/// Hashes a value; the order of an object's members does not count.
#[derive(Clone, Copy)]
struct ValueHash {
    vectors: bool,
}

/// A hash of a JSON value; the order of an object's members does not count.
pub(crate) fn hash_of(value: &serde_json::Value) -> u64 {
    // Reading a value that is in memory cannot fail.
    ValueHash { vectors: false }.deserialize(value).unwrap_or_default()
}

fn member(name: &str, value: u64) -> u64 {
    xxh3_64_with_seed(name.as_bytes(), value)
}

fn scalar(kind: u64, bytes: &[u8]) -> u64 {
    xxh3_64_with_seed(bytes, kind)
}

impl ValueHash {
    #[allow(clippy::cast_possible_truncation, reason = "vectors are stored in single precision")]
    fn number(self, number: f64) -> u64 {
        // Makes zero and minus zero equal.
        match self.vectors {
            true => scalar(5, &(number as f32 + 0.0).to_bits().to_le_bytes()),
            false => scalar(4, &(number + 0.0).to_bits().to_le_bytes()),
        }
    }
}

impl<'de> DeserializeSeed<'de> for ValueHash {
    type Value = u64;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u64, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueHash {
    type Value = u64;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<u64, E> {
        Ok(scalar(0, b""))
    }

    fn visit_bool<E>(self, value: bool) -> Result<u64, E> {
        Ok(scalar(1, &[u8::from(value)]))
    }

    fn visit_i64<E>(self, value: i64) -> Result<u64, E> {
        #[allow(clippy::cast_precision_loss, reason = "vectors are stored in single precision")]
        Ok(if self.vectors { self.number(value as f64) } else { scalar(2, &value.to_le_bytes()) })
    }

    fn visit_u64<E>(self, value: u64) -> Result<u64, E> {
        #[allow(clippy::cast_precision_loss, reason = "vectors are stored in single precision")]
        Ok(if self.vectors { self.number(value as f64) } else { scalar(3, &value.to_le_bytes()) })
    }

    fn visit_f64<E>(self, value: f64) -> Result<u64, E> {
        Ok(self.number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<u64, E> {
        Ok(scalar(6, value.as_bytes()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<u64, A::Error> {
        let mut hash = scalar(7, b"");
        while let Some(element) = list.next_element_seed(self)? {
            hash = xxh3_64_with_seed(&element.to_le_bytes(), hash);
        }
        Ok(hash)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<u64, A::Error> {
        let mut sum = 0_u64;
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            sum = sum.wrapping_add(member(&name, map.next_value_seed(self)?));
        }
        Ok(scalar(8, &sum.to_le_bytes()))
    }
}

/// The number of buckets of a shard.
pub(crate) const BUCKETS: usize = 256;

/// The bucket of a key: by the upper bits of the hash whose lower bits give the shard.
pub(crate) fn bucket_of(key: &str) -> usize {
    usize::from(xxh3_64(key.as_bytes()).to_be_bytes()[0])
}

/// The fingerprint of one copy of a shard; the order in which documents are added does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    pub buckets: Box<[Bucket; BUCKETS]>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Bucket {
    pub documents: u64,
    sum: u64,
}

impl Fingerprint {
    pub(crate) fn empty() -> Self {
        Self { buckets: Box::new([Bucket::default(); BUCKETS]) }
    }

    pub(crate) fn add(&mut self, digest: &Digest) {
        let bucket = &mut self.buckets[bucket_of(&digest.key)];
        bucket.documents += 1;
        bucket.sum = bucket.sum.wrapping_add(member(&digest.key, digest.content));
    }

    /// Adds what another set of documents has.
    pub(crate) fn join(&mut self, other: &Self) {
        for (bucket, more) in self.buckets.iter_mut().zip(other.buckets.iter()) {
            bucket.documents += more.documents;
            bucket.sum = bucket.sum.wrapping_add(more.sum);
        }
    }

    pub(crate) fn documents(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.documents).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use router::reserved::{encode_timestamp, shard_marker};

    fn content(raw: &str) -> u64 {
        digest(raw, "id").unwrap().unwrap().content
    }

    #[test]
    fn equal_documents_have_one_hash_and_others_do_not() {
        let document = r#"{"id": 1, "a": {"x": 1, "y": [1, 2]}, "b": null}"#;
        assert_eq!(content(document), content(r#"{"b":null,"a":{"y":[1,2],"x":1},"id":1}"#));
        assert_eq!(
            content(document),
            content(r#"{"id": 1, "b": null, "a": {"x": 1, "y": [1, 2]}, "_vectors": {}}"#)
        );
        for other in [
            r#"{"id": 1, "a": {"x": 1, "y": [2, 1]}, "b": null}"#,
            r#"{"id": 1, "a": {"x": 1, "y": [1, 2]}}"#,
            r#"{"id": 1, "a": {"x": 1, "y": [1, 2]}, "b": false}"#,
            r#"{"id": 1, "a": {"x": "1", "y": [1, 2]}, "b": null}"#,
            r#"{"id": 1, "a": {"y": 1, "x": [1, 2]}, "b": null}"#,
            r#"{"id": "1", "a": {"x": 1, "y": [1, 2]}, "b": null}"#,
        ] {
            assert_ne!(content(document), content(other), "{other}");
        }
    }

    #[test]
    fn vectors_count_in_single_precision() {
        let vectors = |numbers: &str| {
            content(&format!(
                r#"{{"id":1,"_vectors":{{"e":{{"embeddings":[[{numbers}]],"regenerate":false}}}}}}"#
            ))
        };
        assert_eq!(vectors("0.1,1"), vectors("0.10000000149011612,1.0"));
        assert_ne!(vectors("0.1,1"), vectors("0.1,1.001"));
    }

    #[test]
    fn the_stamp_is_read_and_not_compared() {
        let stamped = |stamp: u64| {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            let (shard, stamp) = (text(&shard_marker(9)), text(&encode_timestamp(stamp)));
            digest(
                &format!(r#"{{"id":"a\"b","_miroir_shard":"{shard}","_miroir_updated_at":"{stamp}"}}"#),
                "id",
            )
        };
        let (one, other) = (stamped(7).unwrap().unwrap(), stamped(8).unwrap().unwrap());
        assert_eq!((one.content, one.key.as_str(), one.shard), (other.content, "a\"b", Some(9)));
        assert_eq!((one.stamp, other.stamp), (Some(7), Some(8)));
    }

    #[test]
    fn keys_may_be_nested_or_missing() {
        let key = |raw, primary_key| digest(raw, primary_key).unwrap().map(|digest| digest.key);
        assert_eq!(key(r#"{"a":{"b":-3}}"#, "a.b").as_deref(), Some("-3"));
        assert_eq!(key(r#"{"a.b":"x"}"#, "a.b").as_deref(), Some("x"));
        assert_eq!(key(r#"{"a":1}"#, "b"), None);
    }

    #[test]
    fn fingerprints_do_not_depend_on_the_order() {
        let digests = ["1", "2", "3"].map(|key| Digest {
            key: key.to_owned(),
            content: 7,
            unmarked: 7,
            stamp: None,
            shard: None,
        });
        let print = |order: [usize; 3]| {
            let mut print = Fingerprint::empty();
            order.iter().for_each(|position| print.add(&digests[*position]));
            print
        };
        assert_eq!(print([0, 1, 2]), print([2, 0, 1]));
        assert_ne!(print([0, 1, 2]), print([0, 1, 1]));
        assert_eq!(print([0, 1, 2]).documents(), 3);
    }
}
