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

/// The body by which a node tries whether a function runs on all its documents: the same function, after which each
/// document is restored. Only a document that a node refuses anyway keeps what the function made of it, without
/// reserved fields, so that the node's own words come out. `None` for a body without a function.
#[must_use]
pub fn rehearsal(body: &[u8], primary_key: Option<&str>) -> Option<Vec<u8>> {
    let mut body_value = serde_json::from_slice::<Value>(body).ok()?;
    let wrapped = body_value.get("function")?.as_str()?;
    let function = &wrapped[wrapped.find('\n')? + 1..wrapped.rfind('\n')?];
    let mut script = "let before_miroir_ = doc; ".to_owned();
    for field in [SHARD_FIELD, UPDATED_AT_FIELD, EXPIRES_AT_FIELD] {
        script.push_str(&format!("doc.remove(\"{field}\"); "));
    }
    script.push('\n');
    script.push_str(function);
    // A changed primary key is refused; a nested key is not checked here.
    let same_key = match primary_key.filter(|key| !key.contains('.')).map(|key| json!(key)) {
        Some(key) => format!(" && doc[{key}].to_string() == before_miroir_[{key}].to_string()"),
        None => String::new(),
    };
    script.push_str(&format!(
        "\n; if type_of(doc) == \"()\" || (type_of(doc) == \"map\"{same_key}) {{ doc = before_miroir_; }}"
    ));
    body_value["function"] = json!(script);
    Some(body_value.to_string().into_bytes())
}

/// Renumbers the lines in a node's message about a function to those of the client's text, which has one line less.
#[must_use]
pub fn with_own_lines(message: &str) -> String {
    const MARK: &str = "line ";
    let mut own = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(at) = rest.find(MARK) {
        let (before, after) = rest.split_at(at + MARK.len());
        own.push_str(before);
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        let is_place = after[digits..].starts_with(", position ");
        match after[..digits].parse::<u32>() {
            Ok(line) if is_place && line > 1 => own.push_str(&(line - 1).to_string()),
            Ok(_) | Err(_) => own.push_str(&after[..digits]),
        }
        rest = &after[digits..];
    }
    own.push_str(rest);
    own
}

/// One line before the function and one behind it, so that columns stay what they are.
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
    fn a_rehearsal_leaves_documents_as_they_were() {
        let body =
            for_nodes(json!({"function": "doc.a = 1;\ndoc.b = 2", "filter": "x = 1"}).to_string().as_bytes());
        let tried: Value = serde_json::from_slice(&rehearsal(&body.unwrap(), Some("id")).unwrap()).unwrap();
        let script = tried["function"].as_str().unwrap();
        assert_eq!(script.lines().skip(1).take(2).collect::<Vec<_>>(), ["doc.a = 1;", "doc.b = 2"]);
        assert!(script.lines().last().unwrap().ends_with("{ doc = before_miroir_; }"), "{script}");
        assert!(script.contains(r#"doc["id"].to_string()"#));
        assert_eq!(tried["filter"], "x = 1");
        for none in ["{", "[]", r#"{"function":7}"#] {
            assert_eq!(rehearsal(none.as_bytes(), None), None);
        }
    }

    #[test]
    fn lines_are_those_of_the_clients_text() {
        let check = |message, expected| assert_eq!(with_own_lines(message), expected);
        check("Runtime error: no (line 2, position 3)", "Runtime error: no (line 1, position 3)");
        check(
            "in call (line 12, position 3) at line 4, position 1",
            "in call (line 11, position 3) at line 3, position 1",
        );
        check("line 7 of a poem", "line 7 of a poem");
        check("line 1, position 9", "line 1, position 9");
        check("no place", "no place");
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
