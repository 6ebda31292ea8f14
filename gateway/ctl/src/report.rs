//! The findings of a command, and how they are printed.

use std::{io::Write, process::ExitCode};

use serde_json::Value;

/// The outcome of a command.
pub(crate) struct Report {
    /// The API's own answer.
    pub(crate) answer: Value,
    /// The same in words; ends with a line break.
    pub(crate) text: String,
    /// Whether there is neither a difference nor a failure.
    pub(crate) is_good: bool,
}

impl Report {
    /// Prints the answer or its words; gives the exit code.
    pub(crate) fn print(&self, as_json: bool) -> anyhow::Result<ExitCode> {
        let mut out = std::io::stdout().lock();
        match as_json {
            true => writeln!(out, "{:#}", self.answer)?,
            false => out.write_all(self.text.as_bytes())?,
        }
        Ok(if self.is_good { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }
}

/// A text in an answer; `-` for any other value.
pub(crate) fn word(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}
