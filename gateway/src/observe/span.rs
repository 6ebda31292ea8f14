//! One span in OTLP's JSON form, and what it is made of.
//!
//! Invariant: pure but for the wall clock, at which a span ends, and for random ids.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::clock;

/// The id of a trace.
pub(super) type TraceId = [u8; 16];
/// The id of a span.
pub(super) type SpanId = [u8; 8];

/// Kinds of spans, as OTLP numbers them.
pub(super) const INTERNAL: u8 = 1;
pub(super) const SERVER: u8 = 2;
pub(super) const CLIENT: u8 = 3;

/// What a span is made of.
pub(super) struct Span {
    pub(super) id: SpanId,
    pub(super) parent: Option<SpanId>,
    pub(super) name: String,
    pub(super) kind: u8,
    pub(super) attributes: Vec<Value>,
    /// Set when it failed, with the reason where one is known.
    pub(super) failed: Option<String>,
}

impl Span {
    /// The span of a trace, which ends now.
    pub(super) fn ended(self, trace: &TraceId, began: SystemTime) -> Value {
        let mut value = json!({
            "traceId": hex(trace),
            "spanId": hex(&self.id),
            "name": self.name,
            "kind": self.kind,
            "startTimeUnixNano": nanoseconds(began),
            "endTimeUnixNano": nanoseconds(clock::wall().max(began)),
            "attributes": self.attributes,
        });
        if let Some(parent) = self.parent {
            value["parentSpanId"] = json!(hex(&parent));
        }
        if let Some(reason) = self.failed {
            value["status"] =
                if reason.is_empty() { json!({"code": 2}) } else { json!({"code": 2, "message": reason}) };
        }
        value
    }
}

pub(super) fn random() -> [u8; 16] {
    uuid::Uuid::new_v4().into_bytes()
}

/// Half of random bytes, which are not all zero: one of them holds the variant of a UUID.
pub(super) fn half(bytes: [u8; 16]) -> SpanId {
    let mut half = [0; 8];
    half.copy_from_slice(&bytes[8..]);
    half
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn nanoseconds(at: SystemTime) -> String {
    at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_nanos().to_string()
}

pub(super) fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

/// OTLP writes 64-bit numbers as strings.
pub(super) fn number(key: &str, value: u64) -> Value {
    json!({"key": key, "value": {"intValue": value.to_string()}})
}
