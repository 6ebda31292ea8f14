//! The errors that a client reads, with Meilisearch's codes, types, statuses and links.
//! Invariants: one code has one status and one type. The table below lists only codes that differ from the default, 400
//! `invalid_request`. The texts of engine errors are the engine's own.

use std::borrow::Cow;

use milli::heed::{Error as HeedError, MdbError};
use milli::{Error as EngineError, InternalError, UserError};
use serde_json::{Value, json};

/// An error as Meilisearch sends it, also stored in a failed task.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// Meilisearch's error code, e.g. `index_not_found`.
    pub code: Cow<'static, str>,
    /// The text that the client reads.
    pub message: String,
    /// A status other than the code's; for example 400 for a missing index named in a body.
    status: Option<u16>,
}

/// Codes that are not (400, `invalid_request`), from Meilisearch's error table.
const STATUS_AND_TYPE: &[(&str, u16, &str)] = &[
    ("api_key_already_exists", 409, "invalid_request"),
    ("api_key_not_found", 404, "invalid_request"),
    ("batch_not_found", 404, "invalid_request"),
    ("database_size_limit_reached", 500, "internal"),
    ("document_not_found", 404, "invalid_request"),
    ("index_already_exists", 409, "invalid_request"),
    ("index_creation_failed", 500, "internal"),
    ("index_not_found", 404, "invalid_request"),
    ("internal", 500, "internal"),
    ("invalid_api_key", 403, "auth"),
    ("invalid_content_type", 415, "invalid_request"),
    ("invalid_store_file", 500, "internal"),
    ("io_error", 422, "system"),
    ("missing_authorization_header", 401, "auth"),
    ("missing_content_type", 415, "invalid_request"),
    ("missing_master_key", 401, "auth"),
    ("no_space_left_on_device", 422, "system"),
    ("not_implemented", 501, "internal"),
    ("payload_too_large", 413, "invalid_request"),
    ("task_not_found", 404, "invalid_request"),
    ("too_many_open_files", 422, "system"),
    ("unsupported_media_type", 415, "invalid_request"),
];

impl ApiError {
    /// An error with this code and text.
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), status: None }
    }

    /// `index_not_found`: the answer to a read of a missing index, and the error of a failed task.
    pub fn index_not_found(uid: &str) -> Self {
        Self::new("index_not_found", format!("Index `{uid}` not found."))
    }

    /// An engine error while working on `index`. Like Meilisearch, puts the index before the text.
    pub fn engine(index: &str, error: EngineError) -> Self {
        let code = code_of(&error);
        if index.is_empty() {
            return Self::new(code, error.to_string());
        }
        Self::new(code, format!("Index `{index}`: {error}"))
    }

    /// Like `engine`, but an error about a filter has `code` and no index.
    pub fn engine_filter(index: &str, error: EngineError, code: &'static str) -> Self {
        if matches!(error, EngineError::UserError(UserError::InvalidFilter(_))) {
            return Self::new(code, error.to_string());
        }
        Self::engine(index, error)
    }

    /// The same error inside `place`, which precedes its text. Its status is never 404.
    pub(crate) fn inside(mut self, place: &str) -> Self {
        self.message = format!("Inside `{place}`: {}", self.message);
        if self.status() == 404 {
            self.status = Some(400);
        }
        self
    }

    /// The HTTP status, usually that of the error's code.
    pub fn status(&self) -> u16 {
        self.status.unwrap_or_else(|| self.status_and_type().0)
    }

    /// The JSON object Meilisearch sends.
    pub fn to_json(&self) -> Value {
        json!({
            "message": self.message,
            "code": self.code,
            "type": self.status_and_type().1,
            "link": format!("https://docs.meilisearch.com/errors#{}", self.code),
        })
    }

    fn status_and_type(&self) -> (u16, &'static str) {
        STATUS_AND_TYPE
            .iter()
            .find(|(code, _, _)| *code == self.code)
            .map_or((400, "invalid_request"), |(_, status, kind)| (*status, *kind))
    }
}

impl From<std::io::Error> for ApiError {
    fn from(error: std::io::Error) -> Self {
        Self::new(code_of_io(&error), error.to_string())
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        Self::engine("", error)
    }
}

impl From<HeedError> for ApiError {
    fn from(error: HeedError) -> Self {
        Self::engine("", EngineError::from(error))
    }
}

/// Meilisearch's code for an engine error.
fn code_of(error: &EngineError) -> &'static str {
    match error {
        EngineError::InternalError(InternalError::Store(MdbError::MapFull)) => "database_size_limit_reached",
        EngineError::InternalError(_) => "internal",
        EngineError::IoError(error) => code_of_io(error),
        EngineError::UserError(error) => code_of_user_error(error),
    }
}

fn code_of_io(error: &std::io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(5) => "io_error",
        Some(24) => "too_many_open_files",
        Some(28) => "no_space_left_on_device",
        _ => "internal",
    }
}

fn code_of_user_error(error: &UserError) -> &'static str {
    use UserError as E;
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "all remaining user errors are about embedder settings"
    )]
    match error {
        E::SerdeJson(_) | E::DocumentLimitReached | E::UnknownInternalDocumentId { .. } => "internal",
        E::InvalidStoreFile => "invalid_store_file",
        E::NoSpaceLeftOnDevice => "no_space_left_on_device",
        E::MaxDatabaseSizeReached => "database_size_limit_reached",
        E::AttributeLimitReached => "max_fields_limit_exceeded",
        E::InvalidFilter(_) | E::InvalidFilterExpression(..) | E::FilterOperatorNotAllowed { .. } => {
            "invalid_search_filter"
        }
        E::MissingDocumentId { .. } => "missing_document_id",
        E::InvalidDocumentId { .. } | E::TooManyDocumentIds { .. } => "invalid_document_id",
        E::NoPrimaryKeyCandidateFound => "index_primary_key_no_candidate_found",
        E::MultiplePrimaryKeyCandidatesFound { .. } => "index_primary_key_multiple_candidates_found",
        E::PrimaryKeyCannotBeChanged(_) => "index_primary_key_already_exists",
        E::InvalidDistinctAttribute { .. } => "invalid_search_distinct",
        E::SortRankingRuleMissing | E::InvalidSortableAttribute { .. } | E::SortError(_) => {
            "invalid_search_sort"
        }
        E::InvalidFacetsDistribution { .. } => "invalid_search_facets",
        E::InvalidSearchableAttribute { .. } => "invalid_search_attributes_to_search_on",
        E::InvalidFacetSearchFacetName { .. } => "invalid_facet_search_facet_name",
        E::CriterionError(_) => "invalid_settings_ranking_rules",
        E::InvalidGeoField { .. } => "invalid_document_geo_field",
        E::InvalidVectorDimensions { .. } | E::InvalidIndexingVectorDimensions { .. } => {
            "invalid_vector_dimensions"
        }
        E::InvalidVectorsMapType { .. } | E::InvalidVectorsEmbedderConf { .. } => "invalid_vectors_type",
        E::TooManyVectors(..) => "too_many_vectors",
        E::InvalidMinTypoWordLenSetting(..) => "invalid_settings_typo_tolerance",
        E::InvalidSearchEmbedder(_) => "invalid_search_embedder",
        E::InvalidSimilarEmbedder(_) => "invalid_similar_embedder",
        E::VectorEmbeddingError(_) | E::DocumentEmbeddingError(_) => "vector_embedding_error",
        E::DocumentEditionCannotModifyPrimaryKey
        | E::DocumentEditionDocumentMustBeObject
        | E::DocumentEditionRuntimeError(_)
        | E::DocumentEditionCompilationError(_) => "edit_documents_by_function_error",
        _ => "invalid_settings_embedders",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_decides_status_type_and_link() {
        for (code, status, kind) in [
            ("index_not_found", 404, "invalid_request"),
            ("invalid_search_filter", 400, "invalid_request"),
            ("invalid_api_key", 403, "auth"),
            ("missing_content_type", 415, "invalid_request"),
            ("internal", 500, "internal"),
        ] {
            let error = ApiError::new(code, "text");
            let body = error.to_json();
            assert_eq!((error.status(), body["type"].as_str()), (status, Some(kind)), "{code}");
            assert_eq!(body["link"], format!("https://docs.meilisearch.com/errors#{code}"));
        }
    }
}
