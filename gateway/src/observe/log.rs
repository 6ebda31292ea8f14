//! Structured logs: one JSON object a line on standard error.
//!
//! Invariant: keys, tokens and query text never get here; callers pass names, counts and reasons.

use std::io::Write;

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Something an operator may want to know.
pub fn info(event: &str, fields: &[(&str, &str)]) {
    write("info", event, fields);
}

/// Something that may need an operator.
pub fn warn(event: &str, fields: &[(&str, &str)]) {
    write("warn", event, fields);
}

/// Something that is wrong.
pub fn error(event: &str, fields: &[(&str, &str)]) {
    write("error", event, fields);
}

fn write(level: &str, event: &str, fields: &[(&str, &str)]) {
    let mut line = serde_json::Map::new();
    let now = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
    line.insert("time".to_owned(), now.into());
    line.insert("level".to_owned(), level.into());
    line.insert("event".to_owned(), event.into());
    for (name, value) in fields {
        line.insert((*name).to_owned(), (*value).into());
    }
    let text = serde_json::Value::Object(line).to_string();
    // A closed standard error must not take the gateway down.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
