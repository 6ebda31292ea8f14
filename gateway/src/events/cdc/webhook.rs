//! A sink that is an address: each batch is one POST of a JSON array of events.
//!
//! Invariants: the body is signed where the gateway has a key to derive a secret from. Addresses are guarded, and
//! redirects are not followed.

use hmac::{Hmac, Mac};
use serde_json::Value;
use sha2::Sha256;
use ureq::Agent;

use crate::config::{CdcSink, Secret};

/// The header with the signature: `sha256=` and the HMAC of the body in hexadecimal digits.
const SIGNATURE: &str = "x-miroir-signature";

/// The secret that a sink's receiver checks signatures with; `None` on a gateway without an admin key.
pub(crate) fn secret(key: Option<&Secret>, sink: &CdcSink) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key?.expose().as_bytes()).ok()?;
    mac.update(b"miroir-cdc:");
    mac.update(sink.name().as_bytes());
    Some(hex(&mac.finalize().into_bytes()))
}

/// Delivers a batch; blocks.
///
/// # Errors
/// Why it was not delivered.
pub(super) fn send(
    agent: &Agent,
    sink: &CdcSink,
    secret: Option<&str>,
    events: &[Value],
) -> Result<(), String> {
    let body = serde_json::to_vec(events).map_err(|error| error.to_string())?;
    let mut request = agent.post(&sink.url).header("content-type", "application/json");
    if let Some(mac) = secret.and_then(|secret| Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok()) {
        let signed = mac.chain_update(&body).finalize().into_bytes();
        request = request.header(SIGNATURE, format!("sha256={}", hex(&signed)));
    }
    match request.send(&body[..]) {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(format!("status {}", answer.status().as_u16())),
        Err(error) => Err(error.to_string()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
