//! Whether text is JSON (RFC 8259), in one pass and without building anything.
//!
//! - Strict: no control characters in strings, no unknown escapes, no leading zeros.
//! - Recursion is bounded by `simd_scan::DEPTH_MAX`.
//! - The text is UTF-8 already, so strings are skipped many bytes at a time.

use wide::u8x32;

use crate::json::simd_scan::DEPTH_MAX;

const LANE: usize = 32;
/// Bytes below this must be escaped in strings.
const CONTROL_END: u8 = 0x20;

/// Whether `text` is one value with nothing behind it.
pub(crate) fn is_json(text: &str) -> bool {
    let bytes = text.as_bytes();
    value(bytes, skip_space(bytes, 0), 0).is_some_and(|end| skip_space(bytes, end) == bytes.len())
}

/// Whether the object `text` is valid JSON up to its member whose opening quote is at `end`.
pub(crate) fn is_object_up_to(text: &str, end: usize) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    let mut opening = b'{';
    loop {
        if bytes.get(at) != Some(&opening) {
            return false;
        }
        at = skip_space(bytes, at + 1);
        if at == end {
            return true;
        }
        match member(bytes, at, 1) {
            Some(after) if after < end => at = skip_space(bytes, after),
            _ => return false,
        }
        opening = b',';
    }
}

/// The offset behind the value at `at`.
fn value(bytes: &[u8], at: usize, depth: u32) -> Option<usize> {
    match bytes.get(at)? {
        b'"' => string(bytes, at),
        b'{' if depth < DEPTH_MAX => list(bytes, at, b'}', |at| member(bytes, at, depth + 1)),
        b'[' if depth < DEPTH_MAX => list(bytes, at, b']', |at| value(bytes, at, depth + 1)),
        b't' => literal(bytes, at, b"true"),
        b'f' => literal(bytes, at, b"false"),
        b'n' => literal(bytes, at, b"null"),
        b'-' | b'0'..=b'9' => number(bytes, at),
        _ => None,
    }
}

/// The offset behind the items, separated by commas, between the opening bracket at `at` and its closing bracket.
fn list(bytes: &[u8], at: usize, close: u8, one: impl Fn(usize) -> Option<usize>) -> Option<usize> {
    let mut at = skip_space(bytes, at + 1);
    if bytes.get(at) == Some(&close) {
        return Some(at + 1);
    }
    loop {
        at = skip_space(bytes, one(at)?);
        match bytes.get(at)? {
            b',' => at = skip_space(bytes, at + 1),
            byte => return (*byte == close).then_some(at + 1),
        }
    }
}

fn member(bytes: &[u8], at: usize, depth: u32) -> Option<usize> {
    let colon = skip_space(bytes, string(bytes, at)?);
    (bytes.get(colon) == Some(&b':')).then_some(())?;
    value(bytes, skip_space(bytes, colon + 1), depth)
}

fn string(bytes: &[u8], at: usize) -> Option<usize> {
    (bytes.get(at) == Some(&b'"')).then_some(())?;
    let mut at = at + 1;
    loop {
        at = next_special(bytes, at)?;
        match bytes[at] {
            b'"' => return Some(at + 1),
            b'\\' => at = escape(bytes, at)?,
            _ => return None,
        }
    }
}

/// The offset of the next byte that has a meaning inside a string.
fn next_special(bytes: &[u8], mut at: usize) -> Option<usize> {
    while let Some(lane) = bytes.get(at..).and_then(<[u8]>::first_chunk::<LANE>) {
        let lane = u8x32::new(*lane);
        let control = lane.min(u8x32::splat(CONTROL_END - 1)).simd_eq(lane);
        let special = lane.simd_eq(u8x32::splat(b'"')) | lane.simd_eq(u8x32::splat(b'\\')) | control;
        match special.to_bitmask() {
            0 => at += LANE,
            mask => return Some(at + mask.trailing_zeros() as usize),
        }
    }
    let rest = bytes.get(at..)?.iter();
    rest.copied().position(|byte| matches!(byte, b'"' | b'\\' | ..CONTROL_END)).map(|further| at + further)
}

fn escape(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at + 1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(at + 2),
        b'u' => {
            let digits = bytes.get(at + 2..at + 6)?;
            digits.iter().all(u8::is_ascii_hexdigit).then_some(at + 6)
        }
        _ => None,
    }
}

fn literal(bytes: &[u8], at: usize, text: &[u8]) -> Option<usize> {
    bytes[at..].starts_with(text).then_some(at + text.len())
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let mut at = at + usize::from(bytes[at] == b'-');
    at = match bytes.get(at)? {
        b'0' => at + 1,
        _ => digits(bytes, at)?,
    };
    if bytes.get(at) == Some(&b'.') {
        at = digits(bytes, at + 1)?;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        let signed = matches!(bytes.get(at + 1), Some(b'+' | b'-'));
        at = digits(bytes, at + 1 + usize::from(signed))?;
    }
    Some(at)
}

/// Skips at least one digit.
fn digits(bytes: &[u8], at: usize) -> Option<usize> {
    let count = bytes.get(at..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (count > 0).then_some(at + count)
}

/// The offset of the next byte that is not white space.
pub(crate) fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(at) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::value::RawValue;

    #[test]
    fn json_is_what_a_library_takes_for_json() {
        let seeds = [
            r#"{"a":[1,-0.5e+7,{"b":null}],"c":"x\"\\\u00e9\n","d":{},"e":[],"f":true,"g":false}"#,
            r#" [ 0 , 10 , 1E2 , "a string of more than thirty-two bytes, with a \" in it, and é" ] "#,
            r#""\ud83d\ude00""#,
            "-0",
        ];
        let alphabet = b"{}[]\",:\\u019eE+-. tnfax\n\x01\x1f";
        let mut random = fastrand::Rng::with_seed(3);
        let (mut sound, mut tried) = (0, 0);
        for _ in 0..40_000 {
            let mut text = seeds[random.usize(..seeds.len())].as_bytes().to_vec();
            for _ in 0..random.usize(..3) {
                let (at, byte) = (random.usize(..text.len()), alphabet[random.usize(..alphabet.len())]);
                match random.u8(..4) {
                    0 => drop(text.remove(at)),
                    1 => text.insert(at, byte),
                    2 => text[at] = byte,
                    _ => text.truncate(at.max(1)),
                }
            }
            let Ok(text) = String::from_utf8(text) else { continue };
            let expected = serde_json::from_str::<&RawValue>(&text).is_ok();
            assert_eq!(is_json(&text), expected, "{text}");
            sound += u32::from(expected);
            tried += 1;
        }
        assert!(sound > tried / 5 && sound < tried, "{sound} of {tried}");
    }

    #[test]
    fn what_is_too_deep_is_no_json() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(is_json(&nested(DEPTH_MAX as usize)));
        assert!(!is_json(&nested(DEPTH_MAX as usize + 1)) && !is_json(&"[".repeat(1_000_000)));
    }

    #[test]
    fn an_object_is_checked_up_to_a_member() {
        let text = r#"{"a":1, "b":"x","c":nonsense}"#;
        assert!(is_object_up_to(text, text.find("\"c\"").unwrap()));
        assert!(is_object_up_to(r#"{"c":nonsense}"#, 1));
        for wrong in
            [r#"{"a":01,"c":2}"#, r#"{"a":1 "c":2}"#, r#"{"a","c":2}"#, r#"["c":2}"#, r#"{"a":1,,"c":2}"#]
        {
            assert!(!is_object_up_to(wrong, wrong.find("\"c\"").unwrap()), "{wrong}");
        }
    }
}
