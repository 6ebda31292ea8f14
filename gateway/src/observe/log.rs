//! Structured logs: one JSON object per line on standard error.
//!
//! Invariant: keys, tokens and query text are never logged; callers pass names, counts and reasons.

use std::{
    io::Write,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU8, Ordering},
    },
};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use tokio::sync::mpsc;

use crate::clock;
use time::format_description::well_known::Rfc3339;

/// Receives a level, an event and its fields.
pub type Listener = fn(&str, &str, &[(&str, &str)]);

static LISTENER: OnceLock<Listener> = OnceLock::new();
/// The least level that goes to standard error.
static LEVEL: AtomicU8 = AtomicU8::new(Level::Info as u8);

/// How much is logged, from everything there is to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Info,
    Warn,
    Error,
    Off,
}

impl Level {
    /// The level with a name in the notation of log targets, in any case. Nothing here is finer than `info`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "trace" | "debug" | "info" => Some(Self::Info),
            "warn" => Some(Self::Warn),
            "error" => Some(Self::Error),
            "off" => Some(Self::Off),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Off => "off",
        }
    }
}

/// Sets the least level that goes to standard error.
pub fn set_level(level: Level) {
    LEVEL.store(level as u8, Ordering::Relaxed);
}

/// Sends all logs to `listener` instead of standard error, for as long as the process lives; only the first call
/// counts.
pub fn divert(listener: Listener) {
    // A second caller's listener is ignored.
    let _ = LISTENER.set(listener);
}

/// Something an operator may want to know.
pub fn info(event: &str, fields: &[(&str, &str)]) {
    write(Level::Info, event, fields);
}

/// Something that may need an operator.
pub fn warn(event: &str, fields: &[(&str, &str)]) {
    write(Level::Warn, event, fields);
}

/// Something that is wrong.
pub fn error(event: &str, fields: &[(&str, &str)]) {
    write(Level::Error, event, fields);
}

/// The client that reads the log over HTTP: one at a time.
static READER: ArcSwapOption<Reader> = ArcSwapOption::const_empty();

/// A reader of the log, which gets lines from a level on.
#[derive(Debug)]
pub struct Reader {
    pub level: Level,
    /// Whether lines are JSON, else text.
    pub is_json: bool,
    pub lines: mpsc::Sender<Bytes>,
}

/// Lets a reader follow the log; `false` when another one does.
#[must_use]
pub fn follow(reader: Reader) -> bool {
    let known = READER.load_full();
    if known.as_ref().is_some_and(|known| !known.lines.is_closed()) {
        return false;
    }
    let before = READER.compare_and_swap(&known, Some(Arc::new(reader)));
    before.as_ref().map(Arc::as_ptr) == known.as_ref().map(Arc::as_ptr)
}

/// Ends the reader's log, if there is a reader.
pub fn unfollow() {
    READER.store(None);
}

fn write(level: Level, event: &str, fields: &[(&str, &str)]) {
    if let Some(listener) = LISTENER.get() {
        return listener(level.name(), event, fields);
    }
    if let Some(reader) = READER.load().as_ref().filter(|reader| level >= reader.level) {
        let line = if reader.is_json { as_json(level, event, fields) } else { as_text(level, event, fields) };
        // A reader that is too slow misses lines.
        let _ = reader.lines.try_send((line + "\n").into());
    }
    if (level as u8) < LEVEL.load(Ordering::Relaxed) {
        return;
    }
    let text = as_json(level, event, fields);
    // A closed standard error must not take the gateway down.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

fn as_text(level: Level, event: &str, fields: &[(&str, &str)]) -> String {
    let now = clock::utc().format(&Rfc3339).unwrap_or_default();
    let mut line = format!("{now} {:>5} miroir: {event}", level.name().to_uppercase());
    for (name, value) in fields {
        line += &format!(" {name}={value:?}");
    }
    line
}

fn as_json(level: Level, event: &str, fields: &[(&str, &str)]) -> String {
    let mut line = serde_json::Map::new();
    let now = clock::utc().format(&Rfc3339).unwrap_or_default();
    line.insert("time".to_owned(), now.into());
    line.insert("level".to_owned(), level.name().into());
    line.insert("event".to_owned(), event.into());
    for (name, value) in fields {
        line.insert((*name).to_owned(), (*value).into());
    }
    serde_json::Value::Object(line).to_string()
}
