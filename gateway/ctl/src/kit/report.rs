//! The findings of a command, and how they are printed.

use std::io::{IsTerminal, Write};

use serde_json::Value;

use super::show;

/// How a command ended that did not fail itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Good,
    /// What was asked for failed, or was found wanting.
    Failed,
    /// The cluster is not well.
    Unhealthy,
}

impl Outcome {
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::Failed => 1,
            Self::Unhealthy => 4,
        }
    }
}

/// The outcome of a command.
pub(crate) struct Report {
    /// The API's own answer.
    pub(crate) answer: Value,
    /// The same in words, with colours; ends with a line break.
    pub(crate) text: String,
    pub(crate) outcome: Outcome,
}

impl Report {
    /// A report of good news.
    pub(crate) fn good(answer: Value, text: impl Into<String>) -> Self {
        Self { answer, text: text.into(), outcome: Outcome::Good }
    }

    /// The same report, bad news unless `is_good`.
    pub(crate) fn judged(self, is_good: bool, otherwise: Outcome) -> Self {
        Self { outcome: if is_good { Outcome::Good } else { otherwise }, ..self }
    }

    /// The operation that the gateway has begun, if it has begun one.
    pub(crate) fn operation(&self) -> Option<u64> {
        self.answer["operation"].as_u64()
    }
}

/// Prints the answer or its words; gives the outcome.
pub(crate) fn print(report: &Report, as_json: bool) -> anyhow::Result<Outcome> {
    let mut out = std::io::stdout().lock();
    match as_json {
        true => writeln!(out, "{:#}", report.answer)?,
        false if out.is_terminal() => out.write_all(report.text.as_bytes())?,
        false => out.write_all(show::plain(&report.text).as_bytes())?,
    }
    Ok(report.outcome)
}
