//! A small blocking HTTP/1.1 client for set-up and checks; never used for load.
//!
//! Invariants: one connection per request, complete answers only, bounded waiting.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::net::RecvFlags;
use serde_json::Value;

use crate::wire::{Trust, Wire};

const WAIT_MAX: Duration = Duration::from_secs(10);
const HEADERS_MAX: usize = 64;

/// The server's address and the client's credentials.
pub struct Client {
    address: SocketAddr,
    key: Option<String>,
    trust: Option<Trust>,
}

impl Client {
    /// A client of the server at `address`; `key` is sent as a bearer token.
    pub fn new(address: SocketAddr, key: Option<String>) -> Self {
        Self { address, key, trust: None }
    }

    /// The same client over TLS, if `trust` is given.
    #[must_use]
    pub fn trusting(mut self, trust: Option<Trust>) -> Self {
        self.trust = trust;
        self
    }

    /// Sends one request and returns the status and the body as JSON (null when it is not JSON).
    /// Fails when the server cannot be reached or does not answer within ten seconds.
    pub fn call(&self, method: &str, target: &str, body: &str) -> anyhow::Result<(u16, Value)> {
        let stream = TcpStream::connect_timeout(&self.address, WAIT_MAX).context("connecting")?;
        stream.set_read_timeout(Some(WAIT_MAX))?;
        let mut wire = Wire::new(stream, self.address, self.trust.as_ref())?;
        wire.send(request_bytes(method, target, self.key.as_deref(), body).as_bytes())?;
        let mut answer = Vec::new();
        let mut chunk = [0; 16 << 10];
        loop {
            let received = wire.receive(&mut chunk, &mut answer, RecvFlags::empty());
            let received = received.with_context(|| format!("awaiting {method} {target}"))?;
            if received == 0 {
                bail!("{method} {target}: the connection closed inside the answer");
            }
            if let Some(frame) = answer_frame(&answer)? {
                let body = answer.get(frame.head_bytes..frame.head_bytes + frame.body_bytes);
                if let Some(body) = body {
                    return Ok((frame.status, serde_json::from_slice(body).unwrap_or_default()));
                }
            }
        }
    }

    /// Like `call`, and fails on any status but `expected`.
    pub fn expect(&self, expected: u16, method: &str, target: &str, body: &str) -> anyhow::Result<Value> {
        let (status, answer) = self.call(method, target, body)?;
        if status != expected {
            bail!("{method} {target} answered {status} instead of {expected}: {answer}");
        }
        Ok(answer)
    }
}

/// The place of an answer's body.
pub(crate) struct Frame {
    pub(crate) status: u16,
    pub(crate) head_bytes: usize,
    pub(crate) body_bytes: usize,
}

/// The frame of the answer at the start of `bytes`, or `None` while its head is incomplete. Fails on answers without a
/// length: every peer here must send one.
pub(crate) fn answer_frame(bytes: &[u8]) -> anyhow::Result<Option<Frame>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head_bytes) = head.parse(bytes).context("parsing an answer")? else {
        return Ok(None);
    };
    let length = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.context("an answer has no content-length")?.value;
    let body_bytes = std::str::from_utf8(length)?.trim().parse().context("content-length")?;
    Ok(Some(Frame { status: head.code.context("no status")?, head_bytes, body_bytes }))
}

/// The bytes of a request with a JSON body; shared with the load generator.
pub fn request_bytes(method: &str, target: &str, key: Option<&str>, body: &str) -> String {
    let authorization = key.map(|key| format!("authorization: Bearer {key}\r\n")).unwrap_or_default();
    format!(
        "{method} {target} HTTP/1.1\r\nhost: bench\r\n{authorization}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}
