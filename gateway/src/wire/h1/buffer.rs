//! A stream with its receive buffer: the only place that reads from or writes to a socket.
//!
//! Invariants: after an error or a timeout the stream is unusable, and its owner closes it. A large body never leaves
//! its memory behind in the receive buffer.

use std::{
    io,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use monoio::buf::IoBuf;

use crate::wire::{
    h1::stream::Stream,
    runtime::{self, timeout},
};

/// Free space in the buffer before a read; head and body of a search fit.
const READ_BYTES_MIN: usize = 4 << 10;
/// The least part of a client's body that is read before more memory is taken for it.
const BODY_BYTES_STEP: usize = 64 << 10;
/// The same for nodes' answers, of which there are fewer, and which were asked for: most fit into one piece of
/// memory.
const NODE_BODY_BYTES_STEP: usize = 1 << 20;
/// Up to this size a body is read into the receive buffer itself.
const BODY_BYTES_SMALL: usize = 32 << 10;

/// How long a peer may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Between two receives or sends that move something.
    pub(crate) gap: Duration,
    /// Until all of it has moved.
    pub(crate) until: Instant,
}

impl Patience {
    /// All of it within `whole`, and nothing for at most `gap`.
    pub(crate) fn new(gap: Duration, whole: Duration) -> Self {
        Self { gap, until: runtime::now() + whole }
    }

    fn left(self) -> Duration {
        self.gap.min(self.until.saturating_duration_since(runtime::now()))
    }
}

pub(crate) struct Buffered {
    stream: Stream,
    pub(crate) received: BytesMut,
}

impl Buffered {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, received: BytesMut::with_capacity(READ_BYTES_MIN) }
    }

    /// Brings up the stream's TLS session, if it has one.
    pub(crate) async fn handshake(&mut self) -> io::Result<()> {
        self.stream.handshake().await
    }

    /// Whether the buffer is empty and nothing waits in the socket.
    pub(crate) fn is_silent(&self) -> bool {
        self.received.is_empty() && self.stream.is_silent()
    }

    /// Receives once and appends; 0 means that the peer has closed its side.
    pub(crate) async fn receive(&mut self) -> io::Result<usize> {
        self.received.reserve(READ_BYTES_MIN);
        let buffer = std::mem::take(&mut self.received);
        let (result, buffer) = self.stream.read(buffer, usize::MAX).await;
        self.received = buffer;
        result
    }

    /// [`Buffered::receive`] within `patience`; a timeout is an error of kind `TimedOut`.
    pub(crate) async fn receive_within(&mut self, patience: Patience) -> io::Result<usize> {
        timed_out(timeout(patience.left(), self.receive()).await)
    }

    /// Receives a body of `length` bytes, a part of which may be in the buffer. A connection that ends too early is
    /// an error of kind `UnexpectedEof`. Without `patience` the body is a node's, and the caller bounds the time.
    pub(crate) async fn receive_body(
        &mut self,
        length: usize,
        patience: Option<Patience>,
    ) -> io::Result<Bytes> {
        if length <= BODY_BYTES_SMALL {
            self.received.reserve(length.saturating_sub(self.received.len()));
            while self.received.len() < length {
                let count = match patience {
                    Some(patience) => self.receive_within(patience).await?,
                    None => self.receive().await?,
                };
                if count == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            return Ok(self.received.split_to(length).freeze());
        }
        // The body has memory of its own, which is freed with the body.
        let had = self.received.len().min(length);
        let step = if patience.is_some() { BODY_BYTES_STEP } else { NODE_BODY_BYTES_STEP };
        let mut body = BytesMut::with_capacity((length + 1).min(step));
        body.extend_from_slice(&self.received.split_to(had));
        while body.len() < length {
            // Grows with what has really arrived, so that an announced length alone costs no memory. One byte more
            // shows whether something follows the body.
            let missing = length - body.len() + 1;
            body.reserve(missing.min(body.len().max(step)));
            let reading = self.stream.read(std::mem::take(&mut body), missing);
            let (result, buffer) = match patience {
                Some(patience) => match timeout(patience.left(), reading).await {
                    Ok(read) => read,
                    Err(_) => return Err(io::ErrorKind::TimedOut.into()),
                },
                None => reading.await,
            };
            body = buffer;
            if result? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        self.received.extend_from_slice(&body[length..]);
        body.truncate(length);
        Ok(body.freeze())
    }

    /// Sends all of `bytes`.
    pub(crate) async fn send<T: IoBuf + AsRef<[u8]>>(
        &mut self,
        bytes: T,
        patience: Option<Patience>,
    ) -> io::Result<()> {
        let (length, mut bytes, mut sent) = (bytes.as_ref().len(), bytes, 0);
        while sent < length {
            let writing = self.stream.write(bytes, sent);
            let (result, rest) = match patience {
                Some(patience) => match timeout(patience.left(), writing).await {
                    Ok(written) => written,
                    Err(_) => return Err(io::ErrorKind::TimedOut.into()),
                },
                None => writing.await,
            };
            bytes = rest;
            sent += match result? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => count,
            };
        }
        Ok(())
    }

    /// Sends a head and its body, in one piece while the body is small enough to copy.
    pub(crate) async fn send_message(
        &mut self,
        mut head: Vec<u8>,
        body: Bytes,
        patience: Option<Patience>,
    ) -> io::Result<()> {
        /// Above this size a copy costs more than a second send.
        const COPIED_BYTES_MAX: usize = 64 << 10;
        if body.len() <= COPIED_BYTES_MAX {
            head.extend_from_slice(&body);
            return self.send(head, patience).await;
        }
        self.send(head, patience).await?;
        self.send(body, patience).await
    }

    /// Closes the sending side, then drops what still arrives until the peer closes too or patience is over. A socket
    /// that is closed with unread bytes resets the connection, and the peer may lose the answer before it has read
    /// it. Source: RFC 9112, section 9.6.
    pub(crate) async fn close(&mut self, patience: Patience) {
        if !matches!(timeout(patience.left(), self.stream.shutdown()).await, Ok(Ok(()))) {
            return;
        }
        loop {
            self.received.clear();
            match self.receive_within(patience).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }
}

fn timed_out<T, E>(result: Result<io::Result<T>, E>) -> io::Result<T> {
    result.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
