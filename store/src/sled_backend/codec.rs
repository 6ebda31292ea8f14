//! How records become bytes: one format byte, then JSON. JSON because the records carry free-form JSON (details,
//! settings), because new fields need no new format, and because a person can read a damaged store. sled compresses its
//! leaves, so the repeated names cost little disk.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::StoreError;
use crate::limits::RECORD_BYTES_MAX;

const FORMAT_JSON: u8 = 1;

/// `Full` when the record is larger than `RECORD_BYTES_MAX`.
pub(super) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, StoreError> {
    let mut bytes = vec![FORMAT_JSON];
    serde_json::to_writer(&mut bytes, value).map_err(|error| StoreError::Io(error.to_string()))?;
    if bytes.len() > RECORD_BYTES_MAX {
        return Err(StoreError::Full);
    }
    Ok(bytes)
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    match bytes.split_first() {
        Some((&FORMAT_JSON, json)) => serde_json::from_slice(json)
            .map_err(|error| StoreError::Io(format!("a stored record cannot be read: {error}"))),
        Some((format, _)) => Err(StoreError::Io(format!("a stored record has the unknown format {format}"))),
        None => Err(StoreError::Io("a stored record is empty".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_and_foreign_bytes_are_refused() {
        let bytes = encode(&("uid", 7_u32)).unwrap();
        assert_eq!(decode(&bytes), Ok(("uid".to_owned(), 7_u32)));
        for bytes in [&b""[..], b"\x02[]", b"\x01", b"\x01[1,"] {
            assert!(matches!(decode::<Vec<u32>>(bytes), Err(StoreError::Io(_))), "{bytes:?}");
        }
        assert_eq!(encode(&"x".repeat(RECORD_BYTES_MAX)), Err(StoreError::Full));
    }
}
