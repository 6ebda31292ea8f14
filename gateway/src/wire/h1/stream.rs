//! A socket, plain or under TLS, as bytes in and bytes out.
//!
//! Invariants: under TLS what is received and not yet handed out is bounded by one record and one read. What the
//! session has to send is sent before anything is waited for. rustls does no IO itself, so one adapter serves every
//! runtime of the seam.

use std::io::{self, Read, Write};

use bytes::BytesMut;
use monoio::{
    buf::{IoBuf, SliceMut},
    io::{AsyncReadRent, AsyncWriteRent, AsyncWriteRentExt},
};
use rustls::Connection;

use crate::wire::runtime;

/// The size of one receive: the largest record with its header.
const RECORD_BYTES_MAX: usize = (16 << 10) + 256;
/// How much is encrypted before it is sent.
const SENT_BYTES_STEP: usize = 64 << 10;

/// One connection.
pub(crate) enum Stream {
    Plain(runtime::Stream),
    Tls(Box<TlsStream>),
}

/// A TLS session and the socket below it.
pub(crate) struct TlsStream {
    socket: runtime::Stream,
    session: Connection,
    /// Received records that are not complete yet.
    records: BytesMut,
}

impl Stream {
    /// A stream under TLS, before its handshake.
    pub(crate) fn tls(socket: runtime::Stream, session: Connection) -> Self {
        Self::Tls(Box::new(TlsStream { socket, session, records: BytesMut::new() }))
    }

    /// Brings the TLS session up; does nothing for a plain socket.
    pub(crate) async fn handshake(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(stream) => stream.handshake().await,
        }
    }

    /// Whether everything received is handed out, and nothing waits in the socket.
    pub(crate) fn is_silent(&self) -> bool {
        match self {
            Self::Plain(socket) => socket.is_silent(),
            Self::Tls(stream) => stream.records.is_empty() && stream.socket.is_silent(),
        }
    }

    /// Appends at most `most` bytes to `buffer`, and no more than it has room for; 0 means that the peer has ended.
    pub(crate) async fn read(&mut self, buffer: BytesMut, most: usize) -> (io::Result<usize>, BytesMut) {
        let (begin, end) = (buffer.len(), buffer.capacity());
        let end = end.min(begin.saturating_add(most));
        match self {
            Self::Plain(socket) => {
                let (result, slice) = socket.read(SliceMut::new(buffer, begin, end)).await;
                (result, slice.into_inner())
            }
            Self::Tls(stream) => stream.read(buffer, end).await,
        }
    }

    /// Sends some of `bytes` from `start` on; gives how many.
    pub(crate) async fn write<T: IoBuf + AsRef<[u8]>>(
        &mut self,
        bytes: T,
        start: usize,
    ) -> (io::Result<usize>, T) {
        let end = bytes.as_ref().len();
        match self {
            Self::Plain(socket) => {
                let (result, slice) = socket.write(bytes.slice(start..end)).await;
                (result, slice.into_inner())
            }
            Self::Tls(stream) => {
                let result = stream.write(&bytes.as_ref()[start..end.min(start + SENT_BYTES_STEP)]).await;
                (result, bytes)
            }
        }
    }

    /// Tells the peer that nothing more will come.
    pub(crate) async fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.shutdown().await,
            Self::Tls(stream) => {
                stream.session.send_close_notify();
                stream.flush().await?;
                stream.socket.shutdown().await
            }
        }
    }
}

impl TlsStream {
    async fn handshake(&mut self) -> io::Result<()> {
        while self.session.is_handshaking() {
            self.flush().await?;
            if !self.session.wants_read() {
                continue;
            }
            if self.receive().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        self.flush().await
    }

    async fn read(&mut self, mut buffer: BytesMut, end: usize) -> (io::Result<usize>, BytesMut) {
        let begin = buffer.len();
        buffer.resize(end, 0);
        let result = loop {
            match self.session.reader().read(&mut buffer[begin..]) {
                // The peer has announced its end.
                Ok(count) => break Ok(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => break Err(error),
            }
            let received = async {
                self.flush().await?;
                self.receive().await
            };
            match received.await {
                // The end was not announced, so a third party may have caused it: a message may be incomplete.
                Ok(0) => break Ok(0),
                Ok(_) => {}
                Err(error) => break Err(error),
            }
        };
        buffer.truncate(begin + result.as_ref().map_or(0, |count| *count));
        (result, buffer)
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.session.writer().write(bytes)?;
        self.flush().await?;
        Ok(count)
    }

    /// Sends all records that wait.
    async fn flush(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            let mut records = Vec::new();
            while self.session.wants_write() && records.len() < SENT_BYTES_STEP {
                self.session.write_tls(&mut records)?;
            }
            let (result, _) = self.socket.write_all(records).await;
            result?;
        }
        Ok(())
    }

    /// Decrypts what was received, or receives once and decrypts that; 0 means that the socket has ended.
    async fn receive(&mut self) -> io::Result<usize> {
        if self.records.is_empty() {
            self.records.reserve(RECORD_BYTES_MAX);
            let (begin, end) = (0, self.records.capacity());
            let (result, slice) =
                self.socket.read(SliceMut::new(std::mem::take(&mut self.records), begin, end)).await;
            self.records = slice.into_inner();
            if result? == 0 {
                return Ok(0);
            }
        }
        let had = self.records.len();
        if let Err(error) = self.open() {
            // Tells the peer why, if it still listens.
            let _ = self.flush().await;
            return Err(error);
        }
        Ok(had)
    }

    /// Gives records to the session until data can be read from it or no record is left.
    fn open(&mut self) -> io::Result<()> {
        while !self.records.is_empty() {
            let taken = self.session.read_tls(&mut &self.records[..])?;
            if taken == 0 {
                // Bytes after the peer's announced end do not count.
                self.records.clear();
                break;
            }
            let _ = self.records.split_to(taken);
            let state = self.session.process_new_packets();
            let state = state.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            if state.plaintext_bytes_to_read() > 0 {
                break;
            }
        }
        Ok(())
    }
}
