//! Structured logs: one JSON object per line on standard error.
//!
//! Invariant: keys, tokens and query text are never logged; callers pass names, counts and reasons.

use std::{io::Write, sync::OnceLock};

use crate::clock;
use time::format_description::well_known::Rfc3339;

/// Receives a level, an event and its fields.
pub type Listener = fn(&str, &str, &[(&str, &str)]);

static LISTENER: OnceLock<Listener> = OnceLock::new();

/// Sends all logs to `listener` instead of standard error, for as long as the process lives; only the first call
/// counts.
pub fn divert(listener: Listener) {
    // A second caller's listener is ignored.
    let _ = LISTENER.set(listener);
}

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
    if let Some(listener) = LISTENER.get() {
        return listener(level, event, fields);
    }
    let mut line = serde_json::Map::new();
    let now = clock::utc().format(&Rfc3339).unwrap_or_default();
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
