//! Distinct: of the hits that share a value of one attribute, only the first is returned.
//!
//! Values are those by which a node groups (milli/src/search/new/distinct.rs): numbers and normalized strings; of
//! arrays each element. A hit without a value shares none with any other.

use ahash::AHashSet;

use crate::json::normalize::normalize;
use crate::json::paths::values_at;
use crate::json::{number, string};

/// The values of the distinct attribute met so far.
pub(crate) struct Distinct<'s> {
    path: &'s str,
    seen: AHashSet<Value>,
}

/// Whether a hit is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admitted {
    Yes,
    /// `several`: whether the rejected hit has more than one value.
    No {
        several: bool,
    },
}

/// A value that two documents can share.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) enum Value {
    /// The bits of an `f64`.
    Number(u64),
    /// A normalized string.
    Text(String),
}

impl<'s> Distinct<'s> {
    pub(crate) fn new(path: &'s str) -> Self {
        Self { path, seen: AHashSet::new() }
    }

    /// Admits the hit if it shares no value with an earlier admitted one, and then records its values.
    pub(crate) fn admit(&mut self, hit: &str) -> Admitted {
        let values = Value::all(hit, self.path);
        if values.iter().any(|value| self.seen.contains(value)) {
            return Admitted::No { several: values.len() > 1 };
        }
        self.seen.extend(values);
        Admitted::Yes
    }
}

impl Value {
    /// The values of a hit.
    pub(crate) fn all(hit: &str, path: &str) -> Vec<Self> {
        let mut values = Vec::new();
        values_at(hit, path, &mut |raw| values.extend(Self::read(raw)));
        values
    }

    fn read(raw: &str) -> Option<Self> {
        match raw.as_bytes().first()? {
            b'n' => None,
            b'"' => Some(Self::Text(normalize(&string(raw)?).into_owned())),
            b't' | b'f' => Some(Self::Text(raw.to_owned())),
            // Both zeros are the same number.
            _ => number(raw).map(|number| Self::Number((number + 0.0).to_bits())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equals_is_admitted() {
        let mut distinct = Distinct::new("a.b");
        for (hit, expected) in [
            (r#"{"a":{"b":"Red"}}"#, true),
            (r#"{"a":{"b":" réd"}}"#, true),
            (r#"{"a":{"b":"RED "}}"#, false),
            (r#"{"a":{"b":1}}"#, true),
            (r#"{"a":{"b":1.0}}"#, false),
            (r#"{"a":{"b":"1"}}"#, true),
            (r#"{"a":{"b":[2,"red"]}}"#, false),
            (r#"{"a":{"b":[2,3]}}"#, true),
            (r#"{"a":{"b":3}}"#, false),
            (r#"{"a":{"b":null}}"#, true),
            (r#"{"a":{"b":null}}"#, true),
            (r#"{"a":{"b":true}}"#, true),
            (r#"{"a":{"b":"true"}}"#, false),
            (r#"{}"#, true),
            (r#"{"a":{"b":0}}"#, true),
            (r#"{"a":{"b":-0.0}}"#, false),
        ] {
            let several = hit.contains('[');
            let expected = if expected { Admitted::Yes } else { Admitted::No { several } };
            assert_eq!(distinct.admit(hit), expected, "{hit}");
        }
    }
}
