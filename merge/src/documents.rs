//! Documents as nodes store them: lists joined leg after leg, and single documents.

use std::borrow::Cow;

use crate::Merged;
use crate::error::{Fault, MergeError};
use crate::json::{Answer, Members, write_string};
use crate::strip;

/// Appends the joined answer of `GET /indexes/{uid}/documents` or `POST …/documents/fetch` to `out`.
///
/// `legs`: the raw answers in covering-set order, each asked offset 0 and limit `offset + limit`, without `sort`.
/// The documents of lower legs come first, so every page of one covering set cuts the same list. Totals are summed;
/// reserved fields are cut out.
///
/// # Errors
/// `MergeError::Leg` if a leg's answer is unusable; `out` is then as it was.
pub fn documents(
    legs: &[&[u8]],
    offset: usize,
    limit: usize,
    out: &mut Vec<u8>,
) -> Result<Merged, MergeError> {
    let start = out.len();
    let merged = join(legs, offset, limit, out);
    if merged.is_err() {
        out.truncate(start);
    }
    merged
}

/// Appends one document without its reserved fields to `out`.
///
/// # Errors
/// `MergeError::Leg` with leg 0 if `raw` is not one JSON object; `out` is then as it was.
pub fn strip_document(raw: &[u8], out: &mut Vec<u8>) -> Result<(), MergeError> {
    let text = validated_object(raw).map_err(|fault| fault.at(0))?;
    strip::members(text, out);
    Ok(())
}

fn join(legs: &[&[u8]], offset: usize, limit: usize, out: &mut Vec<u8>) -> Result<Merged, MergeError> {
    let mut total = 0_u64;
    let mut hits = 0;
    let mut position = 0_usize;
    let mut others = Vec::new();
    let end = offset.saturating_add(limit);
    out.extend_from_slice(b"{\"results\":[");
    for (leg, body) in legs.iter().enumerate() {
        let mut answer = Answer::read(body, "results").map_err(|fault| fault.at(leg))?;
        total = total.saturating_add(answer.count("total").map_err(|fault| fault.at(leg))?);
        while position < end {
            let Some(text) = answer.next_element().map_err(|fault| fault.at(leg))? else { break };
            if Members::of(text).is_none() {
                return Err(Fault::new("a document is not an object").at(leg));
            }
            if position >= offset {
                if hits > 0 {
                    out.push(b',');
                }
                strip::members(text, out);
                hits += 1;
            }
            position += 1;
        }
        if leg == 0 {
            others.extend(answer.members().iter().cloned());
        }
    }
    write_rest(offset, limit, total, &others, out);
    Ok(Merged { hits, total })
}

/// Appends all that follows the documents: the counts, and the first leg's other members.
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
    // The reader takes lazy values from bytes without looking at their encoding, so that comes first.
    let text = std::str::from_utf8(raw).map_err(|error| Fault::new(error.to_string()))?.trim();
    sonic_rs::from_str::<sonic_rs::LazyValue<'_>>(text)
        .map_err(|error| Fault::new(format!("not valid JSON: {error}")))?;
    if Members::of(text).is_none() {
        return Err(Fault::new("a document is not an object"));
    }
    Ok(text)
}
