//! A client that sends bytes as they are and reads responses to the letter.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

/// The longest wait for a response on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// One connection.
#[derive(Debug)]
pub(crate) struct Wire<S = TcpStream> {
    stream: S,
    received: Vec<u8>,
}

/// One response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// In lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

/// A connection with a read timeout.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

impl Wire {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::over(connect(address))
    }

    /// Closes the sending side.
    pub(crate) fn finish(&self) {
        // Fails only when the peer has closed both sides.
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}

impl<S: Read + Write> Wire<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self { stream, received: Vec::new() }
    }

    pub(crate) fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Sends in pieces of at most `step` bytes. When the peer has closed by then, that shows at the next read.
    pub(crate) fn send(&mut self, bytes: &[u8], step: usize) {
        for piece in bytes.chunks(step) {
            if self.stream.write_all(piece).is_err() {
                return;
            }
        }
    }

    /// Reads the next response; `None` at the end of the connection.
    pub(crate) fn read_answer(&mut self, to_head: bool) -> Option<Answer> {
        let head_length = loop {
            if let Some(at) = self.received.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.receive() {
                assert!(self.received.is_empty(), "half an answer: {:?}", self.received.escape_ascii());
                return None;
            }
        };
        let head = String::from_utf8(self.received.drain(..head_length).collect()).unwrap().to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let bodiless = to_head || status < 200 || status == 204 || status == 304;
        let length = length.filter(|_| !bodiless).map_or(0, |length| length.parse::<usize>().unwrap());
        while self.received.len() < length {
            assert!(self.receive(), "half a body: {head}");
        }
        let body = String::from_utf8(self.received.drain(..length).collect()).unwrap();
        Some(Answer { status, head, body })
    }

    /// Receives once; gives whether the connection goes on.
    fn receive(&mut self) -> bool {
        let mut piece = [0; 16 << 10];
        match self.stream.read(&mut piece) {
            Ok(0) => false,
            Ok(count) => {
                self.received.extend_from_slice(&piece[..count]);
                true
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!("neither an answer nor an end: {error}"),
        }
    }
}
