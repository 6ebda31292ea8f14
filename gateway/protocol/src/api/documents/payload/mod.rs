//! Document payloads: from a client's payload to one body per node.
//!
//! Invariants: the whole payload is checked before anything can be sent. A document's bytes are copied as the client
//! wrote them and never serialised anew (CSV rows are converted to JSON first). No IO, no clock. Accepted payloads,
//! and the errors' codes and messages, follow Meilisearch v1.50: `document_formats.rs` of meilisearch-types,
//! `documents/primary_key.rs` and `update/new/indexer` of milli.
//!
//! serde_json reads the JSON: sonic-rs' lazy iterator recurses without limit, so that a body of brackets would end
//! the process, and it accepts malformed `\u` escapes, which nodes refuse.

pub(crate) mod csv;
pub(crate) mod delete_batch;
pub(crate) mod document_id;
pub mod engine_fields;
pub(crate) mod error;
pub(crate) mod format;
pub(crate) mod json_scan;
pub(crate) mod malformed;
pub(crate) mod parsed;
#[cfg(test)]
mod tests;

pub use crate::api::documents::payload::delete_batch::{SplitIds, split_ids};
pub use crate::api::documents::payload::error::{DocumentProblem, IngestError};
pub use crate::api::documents::payload::format::PayloadFormat;
pub use crate::api::documents::payload::parsed::{Document, ParseOptions, ParsedPayload, StampedBody, parse};
