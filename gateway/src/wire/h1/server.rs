//! The client side of the wire: requests in, responses out, over one connection.
//!
//! Invariants: a refusal closes the connection, since its framing is in doubt. The head and body limits bound the
//! memory. Where the length is announced, a 413 comes before the body is read.

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{Method, Version};
use monoio_codec::{Decoded, Decoder};
use monoio_http::{
    common::request::RequestHead,
    h1::codec::decoder::{DecodeError, RequestHeadDecoder},
};
use tokio::sync::mpsc;

use crate::wire::{
    h1::{
        HeadLimits,
        buffer::{Buffered, Patience},
        chunked::ChunkedDecoder,
        framing::{self, Framing},
        message::{Request, Response},
        refusal::Refusal,
        scan::HeadScanner,
        stream::Stream,
    },
    runtime::{self, timeout},
};

/// Empty lines before a request that are ignored.
const EMPTY_LINES_MAX: usize = 8;

/// Bounds of one client connection.
#[derive(Debug, Clone, Copy)]
pub struct ServerLimits {
    /// Request line and headers.
    pub head: HeadLimits,
    /// Bytes of a body as it comes over the wire.
    pub body_bytes_max: usize,
    /// The wait for the first byte on a new connection.
    pub first_byte_timeout: Duration,
    /// The wait for the first byte of the next request.
    pub idle_timeout: Duration,
    /// From the first byte of a request to the end of its head.
    pub head_timeout: Duration,
    /// Between two receives or sends of a body.
    pub gap_timeout: Duration,
    /// From a body's first byte to its last, in either direction.
    pub body_timeout: Duration,
    /// For a client to close its side after this side is closed.
    pub close_timeout: Duration,
    /// Requests on one connection; after the last the connection is closed.
    pub requests_max: u32,
}

/// A request whose body has not been read yet.
#[derive(Debug)]
pub struct Incoming {
    pub request: Request,
    pub body: Announced,
}

/// What a head says of the body that follows.
#[derive(Debug, Clone, Copy)]
pub struct Announced {
    framing: Framing,
    expects_continue: bool,
}

/// One client connection.
pub struct ServerConnection {
    buffered: Buffered,
    limits: ServerLimits,
    requests: u32,
    /// The version of the last request.
    version: Version,
    /// The address of the other end.
    peer: IpAddr,
}

impl ServerConnection {
    /// Takes over an accepted stream.
    #[must_use]
    pub fn new(stream: runtime::Stream, peer: IpAddr, limits: ServerLimits) -> Self {
        Self::over(Stream::Plain(stream), peer, limits)
    }

    /// Takes over an accepted stream and brings up TLS on it.
    ///
    /// # Errors
    /// When no session comes up within the time of a head: the client does not speak TLS, or not as it must.
    pub async fn new_tls(
        stream: runtime::Stream,
        peer: IpAddr,
        tls: Arc<rustls::ServerConfig>,
        limits: ServerLimits,
    ) -> io::Result<Self> {
        let session = rustls::ServerConnection::new(tls).map_err(io::Error::other)?;
        let mut connection = Self::over(Stream::tls(stream, session.into()), peer, limits);
        let handshake = timeout(limits.head_timeout, connection.buffered.handshake()).await;
        handshake.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
        Ok(connection)
    }

    fn over(stream: Stream, peer: IpAddr, limits: ServerLimits) -> Self {
        Self { buffered: Buffered::new(stream), limits, requests: 0, version: Version::HTTP_11, peer }
    }

    /// Sets the limits for what follows.
    pub fn set_limits(&mut self, limits: ServerLimits) {
        self.limits = limits;
    }

    /// Reads the next complete request.
    ///
    /// # Errors
    /// A [`Refusal`]; the caller answers it and closes the connection.
    pub async fn read_request(&mut self) -> Result<Request, Refusal> {
        let incoming = self.read_head().await?;
        self.read_body(incoming).await
    }

    /// Reads the head of the next request; its body has to be read next.
    ///
    /// # Errors
    /// A [`Refusal`]; the caller answers it and closes the connection.
    pub async fn read_head(&mut self) -> Result<Incoming, Refusal> {
        let head_length = self.receive_head().await?;
        self.requests += 1;
        let head = decode_head(&mut self.buffered.received, head_length)?;
        self.version = head.version;
        let framing = framing::framing(head.version, &head.headers)?;
        let expects_continue = framing::expects_continue(head.version, &head.headers)?;
        let keep_alive =
            framing::keep_alive(head.version, &head.headers) && self.requests < self.limits.requests_max;
        let request = Request {
            method: head.method,
            uri: head.uri,
            headers: head.headers,
            body: Bytes::new(),
            upload: None,
            keep_alive,
            peer: self.peer,
        };
        Ok(Incoming { request, body: Announced { framing, expects_continue } })
    }

    /// Reads the body of a request whose head was read.
    ///
    /// # Errors
    /// A [`Refusal`]; the caller answers it and closes the connection.
    pub async fn read_body(&mut self, incoming: Incoming) -> Result<Request, Refusal> {
        let Incoming { mut request, body: Announced { framing, expects_continue } } = incoming;
        request.body = match framing {
            Framing::None | Framing::Length(0) => Bytes::new(),
            Framing::Length(length) => {
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                if length > self.limits.body_bytes_max {
                    return Err(Refusal::BodyTooLarge(self.limits.body_bytes_max));
                }
                self.go_on(expects_continue).await?;
                let patience = Some(self.body_patience());
                self.buffered.receive_body(length, patience).await.map_err(|error| body_refused(&error))?
            }
            Framing::Chunked => {
                self.go_on(expects_continue).await?;
                self.receive_chunks().await?
            }
        };
        Ok(request)
    }

    /// Hands the body of a request whose head was read on as it comes, and an empty piece at its end. Whatever its
    /// size, it has `whole` to come. Ends early when nobody takes pieces any more.
    ///
    /// # Errors
    /// A [`Refusal`]; the connection is of no more use then.
    pub async fn hand_on_body(
        &mut self,
        body: Announced,
        whole: Duration,
        pieces: mpsc::Sender<Bytes>,
    ) -> Result<(), Refusal> {
        self.go_on(body.expects_continue).await?;
        let patience = Patience::new(self.limits.gap_timeout, whole);
        let mut decoder = ChunkedDecoder::new(usize::MAX);
        let mut missing = match body.framing {
            Framing::None => 0,
            Framing::Length(length) => length,
            Framing::Chunked => u64::MAX,
        };
        while missing > 0 {
            let piece = match body.framing {
                Framing::Chunked => {
                    let mut decoded = BytesMut::new();
                    let done = decoder.decode(&mut self.buffered.received, &mut decoded);
                    if done.map_err(|error| Refusal::of_chunks(error, usize::MAX))? {
                        missing = 0;
                    }
                    decoded
                }
                Framing::None | Framing::Length(_) => {
                    let had = self.buffered.received.len();
                    let piece =
                        self.buffered.received.split_to(had.min(usize::try_from(missing).unwrap_or(had)));
                    missing -= piece.len() as u64;
                    piece
                }
            };
            if !piece.is_empty() && pieces.send(piece.freeze()).await.is_err() {
                return Ok(());
            }
            if missing > 0 {
                match self.buffered.receive_within(patience).await {
                    Ok(0) => return Err(Refusal::Gone),
                    Ok(_) => {}
                    Err(error) => return Err(body_refused(&error)),
                }
            }
        }
        // The handler may have what it wanted.
        let _ = pieces.send(Bytes::new()).await;
        Ok(())
    }

    /// Sends a response; a `HEAD` request gets the head alone.
    ///
    /// # Errors
    /// The socket's; the caller drops the connection.
    pub async fn write_response(
        &mut self,
        method: &Method,
        response: Response,
        keep_alive: bool,
    ) -> io::Result<()> {
        let head = response.encode_head(self.version, keep_alive);
        let patience = Some(self.body_patience());
        if method == Method::HEAD || response.body.is_empty() {
            return self.buffered.send(head, patience).await;
        }
        self.buffered.send_message(head, response.body, patience).await
    }

    /// Sends the head of a response whose body follows in pieces, until the connection is closed.
    ///
    /// # Errors
    /// The socket's; the caller drops the connection.
    pub async fn begin_stream(&mut self, response: &Response) -> io::Result<()> {
        let head = response.encode_stream_head(self.version);
        self.buffered.send(head, Some(self.body_patience())).await
    }

    /// Sends one piece of the body of a stream; an empty one ends the body.
    ///
    /// # Errors
    /// The socket's, also when the client takes nothing for too long; the caller drops the connection.
    pub async fn send_piece(&mut self, piece: &[u8]) -> io::Result<()> {
        let framed = match self.version {
            Version::HTTP_10 => piece.to_vec(),
            _ => [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat(),
        };
        self.buffered.send(framed, Some(self.body_patience())).await
    }

    /// Closes the connection so that the client can read the last answer.
    pub async fn close(mut self) {
        let patience = Patience::new(self.limits.close_timeout, self.limits.close_timeout);
        self.buffered.close(patience).await;
    }

    fn body_patience(&self) -> Patience {
        Patience::new(self.limits.gap_timeout, self.limits.body_timeout)
    }

    /// Receives until a head is complete; gives its length.
    async fn receive_head(&mut self) -> Result<usize, Refusal> {
        let first =
            if self.requests == 0 { self.limits.first_byte_timeout } else { self.limits.idle_timeout };
        let mut patience = Patience::new(first, first);
        let (mut scanner, mut begun, mut empty_lines) = (HeadScanner::default(), false, 0);
        let mut line_checked = false;
        loop {
            if !self.buffered.received.is_empty() {
                if !begun {
                    begun = true;
                    patience = Patience::new(self.limits.head_timeout, self.limits.head_timeout);
                }
                // RFC 9112, section 2.2: empty lines before a request line are ignored.
                while self.buffered.received.starts_with(b"\r\n") {
                    let _ = self.buffered.received.split_to(2);
                    (scanner, empty_lines) = (HeadScanner::default(), empty_lines + 1);
                    if empty_lines > EMPTY_LINES_MAX {
                        return Err(Refusal::Malformed("too many empty lines"));
                    }
                }
                if self
                    .buffered
                    .received
                    .first()
                    .is_some_and(|byte| !framing::is_token(*byte) && *byte != b'\r')
                {
                    return Err(Refusal::Malformed("it does not begin with a method"));
                }
                let limits = &self.limits.head;
                let found = scanner.scan(&self.buffered.received, limits);
                if let (false, Some(end)) = (line_checked, scanner.start_line_end()) {
                    framing::check_request_line(&self.buffered.received[..end])?;
                    line_checked = true;
                }
                if let Some(length) = found.map_err(|error| Refusal::of_head(error, limits))? {
                    return Ok(length);
                }
            }
            match self.buffered.receive_within(patience).await {
                Ok(0) => return Err(Refusal::Gone),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::TimedOut && begun => {
                    return Err(Refusal::HeadTimedOut);
                }
                Err(_) => return Err(Refusal::Gone),
            }
        }
    }

    /// Tells a client that waits with its body to send it; a client that has begun to send does not wait.
    async fn go_on(&mut self, expected: bool) -> Result<(), Refusal> {
        if expected && self.buffered.received.is_empty() {
            let line: &'static [u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
            let patience = Some(self.body_patience());
            self.buffered.send(line, patience).await.map_err(|_| Refusal::Gone)?;
        }
        Ok(())
    }

    async fn receive_chunks(&mut self) -> Result<Bytes, Refusal> {
        let (mut decoder, mut body) = (ChunkedDecoder::new(self.limits.body_bytes_max), BytesMut::new());
        let patience = self.body_patience();
        loop {
            let done = decoder.decode(&mut self.buffered.received, &mut body);
            if done.map_err(|error| Refusal::of_chunks(error, self.limits.body_bytes_max))? {
                return Ok(body.freeze());
            }
            match self.buffered.receive_within(patience).await {
                Ok(0) => return Err(Refusal::Gone),
                Ok(_) => {}
                Err(error) => return Err(body_refused(&error)),
            }
        }
    }
}

/// Takes a complete head off the front of `received`.
///
/// # Errors
/// A [`Refusal`].
pub(crate) fn decode_head(received: &mut BytesMut, length: usize) -> Result<RequestHead, Refusal> {
    let mut bytes = received.split_to(length);
    let head = match RequestHeadDecoder.decode(&mut bytes) {
        Ok(Decoded::Some(head)) => head,
        Ok(Decoded::Insufficient | Decoded::InsufficientAtLeast(_)) => {
            return Err(Refusal::Malformed("the head has no end"));
        }
        Err(DecodeError::Uri(_)) => return Err(Refusal::Malformed("a malformed target")),
        Err(DecodeError::Parse(httparse::Error::HeaderName)) => {
            return Err(Refusal::Malformed("a malformed header name"));
        }
        Err(DecodeError::Parse(httparse::Error::HeaderValue)) => {
            return Err(Refusal::Malformed("a malformed header value"));
        }
        Err(_) => return Err(Refusal::Malformed("a malformed head")),
    };
    framing::check_target(&head.method, &head.uri)?;
    framing::check_host(head.version, &head.headers)?;
    Ok(head)
}

fn body_refused(error: &io::Error) -> Refusal {
    match error.kind() == io::ErrorKind::TimedOut {
        true => Refusal::BodyTimedOut,
        false => Refusal::Gone,
    }
}
