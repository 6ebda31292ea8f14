//! Framing rules: refuses what monoio-http's decoders accept and no message may carry, such as ambiguous framing,
//! targets and hosts.
//!
//! Invariant: pure. Nothing is repaired: what two peers could read differently is refused. Source of the rules: RFC
//! 9112, sections 2.3, 3, 6, 9.3 and 11.2; RFC 9110, sections 7.2 and 10.1.1.

use http::{HeaderMap, HeaderValue, Method, Uri, Version, header, uri::Authority};

use crate::wire::h1::refusal::Refusal;

/// How the body of a message is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Neither length nor chunks were announced.
    None,
    /// This many bytes follow.
    Length(u64),
    /// Chunks follow.
    Chunked,
}

/// The framing of a message.
pub(crate) fn framing(version: Version, headers: &HeaderMap) -> Result<Framing, Refusal> {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let mut encodings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let (length, encoding) = (lengths.next(), encodings.next());
    if lengths.next().is_some() || encodings.next().is_some() || (length.is_some() && encoding.is_some()) {
        return Err(Refusal::Malformed("more than one Content-Length or Transfer-Encoding header"));
    }
    match (length, encoding) {
        (None, None) => Ok(Framing::None),
        (Some(value), _) => parse_length(value).map(Framing::Length),
        (None, Some(_)) if version != Version::HTTP_11 => {
            Err(Refusal::Malformed("Transfer-Encoding in a message of HTTP/1.0"))
        }
        (None, Some(value)) if value.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
        (None, Some(value)) => Err(unsupported_encoding(value)),
    }
}

fn parse_length(value: &HeaderValue) -> Result<u64, Refusal> {
    let bytes = value.as_bytes();
    // Digits only: different peers would read a sign or a list differently.
    let digits = std::str::from_utf8(bytes).ok().filter(|_| bytes.iter().all(u8::is_ascii_digit));
    digits.and_then(|digits| digits.parse().ok()).ok_or(Refusal::Malformed("malformed Content-Length header"))
}

/// Tells an unknown coding, which this server does not have, from a list that frames nothing.
fn unsupported_encoding(value: &HeaderValue) -> Refusal {
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'+');
    let mut codings = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let named = codings.clone().all(|coding| !coding.is_empty() && coding.iter().all(token));
    let chunked = codings.clone().filter(|coding| coding.eq_ignore_ascii_case(b"chunked")).count();
    let ends_chunked = codings.next_back().is_some_and(|last| last.eq_ignore_ascii_case(b"chunked"));
    match named && chunked == 1 && ends_chunked {
        true => Refusal::NotImplemented("this transfer coding"),
        false => Refusal::Malformed("a Transfer-Encoding that does not end the body"),
    }
}

/// Whether the peer wants the connection to stay open after this message.
pub(crate) fn keep_alive(version: Version, headers: &HeaderMap) -> bool {
    let mut keep_alive = version == Version::HTTP_11;
    for value in headers.get_all(header::CONNECTION) {
        for token in value.as_bytes().split(|byte| *byte == b',') {
            let token = token.trim_ascii();
            if token.eq_ignore_ascii_case(b"close") {
                return false;
            }
            keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
        }
    }
    keep_alive
}

/// Checks a request line without its CR LF: method, target and version with single spaces in between.
pub(crate) fn check_request_line(line: &[u8]) -> Result<(), Refusal> {
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Refusal::Malformed("the request line is not method, target and version"));
    };
    if method.is_empty() || target.is_empty() {
        return Err(Refusal::Malformed("the request line is not method, target and version"));
    }
    if !target.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#') {
        return Err(Refusal::Malformed("a character in the target that none may have"));
    }
    match version {
        b"HTTP/1.1" | b"HTTP/1.0" => Ok(()),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(Refusal::Version)
        }
        _ => Err(Refusal::Malformed("the request line does not end with a version")),
    }
}

/// Checks that a target has a form that the method allows; there are four.
pub(crate) fn check_target(method: &Method, target: &Uri) -> Result<(), Refusal> {
    if method == Method::CONNECT {
        return Err(Refusal::NotImplemented("the method CONNECT"));
    }
    match (target.scheme_str(), target.authority()) {
        (None, None) if target.path() == "*" && method == Method::OPTIONS => Ok(()),
        (None, None) if target.path().starts_with('/') => Ok(()),
        (Some("http" | "https"), Some(authority)) if is_host(authority.as_str()) => Ok(()),
        _ => Err(Refusal::Malformed("a target of another form than its method has")),
    }
}

/// Checks that a request of HTTP/1.1 names its host, once.
pub(crate) fn check_host(version: Version, headers: &HeaderMap) -> Result<(), Refusal> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let Some(host) = hosts.next() else {
        return match version == Version::HTTP_10 {
            true => Ok(()),
            false => Err(Refusal::Malformed("no Host header")),
        };
    };
    if hosts.next().is_some() {
        return Err(Refusal::Malformed("more than one Host header"));
    }
    match host.to_str() {
        Ok("") => Ok(()),
        Ok(text) if is_host(text) => Ok(()),
        _ => Err(Refusal::Malformed("a Host header that is no host")),
    }
}

/// `host[:port]`, without a user.
fn is_host(text: &str) -> bool {
    let Ok(authority) = text.parse::<Authority>() else { return false };
    let port = text.strip_prefix(authority.host()).and_then(|rest| match rest {
        "" | ":" => Some(0),
        rest => rest
            .strip_prefix(':')
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?
            .parse()
            .ok(),
    });
    port.is_some_and(|_: u16| !authority.host().is_empty() && !text.contains('@'))
}

/// Whether the client waits for an interim answer before it sends the body.
pub(crate) fn expects_continue(version: Version, headers: &HeaderMap) -> Result<bool, Refusal> {
    let mut expectations = headers.get_all(header::EXPECT).iter();
    // RFC 9110, section 10.1.1: expectations of HTTP/1.0 clients are ignored.
    if version == Version::HTTP_10 {
        return Ok(false);
    }
    let known = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    match (expectations.next(), expectations.next()) {
        (None, _) => Ok(false),
        (Some(value), None) if known(value) => Ok(true),
        _ => Err(Refusal::Expectation),
    }
}

/// Whether a byte is allowed in a token, such as a method.
pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
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
        let check = |version, list: &[(&'static str, &'static str)], expected: Result<Framing, u16>| {
            let found = framing(version, &headers(list));
            let found = found.map_err(|refusal| refusal.status().unwrap().as_u16());
            assert_eq!(found, expected, "{list:?}");
        };
        let one = Version::HTTP_11;
        check(one, &[], Ok(Framing::None));
        check(one, &[("content-length", "7")], Ok(Framing::Length(7)));
        check(one, &[("transfer-encoding", "Chunked")], Ok(Framing::Chunked));
        check(one, &[("content-length", "7"), ("content-length", "7")], Err(400));
        check(one, &[("content-length", "7"), ("transfer-encoding", "chunked")], Err(400));
        check(one, &[("transfer-encoding", "gzip"), ("transfer-encoding", "chunked")], Err(400));
        check(one, &[("transfer-encoding", "gzip, chunked")], Err(501));
        for bad in ["identity", "gzip", "chunked, gzip", "chunked, chunked", "", ",chunked", "chunked;q=1"] {
            check(one, &[("transfer-encoding", bad)], Err(400));
        }
        check(Version::HTTP_10, &[("transfer-encoding", "chunked")], Err(400));
        for bad in ["+7", "-1", "", "7,7", "0x7", "18446744073709551616", "7 7"] {
            check(one, &[("content-length", bad)], Err(400));
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

    #[test]
    fn hosts_are_hosts() {
        let check = |text: &str, expected| assert_eq!(is_host(text), expected, "{text}");
        for host in ["a", "a.b:80", "127.0.0.1", "[::1]", "[::1]:7700", "a:", "a_b"] {
            check(host, true);
        }
        for other in ["a b", "a/b", "u@a", "a:b", "a:80:80", ":80", "a:99999", "[::1", "a,b?"] {
            check(other, false);
        }
    }
}
