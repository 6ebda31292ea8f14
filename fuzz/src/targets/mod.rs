//! The targets, and the helpers of those that merge: splitting raw bytes into legs, and checking the caller's buffer.

pub(crate) mod access;
pub(crate) mod administration;
pub(crate) mod documents;
pub(crate) mod facets;
pub(crate) mod payloads;
pub(crate) mod questions;
pub(crate) mod routing;
pub(crate) mod search;
pub(crate) mod stripping;
pub(crate) mod wire;

use arbitrary::{Result, Unstructured};

use crate::answer_oracle::has_broken_escape;
use crate::mutate::mutate;

/// The content of the caller's buffer before a merge, which must stay.
const BEFORE: &[u8] = b"before";

/// Raw bytes as up to three legs, split at null bytes, which no JSON text contains.
fn raw_legs(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes.splitn(3, |byte| *byte == 0).map(<[u8]>::to_vec).collect()
}

/// Whether an answer from these legs must be sound JSON.
fn must_be_sound(legs: &[&[u8]]) -> bool {
    !legs.iter().any(|leg| has_broken_escape(leg))
}

/// Damages at most one leg. Returns whether all are still sound.
fn mutate_one(choices: &mut Unstructured<'_>, legs: &mut [Vec<u8>]) -> Result<bool> {
    let damaged = choices.choose_index(legs.len())?;
    Ok(mutate(choices, &mut legs[damaged])? == 0)
}

/// What `write` appends to a non-empty buffer, if it succeeds. Two runs must agree, the earlier content must stay, and
/// after an error nothing may follow it.
fn written<T: PartialEq + std::fmt::Debug>(
    write: impl Fn(&mut Vec<u8>) -> std::result::Result<T, merge::MergeError>,
) -> Option<(T, Vec<u8>)> {
    let mut out = BEFORE.to_vec();
    let result = write(&mut out);
    let mut again = BEFORE.to_vec();
    assert_eq!(write(&mut again), result, "two runs over the same bytes differ");
    assert_eq!(again, out, "two runs over the same bytes write different answers");
    assert!(out.starts_with(BEFORE), "what was in the buffer is gone");
    match result {
        Ok(value) => Some((value, out.split_off(BEFORE.len()))),
        Err(_) => {
            assert_eq!(out, BEFORE, "something was written although there was an error");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use merge::MergeError;
    use std::panic::catch_unwind;

    #[test]
    fn a_buffer_treated_badly_is_seen() {
        let fault = || MergeError::Leg { leg: 0, reason: String::new() };
        let kept = written(|out| {
            out.push(b'!');
            Ok(1)
        });
        assert_eq!(kept, Some((1, b"!".to_vec())));
        assert!(
            catch_unwind(|| written(|out| out
                .drain(..1)
                .map(|_| Ok(0))
                .sum::<std::result::Result<i32, _>>()))
            .is_err()
        );
        let left_behind = catch_unwind(|| {
            written::<()>(|out| {
                out.push(b'!');
                Err(fault())
            })
        });
        assert!(left_behind.is_err());
        assert_eq!(written::<()>(|_| Err(fault())), None);
    }

    #[test]
    fn raw_bytes_are_at_most_three_legs() {
        assert_eq!(raw_legs(b"a\0b\0c\0d"), [&b"a"[..], b"b", b"c\0d"]);
        assert_eq!(raw_legs(b""), [b""]);
    }
}
