//! Documents as nodes store them: lists of documents, and single documents without reserved fields.

pub(crate) mod geo_order;
pub(crate) mod order;
pub(crate) mod sort_key;

use std::borrow::Cow;

use crate::error::{Fault, MergeError};
use crate::json::strip;
use crate::json::{Members, write_string};

/// Appends one document without its reserved fields to `out`.
///
/// # Errors
/// `MergeError::Leg` with leg 0: `raw` is not one JSON object. `out` is then unchanged.
pub fn strip_document(raw: &[u8], out: &mut Vec<u8>) -> Result<(), MergeError> {
    let text = validated_object(raw).map_err(|fault| fault.at(0))?;
    strip::members(text, out);
    Ok(())
}

/// Appends the members after the documents: the counts, and the first leg's other members.
pub(crate) fn write_rest(
    offset: usize,
    limit: usize,
    total: u64,
    members: &[(Cow<'_, str>, &str)],
    out: &mut Vec<u8>,
) {
    let counts = format!("],\"offset\":{offset},\"limit\":{limit},\"total\":{total}");
    out.extend_from_slice(counts.as_bytes());
    for (name, value) in members {
        if matches!(name.as_ref(), "offset" | "limit" | "total") {
            continue;
        }
        out.push(b',');
        write_string(name, out);
        out.push(b':');
        out.extend_from_slice(value.as_bytes());
    }
    out.push(b'}');
}

fn validated_object(raw: &[u8]) -> Result<&str, Fault> {
    // The reader takes lazy values from bytes without validating their encoding, so do that first.
    let text = std::str::from_utf8(raw).map_err(|error| Fault::new(error.to_string()))?.trim();
    sonic_rs::from_str::<sonic_rs::LazyValue<'_>>(text)
        .map_err(|error| Fault::new(format!("not valid JSON: {error}")))?;
    if Members::of(text).is_none() {
        return Err(Fault::new("a document is not an object"));
    }
    Ok(text)
}
