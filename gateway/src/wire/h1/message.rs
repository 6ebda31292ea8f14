//! Requests as clients sent them, and responses as the gateway gives them, with complete bodies or in pieces.

use std::{
    cell::Cell,
    fmt,
    net::{IpAddr, Ipv4Addr},
    rc::Rc,
};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Uri, Version};
use tokio::sync::mpsc;

use crate::wire::h1::date;

/// The headers by which responses differ, the same on every response as in Meilisearch: see `server::cors`.
const VARY: &[u8] = b"vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers\r\n";

/// A request whose body has arrived completely and within the limit, unless it is an upload.
#[derive(Debug)]
pub struct Request {
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// The body of a large upload, which comes in pieces up to an empty one; then `body` is empty. It was cut when
    /// the pieces end without the empty one.
    pub upload: Option<Pieces>,
    /// Whether the client wants the connection kept open.
    pub keep_alive: bool,
    /// The address of the other end of the connection: a client's, or that of a proxy before it.
    pub peer: IpAddr,
}

impl Request {
    /// The address of requests that came over no connection.
    pub const NO_PEER: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

    /// The value of a header that is visible ASCII; of several headers of this name the first.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// A response to a client.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: StatusCode,
    pub content_type: Option<&'static str>,
    /// Further headers; names in lower case.
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
    /// The rest of the body, which comes in pieces and ends the connection; then `body` is empty.
    pub pieces: Option<Pieces>,
}

/// A body that is still being made: a response's ends when its sender is dropped.
#[derive(Clone)]
pub struct Pieces(Rc<Cell<Option<mpsc::Receiver<Bytes>>>>);

impl Pieces {
    #[must_use]
    pub fn new(receiver: mpsc::Receiver<Bytes>) -> Self {
        Self(Rc::new(Cell::new(Some(receiver))))
    }

    /// Takes the receiver out; a copy of the message has none then.
    pub(crate) fn take(&self) -> Option<mpsc::Receiver<Bytes>> {
        self.0.take()
    }
}

impl fmt::Debug for Pieces {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Pieces")
    }
}

impl Response {
    /// A JSON response.
    #[must_use]
    pub fn json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            content_type: Some("application/json"),
            headers: Vec::new(),
            body: body.into(),
            pieces: None,
        }
    }

    /// A response without a body.
    #[must_use]
    pub fn empty(status: StatusCode) -> Self {
        Self { status, content_type: None, headers: Vec::new(), body: Bytes::new(), pieces: None }
    }

    /// Adds a header to the response.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The status line and headers as they are sent in answer to a request of `version`.
    pub(crate) fn encode_head(&self, version: Version, keep_alive: bool) -> Vec<u8> {
        self.head(version, keep_alive, Some(self.body.len()))
    }

    /// The same for a response whose body has no length yet: it comes in chunks, and ends the connection.
    pub(crate) fn encode_stream_head(&self, version: Version) -> Vec<u8> {
        self.head(version, false, None)
    }

    fn head(&self, version: Version, keep_alive: bool, length: Option<usize>) -> Vec<u8> {
        let mut head = Vec::with_capacity(256 + self.body.len().min(64 << 10));
        // A client of HTTP/1.0 may understand no other; all that is sent to it is as in HTTP/1.0.
        let of_version: &[u8] = if version == Version::HTTP_10 { b"HTTP/1.0 " } else { b"HTTP/1.1 " };
        head.extend_from_slice(of_version);
        if self.status == StatusCode::OK {
            head.extend_from_slice(b"200 OK\r\n");
        } else {
            head.extend_from_slice(self.status.as_str().as_bytes());
            head.push(b' ');
            head.extend_from_slice(self.status.canonical_reason().unwrap_or("").as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        // RFC 9110, section 8.6: no Content-Length with 204.
        match length {
            Some(length) if self.status != StatusCode::NO_CONTENT => {
                let mut digits = itoa::Buffer::new();
                push_header(&mut head, "content-length", digits.format(length));
            }
            // An HTTP/1.0 client reads to the end of the connection.
            None if version != Version::HTTP_10 => push_header(&mut head, "transfer-encoding", "chunked"),
            Some(_) | None => {}
        }
        if let Some(content_type) = self.content_type {
            push_header(&mut head, "content-type", content_type);
        }
        head.extend_from_slice(b"date: ");
        head.extend_from_slice(&date::now());
        head.extend_from_slice(b"\r\n");
        head.extend_from_slice(VARY);
        for (name, value) in &self.headers {
            push_header(&mut head, name, value);
        }
        if !keep_alive {
            push_header(&mut head, "connection", "close");
        } else if version == Version::HTTP_10 {
            push_header(&mut head, "connection", "keep-alive");
        }
        head.extend_from_slice(b"\r\n");
        head
    }
}

fn push_header(head: &mut Vec<u8>, name: &str, value: &str) {
    head.extend_from_slice(name.as_bytes());
    head.extend_from_slice(b": ");
    // A control character in a value becomes a space, so that no value can end its line.
    head.extend(value.bytes().map(|byte| if byte < b' ' || byte == 0x7f { b' ' } else { byte }));
    head.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_framed_and_cannot_be_split_by_values() {
        let check = |response: Response, keep_alive, expected: &str| {
            let head = String::from_utf8(response.encode_head(Version::HTTP_11, keep_alive)).unwrap();
            let vary = std::str::from_utf8(VARY).unwrap();
            assert!(head.contains(vary), "{head}");
            let (date, rest): (Vec<_>, Vec<_>) =
                head.split_inclusive("\r\n").partition(|line| line.starts_with("date: "));
            assert_eq!(date.len(), 1, "{head}");
            assert_eq!(rest.concat().replace(vary, ""), expected);
        };
        check(
            Response::json(StatusCode::OK, "{}"),
            true,
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-type: application/json\r\n\r\n",
        );
        check(Response::empty(StatusCode::NO_CONTENT), true, "HTTP/1.1 204 No Content\r\n\r\n");
        check(
            Response::empty(StatusCode::NOT_FOUND).with_header("x-note", "a\r\nb: c"),
            false,
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nx-note: a  b: c\r\nconnection: close\r\n\r\n",
        );
        let stream = Response::empty(StatusCode::OK).encode_stream_head(Version::HTTP_11);
        assert!(stream.ends_with(b"connection: close\r\n\r\n"));
        let stream = String::from_utf8(stream).unwrap();
        assert!(stream.contains("transfer-encoding: chunked\r\n") && !stream.contains("content-length"));
        let old = Response::empty(StatusCode::OK).encode_head(Version::HTTP_10, true);
        assert!(old.starts_with(b"HTTP/1.0 200 OK\r\n") && old.ends_with(b"connection: keep-alive\r\n\r\n"));
        let gone = Response::empty(StatusCode::GONE).encode_head(Version::HTTP_10, false);
        assert!(gone.starts_with(b"HTTP/1.0 410 Gone\r\n"));
    }
}
