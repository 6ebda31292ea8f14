//! What can go wrong, and the exit code that tells scripts.

use thiserror::Error;

/// A failure that has an exit code of its own; every other one is 1.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// Words that cannot be meant, or that have to be completed.
    #[error("{0}")]
    Usage(String),
    /// A gateway that does not answer.
    #[error("no answer from the gateway at {origin}: {reason}; is it running, and does --url name it?")]
    Unreachable { origin: String, reason: String },
    /// A request that the gateway refused.
    #[error("{request}: status {status}: {message}{hint}")]
    Refused {
        request: String,
        status: u16,
        /// The error's code as Meilisearch names them; empty if there was none.
        code: String,
        message: String,
        /// What to do about it; empty, or begins with a semicolon.
        hint: String,
    },
}

impl Failure {
    pub(crate) fn usage(message: impl Into<String>) -> anyhow::Error {
        Self::Usage(message.into()).into()
    }
}

/// The exit code of an error.
pub(crate) fn exit_code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<Failure>() {
        Some(Failure::Usage(_)) => 2,
        Some(Failure::Unreachable { .. }) => 3,
        Some(Failure::Refused { .. }) | None => 1,
    }
}
