//! The client's side of the gateway: requests in, responses out, over one connection.
//!
//! Invariants: a refusal closes the connection, since its framing is in doubt; memory is bounded
//! by the head and body limits; 413 comes before the body is read where the length is announced.

use std::{io, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode, Version};
use monoio_codec::{Decoded, Decoder};
use monoio_http::{
    common::request::{Request as DecodedRequest, RequestHead},
    h1::codec::decoder::{
        ChunkedBodyDecoder, DirectWrapper, FixedBodyDecoder, GenericHeadDecoder, PayloadDecoder,
        RequestHeadDecoder,
    },
};

use super::{
    buffer::Buffered,
    guard::{self, Framing},
    message::{Request, Response},
};
use crate::runtime::Runtime;

/// Bounds of one client connection.
#[derive(Debug, Clone, Copy)]
pub struct ServerLimits {
    /// Request line and headers, bytes.
    pub head_bytes_max: usize,
    /// Body as it came over the wire, bytes.
    pub body_bytes_max: usize,
    /// Wait for the first byte of the next request.
    pub idle_timeout: Duration,
    /// Wait between two receives inside one request.
    pub receive_timeout: Duration,
}

/// Why a request was not read; the connection is closed after the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The peer went away or stayed silent: nothing to answer.
    Gone,
    /// The head is malformed or framed ambiguously.
    Malformed(String),
    /// The head is over its limit, bytes.
    HeadTooLarge(usize),
    /// The body is over its limit, bytes.
    BodyTooLarge(usize),
    /// The request did not arrive in time.
    TimedOut,
}

/// One client connection.
pub struct ServerConnection<R: Runtime> {
    buffered: Buffered<R>,
    limits: ServerLimits,
    decoder: GenericHeadDecoder<DecodedRequest, RequestHeadDecoder, DirectWrapper>,
}

type BodyDecoder = PayloadDecoder<FixedBodyDecoder, ChunkedBodyDecoder>;

impl<R: Runtime> ServerConnection<R> {
    /// Takes over an accepted stream.
    #[must_use]
    pub fn new(stream: R::Stream, limits: ServerLimits) -> Self {
        Self { buffered: Buffered::new(stream), limits, decoder: GenericHeadDecoder::default() }
    }

    /// Reads the next request whole.
    ///
    /// # Errors
    /// A [`Refusal`]; the caller answers it and drops the connection.
    pub async fn read_request(&mut self) -> Result<Request, Refusal> {
        let (head, body_decoder) = self.read_head().await?;
        let framing = guard::framing(head.version, &head.headers)
            .map_err(|error| Refusal::Malformed(error.to_string()))?;
        let body = match (framing, body_decoder) {
            (Framing::None | Framing::Length(0), _) => Bytes::new(),
            (Framing::Length(length), decoder) => {
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                if length > self.limits.body_bytes_max {
                    return Err(Refusal::BodyTooLarge(self.limits.body_bytes_max));
                }
                self.continue_if_expected(&head, length).await?;
                self.read_fixed(decoder, length).await?
            }
            (Framing::Chunked, decoder) => {
                self.continue_if_expected(&head, usize::MAX).await?;
                self.read_chunked(decoder).await?
            }
        };
        let keep_alive = guard::keep_alive(head.version, &head.headers);
        Ok(Request { method: head.method, uri: head.uri, headers: head.headers, body, keep_alive })
    }

    /// Sends a response; `HEAD` gets the head alone.
    ///
    /// # Errors
    /// The socket's; the caller drops the connection.
    pub async fn write_response(
        &mut self,
        method: &Method,
        response: Response,
        keep_alive: bool,
    ) -> io::Result<()> {
        let head = response.encode_head(keep_alive);
        if method == Method::HEAD || response.body.is_empty() {
            return self.buffered.send(head).await;
        }
        self.buffered.send_message(head, response.body).await
    }

    async fn read_head(&mut self) -> Result<(RequestHead, BodyDecoder), Refusal> {
        let mut limit = self.limits.idle_timeout;
        loop {
            if !self.buffered.received.is_empty() {
                self.skip_empty_lines();
                match self.decoder.decode(&mut self.buffered.received) {
                    Ok(Decoded::Some(decoded)) => return Ok(decoded),
                    Ok(Decoded::Insufficient | Decoded::InsufficientAtLeast(_)) => {}
                    Err(error) => return Err(Refusal::Malformed(error.to_string())),
                }
                if self.buffered.received.len() > self.limits.head_bytes_max {
                    return Err(Refusal::HeadTooLarge(self.limits.head_bytes_max));
                }
                limit = self.limits.receive_timeout;
            }
            let waiting_for_first_byte = self.buffered.received.is_empty();
            match self.buffered.receive_within(0, limit).await {
                Ok(0) => return Err(Refusal::Gone),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::TimedOut && !waiting_for_first_byte => {
                    return Err(Refusal::TimedOut);
                }
                Err(_) => return Err(Refusal::Gone),
            }
        }
    }

    /// RFC 9112, section 2.2: empty lines before a request line are ignored.
    fn skip_empty_lines(&mut self) {
        while self.buffered.received.starts_with(b"\r\n") {
            let _ = self.buffered.received.split_to(2);
        }
    }

    async fn continue_if_expected(&mut self, head: &RequestHead, length: usize) -> Result<(), Refusal> {
        let expected = head.version == Version::HTTP_11
            && head
                .headers
                .get(http::header::EXPECT)
                .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
        if expected && self.buffered.received.len() < length {
            let line: &'static [u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
            self.buffered.send(line).await.map_err(|_| Refusal::Gone)?;
        }
        Ok(())
    }

    async fn read_fixed(&mut self, decoder: BodyDecoder, length: usize) -> Result<Bytes, Refusal> {
        let PayloadDecoder::Fixed(mut decoder) = decoder else {
            return Err(Refusal::Malformed("the body's framing is contradictory".to_owned()));
        };
        while self.buffered.received.len() < length {
            // Grows with what has really arrived: an announced length alone costs no memory.
            let missing = length - self.buffered.received.len();
            let wanted = missing.min(self.buffered.received.len().max(256 << 10));
            self.receive_body(wanted).await?;
        }
        match decoder.decode(&mut self.buffered.received) {
            Ok(Decoded::Some(body)) => Ok(body),
            Ok(Decoded::Insufficient | Decoded::InsufficientAtLeast(_)) => Err(Refusal::Gone),
            Err(error) => Err(Refusal::Malformed(error.to_string())),
        }
    }

    async fn read_chunked(&mut self, decoder: BodyDecoder) -> Result<Bytes, Refusal> {
        let PayloadDecoder::Streamed(mut decoder) = decoder else {
            return Err(Refusal::Malformed("the body's framing is contradictory".to_owned()));
        };
        let mut body = BytesMut::new();
        loop {
            match decoder.decode(&mut self.buffered.received) {
                Ok(Decoded::Some(Some(chunk))) => body.extend_from_slice(&chunk),
                Ok(Decoded::Some(None)) => return Ok(body.freeze()),
                Ok(Decoded::Insufficient | Decoded::InsufficientAtLeast(_)) => {
                    if body.len() + self.buffered.received.len() > self.limits.body_bytes_max {
                        return Err(Refusal::BodyTooLarge(self.limits.body_bytes_max));
                    }
                    self.receive_body(64 << 10).await?;
                }
                Err(error) => return Err(Refusal::Malformed(format!("bad chunk: {error}"))),
            }
            if body.len() > self.limits.body_bytes_max {
                return Err(Refusal::BodyTooLarge(self.limits.body_bytes_max));
            }
        }
    }

    async fn receive_body(&mut self, wanted: usize) -> Result<(), Refusal> {
        match self.buffered.receive_within(wanted, self.limits.receive_timeout).await {
            Ok(0) => Err(Refusal::Gone),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(Refusal::TimedOut),
            Err(_) => Err(Refusal::Gone),
        }
    }
}

impl Refusal {
    /// The status of its answer; `None` where nobody is left to read one.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Gone => None,
            Self::Malformed(_) => Some(StatusCode::BAD_REQUEST),
            Self::HeadTooLarge(_) => Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
            Self::BodyTooLarge(_) => Some(StatusCode::PAYLOAD_TOO_LARGE),
            Self::TimedOut => Some(StatusCode::REQUEST_TIMEOUT),
        }
    }
}
