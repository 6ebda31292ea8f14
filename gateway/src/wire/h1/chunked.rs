//! Decodes bodies in chunks strictly: sizes, extensions and trailers.
//!
//! Invariants: pure. What is decoded is appended to the body and never held twice. Extensions and trailers are
//! checked, bounded and dropped. A line ends with CR LF. Source: RFC 9112, section 7.1.

use bytes::{Buf, BytesMut};
use memchr::memchr;

use crate::wire::h1::scan::{HeadError, HeadLimits, HeadScanner};

/// Bytes of a chunk's size line.
const SIZE_LINE_BYTES_MAX: usize = 1024;
/// Bytes of the extensions of all chunks of one body: nobody needs them, and they must not hide work.
const EXTENSION_BYTES_MAX: usize = 16 << 10;
/// Digits of a size; a number of more digits does not fit.
const SIZE_DIGITS_MAX: usize = 16;
/// Trailer fields of one body.
const TRAILERS_MAX: usize = 64;
const TRAILER_LIMITS: HeadLimits =
    HeadLimits { start_line_bytes_max: 8 << 10, head_bytes_max: 8 << 10, fields_max: TRAILERS_MAX };

/// Why chunks are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChunkError {
    Malformed(&'static str),
    /// The body would exceed its limit.
    TooLarge,
}

#[derive(Debug)]
enum State {
    Size,
    /// This many bytes of the chunk are still to come.
    Data(u64),
    DataEnd,
    Trailers(HeadScanner),
}

/// Decodes one body.
#[derive(Debug)]
pub(crate) struct ChunkedDecoder {
    state: State,
    extension_bytes: usize,
    body_bytes_max: usize,
}

impl ChunkedDecoder {
    pub(crate) fn new(body_bytes_max: usize) -> Self {
        Self { state: State::Size, extension_bytes: 0, body_bytes_max }
    }

    /// Moves as much as possible from `received` to `body`; gives whether the body is complete.
    pub(crate) fn decode(
        &mut self,
        received: &mut BytesMut,
        body: &mut BytesMut,
    ) -> Result<bool, ChunkError> {
        loop {
            match &mut self.state {
                State::Size => {
                    let Some(line) = size_line(received)? else { return Ok(false) };
                    let (size, extension_bytes) = parse_size(&received[..line])?;
                    self.extension_bytes += extension_bytes;
                    if self.extension_bytes > EXTENSION_BYTES_MAX {
                        return Err(ChunkError::Malformed("too many chunk extensions"));
                    }
                    if size > (self.body_bytes_max - body.len()) as u64 {
                        return Err(ChunkError::TooLarge);
                    }
                    received.advance(line + 2);
                    self.state = match size {
                        0 => State::Trailers(HeadScanner::default()),
                        size => State::Data(size),
                    };
                }
                State::Data(missing) => {
                    let count = received.len().min(usize::try_from(*missing).unwrap_or(usize::MAX));
                    if count == 0 {
                        return Ok(false);
                    }
                    body.extend_from_slice(&received[..count]);
                    received.advance(count);
                    *missing -= count as u64;
                    if *missing == 0 {
                        self.state = State::DataEnd;
                    }
                }
                State::DataEnd => {
                    if !b"\r\n".starts_with(&received[..received.len().min(2)]) {
                        return Err(ChunkError::Malformed("a chunk longer than its size"));
                    }
                    if received.len() < 2 {
                        return Ok(false);
                    }
                    received.advance(2);
                    self.state = State::Size;
                }
                State::Trailers(scanner) => {
                    let Some(length) = scanner.scan(received, &TRAILER_LIMITS).map_err(trailers_refused)?
                    else {
                        return Ok(false);
                    };
                    check_trailers(&received[..length])?;
                    received.advance(length);
                    return Ok(true);
                }
            }
        }
    }
}

/// Where the size line at the start of `received` ends, once it is complete.
fn size_line(received: &[u8]) -> Result<Option<usize>, ChunkError> {
    let begun = &received[..received.len().min(SIZE_LINE_BYTES_MAX)];
    match memchr(b'\n', begun) {
        Some(end) if end > 0 && begun[end - 1] == b'\r' => Ok(Some(end - 1)),
        Some(_) => Err(ChunkError::Malformed("a line feed without a carriage return")),
        None if begun.len() == SIZE_LINE_BYTES_MAX => {
            Err(ChunkError::Malformed("a chunk's size line is too long"))
        }
        None if begun.first().is_some_and(|byte| !byte.is_ascii_hexdigit()) => {
            Err(ChunkError::Malformed("a chunk without a size"))
        }
        None => Ok(None),
    }
}

/// The size that a line names, and the bytes of its extensions.
fn parse_size(line: &[u8]) -> Result<(u64, usize), ChunkError> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    if digits == 0 || digits > SIZE_DIGITS_MAX {
        return Err(ChunkError::Malformed("a chunk without a size"));
    }
    let fold = |size: u64, byte: &u8| size << 4 | u64::from(char::from(*byte).to_digit(16).unwrap_or(0));
    let size = line[..digits].iter().fold(0, fold);
    let extensions = &line[digits..];
    // White space is allowed before the semicolon only.
    let named = extensions.trim_ascii_start().first() == Some(&b';');
    if !extensions.is_empty() && !named {
        return Err(ChunkError::Malformed("a chunk's size is followed by something else"));
    }
    if extensions.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
        return Err(ChunkError::Malformed("a control character in a chunk extension"));
    }
    Ok((size, extensions.len()))
}

fn trailers_refused(error: HeadError) -> ChunkError {
    ChunkError::Malformed(match error {
        HeadError::Malformed(reason) => reason,
        HeadError::StartLineTooLong | HeadError::TooLarge | HeadError::TooManyFields => "too many trailers",
    })
}

/// Checks the trailers, which are fields like others; none is used, so none can overrule the head.
fn check_trailers(section: &[u8]) -> Result<(), ChunkError> {
    let mut fields = [httparse::EMPTY_HEADER; TRAILERS_MAX + 1];
    match httparse::parse_headers(section, &mut fields) {
        Ok(httparse::Status::Complete(_)) => Ok(()),
        Ok(httparse::Status::Partial) | Err(_) => Err(ChunkError::Malformed("a malformed trailer")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decoding all bytes at once and byte by byte gives the same result.
    fn check(bytes: &str, expected: Result<Option<&str>, ChunkError>) {
        let decode = |step: usize| {
            let (mut decoder, mut body) = (ChunkedDecoder::new(20), BytesMut::new());
            let mut received = BytesMut::new();
            for piece in bytes.as_bytes().chunks(step) {
                received.extend_from_slice(piece);
                if decoder.decode(&mut received, &mut body)? {
                    return Ok(Some(String::from_utf8(body.to_vec()).unwrap()));
                }
            }
            Ok(None)
        };
        let expected = expected.map(|body| body.map(str::to_owned));
        assert_eq!(decode(bytes.len()), expected, "{bytes:?}");
        assert_eq!(decode(1), expected, "{bytes:?} byte by byte");
    }

    #[test]
    fn chunks_become_a_body() {
        check("0\r\n\r\n", Ok(Some("")));
        check("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", Ok(Some("abcde")));
        check("00A\r\n0123456789\r\n0\r\n\r\n", Ok(Some("0123456789")));
        check("1;name=value;\"other\"\r\na\r\n0 ; x\r\n\r\n", Ok(Some("a")));
        check("1\r\na\r\n0\r\nDate: now\r\nContent-Length: 9\r\n\r\n", Ok(Some("a")));
        check("1\r\na\r\n0\r\n", Ok(None));
        check("5\r\nab", Ok(None));
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        let malformed = |bytes: &str, reason| check(bytes, Err(ChunkError::Malformed(reason)));
        malformed("x\r\n", "a chunk without a size");
        malformed("-1\r\n", "a chunk without a size");
        malformed(" 1\r\n", "a chunk without a size");
        malformed("00000000000000001\r\n", "a chunk without a size");
        malformed("1 \r\na", "a chunk's size is followed by something else");
        malformed("0x1\r\n", "a chunk's size is followed by something else");
        malformed("1\na\r\n", "a line feed without a carriage return");
        malformed("1;\x01\r\n", "a control character in a chunk extension");
        malformed("1\r\nab\r\n", "a chunk longer than its size");
        malformed("0\r\nno field\r\n\r\n", "a malformed trailer");
        malformed("0\r\n folded\r\n\r\n", "a line that begins with white space");
        check("15\r\n", Err(ChunkError::TooLarge));
        check("ffffffffffffffff\r\n", Err(ChunkError::TooLarge));
        check("a\r\n0123456789\r\nb\r\n", Err(ChunkError::TooLarge));
    }

    #[test]
    fn extensions_and_trailers_are_bounded() {
        let mut body = BytesMut::new();
        let mut received = BytesMut::from(format!("1;{}\r\na\r\n", "x".repeat(900)).repeat(20).as_bytes());
        let refused = ChunkedDecoder::new(100).decode(&mut received, &mut body);
        assert_eq!(refused, Err(ChunkError::Malformed("too many chunk extensions")));
        let mut received = BytesMut::from(format!("0\r\n{}", "a: b\r\n".repeat(66)).as_bytes());
        let refused = ChunkedDecoder::new(100).decode(&mut received, &mut body);
        assert_eq!(refused, Err(ChunkError::Malformed("too many trailers")));
    }
}
