//! Attacks `gateway::wire::h1`: the bytes of clients and of nodes.
//!
//! - A message uses a prefix of the bytes: what follows changes nothing, and half of it is never a message.
//! - A refused prefix stays refused, whatever follows.

use arbitrary::{Result, Unstructured};
use gateway::wire::h1::{HeadLimits, read_answer, read_request};

use crate::mutate::mutate;

const LIMITS: HeadLimits = HeadLimits { start_line_bytes_max: 256, head_bytes_max: 1024, fields_max: 16 };
const BODY_BYTES_MAX: usize = 512;

/// Lines of requests.
const LINES: &[&str] = &[
    "Host: a",
    "Content-Length: 5",
    "Content-Length: 0",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: gzip, chunked",
    "Connection: keep-alive, close",
    "Expect: 100-continue",
    "X-A: b",
    "X-A:",
];
const BODIES: &[&str] =
    &["", "hello", "5\r\nhello\r\n0\r\n\r\n", "2;a=b\r\nhi\r\n0\r\nX: y\r\n\r\n", "0\r\n\r\n"];

/// Lines of answers.
const ANSWER_LINES: &[&str] = &[
    "content-length: 5",
    "content-length: 0",
    "transfer-encoding: chunked",
    "connection: close",
    "retry-after: 3",
    "x-a: b",
];

pub(crate) fn run_answer(bytes: &[u8]) {
    check_answer(bytes, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    // Running out of bytes to choose by is no finding.
    let _ = attack_answer(Unstructured::new(bytes));
}

fn attack_answer(mut choices: Unstructured<'_>) -> Result<()> {
    let status = choices.choose(&["200 OK", "204 No Content", "304", "100 Continue", "503 x", "999 y"])?;
    let mut answer = format!("HTTP/1.1 {status}\r\n").into_bytes();
    for _ in 0..choices.int_in_range(0..=3)? {
        answer.extend_from_slice(choices.choose(ANSWER_LINES)?.as_bytes());
        answer.extend_from_slice(b"\r\n");
    }
    answer.extend_from_slice(b"\r\n");
    answer.extend_from_slice(choices.choose(BODIES)?.as_bytes());
    mutate(&mut choices, &mut answer)?;
    check_answer(&answer, choices.take_rest());
    Ok(())
}

fn check_answer(bytes: &[u8], behind: &[u8]) {
    let read = |bytes: &[u8]| read_answer(bytes, BODY_BYTES_MAX);
    match read(bytes) {
        Ok(Some((answer, length))) => {
            assert!(length <= bytes.len() && answer.body.len() <= BODY_BYTES_MAX, "it is over a bound");
            let more = [&bytes[..length], behind].concat();
            let again = read(&more).expect("what follows an answer does not spoil it");
            let (again, same_length) = again.expect("a whole answer stays whole");
            assert_eq!(length, same_length, "what follows changes where an answer ends");
            assert_eq!(format!("{answer:?}"), format!("{again:?}"), "what follows changes an answer");
            for end in [length - 1, length / 2, 0] {
                let part = read(&bytes[..end]);
                assert!(matches!(part, Ok(None)), "a part of an answer is read as {part:?}");
            }
        }
        Ok(None) => {}
        Err(_) => {
            assert!(read(&[bytes, behind].concat()).is_err(), "what was refused is taken once more came")
        }
    }
}

pub(crate) fn run(bytes: &[u8]) {
    check(bytes, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    // Running out of bytes to choose by is no finding.
    let _ = attack(Unstructured::new(bytes));
}

fn attack(mut choices: Unstructured<'_>) -> Result<()> {
    let method = choices.choose(&["GET", "POST", "HEAD", "OPTIONS", "CONNECT"])?;
    let target = choices.choose(&["/", "/indexes/a/search?q=b", "*", "http://a/", "a:80"])?;
    let version = choices.choose(&["HTTP/1.1", "HTTP/1.0", "HTTP/2.0"])?;
    let mut request = format!("{method} {target} {version}\r\nHost: a\r\n").into_bytes();
    for _ in 0..choices.int_in_range(0..=4)? {
        request.extend_from_slice(choices.choose(LINES)?.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    request.extend_from_slice(choices.choose(BODIES)?.as_bytes());
    mutate(&mut choices, &mut request)?;
    check(&request, choices.take_rest());
    Ok(())
}

fn check(bytes: &[u8], behind: &[u8]) {
    let read = |bytes: &[u8]| read_request(bytes, &LIMITS, BODY_BYTES_MAX);
    match read(bytes) {
        Ok(Some((request, length))) => {
            assert!(length <= bytes.len() && request.body.len() <= BODY_BYTES_MAX, "it is over a bound");
            assert!(request.headers.len() <= LIMITS.fields_max, "more headers than the limit");
            let more = [&bytes[..length], behind].concat();
            let again = read(&more).expect("what follows a request does not spoil it");
            let (again, same_length) = again.expect("a whole request stays whole");
            assert_eq!(length, same_length, "what follows changes where a request ends");
            assert_eq!(format!("{request:?}"), format!("{again:?}"), "what follows changes a request");
            for end in [length - 1, length / 2, 0] {
                let part = read(&bytes[..end]);
                assert!(matches!(part, Ok(None)), "a part of a request is read as {part:?}");
            }
        }
        Ok(None) => {}
        Err(refusal) => {
            assert!(refusal.status().is_some(), "a refusal without an answer");
            let more = [bytes, behind].concat();
            // Bytes that come later may exceed a bound that is checked first, so the error may differ.
            let again = read(&more).err();
            assert!(again.is_some(), "{refusal:?} is taken back once more has come");
        }
    }
}
