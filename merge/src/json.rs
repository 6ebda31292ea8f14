//! Walking JSON text that was validated before: members of an object as raw slices, without a tree.
//!
//! - `Answer::read` is the only place where foreign bytes are validated, once, as UTF-8 and JSON.
//! - Everything else here walks slices of that text; on text that was not validated it ends early or
//!   yields wrong slices, but never panics and never reads outside its slice.

use std::borrow::Cow;

use sonic_rs::{ArrayJsonIter, JsonType, JsonValueTrait};

use crate::error::Fault;

/// A node's answer: an object, validated whole, its members as raw slices in the order sent.
pub(crate) struct Answer<'a> {
    members: Vec<(Cow<'a, str>, &'a str)>,
    elements: ArrayJsonIter<'a>,
}

impl<'a> Answer<'a> {
    /// Validates `body` and takes out the array named `array`, whose elements are pulled lazily.
    pub(crate) fn read(body: &'a [u8], array: &str) -> Result<Self, Fault> {
        let mut members = Vec::with_capacity(12);
        let mut elements = None;
        let mut end = None;
        for member in sonic_rs::to_object_iter(body) {
            let (key, value) = member.map_err(|error| Fault::new(format!("not valid JSON: {error}")))?;
            let Cow::Borrowed(raw) = value.as_raw_cow() else {
                return Err(Fault::new("the JSON reader gave a copy instead of a slice"));
            };
            end = Some(raw.as_ptr() as usize - body.as_ptr() as usize + raw.len());
            if key == array {
                if value.get_type() != JsonType::Array {
                    return Err(Fault::new(format!("`{array}` is not an array")));
                }
                elements = value.into_array_iter();
            } else {
                members.push((key, raw));
            }
        }
        let elements = elements.ok_or_else(|| Fault::new(format!("there is no member `{array}`")))?;
        // The reader stops at the closing brace and says nothing about what follows it.
        let rest = body.get(end.unwrap_or(0)..).unwrap_or_default().trim_ascii();
        if rest != b"}" {
            return Err(Fault::new("bytes follow the answer"));
        }
        Ok(Self { members, elements })
    }

    /// The raw value of the member `name`.
    pub(crate) fn member(&self, name: &str) -> Option<&'a str> {
        self.members.iter().find(|(key, _)| key == name).map(|(_, value)| *value)
    }

    /// All members but the array, in the order sent.
    pub(crate) fn members(&self) -> &[(Cow<'a, str>, &'a str)] {
        &self.members
    }

    /// A member that must be a count.
    pub(crate) fn count(&self, name: &str) -> Result<u64, Fault> {
        let raw = self.member(name).ok_or_else(|| Fault::new(format!("there is no member `{name}`")))?;
        raw.parse().map_err(|_| Fault::new(format!("`{name}` is not a count: {}", shorten(raw))))
    }

    /// The next element of the array as raw text.
    pub(crate) fn next_element(&mut self) -> Result<Option<&'a str>, Fault> {
        match self.elements.next() {
            None => Ok(None),
            Some(Err(error)) => Err(Fault::new(format!("not valid JSON: {error}"))),
            Some(Ok(value)) => match value.as_raw_cow() {
                Cow::Borrowed(raw) => Ok(Some(raw)),
                Cow::Owned(_) => Err(Fault::new("the JSON reader gave a copy instead of a slice")),
            },
        }
    }
}

/// One member of an object. Offsets are bytes in the walked text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member<'a> {
    /// The raw key without its quotes; escapes are as sent.
    pub(crate) key: &'a str,
    /// Where the key's opening quote is.
    pub(crate) key_at: usize,
    /// The raw value.
    pub(crate) value: &'a str,
    /// Where the byte after the value is.
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

    /// The members from the one whose opening quote is at `at` on.
    pub(crate) fn resume(text: &'a str, at: usize) -> Self {
        Self { text, at, first: true }
    }

    /// After the last member: where the byte after the closing brace is, if there was one.
    pub(crate) fn end(&self) -> Option<usize> {
        let at = skip_space(self.text.as_bytes(), self.at);
        (self.text.as_bytes().get(at) == Some(&b'}')).then_some(at + 1)
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    fn next(&mut self) -> Option<Member<'a>> {
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
        if bytes.get(at) != Some(&b':') {
            return None;
        }
        let value_at = skip_space(bytes, at + 1);
        let end = value_end(bytes, value_at)?;
        let value = self.text.get(value_at..end)?;
        self.at = end;
        self.first = false;
        Some(Member { key, key_at, value, end })
    }
}

/// The elements of an array, raw, in the order written; an empty walk if `text` opens no array.
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

/// The text of a raw string's inside: as it is, or a copy where it holds escapes.
pub(crate) fn unescape(inside: &str) -> Cow<'_, str> {
    if !inside.as_bytes().contains(&b'\\') {
        return Cow::Borrowed(inside);
    }
    let quoted = format!("\"{inside}\"");
    sonic_rs::from_str::<String>(&quoted).map_or(Cow::Borrowed(inside), Cow::Owned)
}

/// The text of a raw value if it is a string.
pub(crate) fn string(raw: &str) -> Option<Cow<'_, str>> {
    raw.strip_prefix('"')?.strip_suffix('"').map(unescape)
}

/// A raw number; most are short counts, which need no general parser.
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

/// Whether `text` is one value and nothing after it.
pub(crate) fn is_one_value(text: &str) -> bool {
    value_end(text.as_bytes(), 0) == Some(text.len())
}

/// At most the first 60 characters, for messages.
pub(crate) fn shorten(raw: &str) -> String {
    raw.chars().take(60).collect()
}

fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(at) {
        at += 1;
    }
    at
}

/// Where the byte after the closing quote of the string opened at `at` is.
fn string_end(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at) != Some(&b'"') {
        return None;
    }
    let mut at = at + 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Where the byte after the value that begins at `at` is.
fn value_end(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at)? {
        b'"' => string_end(bytes, at),
        b'{' | b'[' => {
            let mut depth = 0_usize;
            let mut at = at;
            loop {
                match bytes.get(at)? {
                    b'"' => {
                        at = string_end(bytes, at)?;
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth -= 1,
                    _ => {}
                }
                at += 1;
                if depth == 0 {
                    return Some(at);
                }
            }
        }
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

/// Appends a member of an object that is not its first, so a comma goes before it.
pub(crate) fn write_member(name: &str, value: &str, out: &mut Vec<u8>) {
    out.push(b',');
    write_string(name, out);
    out.push(b':');
    out.extend_from_slice(value.as_bytes());
}

/// The same for a count.
pub(crate) fn write_count(name: &str, count: u64, out: &mut Vec<u8>) {
    write_member(name, &count.to_string(), out);
}
