//! Walking JSON text: the members of an object as raw slices, without building a tree.
//!
//! - `Answer` is the only place where foreign bytes enter. It verifies that they are UTF-8 and not deeper than readers
//!   can recurse. It validates members at once and elements when they are pulled; the caller of `next_raw` validates
//!   what it uses.
//! - Everything else walks slices of that text. On text that is not JSON it ends early or yields wrong slices, but
//!   never panics and never reads outside its slice.

pub(crate) mod error_message;
pub(crate) mod hit;
pub(crate) mod marks;
pub(crate) mod normalize;
pub(crate) mod paths;
pub(crate) mod simd_scan;
pub(crate) mod strip;
pub(crate) mod validate;

use std::borrow::Cow;

use crate::error::Fault;
use crate::json::simd_scan::{container_end, element_ends};
use crate::json::validate::{is_json, skip_space};

/// A node's answer: an object with its members as raw slices, in the order sent.
pub(crate) struct Answer<'a> {
    members: Vec<(Cow<'a, str>, &'a str)>,
    text: &'a str,
    /// The offset at which each element of the array ends.
    ends: Vec<usize>,
    /// The number of elements yielded so far.
    given: usize,
    /// The offset behind the last yielded element, or behind the opening bracket.
    at: usize,
}

/// The likely size of an element. A wrong guess costs only one more allocation.
const ELEMENT_BYTES_LIKELY: usize = 512;

impl<'a> Answer<'a> {
    /// Validates `body` except the elements of the member `array`, which are pulled lazily.
    pub(crate) fn read(body: &'a [u8], array: &str) -> Result<Self, Fault> {
        let text = simdutf8::basic::from_utf8(body).map_err(|_| Fault::new("not valid UTF-8"))?;
        let opens = text.len() - text.trim_ascii_start().len();
        let invalid = || Fault::new("not valid JSON");
        let mut walk = Members::of(&text[opens..]).ok_or_else(|| Fault::new("not valid JSON: no object"))?;
        let mut answer =
            Self { members: Vec::with_capacity(12), text: &text[opens..], ends: Vec::new(), given: 0, at: 0 };
        while let Some((key, _, value_at)) = walk.next_key() {
            let bytes = walk.text.as_bytes();
            let end = if unescape(key) == array {
                if bytes.get(value_at) != Some(&b'[') {
                    return Err(Fault::new(format!("`{array}` is not an array")));
                }
                answer.ends = Vec::with_capacity(text.len() / ELEMENT_BYTES_LIKELY + 1);
                answer.at = value_at + 1;
                element_ends(bytes, value_at, &mut answer.ends).ok_or_else(invalid)?
            } else {
                let end = value_end(bytes, value_at).ok_or_else(invalid)?;
                let value =
                    walk.text.get(value_at..end).filter(|value| is_json(value)).ok_or_else(invalid)?;
                answer.members.push((unescape(key), value));
                end
            };
            walk.pass(end);
        }
        if answer.at == 0 {
            return Err(Fault::new(format!("there is no member `{array}`")));
        }
        match walk.end() {
            None => Err(invalid()),
            Some(end) if !walk.text[end..].trim_ascii().is_empty() => {
                Err(Fault::new("bytes follow the answer"))
            }
            Some(_) => Ok(answer),
        }
    }

    /// The raw value of the member `name`.
    pub(crate) fn member(&self, name: &str) -> Option<&'a str> {
        self.members.iter().find(|(key, _)| key == name).map(|(_, value)| *value)
    }

    /// All members except the array, in the order sent.
    pub(crate) fn members(&self) -> &[(Cow<'a, str>, &'a str)] {
        &self.members
    }

    /// The value of the member `name`, which must be a count.
    pub(crate) fn count(&self, name: &str) -> Result<u64, Fault> {
        let raw = self.member(name).ok_or_else(|| Fault::new(format!("there is no member `{name}`")))?;
        raw.parse().map_err(|_| Fault::new(format!("`{name}` is not a count: {}", shorten(raw))))
    }

    /// The next element of the array as raw text, validated as JSON.
    pub(crate) fn next_element(&mut self) -> Result<Option<&'a str>, Fault> {
        match self.next_raw()? {
            Some(element) if !is_json(element) => Err(Fault::new("not valid JSON")),
            element => Ok(element),
        }
    }

    /// The next element of the array. Only its brackets are verified; the caller validates what it uses.
    pub(crate) fn next_raw(&mut self) -> Result<Option<&'a str>, Fault> {
        let bytes = self.text.as_bytes();
        let mut at = skip_space(bytes, self.at);
        let Some(end) = self.ends.get(self.given).copied() else {
            return match bytes.get(at) {
                Some(b']') => Ok(None),
                _ => Err(Fault::new("an element of the answer is not an object")),
            };
        };
        if self.given > 0 {
            if bytes.get(at) != Some(&b',') {
                return Err(Fault::new("not valid JSON"));
            }
            at = skip_space(bytes, at + 1);
        }
        self.given += 1;
        self.at = end;
        match self.text.get(at..end) {
            Some(element) if !element.starts_with('{') => {
                Err(Fault::new("an element of the answer is not an object"))
            }
            Some(element) => Ok(Some(element)),
            None => Err(Fault::new("not valid JSON")),
        }
    }
}

/// One member of an object. Offsets are bytes in the walked text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member<'a> {
    /// The raw key without its quotes, escapes as sent.
    pub(crate) key: &'a str,
    /// The offset of the key's opening quote.
    pub(crate) key_at: usize,
    /// The raw value.
    pub(crate) value: &'a str,
    /// The offset behind the value.
    pub(crate) end: usize,
}

/// The members of an object, in the order written.
pub(crate) struct Members<'a> {
    text: &'a str,
    at: usize,
    first: bool,
}

impl<'a> Members<'a> {
    /// `None` if `text` does not open an object at its first byte.
    pub(crate) fn of(text: &'a str) -> Option<Self> {
        text.starts_with('{').then_some(Self { text, at: 1, first: true })
    }

    /// Walks from the member whose opening quote is at `at`.
    pub(crate) fn resume(text: &'a str, at: usize) -> Self {
        Self { text, at, first: true }
    }

    /// The next member's key, the offset of its opening quote, and that of its value. The caller finds the value's end.
    fn next_key(&mut self) -> Option<(&'a str, usize, usize)> {
        let bytes = self.text.as_bytes();
        let mut at = skip_space(bytes, self.at);
        if !self.first {
            if bytes.get(at) != Some(&b',') {
                return None;
            }
            at = skip_space(bytes, at + 1);
        }
        let key_at = at;
        let key_end = string_end(bytes, key_at)?;
        let key = self.text.get(key_at + 1..key_end - 1)?;
        at = skip_space(bytes, key_end);
        (bytes.get(at) == Some(&b':')).then(|| (key, key_at, skip_space(bytes, at + 1)))
    }

    /// Continues behind the value that ends at `end`.
    fn pass(&mut self, end: usize) {
        self.at = end;
        self.first = false;
    }

    /// After the last member: the offset behind the closing brace, if there was one.
    pub(crate) fn end(&self) -> Option<usize> {
        let at = skip_space(self.text.as_bytes(), self.at);
        (self.text.as_bytes().get(at) == Some(&b'}')).then_some(at + 1)
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    fn next(&mut self) -> Option<Member<'a>> {
        let (key, key_at, value_at) = self.next_key()?;
        let end = value_end(self.text.as_bytes(), value_at)?;
        let value = self.text.get(value_at..end)?;
        self.pass(end);
        Some(Member { key, key_at, value, end })
    }
}

/// The elements of an array, raw, in the order written. Yields nothing if `text` does not open an array.
pub(crate) struct Elements<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Elements<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        Self { text, at: if text.starts_with('[') { 1 } else { text.len() } }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let bytes = self.text.as_bytes();
        let mut at = skip_space(bytes, self.at);
        if self.at > 1 {
            if bytes.get(at) != Some(&b',') {
                return None;
            }
            at = skip_space(bytes, at + 1);
        }
        if bytes.get(at) == Some(&b']') {
            return None;
        }
        let end = value_end(bytes, at)?;
        self.at = end;
        self.text.get(at..end)
    }
}

/// The text of a raw string's inside: borrowed, or a copy if it contains escapes.
pub(crate) fn unescape(inside: &str) -> Cow<'_, str> {
    if !inside.as_bytes().contains(&b'\\') {
        return Cow::Borrowed(inside);
    }
    let quoted = format!("\"{inside}\"");
    sonic_rs::from_str::<String>(&quoted).map_or(Cow::Borrowed(inside), Cow::Owned)
}

/// The text of a raw value, if it is a string.
pub(crate) fn string(raw: &str) -> Option<Cow<'_, str>> {
    raw.strip_prefix('"')?.strip_suffix('"').map(unescape)
}

/// Parses a raw number. Most are short counts, which need no general parser.
pub(crate) fn number(raw: &str) -> Option<f64> {
    let bytes = raw.as_bytes();
    if !bytes.is_empty() && bytes.len() <= 9 && bytes.iter().all(u8::is_ascii_digit) {
        let count = bytes.iter().fold(0_u32, |sum, digit| sum * 10 + u32::from(digit - b'0'));
        return Some(f64::from(count));
    }
    if !bytes.first().is_some_and(|byte| byte.is_ascii_digit() || *byte == b'-') {
        return None;
    }
    raw.parse().ok()
}

/// Whether `text` is one value with nothing behind it.
pub(crate) fn is_one_value(text: &str) -> bool {
    value_end(text.as_bytes(), 0) == Some(text.len())
}

/// The first 60 characters at most, for messages.
pub(crate) fn shorten(raw: &str) -> String {
    raw.chars().take(60).collect()
}

/// The offset behind the closing quote of the string opened at `at`. Names and values of details are one or two words
/// long, so the loop examines eight bytes at a time.
fn string_end(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at) != Some(&b'"') {
        return None;
    }
    let mut at = at + 1;
    loop {
        let rest = bytes.get(at..)?;
        let found = match rest.first_chunk::<8>() {
            Some(word) => {
                let word = u64::from_le_bytes(*word);
                let marks = zero_bytes(word ^ EIGHT_QUOTES) | zero_bytes(word ^ EIGHT_BACKSLASHES);
                // The lowest mark is exact, although marks above it may not be.
                if marks == 0 {
                    at += 8;
                    continue;
                }
                marks.trailing_zeros() as usize / 8
            }
            None => rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?,
        };
        match rest[found] {
            b'"' => return Some(at + found + 1),
            _ => at += found + 2,
        }
    }
}

const EIGHT_ONES: u64 = u64::MAX / 255;
const EIGHT_QUOTES: u64 = EIGHT_ONES * b'"' as u64;
const EIGHT_BACKSLASHES: u64 = EIGHT_ONES * b'\\' as u64;

/// Marks the high bit of each zero byte, and possibly of bytes above the first of them.
fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(EIGHT_ONES) & !word & (EIGHT_ONES << 7)
}

/// The offset behind the value that begins at `at`.
fn value_end(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at)? {
        b'"' => string_end(bytes, at),
        b'{' | b'[' => container_end(bytes, at),
        b',' | b':' | b'}' | b']' => None,
        _ => {
            let scalar = &bytes[at..];
            let length = scalar
                .iter()
                .position(|byte| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t'));
            Some(at + length.unwrap_or(scalar.len()))
        }
    }
}

/// Appends `text` as a JSON string.
pub(crate) fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..0x20 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// Appends a member that is not the first of its object: a comma precedes it.
pub(crate) fn write_member(name: &str, value: &str, out: &mut Vec<u8>) {
    out.push(b',');
    write_string(name, out);
    out.push(b':');
    out.extend_from_slice(value.as_bytes());
}

/// Like `write_member`, for a count.
pub(crate) fn write_count(name: &str, count: u64, out: &mut Vec<u8>) {
    write_member(name, &count.to_string(), out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_end_at_their_closing_quote() {
        for length in 0..40 {
            for inside in ["x", "é", "\\\\", "\\\""] {
                let text = format!("\"{}{inside}\"tail that has \" more", "a".repeat(length));
                let expected = 1 + length + inside.len() + 1;
                assert_eq!(string_end(text.as_bytes(), 0), Some(expected), "{text}");
            }
            let open = format!("\"{}", "a".repeat(length));
            assert_eq!(string_end(open.as_bytes(), 0), None, "{open}");
            let escaped = format!("\"{}\\", "a".repeat(length));
            assert_eq!(string_end(escaped.as_bytes(), 0), None, "{escaped}");
        }
    }
}
