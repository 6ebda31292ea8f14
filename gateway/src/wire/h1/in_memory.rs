//! Reads messages from bytes in memory: what the connections do, without a socket.
//!
//! Invariant: calls the same functions in the same order as `server` and `client`, so that fuzzing attacks these.

use bytes::{Bytes, BytesMut};

use crate::wire::h1::{
    HeadLimits, Request,
    chunked::ChunkedDecoder,
    client::{self, ExchangeError, NodeAnswer},
    framing::{self, Framing},
    refusal::Refusal,
    scan::HeadScanner,
    server::decode_head,
};

/// Reads the request at the front of `bytes`; gives it with its length, or `None` if it is incomplete.
///
/// # Errors
/// A [`Refusal`].
pub fn read_request(
    bytes: &[u8],
    limits: &HeadLimits,
    body_bytes_max: usize,
) -> Result<Option<(Request, usize)>, Refusal> {
    let mut scanner = HeadScanner::default();
    let found = scanner.scan(bytes, limits);
    if let Some(end) = scanner.start_line_end() {
        framing::check_request_line(&bytes[..end])?;
    }
    let Some(head_length) = found.map_err(|error| Refusal::of_head(error, limits))? else { return Ok(None) };
    let mut received = BytesMut::from(bytes);
    let head = decode_head(&mut received, head_length)?;
    let framing = framing::framing(head.version, &head.headers)?;
    framing::expects_continue(head.version, &head.headers)?;
    let Some(body) = read_body(framing, &mut received, body_bytes_max)? else { return Ok(None) };
    let keep_alive = framing::keep_alive(head.version, &head.headers);
    let request = Request {
        method: head.method,
        uri: head.uri,
        headers: head.headers,
        body,
        upload: None,
        keep_alive,
        peer: Request::NO_PEER,
    };
    Ok(Some((request, bytes.len() - received.len())))
}

/// Reads the final answer at the front of `bytes`; gives it with its length, or `None` if it is incomplete.
///
/// # Errors
/// [`ExchangeError::Malformed`].
pub fn read_answer(
    bytes: &[u8],
    body_bytes_max: usize,
) -> Result<Option<(NodeAnswer, usize)>, ExchangeError> {
    let mut received = BytesMut::from(bytes);
    let Some(head) = client::take_head(&mut received, &mut HeadScanner::default())? else { return Ok(None) };
    if head.status.is_informational() {
        return Err(ExchangeError::Malformed("it never becomes final"));
    }
    let framing = client::body_framing(&head)?;
    let body = read_body(framing, &mut received, body_bytes_max);
    let body = body.map_err(|_| ExchangeError::Malformed("a malformed body"))?;
    Ok(body.map(|body| (client::node_answer(&head, body), bytes.len() - received.len())))
}

fn read_body(
    framing: Framing,
    received: &mut BytesMut,
    body_bytes_max: usize,
) -> Result<Option<Bytes>, Refusal> {
    match framing {
        Framing::None => Ok(Some(Bytes::new())),
        Framing::Length(length) => match usize::try_from(length) {
            Ok(length) if length <= body_bytes_max => {
                Ok((received.len() >= length).then(|| received.split_to(length).freeze()))
            }
            _ => Err(Refusal::BodyTooLarge(body_bytes_max)),
        },
        Framing::Chunked => {
            let (mut decoder, mut body) = (ChunkedDecoder::new(body_bytes_max), BytesMut::new());
            let done = decoder.decode(received, &mut body);
            let done = done.map_err(|error| Refusal::of_chunks(error, body_bytes_max))?;
            Ok(done.then(|| body.freeze()))
        }
    }
}
