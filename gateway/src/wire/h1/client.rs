//! The node side of the wire: one request out, one answer in, over a pooled connection.
//!
//! Invariants: an answer is taken only when it is complete, framed by length or chunks, and within the bound. After
//! any error the connection is dropped, never pooled. The caller sets the deadlines. A body that ends with the
//! connection is refused, since it may be incomplete.

use std::{io, sync::Arc};

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use monoio_codec::{Decoded, Decoder};
use monoio_http::{common::response::ResponseHead, h1::codec::decoder::ResponseHeadDecoder};

use crate::{
    config::limits,
    wire::{
        h1::{
            HeadLimits,
            buffer::Buffered,
            chunked::{ChunkError, ChunkedDecoder},
            framing::{self, Framing},
            refusal::Refusal,
            scan::{HeadError, HeadScanner},
            stream::Stream,
        },
        runtime,
        tls::NodeTls,
    },
};

/// The first byte of what a TLS server sends to a client that does not speak TLS.
const TLS_ALERT: u8 = 21;

const HEAD_LIMITS: HeadLimits = HeadLimits {
    start_line_bytes_max: limits::NODE_HEAD_BYTES_MAX,
    head_bytes_max: limits::NODE_HEAD_BYTES_MAX,
    fields_max: limits::NODE_HEADERS_MAX,
};

/// A node's complete answer.
#[derive(Debug, Clone)]
pub struct NodeAnswer {
    pub status: StatusCode,
    pub body: Bytes,
    /// The seconds of a `Retry-After` header.
    pub retry_after: Option<u32>,
}

/// Why a node gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// The connection was closed before the end of an answer.
    #[error("the node closed the connection")]
    Closed,
    /// The socket failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// What arrived is not an HTTP/1.1 answer that this gateway accepts.
    #[error("the node's answer is malformed: {0}")]
    Malformed(&'static str),
}

/// One connection to a node.
pub struct ClientConnection {
    buffered: Buffered,
}

impl ClientConnection {
    /// Takes over a connected stream.
    #[must_use]
    pub fn new(stream: runtime::Stream) -> Self {
        Self { buffered: Buffered::new(Stream::Plain(stream)) }
    }

    /// Takes over a connected stream and brings up TLS on it; the caller bounds the time.
    ///
    /// # Errors
    /// When the node is not the expected one, or does not speak TLS.
    pub async fn new_tls(stream: runtime::Stream, tls: &NodeTls) -> io::Result<Self> {
        let session = rustls::ClientConnection::new(Arc::clone(&tls.config), tls.name.clone());
        let session = session.map_err(io::Error::other)?;
        let mut connection = Self { buffered: Buffered::new(Stream::tls(stream, session.into())) };
        connection.buffered.handshake().await?;
        Ok(connection)
    }

    /// Whether the node has sent nothing since its last answer, and has not closed the connection.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.buffered.is_silent()
    }

    /// Sends `head` and `body` and waits for the answer; gives whether the connection may be reused.
    ///
    /// # Errors
    /// [`ExchangeError`]; the caller drops the connection.
    pub async fn exchange(
        &mut self,
        head: Vec<u8>,
        body: Bytes,
    ) -> Result<(NodeAnswer, bool), ExchangeError> {
        if !self.buffered.received.is_empty() {
            return Err(ExchangeError::Malformed("bytes after the last answer"));
        }
        self.buffered.send_message(head, body, None).await?;
        let mut head = self.receive_head().await?;
        for _ in 0..limits::NODE_INTERIM_ANSWERS_MAX {
            // The gateway never asks for another protocol.
            if !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS {
                break;
            }
            head = self.receive_head().await?;
        }
        if head.status.is_informational() {
            return Err(ExchangeError::Malformed("it never becomes final"));
        }
        let body = match body_framing(&head)? {
            Framing::Length(length) => self.receive_body(length).await?,
            Framing::Chunked => self.receive_chunks().await?,
            Framing::None => Bytes::new(),
        };
        let reusable = framing::keep_alive(head.version, &head.headers) && self.buffered.received.is_empty();
        Ok((node_answer(&head, body), reusable))
    }

    /// Sends a request without a body and gives the `Date` of the answer; the connection is of no use afterwards.
    ///
    /// # Errors
    /// [`ExchangeError`].
    pub async fn date(&mut self, head: Vec<u8>) -> Result<Option<String>, ExchangeError> {
        self.buffered.send_message(head, Bytes::new(), None).await?;
        let head = self.receive_head().await?;
        let date = head.headers.get(http::header::DATE);
        Ok(date.and_then(|date| date.to_str().ok()).map(str::to_owned))
    }

    async fn receive_head(&mut self) -> Result<ResponseHead, ExchangeError> {
        let mut scanner = HeadScanner::default();
        loop {
            if let Some(head) = take_head(&mut self.buffered.received, &mut scanner)? {
                return Ok(head);
            }
            self.receive().await?;
        }
    }

    async fn receive_body(&mut self, length: u64) -> Result<Bytes, ExchangeError> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > limits::NODE_BODY_BYTES_MAX {
            return Err(ExchangeError::Malformed("the body is too large"));
        }
        match self.buffered.receive_body(length, None).await {
            Ok(body) => Ok(body),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(ExchangeError::Closed),
            Err(error) => Err(error.into()),
        }
    }

    async fn receive_chunks(&mut self) -> Result<Bytes, ExchangeError> {
        let (mut decoder, mut body) = (ChunkedDecoder::new(limits::NODE_BODY_BYTES_MAX), BytesMut::new());
        loop {
            match decoder.decode(&mut self.buffered.received, &mut body) {
                Ok(true) => return Ok(body.freeze()),
                Ok(false) => self.receive().await?,
                Err(ChunkError::TooLarge) => return Err(ExchangeError::Malformed("the body is too large")),
                Err(ChunkError::Malformed(reason)) => return Err(ExchangeError::Malformed(reason)),
            }
        }
    }

    async fn receive(&mut self) -> Result<(), ExchangeError> {
        match self.buffered.receive().await? {
            0 => Err(ExchangeError::Closed),
            _ => Ok(()),
        }
    }
}

/// Takes a head off the front of the received bytes, once it is complete.
///
/// # Errors
/// [`ExchangeError::Malformed`].
pub(crate) fn take_head(
    received: &mut BytesMut,
    scanner: &mut HeadScanner,
) -> Result<Option<ResponseHead>, ExchangeError> {
    if received.first() == Some(&TLS_ALERT) {
        return Err(ExchangeError::Malformed("its port speaks TLS, but its URL begins with http://"));
    }
    if !b"HTTP/1.".starts_with(&received[..received.len().min(7)]) {
        return Err(ExchangeError::Malformed("it is no answer of HTTP/1.1"));
    }
    let Some(length) = scanner.scan(received, &HEAD_LIMITS).map_err(head_refused)? else { return Ok(None) };
    match ResponseHeadDecoder.decode(&mut received.split_to(length)) {
        Ok(Decoded::Some(head)) if head.status.as_u16() < 600 => Ok(Some(head)),
        _ => Err(ExchangeError::Malformed("a malformed head")),
    }
}

/// How the body of an answer is framed; `None` is no body.
///
/// # Errors
/// [`ExchangeError::Malformed`] where that is ambiguous.
pub(crate) fn body_framing(head: &ResponseHead) -> Result<Framing, ExchangeError> {
    let framing = framing::framing(head.version, &head.headers).map_err(refused)?;
    match framing {
        _ if head.status == StatusCode::NO_CONTENT || head.status == StatusCode::NOT_MODIFIED => {
            Ok(Framing::None)
        }
        Framing::None => Err(ExchangeError::Malformed("the body has no length")),
        Framing::Length(_) | Framing::Chunked => Ok(framing),
    }
}

pub(crate) fn node_answer(head: &ResponseHead, body: Bytes) -> NodeAnswer {
    let retry_after = head.headers.get(http::header::RETRY_AFTER);
    let retry_after = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
    NodeAnswer { status: head.status, body, retry_after }
}

fn head_refused(error: HeadError) -> ExchangeError {
    ExchangeError::Malformed(match error {
        HeadError::Malformed(reason) => reason,
        HeadError::StartLineTooLong | HeadError::TooLarge | HeadError::TooManyFields => {
            "the head is too large"
        }
    })
}

fn refused(refusal: Refusal) -> ExchangeError {
    if let Refusal::Malformed(reason) | Refusal::NotImplemented(reason) = refusal {
        return ExchangeError::Malformed(reason);
    }
    ExchangeError::Malformed(refusal.name())
}
