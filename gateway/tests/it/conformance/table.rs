//! Sound and unsound requests, and the outcome of each. Where servers differ, the gateway follows the strictest of
//! nginx, hyper and Meilisearch 1.50, unless a MUST says otherwise.

#![allow(clippy::too_many_lines, reason = "a table of cases")]

use crate::gateway::MASTER_KEY;

/// The case whose outcome differs when it is sent byte by byte.
pub(super) const CAME_ALONG: &str = "a body that came along needs no word";

/// One case: the RFC section, the subject, the bytes, and the outcome: the statuses in order, then `open`, `closed`,
/// or `shut` where the client closes its side after sending. A last part in quotes must be in the last response.
pub(super) struct Case {
    pub(super) section: &'static str,
    pub(super) about: &'static str,
    pub(super) bytes: Vec<u8>,
    pub(super) outcome: String,
}

fn case(section: &'static str, about: &'static str, bytes: impl Into<Vec<u8>>, outcome: &str) -> Case {
    Case { section, about, bytes: bytes.into(), outcome: outcome.to_owned() }
}

/// A request for a path that needs neither a key nor a node, with further header lines.
pub(super) fn get(lines: &str) -> String {
    format!("GET /health HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

/// A request whose response shows which body arrived: it creates a key with that description.
pub(super) fn post(lines: &str, body: &str) -> String {
    format!(
        "POST /keys HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {MASTER_KEY}\r\n\
         Content-Type: application/json\r\n{lines}\r\n{body}"
    )
}

pub(super) fn key(description: &str) -> String {
    format!(r#"{{"description":"{description}","actions":["search"],"indexes":["*"],"expiresAt":null}}"#)
}

pub(super) fn chunk(data: &str) -> String {
    format!("{:x}\r\n{data}\r\n", data.len())
}

fn request_lines() -> Vec<Case> {
    let line = |about, line: &str, outcome| {
        case("RFC 9112, 3", about, format!("{line}\r\nHost: a\r\n\r\n"), outcome)
    };
    let target = |about, line: &str, outcome| {
        case("RFC 9112, 3.2", about, format!("{line}\r\nHost: a\r\n\r\n"), outcome)
    };
    vec![
        line("as it should be", "GET /health HTTP/1.1", "200 open"),
        line("two spaces after the method", "GET  /health HTTP/1.1", "400 closed"),
        line("two spaces before the version", "GET /health  HTTP/1.1", "400 closed"),
        line("a tab for a space", "GET\t/health HTTP/1.1", "400 closed"),
        line("a space at the end", "GET /health HTTP/1.1 ", "400 closed"),
        line("a space in front", " GET /health HTTP/1.1", "400 closed"),
        line("a space inside of the target", "GET /he alth HTTP/1.1", "400 closed"),
        line("no target", "GET HTTP/1.1", "400 closed"),
        line("no version, as in HTTP/0.9", "GET /health", "400 closed"),
        line("no method", "/health HTTP/1.1", "400 closed"),
        case(
            "RFC 9112, 3.1",
            "a method in lower case is another one",
            "get /health HTTP/1.1\r\nHost: a\r\n\r\n",
            "405 open",
        ),
        case("RFC 9110, 9.1", "a method nobody knows", "FOO /health HTTP/1.1\r\nHost: a\r\n\r\n", "405 open"),
        case(
            "RFC 9110, 5.6.2",
            "a method that is no token",
            "GE(T /health HTTP/1.1\r\nHost: a\r\n\r\n",
            "400 closed",
        ),
        case(
            "RFC 9110, 5.6.2",
            "a method with a control character",
            "G\x01T /health HTTP/1.1\r\nHost: a\r\n\r\n",
            "400 closed",
        ),
        case(
            "RFC 9110, 5.6.2",
            "a method that begins with another byte",
            "\u{e9} /health HTTP/1.1\r\nHost: a\r\n\r\n",
            "400 closed",
        ),
        case(
            "RFC 9112, 3",
            "TLS where plain HTTP is spoken",
            b"\x16\x03\x01\x02\x00\x01\x00".to_vec(),
            "400 closed",
        ),
        case(
            "RFC 9110, 9.3.6",
            "CONNECT is for proxies",
            "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n",
            "501 closed",
        ),
        case(
            "RFC 9110, 9.3.8",
            "TRACE is not there",
            "TRACE /health HTTP/1.1\r\nHost: a\r\n\r\n",
            "405 open",
        ),
        case(
            "RFC 9110, 15.5.6",
            "405 names the methods",
            "PUT /health HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            "405 open \"allow: get\"",
        ),
        target("absolute form", "GET http://a/health HTTP/1.1", "200 open"),
        target("absolute form of https", "GET https://a:443/health HTTP/1.1", "200 open"),
        target("absolute form with another scheme", "GET ftp://a/health HTTP/1.1", "400 closed"),
        target("absolute form without a host", "GET http:///health HTTP/1.1", "400 closed"),
        target("authority form", "GET a:80 HTTP/1.1", "400 closed"),
        target("a path without a slash", "GET health HTTP/1.1", "400 closed"),
        target("asterisk form", "OPTIONS * HTTP/1.1", "404 open"),
        target("asterisk form with another method", "GET * HTTP/1.1", "400 closed"),
        target("a fragment", "GET /health#a HTTP/1.1", "400 closed"),
        target("a query", "GET /health?a=b HTTP/1.1", "200 open"),
        target("an encoded path", "GET /he%61lth HTTP/1.1", "200 open"),
        target("an encoding that is none stays as it is", "GET /health%zz HTTP/1.1", "404 open"),
        case(
            "RFC 9110, 4.2.4",
            "a user in the target",
            "GET http://u:p@a/health HTTP/1.1\r\nHost: a\r\n\r\n",
            "400 closed",
        ),
        case(
            "RFC 3986, 2",
            "letters beyond ASCII in the target",
            "GET /health?q=\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n",
            "400 closed",
        ),
        case(
            "RFC 3986, 2",
            "bytes that are no text in the target",
            b"GET /health?q=\xff HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
            "400 closed",
        ),
        case(
            "RFC 3986, 2",
            "a control character in the target",
            "GET /health\x7f HTTP/1.1\r\nHost: a\r\n\r\n",
            "400 closed",
        ),
        case("RFC 3986, 2", "NUL in the target", "GET /health\0 HTTP/1.1\r\nHost: a\r\n\r\n", "400 closed"),
        case(
            "RFC 9112, 3",
            "a request line over its limit",
            format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(2048)),
            "414 closed",
        ),
        case("RFC 9110, 15.5.15", "a request line that never ends", "a".repeat(4096), "414 closed"),
    ]
}

fn versions() -> Vec<Case> {
    let version = |about, version: &str, outcome| {
        case("RFC 9112, 2.3", about, format!("GET /health {version}\r\nHost: a\r\n\r\n"), outcome)
    };
    let old = |about, lines: &str, outcome| {
        case("RFC 9112, 9.3", about, format!("GET /health HTTP/1.0\r\n{lines}\r\n"), outcome)
    };
    vec![
        version("HTTP/1.1", "HTTP/1.1", "200 open"),
        version("HTTP/1.0 ends after one answer", "HTTP/1.0", "200 closed"),
        version("a minor version nobody knows", "HTTP/1.2", "505 closed"),
        version("HTTP/2 in the words of HTTP/1", "HTTP/2.0", "505 closed"),
        version("HTTP/0.9 in the words of HTTP/1", "HTTP/0.9", "505 closed"),
        version("HTTP/3 without a dot", "HTTP/3", "400 closed"),
        version("two digits", "HTTP/1.10", "400 closed"),
        version("lower case", "http/1.1", "400 closed"),
        version("another protocol", "HTTPS/1.1", "400 closed"),
        version("a sign", "HTTP/+1.1", "400 closed"),
        case("RFC 9113, 3.4", "the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505 closed"),
        old("HTTP/1.0 needs no host", "", "200 closed \"connection: close\""),
        old("HTTP/1.0 may ask to go on", "Connection: keep-alive\r\n", "200 open \"connection: keep-alive\""),
        old("HTTP/1.0 may ask in any case", "Connection: Keep-Alive\r\n", "200 open"),
        old("close beats keep-alive", "Connection: keep-alive, close\r\n", "200 closed"),
        case(
            "RFC 9112, 6.1",
            "HTTP/1.0 knows no chunks",
            "POST /keys HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "400 closed",
        ),
        case("RFC 9112, 9.3", "HTTP/1.1 goes on", get("") + &get(""), "200 200 open"),
        case(
            "RFC 9112, 9.6",
            "close is heard",
            get("Connection: close\r\n"),
            "200 closed \"connection: close\"",
        ),
        case("RFC 9112, 9.6", "close is heard in any case", get("connection: CLOSE\r\n"), "200 closed"),
        case("RFC 9112, 9.6", "close is heard in a list", get("Connection: te , close\r\n"), "200 closed"),
        case(
            "RFC 9112, 9.6",
            "close is heard in a second header",
            get("Connection: te\r\nConnection: close\r\n"),
            "200 closed",
        ),
        case(
            "RFC 9112, 9.6",
            "what follows a close is not answered",
            get("Connection: close\r\n") + &get(""),
            "200 closed",
        ),
        case("RFC 9112, 9.6", "a word that only contains close", get("Connection: closed\r\n"), "200 open"),
        case(
            "RFC 9110, 7.8",
            "an upgrade is not taken",
            get("Connection: upgrade\r\nUpgrade: websocket\r\n"),
            "200 open",
        ),
        case(
            "RFC 9113, 3.1",
            "nor is one to HTTP/2",
            get(
                "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
            ),
            "200 open",
        ),
    ]
}

fn lines_and_fields() -> Vec<Case> {
    let line = |about, bytes: &str, outcome| case("RFC 9112, 2.2", about, bytes, outcome);
    let field = |about, lines: &str, outcome| case("RFC 9112, 5.1", about, get(lines), outcome);
    let value = |about, lines: &[u8], outcome| {
        let bytes = [b"GET /health HTTP/1.1\r\nHost: a\r\n", lines, b"\r\n"].concat();
        case("RFC 9110, 5.5", about, bytes, outcome)
    };
    let fold = |about, lines: &str, outcome| case("RFC 9112, 5.2", about, get(lines), outcome);
    vec![
        line("an empty line in front", "\r\nGET /health HTTP/1.1\r\nHost: a\r\n\r\n", "200 open"),
        line(
            "empty lines between requests",
            "GET /health HTTP/1.1\r\nHost: a\r\n\r\n\r\n\r\nGET /health HTTP/1.1\r\nHost: a\r\n\r\n",
            "200 200 open",
        ),
        line("too many empty lines", "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n", "400 closed"),
        line("line feeds alone", "GET /health HTTP/1.1\nHost: a\n\n", "400 closed"),
        line("one line feed alone", "GET /health HTTP/1.1\r\nHost: a\n\r\n", "400 closed"),
        line("a line feed alone ends the head", "GET /health HTTP/1.1\r\nHost: a\r\n\n", "400 closed"),
        line(
            "a carriage return inside of a value",
            "GET /health HTTP/1.1\r\nHost: a\rb\r\n\r\n",
            "400 closed",
        ),
        line("two carriage returns", "GET /health HTTP/1.1\r\r\nHost: a\r\n\r\n", "400 closed"),
        line(
            "a carriage return in the request line",
            "GET /health\r HTTP/1.1\r\nHost: a\r\n\r\n",
            "400 closed",
        ),
        line(
            "white space in front of the first header",
            "GET /health HTTP/1.1\r\n Host: a\r\n\r\n",
            "400 closed",
        ),
        field("as it should be", "X-A: b\r\n", "200 open"),
        field("no space after the colon", "X-A:b\r\n", "200 open"),
        field("white space around a value", "X-A: \t b \t \r\n", "200 open"),
        field("an empty value", "X-A:\r\n", "200 open"),
        field("a space before the colon", "X-A : b\r\n", "400 closed"),
        field("a tab before the colon", "X-A\t: b\r\n", "400 closed"),
        field("no colon", "X-A b\r\n", "400 closed"),
        field("no name", ": b\r\n", "400 closed"),
        field("a space inside of a name", "X A: b\r\n", "400 closed"),
        field("a name with a bracket", "X[A]: b\r\n", "400 closed"),
        field("a name with a control character", "X\x01A: b\r\n", "400 closed"),
        field("a name beyond ASCII", "X\u{e9}: b\r\n", "400 closed"),
        field("every character a name may have", "!#$%&'*+-.^_`|~09azAZ: b\r\n", "200 open"),
        field("a colon in a value", "X-A: b:c\r\n", "200 open"),
        value("letters beyond ASCII", "X-A: \u{e9}\r\n".as_bytes(), "200 open"),
        value("bytes that are no text", b"X-A: \xff\xfe\r\n", "200 open"),
        value("NUL", b"X-A: a\0b\r\n", "400 closed"),
        value("a control character", b"X-A: a\x01b\r\n", "400 closed"),
        value("DEL", b"X-A: a\x7fb\r\n", "400 closed"),
        value("a vertical tab", b"X-A: a\x0bb\r\n", "400 closed"),
        fold("a folded header", "X-A: b\r\n c\r\n", "400 closed"),
        fold("a header folded by a tab", "X-A: b\r\n\tc\r\n", "400 closed"),
        fold("a folded framing", "Transfer-Encoding:\r\n chunked\r\n", "400 closed"),
        fold("a line of white space", "X-A: b\r\n \r\n", "400 closed"),
        case("RFC 6585, 5", "as many headers as there may be", get(&"X: b\r\n".repeat(15)), "200 open"),
        case("RFC 6585, 5", "one header too many", get(&"X: b\r\n".repeat(16)), "431 closed"),
        case(
            "RFC 6585, 5",
            "a header that is too large",
            get(&format!("X: {}\r\n", "b".repeat(4096))),
            "431 closed",
        ),
        case(
            "RFC 6585, 5",
            "a head that never ends",
            format!("GET /health HTTP/1.1\r\nX: {}", "b".repeat(8192)),
            "431 closed",
        ),
    ]
}

fn hosts() -> Vec<Case> {
    let host = |about, lines: &str, outcome| {
        case("RFC 9112, 3.2", about, format!("GET /health HTTP/1.1\r\n{lines}\r\n"), outcome)
    };
    vec![
        host("no host", "", "400 closed"),
        host("two hosts", "Host: a\r\nHost: b\r\n", "400 closed"),
        host("the same host twice", "Host: a\r\nHost: a\r\n", "400 closed"),
        host("an empty host", "Host:\r\n", "200 open"),
        host("a host with a port", "Host: a:7700\r\n", "200 open"),
        host("an address", "Host: 127.0.0.1:7700\r\n", "200 open"),
        host("an IPv6 address", "Host: [::1]:7700\r\n", "200 open"),
        host("a list of hosts", "Host: a, b\r\n", "400 closed"),
        host("a host with a path", "Host: a/b\r\n", "400 closed"),
        host("a host with a user", "Host: u@a\r\n", "400 closed"),
        host("a port that is no number", "Host: a:b\r\n", "400 closed"),
        host("a port out of range", "Host: a:65536\r\n", "400 closed"),
        host("a space in a host", "Host: a b\r\n", "400 closed"),
        host("a host beyond ASCII", "Host: \u{e9}\r\n", "400 closed"),
        host("the name in any case", "hOsT: a\r\n", "200 open"),
        case(
            "RFC 9112, 3.2.2",
            "the target's host wins",
            "GET http://b/health HTTP/1.1\r\nHost: a\r\n\r\n",
            "200 open",
        ),
        case(
            "RFC 9112, 3.2.2",
            "a target with a host still needs the header",
            "GET http://a/health HTTP/1.1\r\n\r\n",
            "400 closed",
        ),
    ]
}

fn lengths() -> Vec<Case> {
    let length =
        |about, lines: &str, body: &str, outcome| case("RFC 9112, 6.3", about, post(lines, body), outcome);
    let body = key("a-length");
    let sound = format!("Content-Length: {}\r\n", body.len());
    let twice = sound.clone() + &sound;
    let spaced = format!("Content-Length:   {}  \r\n", body.len());
    let zeros = format!("Content-Length: 000{}\r\n", body.len());
    vec![
        length("a body of a length", &sound, &body, "201 open \"a-length\""),
        length("white space around a length", &spaced, &body, "201 open \"a-length\""),
        length("zeros in front", &zeros, &body, "201 open \"a-length\""),
        length("no length is no body", "", "", "400 open \"missing_payload\""),
        length("a length of nothing", "Content-Length: 0\r\n", "", "400 open \"missing_payload\""),
        length("the same length twice", &twice, &body, "400 closed"),
        length("two lengths", &format!("{sound}Content-Length: 0\r\n"), &body, "400 closed"),
        length("a list of lengths", "Content-Length: 5, 5\r\n", "hello", "400 closed"),
        length("a sign", "Content-Length: +5\r\n", "hello", "400 closed"),
        length("less than nothing", "Content-Length: -5\r\n", "hello", "400 closed"),
        length("a fraction", "Content-Length: 5.0\r\n", "hello", "400 closed"),
        length("another base", "Content-Length: 0x5\r\n", "hello", "400 closed"),
        length("a unit", "Content-Length: 5b\r\n", "hello", "400 closed"),
        length("a space inside", "Content-Length: 1 0\r\n", "hello", "400 closed"),
        length("no number", "Content-Length: five\r\n", "hello", "400 closed"),
        length("no value", "Content-Length:\r\n", "hello", "400 closed"),
        length("more than can be counted", "Content-Length: 18446744073709551617\r\n", "hello", "400 closed"),
        case(
            "RFC 9110, 15.5.14",
            "a body over the limit, before it comes",
            post("Content-Length: 999999\r\n", ""),
            "413 closed \"payload_too_large\"",
        ),
        case("RFC 9112, 8", "a body that ends early", post("Content-Length: 500\r\n", &body), "shut"),
        case(
            "RFC 9110, 9.3.1",
            "a GET may have a body",
            get("Content-Length: 5\r\n") + "hello" + &get(""),
            "200 200 open",
        ),
        case(
            "RFC 9112, 11.2",
            "what follows a body is the next request",
            post(&sound, &body) + &get(""),
            "201 200 open",
        ),
        case(
            "RFC 9112, 6.3",
            "a refused request ends the connection",
            post("Content-Length: x\r\n", "") + &get(""),
            "400 closed",
        ),
    ]
}

fn encodings() -> Vec<Case> {
    let encoding =
        |about, lines: &str, body: &str, outcome| case("RFC 9112, 6.1", about, post(lines, body), outcome);
    let chunks = |about, body: &str, outcome| {
        case("RFC 9112, 7.1", about, post("Transfer-Encoding: chunked\r\n", body), outcome)
    };
    let trailers = |about, body: &str, outcome| {
        case("RFC 9112, 7.1.2", about, post("Transfer-Encoding: chunked\r\n", body), outcome)
    };
    let extensions = |about, body: &str, outcome| {
        case("RFC 9112, 7.1.1", about, post("Transfer-Encoding: chunked\r\n", body), outcome)
    };
    let body = key("in-chunks");
    let (front, back) = body.split_at(30);
    let data = chunk(front) + &chunk(back);
    let whole = data.clone() + "0\r\n\r\n";
    let size = format!("{:X}", body.len());
    vec![
        encoding("chunked", "Transfer-Encoding: chunked\r\n", &whole, "201 open \"in-chunks\""),
        encoding("in any case", "transfer-encoding: CHUNKED\r\n", &whole, "201 open \"in-chunks\""),
        encoding("and a length", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", &whole, "400 closed"),
        encoding(
            "and a length behind it",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            &whole,
            "400 closed",
        ),
        encoding(
            "twice",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            &whole,
            "400 closed",
        ),
        encoding("twice in a list", "Transfer-Encoding: chunked, chunked\r\n", &whole, "400 closed"),
        encoding("another coding as well", "Transfer-Encoding: gzip, chunked\r\n", &whole, "501 closed"),
        encoding("another coding behind it", "Transfer-Encoding: chunked, gzip\r\n", &whole, "400 closed"),
        encoding("another coding alone", "Transfer-Encoding: gzip\r\n", &whole, "400 closed"),
        encoding("identity", "Transfer-Encoding: identity\r\n", &whole, "400 closed"),
        encoding("nothing", "Transfer-Encoding:\r\n", &whole, "400 closed"),
        encoding("a parameter", "Transfer-Encoding: chunked;a=b\r\n", &whole, "400 closed"),
        encoding("quotes", "Transfer-Encoding: \"chunked\"\r\n", &whole, "400 closed"),
        encoding("a word that begins so", "Transfer-Encoding: chunkedx\r\n", &whole, "400 closed"),
        encoding("a vertical tab in front", "Transfer-Encoding: \x0bchunked\r\n", &whole, "400 closed"),
        encoding("a space before the colon", "Transfer-Encoding : chunked\r\n", &whole, "400 closed"),
        encoding(
            "a split list",
            "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
            &whole,
            "400 closed",
        ),
        chunks(
            "a size in capitals with zeros in front",
            &format!("00{size}\r\n{body}\r\n0\r\n\r\n"),
            "201 open \"in-chunks\"",
        ),
        chunks("a last chunk of many zeros", &(data.clone() + "0000\r\n\r\n"), "201 open \"in-chunks\""),
        chunks("no chunks", "0\r\n\r\n", "400 open \"missing_payload\""),
        chunks("a size with a sign", "+5\r\nhello\r\n0\r\n\r\n", "400 closed"),
        chunks("a size of another base", "0x5\r\nhello\r\n0\r\n\r\n", "400 closed"),
        chunks("a size that is none", "g\r\n", "400 closed"),
        chunks("no size", "\r\nhello\r\n", "400 closed"),
        chunks("a space in front of a size", " 5\r\nhello\r\n0\r\n\r\n", "400 closed"),
        chunks("a space behind a size", "5 \r\nhello\r\n0\r\n\r\n", "400 closed"),
        chunks("a size that overflows", "10000000000000000\r\n", "400 closed"),
        chunks("a size over the limit", "ffffffff\r\n", "413 closed"),
        chunks("sizes over the limit together", &chunk(&"a".repeat(3000)).repeat(3), "413 closed"),
        chunks("a chunk longer than its size", "3\r\nhello\r\n0\r\n\r\n", "400 closed"),
        chunks("a chunk shorter than its size", "7\r\nhello\r\n0\r\n\r\n", "400 closed"),
        chunks("a size line that ends with a line feed", "5\nhello\r\n0\r\n\r\n", "400 closed"),
        chunks("a chunk that ends with a line feed", "5\r\nhello\n0\r\n\r\n", "400 closed"),
        chunks("a carriage return inside of a size line", "5\r5\r\nhello\r\n0\r\n\r\n", "400 closed"),
        chunks("what follows is the next request", &(whole.clone() + &get("")), "201 200 open"),
        chunks("an end in the middle", &data, "shut"),
        extensions("an extension", &format!("{size};a=b\r\n{body}\r\n0\r\n\r\n"), "201 open \"in-chunks\""),
        extensions(
            "white space around it",
            &format!("{size} ; a = \"b;c\"\r\n{body}\r\n0;d\r\n\r\n"),
            "201 open \"in-chunks\"",
        ),
        extensions("a control character in one", "5;a=\x01\r\nhello\r\n0\r\n\r\n", "400 closed"),
        extensions("one without a semicolon", "5 a\r\nhello\r\n0\r\n\r\n", "400 closed"),
        extensions("one that is too long", &format!("5;{}\r\n", "a".repeat(2000)), "400 closed"),
        extensions("too many of them", &format!("1;{}\r\na\r\n", "a".repeat(1000)).repeat(20), "400 closed"),
        trailers("a trailer", &(data.clone() + "0\r\nX-A: b\r\n\r\n"), "201 open \"in-chunks\""),
        trailers(
            "one that would frame",
            &(data.clone() + "0\r\nContent-Length: 5\r\n\r\n" + &get("")),
            "201 200 open",
        ),
        trailers(
            "one that would allow",
            &(data.clone() + "0\r\nAuthorization: Bearer x\r\n\r\n"),
            "201 open \"in-chunks\"",
        ),
        trailers("one without a colon", &(data.clone() + "0\r\nnothing\r\n\r\n"), "400 closed"),
        trailers("a folded one", &(data.clone() + "0\r\nX-A: b\r\n c\r\n\r\n"), "400 closed"),
        trailers("one that ends with a line feed", &(data.clone() + "0\r\nX-A: b\n\r\n"), "400 closed"),
        trailers("too many of them", &(data + "0\r\n" + &"X-A: b\r\n".repeat(100) + "\r\n"), "400 closed"),
    ]
}

fn answers_and_connections() -> Vec<Case> {
    let expect = |about, lines: &str, body: &str, outcome: &str| {
        case("RFC 9110, 10.1.1", about, post(lines, body), outcome)
    };
    let body = key("expected");
    let length = format!("Content-Length: {}\r\n", body.len());
    vec![
        expect(CAME_ALONG, &format!("{length}Expect: 100-continue\r\n"), &body, "201 open \"expected\""),
        expect("no body needs no word", "Expect: 100-continue\r\nContent-Length: 0\r\n", "", "400 open"),
        expect(
            "a body over the limit is refused instead",
            "Expect: 100-continue\r\nContent-Length: 999999\r\n",
            "",
            "413 closed",
        ),
        expect("another expectation", "Expect: everything\r\nContent-Length: 0\r\n", "", "417 closed"),
        expect("two expectations", "Expect: 100-continue, x\r\nContent-Length: 0\r\n", "", "417 closed"),
        case(
            "RFC 9110, 10.1.1",
            "HTTP/1.0 expects nothing",
            "GET /health HTTP/1.0\r\nExpect: everything\r\n\r\n",
            "200 closed",
        ),
        case(
            "RFC 9110, 9.3.2",
            "HEAD gives the length of GET and no body",
            "HEAD /health HTTP/1.1\r\nHost: a\r\n\r\n",
            "200 open \"content-length: 22\"",
        ),
        case("RFC 9110, 6.6.1", "answers have a date", get(""), "200 open \" gmt\r\n\""),
        case("RFC 9110, 6.6.1", "refusals have a date", "x\r\n", "400 closed \" gmt\r\n\""),
        case("RFC 9110, 8.3", "refusals are JSON", "x\r\n", "400 closed \"content-type: application/json\""),
        case(
            "RFC 9110, 15.5.1",
            "refusals have Meilisearch's form",
            "x\r\n",
            "400 closed \"\\\"code\\\":\\\"bad_request\\\"\"",
        ),
        case(
            "RFC 9112, 9.3.2",
            "requests in a row are answered in a row",
            get("") + "GET /nope HTTP/1.1\r\nHost: a\r\n\r\n" + &get(""),
            "200 404 200 open",
        ),
        case(
            "RFC 9112, 9.3.2",
            "a bad one behind good ones",
            get("") + &get("") + "x\r\n",
            "200 200 400 closed",
        ),
        case("RFC 9112, 9.3.2", "many in a row", get("").repeat(50), &("200 ".repeat(50) + "open")),
        case("RFC 9112, 8", "an end inside of a request line", "GET /hea", "shut"),
        case("RFC 9112, 8", "an end inside of a head", "GET /health HTTP/1.1\r\nHost: a\r\n", "shut"),
        case("RFC 9112, 9.6", "a client that has said all still gets its answer", get(""), "200 shut"),
        case("RFC 9112, 9.6", "and all of its answers", get("").repeat(3), "200 200 200 shut"),
        case("RFC 9112, 9.5", "a connection without a request", "", "shut"),
    ]
}

pub(super) fn cases() -> Vec<Case> {
    [
        request_lines(),
        versions(),
        lines_and_fields(),
        hosts(),
        lengths(),
        encodings(),
        answers_and_connections(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
