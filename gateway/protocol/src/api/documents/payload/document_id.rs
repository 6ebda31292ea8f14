//! Document ids: which fields can hold the primary key, and which values are valid ids.
//!
//! Invariants: an id's string form is what Meilisearch stores, so `1` and `"1"` are the same id. Forms that need no
//! decoding are slices of the payload.

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;
use std::ops::Range;

/// The longest id in bytes.
const IDENTIFIER_LENGTH_MAX: usize = 511;
const PATH_SEPARATOR: u8 = b'.';

/// An id's string form: a slice of the payload's text, or decoded when it contains escapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Identifier {
    Slice(Range<usize>),
    Decoded(Box<str>),
}

/// The problem of a value found under the primary key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum IdentifierProblem {
    Invalid { value: String },
    TooMany,
}

/// Whether a field name is a candidate for the primary key.
pub(crate) fn is_candidate(field: &str) -> bool {
    field.to_lowercase().ends_with("id")
}

/// The rest of the primary key's path below a field of this name: empty at the end of the path, `None` beside the
/// path. A dot separates levels, and a field name may span several of them.
pub(crate) fn path_below<'p>(primary_key: &'p str, field: &str) -> Option<&'p str> {
    let rest = primary_key.strip_prefix(field).filter(|_| !field.is_empty())?;
    match rest.as_bytes().first() {
        None => Some(rest),
        Some(&PATH_SEPARATOR) => Some(&rest[1..]),
        Some(_) => None,
    }
}

/// Collects ids from a value at `path`. A second id is a problem; a value beside the path is not an id.
pub(crate) fn collect(
    text: &str,
    value: &str,
    path: &str,
    found: &mut Option<Identifier>,
) -> Result<(), IdentifierProblem> {
    if !path.is_empty() {
        return collect_nested(text, value, path, found);
    }
    let identifier = read(text, value)?;
    match found.replace(identifier) {
        Some(_) => Err(IdentifierProblem::TooMany),
        None => Ok(()),
    }
}

/// Compact JSON for error messages; JSON that nests too deep for that stays as it is.
pub(crate) fn compact(json: &str) -> String {
    serde_json::from_str::<serde_json::Value>(json)
        .map_or_else(|_| json.to_owned(), |value| value.to_string())
}

/// The range of a slice of `text`.
pub(crate) fn range_in(text: &str, slice: &str) -> Range<usize> {
    let start = slice.as_ptr() as usize - text.as_ptr() as usize;
    start..start + slice.len()
}

fn read(text: &str, value: &str) -> Result<Identifier, IdentifierProblem> {
    let invalid = || IdentifierProblem::Invalid { value: compact(value) };
    match value.as_bytes() {
        [b'"', inner @ .., b'"'] if inner.contains(&b'\\') => {
            let decoded: String = serde_json::from_str(value).map_err(|_| invalid())?;
            if is_valid(&decoded) { Ok(Identifier::Decoded(decoded.into())) } else { Err(invalid()) }
        }
        [b'"', .., b'"'] => {
            let inner = &value[1..value.len() - 1];
            if is_valid(inner) { Ok(Identifier::Slice(range_in(text, inner))) } else { Err(invalid()) }
        }
        // An integer has one form only, except for minus zero, which JSON readers take for a float.
        [b'-' | b'0'..=b'9', ..] if is_integer(value) => Ok(Identifier::Slice(range_in(text, value))),
        _ => Err(invalid()),
    }
}

fn is_integer(number: &str) -> bool {
    number != "-0" && (number.parse::<u64>().is_ok() || number.parse::<i64>().is_ok())
}

fn is_valid(identifier: &str) -> bool {
    (1..=IDENTIFIER_LENGTH_MAX).contains(&identifier.len())
        && identifier.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

fn collect_nested(
    text: &str,
    value: &str,
    path: &str,
    found: &mut Option<Identifier>,
) -> Result<(), IdentifierProblem> {
    if !value.starts_with('{') {
        return Ok(());
    }
    let mut outcome = Ok(());
    let nested = Nested { text, path, found, outcome: &mut outcome };
    // The value was read before; only a key that is not text (half a surrogate pair) can fail now.
    let read = serde_json::Deserializer::from_str(value).deserialize_map(nested);
    if read.is_err() {
        return Err(IdentifierProblem::Invalid { value: compact(value) });
    }
    outcome
}

struct Nested<'n> {
    text: &'n str,
    path: &'n str,
    found: &'n mut Option<Identifier>,
    outcome: &'n mut Result<(), IdentifierProblem>,
}

impl<'de> Visitor<'de> for Nested<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(below) = map.next_key_seed(PathSeed { path: self.path })? {
            let value: &'de RawValue = map.next_value()?;
            // The object has to be read to its end even after a problem.
            if let (Some(below), Ok(())) = (below, &self.outcome) {
                *self.outcome = collect(self.text, value.get(), below, self.found);
            }
        }
        Ok(())
    }
}

struct PathSeed<'p> {
    path: &'p str,
}

impl<'de, 'p> DeserializeSeed<'de> for PathSeed<'p> {
    type Value = Option<&'p str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de, 'p> Visitor<'de> for PathSeed<'p> {
    type Value = Option<&'p str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a field name")
    }

    fn visit_str<E: Error>(self, field: &str) -> Result<Self::Value, E> {
        Ok(path_below(self.path, field))
    }
}
