//! Tests which answers of a node the gateway accepts, and which ones fail the leg. Every case is sent at once and
//! byte by byte, to either runtime, over a connection of its own.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    sync::mpsc,
    thread,
    time::Duration,
};

use gateway::wire::{
    h1::{ClientConnection, ExchangeError},
    runtime::{self, Runtime, timeout},
};

/// The longest time of an exchange on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// The RFC section, the subject, the bytes that a node sends before it closes, and the outcome: the status, the body
/// and `+` where the connection may be used again; or `malformed`, or `closed`.
type Case = (&'static str, &'static str, &'static str, &'static str);

const CASES: &[Case] = &[
    ("RFC 9112, 4", "as it should be", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "200 hi+"),
    ("RFC 9112, 4", "no reason", "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nhi", "200 hi+"),
    ("RFC 9112, 4", "no space behind the status", "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi", "200 hi+"),
    ("RFC 9112, 4", "a status of two digits", "HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nhi", "malformed"),
    (
        "RFC 9112, 4",
        "a status of four digits",
        "HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nhi",
        "malformed",
    ),
    ("RFC 9110, 15", "a status of no class", "HTTP/1.1 600 No\r\nContent-Length: 2\r\n\r\nhi", "malformed"),
    (
        "RFC 9110, 15",
        "a status below all classes",
        "HTTP/1.1 099 No\r\nContent-Length: 2\r\n\r\nhi",
        "malformed",
    ),
    ("RFC 9112, 4", "letters for a status", "HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\nhi", "malformed"),
    ("RFC 9112, 2.3", "another protocol", "SSH-2.0-OpenSSH_9.9\r\n", "malformed"),
    ("RFC 9112, 2.3", "HTTP/2", "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", "malformed"),
    ("RFC 9112, 2.3", "HTTP/1.2", "HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nhi", "malformed"),
    ("RFC 9112, 2.3", "TLS", "\x15\x03\x01\x00\x02\x02\x0a", "malformed"),
    (
        "RFC 9112, 9.3",
        "HTTP/1.0 is not used again",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        "200 hi",
    ),
    (
        "RFC 9112, 9.3",
        "HTTP/1.0 that goes on",
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi",
        "200 hi+",
    ),
    (
        "RFC 9112, 9.6",
        "close is heard",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi",
        "200 hi",
    ),
    (
        "RFC 9112, 9.6",
        "close is heard in a list",
        "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 2\r\n\r\nhi",
        "200 hi",
    ),
    ("RFC 9112, 6.3", SURPLUS, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi!", "200 hi"),
    ("RFC 9112, 8", "less than was announced", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi", "closed"),
    ("RFC 9112, 8", "nothing", "", "closed"),
    ("RFC 9112, 8", "half a status line", "HTTP/1.1 20", "closed"),
    ("RFC 9112, 8", "half a head", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", "closed"),
    (
        "RFC 9112, 6.3",
        "a body that ends with the connection may be half of one",
        "HTTP/1.1 200 OK\r\n\r\nhi",
        "malformed",
    ),
    ("RFC 9112, 6.3", "so may one of HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\nhi", "malformed"),
    (
        "RFC 9112, 6.3",
        "two lengths",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 1\r\n\r\nhi",
        "malformed",
    ),
    (
        "RFC 9112, 6.3",
        "the same length twice",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
        "malformed",
    ),
    ("RFC 9112, 6.3", "a list of lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nhi", "malformed"),
    ("RFC 9112, 6.3", "a length with a sign", "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nhi", "malformed"),
    (
        "RFC 9112, 6.3",
        "a length that overflows",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nhi",
        "malformed",
    ),
    (
        "RFC 9112, 6.3",
        "a length over the limit",
        "HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\nhi",
        "malformed",
    ),
    (
        "RFC 9112, 6.3",
        "a length and chunks",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        "malformed",
    ),
    (
        "RFC 9112, 6.1",
        "chunks",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\n\r\n",
        "200 hi+",
    ),
    (
        "RFC 9112, 6.1",
        "chunks of HTTP/1.0",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        "malformed",
    ),
    (
        "RFC 9112, 6.1",
        "another coding",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        "malformed",
    ),
    (
        "RFC 9112, 7.1",
        "half of the chunks",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
        "closed",
    ),
    (
        "RFC 9112, 7.1",
        "a chunk that is none",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhi\r\n",
        "malformed",
    ),
    (
        "RFC 9112, 7.1",
        "a chunk over the limit",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n",
        "malformed",
    ),
    (
        "RFC 9112, 7.1.1",
        "an extension",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nhi\r\n0\r\n\r\n",
        "200 hi+",
    ),
    (
        "RFC 9112, 7.1.2",
        "a trailer",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-A: b\r\n\r\n",
        "200 hi+",
    ),
    (
        "RFC 9112, 7.1.2",
        "a trailer that is none",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX\r\n\r\n",
        "malformed",
    ),
    (
        "RFC 9110, 15.2",
        "an interim answer",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        "200 hi+",
    ),
    (
        "RFC 8297, 2",
        "two interim answers",
        "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        "200 hi+",
    ),
    (
        "RFC 9110, 15.2",
        "interim answers without an end",
        "HTTP/1.1 100 a\r\n\r\nHTTP/1.1 100 a\r\n\r\nHTTP/1.1 100 a\r\n\r\nHTTP/1.1 100 a\r\n\r\nHTTP/1.1 100 a\r\n\r\nHTTP/1.1 100 a\r\n\r\nHTTP/1.1 100 a\r\n\r\nHTTP/1.1 100 a\r\n\r\nHTTP/1.1 100 a\r\n\r\n",
        "malformed",
    ),
    (
        "RFC 9110, 15.2.2",
        "a switch nobody asked for",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        "malformed",
    ),
    ("RFC 9110, 15.3.5", "204 has no body", "HTTP/1.1 204 No Content\r\n\r\n", "204 +"),
    (
        "RFC 9112, 6.3",
        "204 has none whatever it says",
        "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n",
        "204 +",
    ),
    (
        "RFC 9110, 15.4.5",
        "304 has no body",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n",
        "304 +",
    ),
    ("RFC 9112, 2.2", "line feeds alone", "HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", "malformed"),
    (
        "RFC 9112, 2.2",
        "a carriage return alone",
        "HTTP/1.1 200 OK\r\nX-A: b\rc\r\nContent-Length: 2\r\n\r\nhi",
        "malformed",
    ),
    (
        "RFC 9112, 5.1",
        "a space before the colon",
        "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nhi",
        "malformed",
    ),
    (
        "RFC 9112, 5.2",
        "a folded header",
        "HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 2\r\n\r\nhi",
        "malformed",
    ),
    (
        "RFC 9110, 5.5",
        "NUL in a value",
        "HTTP/1.1 200 OK\r\nX-A: \0\r\nContent-Length: 2\r\n\r\nhi",
        "malformed",
    ),
];

/// The case whose last byte must come with the others: if it came later, it would show only when the connection is
/// used again.
const SURPLUS: &str = "more than was announced";

/// Sends each case's bytes to the next client, after its request: at once, then byte by byte.
fn serve(listener: TcpListener) {
    for step in [usize::MAX, 1] {
        for (_, about, bytes, _) in CASES {
            let step = if *about == SURPLUS { usize::MAX } else { step };
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_nodelay(true).unwrap();
            let (mut request, mut piece) = (Vec::new(), [0; 1024]);
            while !request.ends_with(b"\r\n\r\n") {
                let count = stream.read(&mut piece).unwrap();
                assert!(count > 0, "a request without an end");
                request.extend_from_slice(&piece[..count]);
            }
            for piece in bytes.as_bytes().chunks(step) {
                // The client closes the connection when it has read enough.
                if stream.write_all(piece).is_err() {
                    break;
                }
            }
        }
    }
}

async fn exchange(address: SocketAddr) -> String {
    let mut connection = ClientConnection::new(runtime::connect(address).await.unwrap());
    let request = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n".to_vec();
    match timeout(PATIENCE, connection.exchange(request, bytes::Bytes::new())).await {
        Ok(Ok((answer, reusable))) => {
            let body = String::from_utf8_lossy(&answer.body);
            format!("{} {body}{}", answer.status.as_u16(), if reusable { "+" } else { "" })
        }
        Ok(Err(ExchangeError::Malformed(_))) => "malformed".to_owned(),
        // A node that goes away may reset the connection.
        Ok(Err(ExchangeError::Closed | ExchangeError::Io(_))) => "closed".to_owned(),
        Err(_) => "no end".to_owned(),
    }
}

fn check(runtime: Runtime) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let node = thread::spawn(move || serve(listener));
    let (found, outcomes) = mpsc::channel();
    let asking = runtime.start("conformance".to_owned(), None, move || async move {
        for _ in 0..2 * CASES.len() {
            found.send(exchange(address).await).unwrap();
        }
    });
    let asking = asking.unwrap().unwrap();
    let mut wrong = Vec::new();
    for (section, about, _, expected) in CASES.iter().chain(CASES) {
        let found = outcomes.recv_timeout(2 * PATIENCE).unwrap();
        if found != *expected {
            wrong.push(format!("{section}: {about}: {found:?} instead of {expected:?}"));
        }
    }
    asking.join().unwrap();
    node.join().unwrap();
    assert!(
        wrong.is_empty(),
        "{} of {} on {}:\n{}",
        wrong.len(),
        CASES.len(),
        runtime.name(),
        wrong.join("\n")
    );
}

#[test]
fn monoio_takes_answers_by_the_book() {
    check(Runtime::Monoio);
}

#[test]
fn glommio_takes_answers_by_the_book() {
    check(Runtime::Glommio);
}

#[test]
fn the_table_is_large() {
    assert!(super::table::cases().len() + CASES.len() >= 150);
}
