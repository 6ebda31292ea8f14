//! As much HTTP/1.1 as model nodes and clients need: heads by line, bodies by length.
//!
//! Invariant: input that is not understood ends the connection.

use std::io::{self, ErrorKind};

use serde_json::Value;

use super::network::Stream;

/// One side of a connection, with the partly received message.
pub(super) struct Wire {
    stream: Stream,
    received: Vec<u8>,
}

/// A request or an answer.
#[derive(Debug)]
pub(super) struct Message {
    /// The first line.
    pub(super) line: String,
    pub(super) body: Vec<u8>,
    /// Whether a gateway says that the answer may lack something.
    pub(super) is_degraded: bool,
}

/// A gateway's answer to a client.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Value,
    pub(super) is_degraded: bool,
}

/// A client's request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) method: &'a str,
    pub(super) target: &'a str,
    pub(super) body: Option<&'a Value>,
    /// The idempotency key.
    pub(super) key: Option<&'a str>,
}

impl<'a> Question<'a> {
    pub(super) fn get(target: &'a str) -> Self {
        Self { method: "GET", target, body: None, key: None }
    }
}

impl Wire {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, received: Vec::new() }
    }

    /// The next message; `None` when the peer closed the connection between two messages.
    pub(super) async fn next(&mut self) -> io::Result<Option<Message>> {
        let length = loop {
            let end = self.received.windows(4).position(|bytes| bytes == b"\r\n\r\n");
            if let Some(end) = end {
                break end + 4;
            }
            if !self.more().await? {
                return if self.received.is_empty() {
                    Ok(None)
                } else {
                    Err(ErrorKind::UnexpectedEof.into())
                };
            }
        };
        let head: Vec<u8> = self.received.drain(..length).collect();
        let head = String::from_utf8(head).map_err(|_| ErrorKind::InvalidData)?;
        let is_degraded = head.to_ascii_lowercase().contains("\r\nx-miroir-degraded:");
        let mut lines = head.lines();
        let line = lines.next().unwrap_or_default().to_owned();
        let length_of = |line: &str| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
        };
        let length = lines.find_map(length_of).unwrap_or(0);
        while self.received.len() < length {
            if !self.more().await? {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(Some(Message { line, body: self.received.drain(..length).collect(), is_degraded }))
    }

    async fn more(&mut self) -> io::Result<bool> {
        let bytes = self.stream.receive(usize::MAX).await?;
        self.received.extend_from_slice(&bytes);
        Ok(!bytes.is_empty())
    }

    pub(super) async fn ask(&mut self, question: &Question<'_>) -> io::Result<Reply> {
        let Question { method, target, body, key } = question;
        let body = body.map(Value::to_string).unwrap_or_default();
        let key = key.map(|key| format!("idempotency-key: {key}\r\n")).unwrap_or_default();
        let length = body.len();
        let head = format!(
            "{method} {target} HTTP/1.1\r\nhost: miroir\r\ncontent-type: application/json\r\n{key}content-length: {length}\r\n\r\n"
        );
        self.stream.send_all(&[head.as_bytes(), body.as_bytes()].concat()).await?;
        let answer = self.next().await?.ok_or(ErrorKind::UnexpectedEof)?;
        let status = answer.line.split(' ').nth(1).and_then(|status| status.parse().ok());
        Ok(Reply {
            status: status.ok_or(ErrorKind::InvalidData)?,
            body: serde_json::from_slice(&answer.body).unwrap_or_default(),
            is_degraded: answer.is_degraded,
        })
    }

    pub(super) async fn answer(&mut self, status: u16, body: &Value) -> io::Result<()> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} Model\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        self.stream.send_all(&[head.as_bytes(), body.as_bytes()].concat()).await
    }
}
