//! The spelling rules of index uids and document ids.
//! Source: Meilisearch's index_uid.rs and its document id check; both allow `[A-Za-z0-9_-]` only.

use crate::errors::ApiError;

/// The most bytes of an index uid.
const INDEX_UID_BYTES_MAX: usize = 400;
/// The most bytes of a document id.
const DOCUMENT_ID_BYTES_MAX: usize = 511;

/// The uid itself if it is well formed, else `invalid_index_uid` with Meilisearch's text.
pub(crate) fn index_uid(uid: &str) -> Result<String, ApiError> {
    if uid.is_empty() || uid.len() > INDEX_UID_BYTES_MAX || !uid.bytes().all(is_word) {
        return Err(ApiError::new("invalid_index_uid", index_uid_message(uid)));
    }
    Ok(uid.to_owned())
}

/// Meilisearch's text for a malformed index uid. It says 512 although the server checks 400.
pub(crate) fn index_uid_message(uid: &str) -> String {
    format!(
        "`{uid}` is not a valid index uid. Index uid can be an integer or a string containing only \
         alphanumeric characters, hyphens (-) and underscores (_), and can not be more than 512 bytes."
    )
}

/// Whether `id` may be a document id.
pub(crate) fn is_document_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= DOCUMENT_ID_BYTES_MAX && id.bytes().all(is_word)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}
