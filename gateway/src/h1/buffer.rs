//! A stream with its receive buffer: the only place that reads from or writes to a socket.
//!
//! Invariant: after an error or a timeout the stream is unusable and its owner closes it.

use std::{io, time::Duration};

use bytes::{Bytes, BytesMut};
use monoio::{
    buf::{IoBuf, SliceMut},
    io::{AsyncReadRent, AsyncWriteRentExt},
};

use crate::runtime::{Runtime, timeout};

/// Free space asked for before a read; one page of head and small body fits.
const READ_BYTES_MIN: usize = 8 << 10;

pub(super) struct Buffered<R: Runtime> {
    stream: R::Stream,
    pub(super) received: BytesMut,
}

impl<R: Runtime> Buffered<R> {
    pub(super) fn new(stream: R::Stream) -> Self {
        Self { stream, received: BytesMut::with_capacity(READ_BYTES_MIN) }
    }

    /// Receives once, appending; 0 means that the peer has closed its side.
    pub(super) async fn receive(&mut self, bytes_wanted: usize) -> io::Result<usize> {
        self.received.reserve(bytes_wanted.max(READ_BYTES_MIN));
        let buffer = std::mem::take(&mut self.received);
        let (begin, end) = (buffer.len(), buffer.capacity());
        let (result, slice) = self.stream.read(SliceMut::new(buffer, begin, end)).await;
        self.received = slice.into_inner();
        result
    }

    /// [`Buffered::receive`] within `limit`; a timeout is an error of kind `TimedOut`.
    pub(super) async fn receive_within(&mut self, bytes_wanted: usize, limit: Duration) -> io::Result<usize> {
        timeout::<R, _>(limit, self.receive(bytes_wanted))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Sends all of `bytes`.
    pub(super) async fn send<T: IoBuf + 'static>(&mut self, bytes: T) -> io::Result<()> {
        let (result, _) = self.stream.write_all(bytes).await;
        result.map(|_| ())
    }

    /// Sends a head and its body, in one piece while the body is small enough to copy.
    pub(super) async fn send_message(&mut self, mut head: Vec<u8>, body: Bytes) -> io::Result<()> {
        /// Above this a copy costs more than a second send.
        const COPIED_BYTES_MAX: usize = 64 << 10;
        if body.len() <= COPIED_BYTES_MAX {
            head.extend_from_slice(&body);
            return self.send(head).await;
        }
        self.send(head).await?;
        self.send(body).await
    }
}
