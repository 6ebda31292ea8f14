//! Fingerprints of documents, by which two copies of an index are compared without looking at both at once.
//!
//! Invariant: neither the order of documents nor that of the fields of an object counts, since nodes choose both; the
//! order of an array's members does.

use serde_json::Value;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The sum of the hashes of documents, each on a line.
pub(crate) fn of_lines(lines: &[u8]) -> u64 {
    let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.fold(0, |sum, line| sum.wrapping_add(of_line(line)))
}

/// The hash of one document; of its bytes where it is no JSON.
fn of_line(line: &[u8]) -> u64 {
    serde_json::from_slice(line).map_or_else(|_| xxh3_64(line), |value| of_value(&value))
}

fn of_value(value: &Value) -> u64 {
    match value {
        Value::Object(members) => {
            let members =
                members.iter().map(|(name, value)| xxh3_64_with_seed(name.as_bytes(), of_value(value)));
            xxh3_64(&members.fold(1, u64::wrapping_add).to_le_bytes())
        }
        Value::Array(values) => {
            values.iter().fold(2, |seed, value| xxh3_64_with_seed(&of_value(value).to_le_bytes(), seed))
        }
        scalar @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
            xxh3_64(scalar.to_string().as_bytes())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_counts_in_arrays_alone() {
        let same = |one: &str, other: &str| of_lines(one.as_bytes()) == of_lines(other.as_bytes());
        assert!(same("{\"a\":1,\"b\":{\"c\":2,\"d\":3}}\n", "{\"b\":{\"d\":3,\"c\":2},\"a\":1}"));
        assert!(same("{\"a\":1}\n{\"a\":2}\n", "{\"a\":2}\n{\"a\":1}\n"));
        assert!(!same("{\"a\":[1,2]}", "{\"a\":[2,1]}"));
        assert!(!same("{\"a\":1,\"b\":2}", "{\"a\":2,\"b\":1}"));
        assert!(!same("{\"a\":1}", "{\"a\":\"1\"}"));
        assert!(!same("{\"a\":{}}", "{\"a\":[]}"));
        assert!(!same("{\"a\":1}", "{\"a\":1}\n{\"a\":1}"));
        assert_eq!(of_lines(b"\n\n"), 0);
    }
}
