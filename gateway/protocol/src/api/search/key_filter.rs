//! Key filters (shard pruning): finds the documents that alone can pass a filter on the primary key, and so the only
//! shards to ask.
//!
//! Invariants: only what surely holds is used, so an unread part of a conjunction changes nothing. The result holds
//! for plain keys ([`is_plain`]) only, since a node ignores case and spaces around a value, compares numbers by value
//! and keeps the start of long texts. Source: filter expressions and facet normalization of Meilisearch 1.15 and 1.50.

use serde_json::Value;

/// With more keys than this the filter prunes nothing.
pub const PINNED_KEYS_MAX: usize = 128;
/// Beyond this a node does not tell all numbers apart.
const EXACT_MAX: i64 = 1 << 53;
/// A node compares texts of fewer bytes as a whole, and of longer ones the start alone.
const WHOLE_BYTES_MAX: usize = 467;

/// Whether no other key equals this one in a filter: it has no capitals, a node compares it as a whole, and if it is a
/// number, it is a whole one in its shortest form.
#[must_use]
pub fn is_plain(key: &str) -> bool {
    if key.len() > WHOLE_BYTES_MAX || key.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return false;
    }
    // Most keys cannot be numbers, and this check is enough to see it.
    let may_be_number =
        key.bytes().next().is_some_and(|first| first.is_ascii_digit() || b"-in".contains(&first));
    !may_be_number
        || key.parse::<f64>().is_err()
        || whole(key).is_some_and(|number| number.to_string() == key)
}

fn whole(text: &str) -> Option<i64> {
    text.parse::<i64>().ok().filter(|number| number.unsigned_abs() <= EXACT_MAX.unsigned_abs())
}

/// The keys of which a document must have one to pass `filter` (raw JSON), where all keys are plain; `None` when the
/// filter does not tell.
#[must_use]
pub fn pinned_keys(filter: &str, primary_key: &str) -> Option<Vec<String>> {
    memchr::memmem::find(filter.as_bytes(), primary_key.as_bytes())?;
    let pinned = match serde_json::from_str(filter).ok()? {
        Value::String(text) => by_text(&text, primary_key),
        // The outer array is a conjunction, an inner one a disjunction.
        Value::Array(members) => {
            let pinned = members.iter().filter_map(|member| match member {
                Value::String(text) => by_text(text, primary_key),
                Value::Array(any) => by_any(any, primary_key),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
            });
            pinned.min_by_key(Vec::len)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    };
    pinned.filter(|keys| keys.len() <= PINNED_KEYS_MAX)
}

fn by_any(any: &[Value], primary_key: &str) -> Option<Vec<String>> {
    let mut keys = Vec::new();
    for one in any {
        keys.extend(by_text(one.as_str()?, primary_key)?);
    }
    Some(keys)
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token<'t> {
    Word(&'t str),
    Quoted(&'t str),
    Sign(u8),
}

impl<'t> Token<'t> {
    pub(crate) fn is_keyword(&self, keyword: &str) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    fn value(&self) -> Option<&'t str> {
        match self {
            Self::Word(text) | Self::Quoted(text) => Some(text),
            Self::Sign(_) => None,
        }
    }
}

/// The keys that one expression pins: the fewest that any part of its outermost conjunction pins.
fn by_text(text: &str, primary_key: &str) -> Option<Vec<String>> {
    let tokens = tokens(text)?;
    let mut depth = 0_usize;
    let mut parts = vec![Vec::new()];
    for token in tokens {
        match token {
            Token::Sign(b'(' | b'[') => depth += 1,
            Token::Sign(b')' | b']') => depth = depth.checked_sub(1)?,
            ref word if depth == 0 && word.is_keyword("OR") => return None,
            ref word if depth == 0 && word.is_keyword("AND") => {
                parts.push(Vec::new());
                continue;
            }
            Token::Word(_) | Token::Quoted(_) | Token::Sign(_) => {}
        }
        parts.last_mut()?.push(token);
    }
    parts.iter().filter_map(|part| by_condition(part, primary_key)).min_by_key(Vec::len)
}

/// `key = value` or `key IN [value, ...]`.
fn by_condition(tokens: &[Token<'_>], primary_key: &str) -> Option<Vec<String>> {
    let (name, rest) = tokens.split_first()?;
    if name.value() != Some(primary_key) {
        return None;
    }
    match rest {
        [Token::Sign(b'='), value] => keys_equal_to(value.value()?),
        [keyword, Token::Sign(b'['), list @ .., Token::Sign(b']')] if keyword.is_keyword("IN") => {
            let mut keys = Vec::new();
            for value in list.split(|token| *token == Token::Sign(b',')) {
                match value {
                    [value] => keys.extend(keys_equal_to(value.value()?)?),
                    // A trailing comma.
                    [] => {}
                    _ => return None,
                }
            }
            Some(keys)
        }
        _ => None,
    }
}

/// The plain keys that a node takes as equal to a value.
fn keys_equal_to(value: &str) -> Option<Vec<String>> {
    // A node decomposes other letters before it compares, and a long value may equal the start of longer keys.
    if !value.is_ascii() || value.len() > WHOLE_BYTES_MAX {
        return None;
    }
    let text = value.trim().to_ascii_lowercase();
    let Ok(number) = text.parse::<f64>() else { return Some(vec![text]) };
    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "whole and exact")]
    let key =
        (number.fract() == 0.0 && number.abs() <= EXACT_MAX as f64).then(|| (number as i64).to_string());
    Some(key.into_iter().collect())
}

/// The tokens of an expression; `None` when it contains something that is not read here, such as an escape.
pub(crate) fn tokens(text: &str) -> Option<Vec<Token<'_>>> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let start = at;
        at += 1;
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' => {}
            b'\'' | b'"' => {
                let length = bytes[at..].iter().position(|next| *next == byte)?;
                let quoted = &text[at..at + length];
                if quoted.contains('\\') {
                    return None;
                }
                tokens.push(Token::Quoted(quoted));
                at += length + 1;
            }
            b'=' | b'(' | b')' | b'[' | b']' | b',' => tokens.push(Token::Sign(byte)),
            b'!' | b'<' | b'>' => {
                at += usize::from(bytes.get(at) == Some(&b'='));
                tokens.push(Token::Sign(byte));
            }
            _ if is_of_word(byte) => {
                at += bytes[at..].iter().take_while(|next| is_of_word(**next)).count();
                tokens.push(Token::Word(&text[start..at]));
            }
            _ => return None,
        }
    }
    Some(tokens)
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-/.".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_keys_equal_themselves_only() {
        for plain in ["5", "-3", "0", "abc", "a-5", "5e", "5e-x", "x1", "int-4", "9007199254740992", "9a"] {
            assert!(is_plain(plain), "{plain}");
        }
        for other in
            ["A", "05", "-0", "5e0", "inf", "nan", "infinity", "-inf", "9007199254740993", "1e3", "-05"]
        {
            assert!(!is_plain(other), "{other}");
        }
    }

    #[test]
    fn what_pins_the_key_is_found() {
        let check = |filter: &str, expected: Option<&[&str]>| {
            let filter = format!("\"{}\"", filter.replace('"', "\\\""));
            let expected = expected.map(|keys| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>());
            assert_eq!(pinned_keys(&filter, "id"), expected, "{filter}");
        };
        check("id = 5", Some(&["5"]));
        check("id=5.0", Some(&["5"]));
        check("id = '05' AND price > 3", Some(&["5"]));
        check("price > 3 and \"id\" = \"Abc-d\"", Some(&["abc-d"]));
        check("id IN [1, 'b', 2.5, ]", Some(&["1", "b"]));
        check("id = ' abc ' AND a = 1", Some(&["abc"]));
        check("id IN [' n1', \"N2 \", ' 7 ']", Some(&["n1", "n2", "7"]));
        check("id IN []", Some(&[]));
        check("id IN [1, 2] AND id = 2", Some(&["2"]));
        check("(a = 1 OR b = 2) AND id = x", Some(&["x"]));
        check("a IN [id, 'OR'] AND id = -0", Some(&["0"]));
        for unpinned in [
            "id != 5",
            "id > 5",
            "NOT id = 5",
            "id NOT IN [5]",
            "id = 5 OR a = 1",
            "id EXISTS",
            "a = 'id = 5'",
            "(id = 5)",
            "id 5 TO 9",
            "id = 5 or b = 2",
            "id = a b",
            "idx = 5",
            "a.id = 5",
            "id = 'a\\\\'b'",
            "id = é",
            "id = 5)",
            "id CONTAINS 5",
            "id IN [1 2]",
            "id = 5 AND a = 1 OR b = 2",
        ] {
            check(unpinned, None);
        }
    }

    /// Whether a document with `key`, kept as a text or as a number, passes `id = value` on a node.
    fn passes(value: &str, key: &str) -> bool {
        let normal = |text: &str| text.trim().to_lowercase();
        let kept = normal(key);
        let text_passes = normal(value) == kept[..kept.len().min(WHOLE_BYTES_MAX + 1)];
        let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
        let key_number = key.parse::<i64>().is_ok().then(|| number(key)).flatten();
        text_passes || (key_number.is_some() && number(value) == key_number)
    }

    /// Every pair of a key and a value that is built from a key: by padding, case, and the forms of a number.
    #[test]
    fn no_document_that_passes_is_left_out() {
        let long = |length: usize| "k".repeat(length);
        let mut keys =
            ["0", "1", "-1", "12", "012", "1e3", "1000", "inf", "nan", "a", "A", "aB", "n-1", "N_1", "-0"]
                .map(str::to_owned)
                .to_vec();
        keys.extend(["9007199254740991", "9007199254740992", "9007199254740993"].map(str::to_owned));
        keys.extend([466, 467, 468, 469, 511].map(long));
        let forms: [fn(&str) -> String; 6] = [
            str::to_owned,
            str::to_lowercase,
            str::to_uppercase,
            |key| format!("{key}.0"),
            |key| format!("+{key}"),
            |key| key[..key.len().min(WHOLE_BYTES_MAX + 1)].to_owned(),
        ];
        let paddings = ["", " ", "\t", "\n ", "\r", "\u{b}", "\u{c}", "\u{a0}", "\u{2003}"];
        let (mut passed, mut pinned) = (0, 0);
        for form in keys.iter().flat_map(|key| forms.map(|form| form(key))) {
            for (before, after) in paddings.iter().flat_map(|before| paddings.map(|after| (*before, after))) {
                let value = format!("{before}{form}{after}");
                let Some(found) = keys_equal_to(&value) else { continue };
                for key in keys.iter().filter(|key| is_plain(key)) {
                    passed += usize::from(passes(&value, key));
                    pinned += usize::from(found.contains(key));
                    assert!(!passes(&value, key) || found.contains(key), "{value:?} leaves {key} out");
                }
            }
        }
        assert!(passed > 100 && pinned >= passed, "{passed} {pinned}");
    }

    #[test]
    fn keys_that_are_cut_are_not_plain() {
        assert!(is_plain(&"k".repeat(467)));
        assert!(!is_plain(&"k".repeat(468)));
        assert_eq!(keys_equal_to(&"k".repeat(468)), None);
    }

    #[test]
    fn arrays_are_conjunctions_of_disjunctions() {
        let pinned = |filter: &str| pinned_keys(filter, "id");
        assert_eq!(pinned(r#"["a = 1", "id = 5"]"#), Some(vec!["5".to_owned()]));
        assert_eq!(
            pinned(r#"[["id = 5", "id = 6"], "id IN [7, 8, 9]"]"#),
            Some(vec!["5".to_owned(), "6".to_owned()])
        );
        assert_eq!(pinned(r#"[["id = 5", "a = 6"]]"#), None);
        assert_eq!(pinned(r#"[["id = 5", 6], 7, null]"#), None);
        let many = |count: usize| format!("\"id IN [{}]\"", vec!["1"; count].join(","));
        assert_eq!(pinned(&many(PINNED_KEYS_MAX)).map(|keys| keys.len()), Some(PINNED_KEYS_MAX));
        assert_eq!(pinned(&many(PINNED_KEYS_MAX + 1)), None);
    }
}
