//! What answers must look like, read with a different JSON reader than the code under attack uses.
//!
//! - Names are compared as bytes after decoding, because a string may contain half a surrogate pair.
//! - Every function panics with the property that is violated.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The prefix of all reserved field names.
pub(crate) const RESERVED: &[u8] = router::reserved::PREFIX.as_bytes();
/// The members of a hit that repeat the fields of the document.
const REPEATS: [&[u8]; 3] = [b"_formatted", b"_matchesPosition", b"_rankingScoreDetails"];

/// The members of an object in the order written, including repeated names.
pub(crate) struct Object<'a>(pub(crate) Vec<(Cow<'a, [u8]>, &'a RawValue)>);

impl<'a> Object<'a> {
    /// `None` if `text` is not one JSON object.
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The raw value of the first member `name`.
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(key, _)| **key == *name.as_bytes()).map(|(_, value)| value.get())
    }

    pub(crate) fn has_reserved(&self) -> bool {
        self.0.iter().any(|(name, _)| name.starts_with(RESERVED))
    }

    /// The elements of the array `name`, raw.
    pub(crate) fn elements(&self, name: &str) -> Vec<&'a str> {
        let raw = self.get(name).unwrap_or_else(|| panic!("the answer has no `{name}`"));
        let elements: Vec<&RawValue> =
            serde_json::from_str(raw).unwrap_or_else(|error| panic!("`{name}` is no array: {error}"));
        elements.into_iter().map(RawValue::get).collect()
    }
}

/// The answer as text. Panics unless it is one JSON object.
pub(crate) fn answer(bytes: &[u8]) -> &str {
    let text = std::str::from_utf8(bytes).unwrap_or_else(|error| panic!("the answer is not UTF-8: {error}"));
    if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
        panic!("the answer is not JSON: {error}: {text}");
    }
    text
}

/// Whether a backslash precedes what no JSON string allows there. The reader under attack does not validate the digits
/// of an escape and passes such text through, so only a panic on it is a finding.
pub(crate) fn has_broken_escape(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        rest = &rest[at + 1..];
        let length = match rest.first() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 1,
            Some(b'u') if rest.len() > 4 && rest[1..5].iter().all(u8::is_ascii_hexdigit) => 5,
            _ => return true,
        };
        rest = &rest[length..];
    }
    false
}

/// A document that a client sees has no reserved member at its top level.
pub(crate) fn check_document(text: &str) {
    let document = Object::read(text).unwrap_or_else(|| panic!("not an object: {text}"));
    assert!(!document.has_reserved(), "a reserved member is left: {text}");
}

/// A hit has no reserved member in the members that repeat the document either.
pub(crate) fn check_hit(text: &str) {
    check_document(text);
    let hit = Object::read(text).unwrap_or_else(|| panic!("not an object: {text}"));
    for (_, value) in hit.0.iter().filter(|(name, _)| REPEATS.contains(&&**name)) {
        if let Some(repeat) = Object::read(value.get()) {
            assert!(!repeat.has_reserved(), "a reserved member is left in a repeat: {text}");
        }
    }
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some(Name(name)) = map.next_key()? {
            members.push((name, map.next_value()?));
        }
        Ok(Object(members))
    }
}

struct Name<'a>(Cow<'a, [u8]>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(NameVisitor)
    }
}

struct NameVisitor;

impl<'de> Visitor<'de> for NameVisitor {
    type Value = Name<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_borrowed_bytes<E>(self, name: &'de [u8]) -> Result<Name<'de>, E> {
        Ok(Name(Cow::Borrowed(name)))
    }

    fn visit_bytes<E>(self, name: &[u8]) -> Result<Name<'de>, E> {
        Ok(Name(Cow::Owned(name.to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::catch_unwind;

    #[test]
    fn reserved_members_are_seen_where_they_must_not_be() {
        let table = [
            (r#"{"id":1,"a":{"_miroir_shard":1},"b":"_miroir_"}"#, true),
            (r#"{"_formatted":"_miroir_shard","\ud800":[]}"#, true),
            (r#"{"id":1,"_miroir_shard":"x"}"#, false),
            (r#"{"_formatted":{"\u005fmiroir_shard":"x"}}"#, false),
            (r#"{"_rankingScoreDetails":{"_miroir_shard:asc":{}}}"#, false),
            ("[]", false),
        ];
        for (hit, sound) in table {
            assert_eq!(catch_unwind(|| check_hit(hit)).is_ok(), sound, "{hit}");
        }
    }

    #[test]
    fn broken_escapes_are_seen() {
        for broken in [r"\x", r"\", r"a\u12", r"\u123g", r"\\\u\"] {
            assert!(has_broken_escape(broken.as_bytes()), "{broken}");
        }
        for sound in ["", r"\\u", r#"\"\/\b\f\n\r\t"#, r"\ud83dx\u00e9"] {
            assert!(!has_broken_escape(sound.as_bytes()), "{sound}");
        }
    }

    #[test]
    fn broken_answers_are_seen() {
        for broken in [&b"{\"a\":1"[..], b"{} {}", b"\"\xff\"", b"{\"a\":01}"] {
            assert!(catch_unwind(|| answer(broken)).is_err(), "{broken:?}");
        }
        assert_eq!(answer(b"{\"\\ud800\":1e999}"), "{\"\\ud800\":1e999}");
    }
}
