//! The errors of a payload, with Meilisearch's codes and messages.
//!
//! Invariants: every error but `IngestError::Task` is answered at once with status 400. `Task` is answered with 202
//! and becomes a failed task that indexed nothing.

use crate::api::documents::payload::format::PayloadFormat;

/// Why a payload is not ingested.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    #[error("A {format} payload is missing.")]
    MissingPayload { format: PayloadFormat },
    /// The message is complete.
    #[error("{message}")]
    MalformedPayload { message: String },
    /// The body is JSON, but not what the route accepts; the message is complete.
    #[error("{message}")]
    BadRequest { message: String },
    #[error(
        "The field `{field}` is reserved: documents cannot contain top-level fields that start with `_miroir_`."
    )]
    ReservedField { field: String },
    #[error(
        "The field `_miroir_expires_at` must be an integer of milliseconds since the epoch and appear once, but is `{value}`."
    )]
    InvalidExpiry { value: String },
    /// The payload is readable, but a document's id or the primary key cannot be found. `received` counts all
    /// documents of the payload.
    #[error("{problem}")]
    Task { problem: DocumentProblem, received: usize },
}

/// Why a task fails; the first problem in the order of the documents is reported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentProblem {
    #[error(
        "The primary key inference failed as the engine did not find any field ending with `id` in its name. Please \
         specify the primary key manually using the `primaryKey` query parameter."
    )]
    NoPrimaryKeyCandidate,
    /// Candidates are sorted; there are at least two.
    #[error(
        "The primary key inference failed as the engine found {} fields ending with `id` in their names: '{}' and \
         '{}'. Please specify the primary key manually using the `primaryKey` query parameter.",
        .candidates.len(), .candidates[0], .candidates[1]
    )]
    MultiplePrimaryKeyCandidates { candidates: Vec<String> },
    /// The document is compact JSON.
    #[error("Document doesn't have a `{primary_key}` attribute: `{document}`.")]
    MissingDocumentId { primary_key: String, document: String },
    /// The document is compact JSON.
    #[error("Document have too many matching `{primary_key}` attribute: `{document}`.")]
    TooManyDocumentIds { primary_key: String, document: String },
    /// The id is compact JSON.
    #[error(
        "Document identifier `{document_id}` is invalid. A document identifier can be of type integer or string, only \
         composed of alphanumeric characters (a-z A-Z 0-9), hyphens (-) and underscores (_), and can not be more than \
         511 bytes."
    )]
    InvalidDocumentId { document_id: String },
}

impl IngestError {
    /// The error code that clients see.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            IngestError::MissingPayload { .. } => "missing_payload",
            IngestError::MalformedPayload { .. } => "malformed_payload",
            IngestError::BadRequest { .. } => "bad_request",
            IngestError::ReservedField { .. } | IngestError::InvalidExpiry { .. } => "miroir_reserved_field",
            IngestError::Task { problem, .. } => problem.code(),
        }
    }

    /// Whether the request itself is refused (status 400), instead of a task that fails later.
    #[must_use]
    pub fn is_synchronous(&self) -> bool {
        !matches!(self, IngestError::Task { .. })
    }
}

impl DocumentProblem {
    /// The error code that the failed task carries.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            DocumentProblem::NoPrimaryKeyCandidate => "index_primary_key_no_candidate_found",
            DocumentProblem::MultiplePrimaryKeyCandidates { .. } => {
                "index_primary_key_multiple_candidates_found"
            }
            DocumentProblem::MissingDocumentId { .. } => "missing_document_id",
            DocumentProblem::TooManyDocumentIds { .. } | DocumentProblem::InvalidDocumentId { .. } => {
                "invalid_document_id"
            }
        }
    }
}
