//! The body of a delete-batch: its ids, and one body per node.
//!
//! Invariants: a string stands for itself and any other value for its JSON text, as in Meilisearch
//! (`delete_documents_batch`). An id that no document can have is passed on and deletes nothing.

use crate::api::documents::payload::{document_id::compact, error::IngestError, format::PayloadFormat};
use router::{ShardSet, shard_of};
use serde_json::value::RawValue;

/// The ids of a delete-batch in the client's order; equal ids count each time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitIds {
    ids: Vec<String>,
}

/// Reads the body of `POST /indexes/{uid}/documents/delete-batch`: a JSON array of ids.
///
/// # Errors
/// `missing_payload`, `malformed_payload`, or `bad_request` for JSON that is not an array; all are synchronous.
pub fn split_ids(body: &[u8]) -> Result<SplitIds, IngestError> {
    if body.is_empty() {
        return Err(IngestError::MissingPayload { format: PayloadFormat::Json });
    }
    let values: Vec<&RawValue> = serde_json::from_slice(body).map_err(|error| refused(&error))?;
    let ids = values.iter().map(|value| id(value.get())).collect::<Result<_, _>>();
    Ok(SplitIds { ids: ids.map_err(|error| refused(&error))? })
}

impl SplitIds {
    /// The ids in their string forms.
    #[must_use]
    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// The shard of each id in an index of `shards` shards.
    ///
    /// # Panics
    /// When `shards` is 0.
    #[must_use]
    pub fn shards(&self, shards: u32) -> Vec<u32> {
        self.ids.iter().map(|id| shard_of(id, shards)).collect()
    }

    /// The JSON array of the ids whose shard is `wanted`; `None` when there are none. `shards` is the result of
    /// [`SplitIds::shards`].
    #[must_use]
    pub fn body(&self, shards: &[u32], wanted: &ShardSet) -> Option<Vec<u8>> {
        debug_assert_eq!(shards.len(), self.ids.len());
        let picked = self.ids.iter().zip(shards).filter(|(_, shard)| wanted.contains(**shard));
        let ids: Vec<&String> = picked.map(|(id, _)| id).collect();
        (!ids.is_empty()).then(|| serde_json::to_vec(&ids).expect("strings can be written to memory"))
    }
}

fn id(value: &str) -> Result<String, serde_json::Error> {
    if value.starts_with('"') { serde_json::from_str(value) } else { Ok(compact(value)) }
}

fn refused(error: &serde_json::Error) -> IngestError {
    if error.is_data() {
        IngestError::BadRequest { message: format!("Json deserialize error: {error}") }
    } else {
        IngestError::MalformedPayload {
            message: format!("The json payload provided is malformed. `{error}`."),
        }
    }
}
