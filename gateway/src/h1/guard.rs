//! What monoio-http's decoders let through and no message may carry: ambiguous framing.
//!
//! Source of the rules: RFC 9112, section 6 (message body length) and section 11.2 (smuggling).

use http::{HeaderMap, HeaderValue, Version, header};

/// Why a head cannot be framed safely.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum FramingError {
    #[error("more than one Content-Length or Transfer-Encoding header")]
    Ambiguous,
    #[error("malformed Content-Length header")]
    Length,
    #[error("unsupported Transfer-Encoding")]
    Encoding,
}

/// How the body of a message is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// No length was given.
    None,
    /// So many bytes follow.
    Length(u64),
    /// Chunks follow.
    Chunked,
}

pub(super) fn framing(version: Version, headers: &HeaderMap) -> Result<Framing, FramingError> {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let mut encodings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let (length, encoding) = (lengths.next(), encodings.next());
    if lengths.next().is_some() || encodings.next().is_some() || (length.is_some() && encoding.is_some()) {
        return Err(FramingError::Ambiguous);
    }
    match (length, encoding) {
        (None, None) => Ok(Framing::None),
        (Some(value), _) => parse_length(value).map(Framing::Length),
        (None, Some(value)) => {
            let chunked = version == Version::HTTP_11 && value.as_bytes().eq_ignore_ascii_case(b"chunked");
            if chunked { Ok(Framing::Chunked) } else { Err(FramingError::Encoding) }
        }
    }
}

fn parse_length(value: &HeaderValue) -> Result<u64, FramingError> {
    let bytes = value.as_bytes();
    // Only digits: a sign or a list would be read differently by different peers.
    if bytes.is_empty() || !bytes.iter().all(u8::is_ascii_digit) {
        return Err(FramingError::Length);
    }
    std::str::from_utf8(bytes).ok().and_then(|digits| digits.parse().ok()).ok_or(FramingError::Length)
}

/// Whether the peer wants the connection to stay open after this message.
pub(super) fn keep_alive(version: Version, headers: &HeaderMap) -> bool {
    let mut asked = version == Version::HTTP_11;
    for value in headers.get_all(header::CONNECTION) {
        for token in value.as_bytes().split(|byte| *byte == b',') {
            let token = token.trim_ascii();
            if token.eq_ignore_ascii_case(b"close") {
                return false;
            }
            asked |= token.eq_ignore_ascii_case(b"keep-alive");
        }
    }
    asked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in list {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn ambiguous_framing_is_refused() {
        let check = |version, list: &[(&'static str, &'static str)], expected| {
            assert_eq!(framing(version, &headers(list)), expected, "{list:?}");
        };
        let one = Version::HTTP_11;
        check(one, &[], Ok(Framing::None));
        check(one, &[("content-length", "7")], Ok(Framing::Length(7)));
        check(one, &[("transfer-encoding", "Chunked")], Ok(Framing::Chunked));
        check(one, &[("content-length", "7"), ("content-length", "7")], Err(FramingError::Ambiguous));
        check(
            one,
            &[("content-length", "7"), ("transfer-encoding", "chunked")],
            Err(FramingError::Ambiguous),
        );
        check(
            one,
            &[("transfer-encoding", "gzip"), ("transfer-encoding", "chunked")],
            Err(FramingError::Ambiguous),
        );
        check(one, &[("transfer-encoding", "gzip, chunked")], Err(FramingError::Encoding));
        check(one, &[("transfer-encoding", "identity")], Err(FramingError::Encoding));
        check(Version::HTTP_10, &[("transfer-encoding", "chunked")], Err(FramingError::Encoding));
        for bad in ["+7", "-1", "", "7,7", "0x7", "18446744073709551616", "7 7"] {
            check(one, &[("content-length", bad)], Err(FramingError::Length));
        }
    }

    #[test]
    fn keep_alive_follows_version_and_connection_header() {
        let check = |version, list: &[(&'static str, &'static str)], expected| {
            assert_eq!(keep_alive(version, &headers(list)), expected, "{list:?}");
        };
        check(Version::HTTP_11, &[], true);
        check(Version::HTTP_10, &[], false);
        check(Version::HTTP_10, &[("connection", "Keep-Alive")], true);
        check(Version::HTTP_11, &[("connection", "te, Close")], false);
    }
}
