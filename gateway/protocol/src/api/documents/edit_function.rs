//! Functions that edit documents on nodes: they neither see nor change the reserved fields.
//!
//! Invariants: a function runs between lines that take the reserved fields out and put them back unchanged. What
//! would end the function before the last line, or hide that line, is refused. Functions are written in Rhai.

use router::reserved::{EXPIRES_AT_FIELD, PREFIX, SHARD_FIELD, UPDATED_AT_FIELD};
use serde_json::{Value, json};

use crate::api::error::{ApiError, Code};

/// Words that end a function before the fields are put back.
const ENDS: &[&str] = &["return", "exit"];

/// The body of `POST …/documents/edit` for nodes; what a node refuses is sent unchanged.
///
/// # Errors
/// 400 where the function, or its context, could touch reserved fields.
pub fn for_nodes(body: &[u8]) -> Result<Vec<u8>, ApiError> {
    let Ok(mut body_value) = serde_json::from_slice::<Value>(body) else { return Ok(body.to_vec()) };
    let Some(function) = body_value.get("function").and_then(Value::as_str) else { return Ok(body.to_vec()) };
    let refused = |code, message: String| Err(ApiError::new(code, message));
    if function.contains(PREFIX) {
        let message = "Fields that start with `_miroir_` are reserved: a function cannot name them.";
        return refused(Code::MiroirReservedField, message.to_owned());
    }
    match read(function) {
        Ok(words) => {
            if let Some(word) = ENDS.iter().find(|word| words.contains(*word)) {
                let message = format!(
                    "This gateway does not serve functions with `{word}`: it has to have the last line."
                );
                return refused(Code::FeatureNotEnabled, message);
            }
        }
        Err(unterminated) => {
            let message =
                format!("This gateway does not serve functions with {unterminated} that does not end.");
            return refused(Code::FeatureNotEnabled, message);
        }
    }
    body_value["function"] = json!(wrapped(function));
    Ok(body_value.to_string().into_bytes())
}

/// Puts one line before the function and one after it, so that its columns stay the same.
fn wrapped(function: &str) -> String {
    let fields = [SHARD_FIELD, UPDATED_AT_FIELD, EXPIRES_AT_FIELD];
    let mut script = String::new();
    for field in fields {
        script.push_str(&format!("let kept{field} = doc.remove(\"{field}\"); "));
    }
    script.push('\n');
    script.push_str(function);
    // A deleted document is `()` and has no fields.
    script.push_str("\n; if type_of(doc) == \"map\" { ");
    for field in fields {
        script.push_str(&format!(
            "if type_of(kept{field}) == \"()\" {{ doc.remove(\"{field}\"); }} else {{ doc[\"{field}\"] = kept{field}; }} "
        ));
    }
    script.push('}');
    script
}

/// The words of a script outside its texts and comments.
///
/// # Errors
/// The name of a text or comment that does not end.
fn read(script: &str) -> Result<Vec<&str>, &'static str> {
    let bytes = script.as_bytes();
    let mut words = Vec::new();
    // Open braces of the code inside each interpolated text.
    let mut inside = Vec::<usize>::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        at += match rest {
            [b'/', b'/', ..] => rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()),
            [b'/', b'*', ..] => comment(rest).ok_or("a comment")?,
            [quote @ (b'"' | b'\''), ..] => text(rest, *quote).ok_or("a text")?,
            [b'#', ..] if raw_text(rest).is_some() => raw_text(rest).flatten().ok_or("a text")?,
            [b'`', ..] => interpolated(&rest[1..], &mut inside).ok_or("a text")? + 1,
            [b'{', ..] => {
                inside.iter_mut().last().into_iter().for_each(|depth| *depth += 1);
                1
            }
            [b'}', ..] if inside.last() == Some(&0) => {
                inside.pop();
                interpolated(&rest[1..], &mut inside).ok_or("a text")? + 1
            }
            [b'}', ..] => {
                inside.iter_mut().last().into_iter().for_each(|depth| *depth -= 1);
                1
            }
            [first, ..] if first.is_ascii_alphabetic() || *first == b'_' => {
                let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
                let length = rest.iter().position(|byte| !is_word(byte)).unwrap_or(rest.len());
                words.push(&script[at..at + length]);
                length
            }
            _ => 1,
        };
    }
    if inside.is_empty() { Ok(words) } else { Err("a text") }
}

/// The length of a comment, which may contain others.
fn comment(bytes: &[u8]) -> Option<usize> {
    let (mut depth, mut at) = (0_usize, 0);
    while at < bytes.len() {
        match &bytes[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => {
                (depth, at) = (depth - 1, at + 2);
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => at += 1,
        }
    }
    None
}

fn text(bytes: &[u8], quote: u8) -> Option<usize> {
    let mut at = 1;
    loop {
        match bytes.get(at)? {
            b'\\' => at += 2,
            byte if *byte == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
}

/// The length of a text such as `#"…"#`; `None` for another token, and inside that `None` for a text without an end.
fn raw_text(bytes: &[u8]) -> Option<Option<usize>> {
    let marks = bytes.iter().position(|byte| *byte != b'#')?;
    if bytes[marks] != b'"' {
        return None;
    }
    let mut end = vec![b'"'];
    end.resize(marks + 1, b'#');
    let rest = &bytes[marks + 1..];
    Some(
        rest.windows(end.len())
            .position(|window| window == end)
            .map(|position| marks + 1 + position + end.len()),
    )
}

/// The length up to the end of a text, or up to code in it, which is recorded in `inside`.
fn interpolated(bytes: &[u8], inside: &mut Vec<usize>) -> Option<usize> {
    let mut at = 0;
    loop {
        match &bytes[at..] {
            [] => return None,
            [b'$', b'{', ..] => {
                inside.push(0);
                return Some(at + 2);
            }
            [b'`', b'`', ..] => at += 2,
            [b'`', ..] => return Some(at + 1),
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_run_between_two_lines() {
        let body = json!({"function": "doc.a = 1", "context": {"x": 1}}).to_string();
        let sent: Value = serde_json::from_slice(&for_nodes(body.as_bytes()).unwrap()).unwrap();
        let script = sent["function"].as_str().unwrap();
        assert_eq!(script.lines().nth(1), Some("doc.a = 1"));
        assert_eq!((script.lines().count(), &sent["context"]), (3, &json!({"x": 1})));
        for untouched in ["{", "[]", r#"{"function":7}"#, r#"{"filter":"a = 1"}"#] {
            assert_eq!(for_nodes(untouched.as_bytes()).unwrap(), untouched.as_bytes());
        }
    }

    #[test]
    fn what_could_touch_reserved_fields_is_refused() {
        let check = |function: &str, expected: Option<Code>| {
            let body = json!({"function": function}).to_string();
            assert_eq!(
                for_nodes(body.as_bytes()).err().and_then(|error| error.code()),
                expected,
                "{function}"
            );
        };
        let refused = Some(Code::FeatureNotEnabled);
        check("doc._miroir_shard = 1", Some(Code::MiroirReservedField));
        check("if doc.a == 1 { return; }", refused);
        check("exit()", refused);
        check("doc = #{}; /*", refused);
        check("doc = #{}; /* /* */", refused);
        check("doc.a = \"x", refused);
        check("doc.a = `x ${`", refused);
        check("doc.a = `x ${ return } y`", refused);
        check("doc.a = `x ${ #{a: `${return}`} } y`", refused);
        check("doc.a = #\"x", refused);
        check("doc.a = #\"/* return\"#", None);
        check("doc.returned = `return ${doc.b} \\`; // return", None);
        check("doc.a = 'x'; doc.b = \"re\\\"turn\"; /* return */", None);
        check("doc = #{id: doc.id, a: {1}}", None);
        check("", None);
    }
}
