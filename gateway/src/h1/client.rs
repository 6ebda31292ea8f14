//! The nodes' side of the gateway: one request out, one answer in, over a pooled connection.
//!
//! Invariants: an answer is taken only whole, framed by length or chunks, within the bound; after
//! any error the connection is dropped, never pooled. Deadlines are the caller's.

use std::io;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use monoio_codec::{Decoded, Decoder};
use monoio_http::{
    common::response::{Response as DecodedResponse, ResponseHead},
    h1::codec::decoder::{
        ChunkedBodyDecoder, DirectWrapper, FixedBodyDecoder, GenericHeadDecoder, PayloadDecoder,
        ResponseHeadDecoder,
    },
};

use super::{
    buffer::Buffered,
    guard::{self, Framing},
};
use crate::runtime::Runtime;

/// Head of an answer, bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Body of an answer, bytes: a node's answer is bounded like a client's request, with room for
/// pages of large documents.
const BODY_BYTES_MAX: usize = 1 << 30;

/// A node's answer, whole.
#[derive(Debug, Clone)]
pub struct NodeAnswer {
    pub status: StatusCode,
    pub body: Bytes,
    /// Seconds of a `Retry-After` header.
    pub retry_after: Option<u32>,
}

/// Why a node gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// The connection was closed before the first byte of an answer.
    #[error("the node closed the connection")]
    Closed,
    /// The socket failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// What came is not an HTTP/1.1 answer this gateway takes.
    #[error("the node's answer is malformed: {0}")]
    Malformed(String),
}

/// One connection to a node.
pub struct ClientConnection<R: Runtime> {
    buffered: Buffered<R>,
    decoder: GenericHeadDecoder<DecodedResponse, ResponseHeadDecoder, DirectWrapper>,
}

type BodyDecoder = PayloadDecoder<FixedBodyDecoder, ChunkedBodyDecoder>;

impl<R: Runtime> ClientConnection<R> {
    /// Takes over a connected stream.
    #[must_use]
    pub fn new(stream: R::Stream) -> Self {
        Self { buffered: Buffered::new(stream), decoder: GenericHeadDecoder::default() }
    }

    /// Sends `head` and `body` and waits for the answer; says whether the connection may be reused.
    ///
    /// # Errors
    /// [`ExchangeError`]; the caller drops the connection.
    pub async fn exchange(
        &mut self,
        head: Vec<u8>,
        body: Bytes,
    ) -> Result<(NodeAnswer, bool), ExchangeError> {
        if !self.buffered.received.is_empty() {
            return Err(ExchangeError::Malformed("bytes after the last answer".to_owned()));
        }
        self.buffered.send_message(head, body).await?;
        loop {
            let (head, decoder) = self.read_head().await?;
            if head.status.is_informational() {
                continue;
            }
            let framing = guard::framing(head.version, &head.headers)
                .map_err(|error| ExchangeError::Malformed(error.to_string()))?;
            let bodiless = head.status == StatusCode::NO_CONTENT || head.status == StatusCode::NOT_MODIFIED;
            let body = match (framing, decoder) {
                (Framing::Length(0), _) => Bytes::new(),
                (Framing::None, _) if bodiless => Bytes::new(),
                (Framing::Length(length), PayloadDecoder::Fixed(decoder)) => {
                    self.read_fixed(decoder, length).await?
                }
                (Framing::Chunked, PayloadDecoder::Streamed(decoder)) => self.read_chunked(decoder).await?,
                _ => return Err(ExchangeError::Malformed("the body has no length".to_owned())),
            };
            let reusable =
                guard::keep_alive(head.version, &head.headers) && self.buffered.received.is_empty();
            let retry_after = head
                .headers
                .get(http::header::RETRY_AFTER)
                .and_then(|value| value.to_str().ok())
                .and_then(|seconds| seconds.parse().ok());
            return Ok((NodeAnswer { status: head.status, body, retry_after }, reusable));
        }
    }

    async fn read_head(&mut self) -> Result<(ResponseHead, BodyDecoder), ExchangeError> {
        loop {
            if !self.buffered.received.is_empty() {
                match self.decoder.decode(&mut self.buffered.received) {
                    Ok(Decoded::Some(decoded)) => return Ok(decoded),
                    Ok(Decoded::Insufficient | Decoded::InsufficientAtLeast(_)) => {}
                    Err(error) => return Err(ExchangeError::Malformed(error.to_string())),
                }
                if self.buffered.received.len() > HEAD_BYTES_MAX {
                    return Err(ExchangeError::Malformed("the head is too large".to_owned()));
                }
            }
            self.receive(0).await?;
        }
    }

    async fn read_fixed(
        &mut self,
        mut decoder: FixedBodyDecoder,
        length: u64,
    ) -> Result<Bytes, ExchangeError> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > BODY_BYTES_MAX {
            return Err(ExchangeError::Malformed("the body is too large".to_owned()));
        }
        while self.buffered.received.len() < length {
            let missing = length - self.buffered.received.len();
            self.receive(missing.min(self.buffered.received.len().max(256 << 10))).await?;
        }
        match decoder.decode(&mut self.buffered.received) {
            Ok(Decoded::Some(body)) => Ok(body),
            Ok(_) => Err(ExchangeError::Closed),
            Err(error) => Err(ExchangeError::Malformed(error.to_string())),
        }
    }

    async fn read_chunked(&mut self, mut decoder: ChunkedBodyDecoder) -> Result<Bytes, ExchangeError> {
        let mut body = BytesMut::new();
        loop {
            match decoder.decode(&mut self.buffered.received) {
                Ok(Decoded::Some(Some(chunk))) => body.extend_from_slice(&chunk),
                Ok(Decoded::Some(None)) => return Ok(body.freeze()),
                Ok(_) => self.receive(64 << 10).await?,
                Err(error) => return Err(ExchangeError::Malformed(error.to_string())),
            }
            if body.len() + self.buffered.received.len() > BODY_BYTES_MAX {
                return Err(ExchangeError::Malformed("the body is too large".to_owned()));
            }
        }
    }

    async fn receive(&mut self, wanted: usize) -> Result<(), ExchangeError> {
        match self.buffered.receive(wanted).await? {
            0 => Err(ExchangeError::Closed),
            _ => Ok(()),
        }
    }
}
