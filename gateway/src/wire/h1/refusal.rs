//! Why a request was not read, in the words for clients, operators and metrics.
//!
//! Invariant: a refusal closes the connection, since what follows on it can be neither trusted nor waited for.

use http::StatusCode;

use crate::wire::h1::{chunked::ChunkError, scan::HeadError};

/// Why a request was not read; the connection is closed after the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The peer went away, or was silent between two requests: nobody reads an answer.
    Gone,
    /// The request is malformed or framed ambiguously.
    Malformed(&'static str),
    /// A transfer coding or method this server does not have.
    NotImplemented(&'static str),
    /// A transfer coding or method that this server does not have.
    Version,
    /// An expectation other than `100-continue`.
    Expectation,
    /// The request line exceeds this many bytes.
    RequestLineTooLong(usize),
    /// The head exceeds this many bytes.
    HeadTooLarge(usize),
    /// There are more header fields than this.
    TooManyFields(usize),
    /// The body exceeds this many bytes.
    BodyTooLarge(usize),
    /// The head did not arrive in time.
    HeadTimedOut,
    /// No part of the body came for too long, or the whole took too long.
    BodyTimedOut,
}

impl Refusal {
    /// The status of the response; `None` where nobody reads one.
    #[must_use]
    pub fn status(self) -> Option<StatusCode> {
        match self {
            Self::Gone => None,
            Self::Malformed(_) => Some(StatusCode::BAD_REQUEST),
            Self::NotImplemented(_) => Some(StatusCode::NOT_IMPLEMENTED),
            Self::Version => Some(StatusCode::HTTP_VERSION_NOT_SUPPORTED),
            Self::Expectation => Some(StatusCode::EXPECTATION_FAILED),
            Self::RequestLineTooLong(_) => Some(StatusCode::URI_TOO_LONG),
            Self::HeadTooLarge(_) | Self::TooManyFields(_) => {
                Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
            }
            Self::BodyTooLarge(_) => Some(StatusCode::PAYLOAD_TOO_LARGE),
            Self::HeadTimedOut | Self::BodyTimedOut => Some(StatusCode::REQUEST_TIMEOUT),
        }
    }

    /// The name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Malformed(_) => "malformed",
            Self::NotImplemented(_) => "not_implemented",
            Self::Version => "version",
            Self::Expectation => "expectation",
            Self::RequestLineTooLong(_) => "request_line_too_long",
            Self::HeadTooLarge(_) => "head_too_large",
            Self::TooManyFields(_) => "too_many_headers",
            Self::BodyTooLarge(_) => "body_too_large",
            Self::HeadTimedOut => "head_timeout",
            Self::BodyTimedOut => "body_timeout",
        }
    }

    /// The message that the client reads.
    #[must_use]
    pub fn message(self) -> String {
        match self {
            Self::Gone => String::new(),
            Self::Malformed(reason) => format!("Malformed HTTP request: {reason}."),
            Self::NotImplemented(what) => format!("This server does not have {what}."),
            Self::Version => "This server speaks HTTP/1.1 and HTTP/1.0.".to_owned(),
            Self::Expectation => "The only expectation this server knows is `100-continue`.".to_owned(),
            Self::RequestLineTooLong(bytes) => {
                format!("The request line is over its limit of {bytes} bytes.")
            }
            Self::HeadTooLarge(bytes) => {
                format!("The request's head is over its limit of {bytes} bytes.")
            }
            Self::TooManyFields(count) => {
                format!("The request has more headers than the limit of {count}.")
            }
            Self::BodyTooLarge(bytes) => format!(
                "The provided payload reached the size limit. The maximum accepted payload size is {bytes} bytes."
            ),
            Self::HeadTimedOut => "The request's head did not arrive in time.".to_owned(),
            Self::BodyTimedOut => "The request's body did not arrive in time.".to_owned(),
        }
    }

    pub(crate) fn of_head(error: HeadError, limits: &crate::wire::h1::HeadLimits) -> Self {
        match error {
            HeadError::StartLineTooLong => Self::RequestLineTooLong(limits.start_line_bytes_max),
            HeadError::TooLarge => Self::HeadTooLarge(limits.head_bytes_max),
            HeadError::TooManyFields => Self::TooManyFields(limits.fields_max),
            HeadError::Malformed(reason) => Self::Malformed(reason),
        }
    }

    pub(crate) fn of_chunks(error: ChunkError, body_bytes_max: usize) -> Self {
        match error {
            ChunkError::TooLarge => Self::BodyTooLarge(body_bytes_max),
            ChunkError::Malformed(reason) => Self::Malformed(reason),
        }
    }
}
