//! Expired documents: the filter that hides them from every read, to the millisecond.
//!
//! Invariants: an index without a policy is asked nothing more. The gateway's clock at the planning of the read
//! decides. A document without an expiry never expires.

use router::reserved::{EXPIRES_AT_FIELD, encode_timestamp, parse_timestamp};

use crate::{
    clock,
    state::{core::Core, snapshot::Index},
};

/// The present time in milliseconds since the epoch.
pub(crate) fn now_ms() -> u64 {
    u64::try_from(clock::utc().unix_timestamp_nanos() / 1_000_000).unwrap_or(0)
}

/// Whether documents of an index expire.
pub(crate) fn applies(core: &Core, index: &Index) -> bool {
    core.shared.config.ttl && index.record.ttl.is_some_and(|policy| policy.enabled)
}

/// The filter for documents that expire before a moment, in milliseconds since the epoch.
pub(crate) fn ended_before(moment: u64) -> String {
    let encoded = encode_timestamp(moment);
    format!("{EXPIRES_AT_FIELD} < \"{}\"", String::from_utf8_lossy(&encoded))
}

/// The filter for documents that have not expired now.
pub(crate) fn not_ended() -> String {
    format!("NOT {}", ended_before(now_ms() + 1))
}

/// That filter, if documents of the index expire.
pub(crate) fn filter_of(core: &Core, index: &Index) -> Option<String> {
    applies(core, index).then(not_ended)
}

/// Whether a stored document (JSON) has expired.
pub(crate) fn has_ended(document: &[u8]) -> bool {
    let value = sonic_rs::get(document, [EXPIRES_AT_FIELD]).ok();
    let encoded = value.and_then(|value| sonic_rs::from_str::<String>(value.as_raw_str()).ok());
    encoded.and_then(|encoded| parse_timestamp(encoded.as_bytes())).is_some_and(|end| end <= now_ms())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_ends_at_its_millisecond() {
        let document = |end: u64| {
            let encoded = encode_timestamp(end);
            format!("{{\"_miroir_expires_at\":\"{}\",\"id\":1}}", String::from_utf8_lossy(&encoded))
        };
        let now = now_ms();
        assert!(has_ended(document(now).as_bytes()) && has_ended(document(0).as_bytes()));
        assert!(!has_ended(document(now + 60_000).as_bytes()));
        assert!(!has_ended(b"{\"id\":1}") && !has_ended(b"{\"_miroir_expires_at\":5}") && !has_ended(b"x"));
        assert!(ended_before(5) < ended_before(6) && ended_before(6) < ended_before(64));
        assert!(not_ended().starts_with("NOT _miroir_expires_at < \",,"));
    }
}
