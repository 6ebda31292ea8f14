//! The fields that Miroir adds to stored documents, and the encoding of their values.
//!
//! Values are strings made only of `,` `.` `:` `;`. Meilisearch treats these four as separators, so the values make no
//! tokens and match no query, yet filters can compare them. The four digits are in byte order and every value has a
//! fixed width, so comparing two encoded values as strings compares the numbers that they encode.

/// The prefix of every reserved field. Clients must not write such fields at the top level of a document.
pub const PREFIX: &str = "_miroir_";
/// The document's shard, as written by [`shard_marker`]. Present on every stored document.
pub const SHARD_FIELD: &str = "_miroir_shard";
/// The hybrid logical clock of the last write, as written by [`encode_timestamp`]. Present while anti-entropy is on.
pub const UPDATED_AT_FIELD: &str = "_miroir_updated_at";
/// When the document expires, in milliseconds since 1970, as written by [`encode_timestamp`]. Present while TTL is on.
pub const EXPIRES_AT_FIELD: &str = "_miroir_expires_at";

/// The reserved fields that nodes filter on.
pub const FILTERED: [&str; 2] = [SHARD_FIELD, EXPIRES_AT_FIELD];

/// Bytes of a shard marker: eight base 4 digits count to 65 536, which is [`SHARDS_MAX`](crate::SHARDS_MAX).
pub const SHARD_MARKER_LENGTH: usize = 8;
/// Bytes of an encoded timestamp: 32 base 4 digits encode every `u64`.
pub const TIMESTAMP_LENGTH: usize = 32;

const DIGITS: [u8; 4] = *b",.:;";
const _: () = assert!(DIGITS[0] < DIGITS[1] && DIGITS[1] < DIGITS[2] && DIGITS[2] < DIGITS[3]);
const _: () = assert!(crate::SHARDS_MAX as u64 == 1 << (2 * SHARD_MARKER_LENGTH));

/// Whether a top-level field name belongs to Miroir.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// Encodes a shard number. Numbers of [`SHARDS_MAX`](crate::SHARDS_MAX) and above are not shards and wrap around.
#[must_use]
pub fn shard_marker(shard: u32) -> [u8; SHARD_MARKER_LENGTH] {
    encode(u64::from(shard))
}

/// Decodes a shard number; `None` for anything that [`shard_marker`] does not write.
#[must_use]
pub fn parse_shard_marker(marker: &[u8]) -> Option<u32> {
    let marker: &[u8; SHARD_MARKER_LENGTH] = marker.try_into().ok()?;
    u32::try_from(decode(marker)?).ok()
}

/// Encodes a number so that the order of the strings is the order of the numbers.
#[must_use]
pub fn encode_timestamp(timestamp: u64) -> [u8; TIMESTAMP_LENGTH] {
    encode(timestamp)
}

/// Decodes a number; `None` for anything that [`encode_timestamp`] does not write.
#[must_use]
pub fn parse_timestamp(encoded: &[u8]) -> Option<u64> {
    let encoded: &[u8; TIMESTAMP_LENGTH] = encoded.try_into().ok()?;
    decode(encoded)
}

fn encode<const WIDTH: usize>(mut value: u64) -> [u8; WIDTH] {
    let mut encoded = [DIGITS[0]; WIDTH];
    for digit in encoded.iter_mut().rev() {
        *digit = DIGITS[(value & 3) as usize];
        value >>= 2;
    }
    encoded
}

fn decode<const WIDTH: usize>(encoded: &[u8; WIDTH]) -> Option<u64> {
    encoded.iter().try_fold(0_u64, |value, byte| {
        let digit = DIGITS.iter().position(|digit| digit == byte)?;
        Some(value << 2 | digit as u64)
    })
}
