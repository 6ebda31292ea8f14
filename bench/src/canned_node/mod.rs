//! One process that plays many nodes: each port answers searches with prebuilt bytes.
//!
//! Invariants: a search costs one receive, one send and no allocation; pipelined requests are answered in order; one
//! core serves all ports, so no lock is needed.

pub(crate) mod state;

use std::cell::RefCell;
use std::io::Write as _;
use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use memchr::memmem;
use monoio::io::{AsyncReadRent as _, AsyncWriteRentExt as _};
use monoio::net::{TcpListener, TcpStream};

use crate::canned_node::state::{NodeState, Request};
use crate::corpus::{Corpus, Shape, Shown};

const HEADERS_MAX: usize = 64;
const READ_BYTES: usize = 16 << 10;
/// A longer request ends its connection. This is more than a third of the largest body that a gateway accepts.
const REQUEST_BYTES_MAX: usize = 64 << 20;

/// Serves `shape.legs` nodes on ports chosen by the system until the process is killed. Prints one line of JSON with
/// the addresses, `{"listening": ["127.0.0.1:1", …]}`, when all of them accept.
pub fn serve(shape: Shape) -> anyhow::Result<()> {
    let corpus = Corpus::new(shape);
    let mut runtime = monoio::RuntimeBuilder::<monoio::FusionDriver>::new()
        .with_entries(4096)
        .build()
        .context("building the runtime of the canned nodes")?;
    runtime.block_on(async move {
        let mut listening = Vec::with_capacity(shape.legs);
        let mut accepts = Vec::with_capacity(shape.legs);
        for leg in 0..shape.legs {
            let listener = TcpListener::bind("127.0.0.1:0").context("binding a canned node")?;
            listening.push(listener.local_addr().context("asking for the port")?);
            let node = Rc::new(Node::new(&corpus, leg));
            accepts.push(monoio::spawn(accept(listener, node)));
        }
        announce(&listening)?;
        for task in accepts {
            task.await?;
        }
        Ok(())
    })
}

/// Prints the line that tells the parent process where this one listens.
pub fn announce(listening: &[SocketAddr]) -> anyhow::Result<()> {
    let addresses: Vec<String> = listening.iter().map(ToString::to_string).collect();
    let mut output = std::io::stdout().lock();
    writeln!(output, "{}", serde_json::json!({ "listening": addresses }))?;
    output.flush()?;
    Ok(())
}

struct Node {
    /// By `showRankingScore` (1) and `showRankingScoreDetails` (2), see `search`.
    answers: [Bytes; 4],
    state: RefCell<NodeState>,
}

impl Node {
    fn new(corpus: &Corpus, leg: usize) -> Self {
        let answers = [(false, false), (true, false), (false, true), (true, true)]
            .map(|(score, details)| corpus.answer(leg, Shown { score, details }));
        Self { answers, state: RefCell::default() }
    }

    /// The prebuilt answer with the score and details that the request wants.
    fn search(&self, body: &[u8]) -> Bytes {
        let score = memmem::find(body, b"\"showRankingScore\":true").is_some();
        let details = memmem::find(body, b"\"showRankingScoreDetails\":true").is_some();
        self.answers[usize::from(score) + 2 * usize::from(details)].clone()
    }

    fn answer(&self, request: &Request<'_>) -> Bytes {
        if request.method == "POST" && request.path.ends_with("/search") {
            return self.search(request.body);
        }
        let (status, body) = self.state.borrow_mut().answer(request);
        let body = body.to_string();
        Bytes::from(format!(
            "HTTP/1.1 {status} -\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
    }
}

async fn accept(listener: TcpListener, node: Rc<Node>) -> anyhow::Result<()> {
    loop {
        let (stream, _) = listener.accept().await.context("accepting")?;
        stream.set_nodelay(true).context("setting TCP_NODELAY")?;
        let node = Rc::clone(&node);
        monoio::spawn(async move {
            if let Err(problem) = converse(stream, &node).await {
                eprintln!("canned node: {problem:#}");
            }
        });
    }
}

/// Answers one connection's requests in order until the peer closes it.
async fn converse(mut stream: TcpStream, node: &Node) -> anyhow::Result<()> {
    let mut pending: Vec<u8> = Vec::new();
    let mut chunk = Vec::with_capacity(READ_BYTES);
    loop {
        let (received, returned) = stream.read(chunk).await;
        chunk = returned;
        // Load generators and killed peers leave with a reset, which is no problem of the node.
        if matches!(received, Ok(0) | Err(_)) {
            return Ok(());
        }
        pending.extend_from_slice(&chunk);
        let mut consumed = 0;
        while let Some((answer, length)) = next_answer(node, &pending[consumed..])? {
            consumed += length;
            if stream.write_all(answer).await.0.is_err() {
                return Ok(());
            }
        }
        pending.drain(..consumed);
        if pending.len() > REQUEST_BYTES_MAX {
            bail!("a request is longer than {REQUEST_BYTES_MAX} bytes");
        }
    }
}

/// The answer to the first complete request in `pending`, and that request's length.
fn next_answer(node: &Node, pending: &[u8]) -> anyhow::Result<Option<(Bytes, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head_length) = head.parse(pending).context("parsing a request")? else {
        return Ok(None);
    };
    let mut body_length = 0;
    for header in head.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            body_length = std::str::from_utf8(header.value)?.trim().parse().context("content-length")?;
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            bail!("a canned node takes no chunked request");
        }
    }
    let Some(body) = pending.get(head_length..head_length + body_length) else {
        return Ok(None);
    };
    let target = head.path.unwrap_or("/");
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let request = Request { method: head.method.unwrap_or("GET"), path, query, body };
    Ok(Some((node.answer(&request), head_length + body_length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipelined_and_torn_requests_are_answered_one_by_one() {
        let node = Node::new(&Corpus::new(Shape { legs: 1, hits: 2, document_bytes: 100 }), 0);
        let search =
            b"POST /indexes/x/search HTTP/1.1\r\nContent-Length: 29\r\n\r\n{\"showRankingScore\":true    }";
        let health = b"GET /health HTTP/1.1\r\n\r\n";
        let both = [&search[..], &health[..]].concat();
        for torn in 0..search.len() {
            assert!(next_answer(&node, &both[..torn]).expect("well formed").is_none(), "at {torn}");
        }
        let (answer, length) = next_answer(&node, &both).expect("well formed").expect("complete");
        assert_eq!(length, search.len());
        assert_eq!(answer, node.answers[1]);
        let (answer, length) = next_answer(&node, &both[length..]).expect("well formed").expect("complete");
        assert_eq!(length, health.len());
        assert!(answer.ends_with(b"{\"status\":\"available\"}"));
    }

    #[test]
    fn chunked_requests_are_refused() {
        let node = Node::new(&Corpus::new(Shape { legs: 1, hits: 2, document_bytes: 100 }), 0);
        let request = b"POST /indexes/x/search HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        assert!(next_answer(&node, request).is_err());
    }
}
