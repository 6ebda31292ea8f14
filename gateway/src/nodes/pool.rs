//! One core's keep-alive connections to the nodes, and single exchanges over them.
//!
//! Invariants: a connection goes back to the pool only after a complete, reusable answer. Idle connections per node
//! are bounded. A stale one is replaced once, for exchanges that may repeat. A connection that brought more than was
//! asked for is never used again.

use std::{
    cell::RefCell,
    collections::VecDeque,
    pin::pin,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Method, StatusCode};
use router::NodeIndex;

use crate::{
    config::{Secret, limits},
    nodes::{
        address::NodeAddress,
        health::{NodeState, Seen},
        table::Nodes,
    },
    observe::spans::Trace,
    wire::{
        h1::{ClientConnection, ExchangeError, NodeAnswer},
        runtime::{self, timeout},
    },
};

/// Connections of one core to every node.
pub struct NodePools {
    /// Made as nodes come.
    pools: RefCell<Vec<Rc<NodePool>>>,
    nodes: Arc<Nodes>,
    key: Option<String>,
    /// The trace of the request that is being polled, if it has one.
    traced: RefCell<Option<Rc<Trace>>>,
}

struct NodePool {
    node: NodeAddress,
    /// Host and authorization headers, ready to be copied into a request head.
    headers: String,
    /// Unused connections with the time of their last use, oldest first.
    idle: RefCell<VecDeque<(ClientConnection, Instant)>>,
}

/// One request to a node.
#[derive(Debug, Clone)]
pub struct NodeRequest<'a> {
    pub method: Method,
    /// Path and query.
    pub target: &'a str,
    pub content_type: Option<&'a str>,
    pub body: Bytes,
    /// Whether repeating it does no harm; if it does, only a fresh connection is used.
    pub repeatable: bool,
}

impl<'a> NodeRequest<'a> {
    /// A repeatable `GET`.
    #[must_use]
    pub fn get(target: &'a str) -> Self {
        Self { method: Method::GET, target, content_type: None, body: Bytes::new(), repeatable: true }
    }

    /// A repeatable `POST` with a JSON body.
    #[must_use]
    pub fn post_json(target: &'a str, body: impl Into<Bytes>) -> Self {
        let content_type = Some("application/json");
        Self { method: Method::POST, target, content_type, body: body.into(), repeatable: true }
    }
}

/// Why a node could not be asked. The message is for logs; clients see only which shards are missing.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error("connecting failed: {0}")]
    Connect(std::io::Error),
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// Other requests saw the node go down; whether it took this one is unknown.
    #[error("the node went down")]
    WentDown,
    #[error("{0}")]
    Exchange(#[from] ExchangeError),
}

impl NodePools {
    /// Empty pools towards every node of the cluster.
    #[must_use]
    pub fn new(nodes: &Arc<Nodes>, key: Option<&Secret>) -> Self {
        let key = key.map(|key| key.expose().to_owned());
        Self { pools: RefCell::default(), nodes: Arc::clone(nodes), key, traced: RefCell::default() }
    }

    fn pool(&self, node: NodeIndex) -> Rc<NodePool> {
        let position = usize::from(node.0);
        let mut pools = self.pools.borrow_mut();
        while pools.len() <= position {
            let address = self.nodes.addresses[pools.len()].clone();
            pools.push(Rc::new(NodePool::new(address, self.key.as_deref())));
        }
        Rc::clone(&pools[position])
    }

    /// The trace that requests to nodes belong to, while a request is polled.
    pub(crate) fn traced(&self) -> &RefCell<Option<Rc<Trace>>> {
        &self.traced
    }

    /// Exchanges with a node, as a leg of the trace of the request that is being polled.
    async fn exchange_traced(
        &self,
        node: NodeIndex,
        request: &NodeRequest<'_>,
    ) -> Result<NodeAnswer, NodeError> {
        let pool = self.pool(node);
        let trace = self.traced.borrow().clone();
        let Some(trace) = trace else { return pool.exchange(request, "").await };
        let leg = trace.leg(&pool.node.id, request.method.as_str(), request.target);
        let result = pool.exchange(request, &leg.headers()).await;
        match &result {
            Ok(answer) => leg.answered(answer.status.as_u16()),
            Err(error) => leg.failed(error.to_string()),
        }
        result
    }

    /// Asks a server that is no node of the cluster, as one of its nodes would be asked.
    ///
    /// # Errors
    /// [`NodeError`]; an answer of any status is not an error.
    pub async fn ask_stranger(
        &self,
        address: &NodeAddress,
        request: NodeRequest<'_>,
        limit: Duration,
    ) -> Result<NodeAnswer, NodeError> {
        let pool = NodePool::new(address.clone(), self.key.as_deref());
        timeout(limit, pool.exchange(&request, "")).await.unwrap_or(Err(NodeError::TimedOut(limit)))
    }

    /// Asks a node and waits for its whole answer, at most `limit`, and no longer when the node goes down meanwhile.
    /// The outcome is recorded in the nodes' health.
    ///
    /// # Errors
    /// [`NodeError`]; an answer of any status is not an error.
    pub async fn ask(
        &self,
        node: NodeIndex,
        request: NodeRequest<'_>,
        limit: Duration,
    ) -> Result<NodeAnswer, NodeError> {
        let health = &self.nodes.health;
        let was_down = health.state(node) == NodeState::Down;
        let mut exchange = pin!(self.ask_patiently(node, request));
        let mut left = limit;
        loop {
            let slice = left.min(limits::NODE_DOWN_CHECK_INTERVAL);
            if let Ok(result) = timeout(slice, exchange.as_mut()).await {
                return result;
            }
            left -= slice;
            if left.is_zero() {
                self.nodes.saw(node, Seen::Failed, runtime::now(), || NodeError::TimedOut(limit).to_string());
                return Err(NodeError::TimedOut(limit));
            }
            if !was_down && health.state(node) == NodeState::Down {
                return Err(NodeError::WentDown);
            }
        }
    }

    /// The same for as long as the caller polls; dropping the future gives the connection up.
    ///
    /// # Errors
    /// [`NodeError`]; an answer of any status is not an error.
    pub async fn ask_patiently(
        &self,
        node: NodeIndex,
        request: NodeRequest<'_>,
    ) -> Result<NodeAnswer, NodeError> {
        let result = self.exchange_traced(node, &request).await;
        self.nodes.saw(node, seen(&result), runtime::now(), || fault(&result));
        result
    }

    /// Asks a node without recording the outcome.
    ///
    /// # Errors
    /// [`NodeError`]; an answer of any status is not an error.
    pub async fn exchange(
        &self,
        node: NodeIndex,
        request: NodeRequest<'_>,
        limit: Duration,
    ) -> Result<NodeAnswer, NodeError> {
        let exchange = self.exchange_traced(node, &request);
        timeout(limit, exchange).await.unwrap_or(Err(NodeError::TimedOut(limit)))
    }

    /// What a node takes the time to be, as its answers are dated; over a connection of its own, so that no other
    /// exchange has to look for it.
    pub async fn date_of(&self, node: NodeIndex, limit: Duration) -> Option<String> {
        let pool = self.pool(node);
        let asking = async {
            let head = pool.encode_head(&NodeRequest::get("/health"), "");
            pool.connect().await.ok()?.date(head).await.ok()?
        };
        timeout(limit, asking).await.ok().flatten()
    }
}

/// What an outcome shows of the node.
pub fn seen(result: &Result<NodeAnswer, NodeError>) -> Seen {
    use std::io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
    match result {
        // Nothing can be had of a node that does not take the gateway's key.
        Ok(answer) if refuses_key(answer) => Seen::Failed,
        // A node that says when to come again is busy, not broken.
        Ok(answer) if answer.status.is_server_error() && answer.retry_after.is_none() => Seen::Failed,
        Ok(_) => Seen::Answered,
        Err(NodeError::Connect(error))
            if matches!(error.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable) =>
        {
            Seen::Refused
        }
        Err(_) => Seen::Failed,
    }
}

/// What an outcome says of the node's fault, for logs and for the operator.
pub fn fault(result: &Result<NodeAnswer, NodeError>) -> String {
    match result {
        Ok(answer) if refuses_key(answer) => {
            let status = answer.status.as_u16();
            format!("it does not take the gateway's key (status {status}): see --node-master-key")
        }
        Ok(answer) => format!("it answers with status {}", answer.status.as_u16()),
        Err(error) => error.to_string(),
    }
}

/// Whether a node refuses the key that the gateway sends.
fn refuses_key(answer: &NodeAnswer) -> bool {
    [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&answer.status)
}

/// Whether an answer refuses the client's request, rather than fails to serve it. What a node says about the
/// gateway's own key does not concern the client.
pub(crate) fn is_refusal(answer: &NodeAnswer) -> bool {
    let status = answer.status;
    let gateway_at_fault = [
        StatusCode::UNAUTHORIZED,
        StatusCode::FORBIDDEN,
        StatusCode::REQUEST_TIMEOUT,
        StatusCode::TOO_MANY_REQUESTS,
    ];
    status.is_client_error() && !gateway_at_fault.contains(&status)
}

impl NodePool {
    fn new(node: NodeAddress, key: Option<&str>) -> Self {
        let mut headers = format!("host: {}\r\n", node.host);
        if let Some(key) = key {
            headers.push_str("authorization: Bearer ");
            headers.push_str(key);
            headers.push_str("\r\n");
        }
        Self { node, headers, idle: RefCell::default() }
    }

    /// Exchanges over a pooled connection, or a fresh one; `more` are further lines of the head.
    async fn exchange(&self, request: &NodeRequest<'_>, more: &str) -> Result<NodeAnswer, NodeError> {
        let pooled = if request.repeatable { self.reuse() } else { None };
        if let Some(mut connection) = pooled {
            match connection.exchange(self.encode_head(request, more), request.body.clone()).await {
                Ok((answer, reusable)) => return Ok(self.keep(connection, answer, reusable)),
                // The node closed a connection that had been idle: ask again over a fresh one.
                Err(ExchangeError::Closed | ExchangeError::Io(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let mut connection = self.connect().await?;
        let head = self.encode_head(request, more);
        let (answer, reusable) = connection.exchange(head, request.body.clone()).await?;
        Ok(self.keep(connection, answer, reusable))
    }

    async fn connect(&self) -> Result<ClientConnection, NodeError> {
        let connecting = async {
            let stream = runtime::connect(self.node.address).await?;
            match &self.node.tls {
                None => Ok(ClientConnection::new(stream)),
                Some(tls) => ClientConnection::new_tls(stream, tls).await.map_err(in_words),
            }
        };
        match timeout(limits::NODE_CONNECT_TIMEOUT, connecting).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(NodeError::Connect(error)),
            Err(_) => Err(NodeError::Connect(std::io::ErrorKind::TimedOut.into())),
        }
    }

    fn keep(&self, connection: ClientConnection, answer: NodeAnswer, reusable: bool) -> NodeAnswer {
        let mut idle = self.idle.borrow_mut();
        if reusable && idle.len() < limits::IDLE_NODE_CONNECTIONS_MAX {
            idle.push_back((connection, runtime::now()));
        }
        answer
    }

    /// Takes the connection used last, unless the node may have closed it by now or bytes came over it that nobody
    /// asked for: they would be taken for the next answer. Bytes that came along with an answer were noticed then, so
    /// within `NODE_SILENCE_TRUSTED` of it a busy gateway skips the check.
    fn reuse(&self) -> Option<ClientConnection> {
        let (mut idle, now) = (self.idle.borrow_mut(), runtime::now());
        while let Some((connection, last_used)) = idle.pop_back() {
            let unused = now.saturating_duration_since(last_used);
            if unused >= limits::IDLE_NODE_TIMEOUT {
                // The one used last is too old, so all the others are.
                idle.clear();
            } else if unused < limits::NODE_SILENCE_TRUSTED || connection.is_silent() {
                return Some(connection);
            }
        }
        None
    }

    fn encode_head(&self, request: &NodeRequest<'_>, more: &str) -> Vec<u8> {
        let mut head = Vec::with_capacity(
            96 + self.headers.len() + request.target.len() + request.body.len().min(64 << 10),
        );
        head.extend_from_slice(request.method.as_str().as_bytes());
        head.push(b' ');
        head.extend_from_slice(request.target.as_bytes());
        head.extend_from_slice(b" HTTP/1.1\r\n");
        head.extend_from_slice(self.headers.as_bytes());
        head.extend_from_slice(more.as_bytes());
        if let Some(content_type) = request.content_type {
            head.extend_from_slice(b"content-type: ");
            head.extend_from_slice(content_type.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        if request.method != Method::GET {
            head.extend_from_slice(b"content-length: ");
            head.extend_from_slice(itoa::Buffer::new().format(request.body.len()).as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        head
    }
}

/// Says what a failed handshake means where the library's words do not.
fn in_words(error: std::io::Error) -> std::io::Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    if !matches!(inner, Some(rustls::Error::InvalidMessage(_))) {
        return error;
    }
    std::io::Error::new(error.kind(), "its port does not speak TLS, but its URL begins with https://")
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
        sync::mpsc,
        thread,
    };

    use super::*;
    use crate::wire::runtime::Runtime;

    /// More than the receive buffer holds.
    const LARGE: usize = 40 << 10;

    fn message(body: &str) -> String {
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    }

    /// Reads a request and sends `what`.
    fn answer_with(stream: &mut TcpStream, what: &str) {
        let (mut request, mut piece) = (Vec::new(), [0; 1024]);
        while !request.ends_with(b"\r\n\r\n") {
            let count = stream.read(&mut piece).unwrap();
            assert!(count > 0, "a request without an end");
            request.extend_from_slice(&piece[..count]);
        }
        stream.write_all(what.as_bytes()).unwrap();
    }

    /// A node that answers its first request twice at once, and its second once more, later.
    fn check(runtime: Runtime) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (answered, once) = mpsc::channel();
        let (said, twice) = mpsc::channel();
        let node = thread::spawn(move || {
            let mut streams = [(); 3].map(|()| None);
            let mut next =
                |number: usize| streams[number].insert(listener.accept().unwrap().0).try_clone().unwrap();
            answer_with(&mut next(0), &(message(&"a".repeat(LARGE)) + &message("again")));
            let mut second = next(1);
            answer_with(&mut second, &message("b"));
            once.recv().unwrap();
            second.write_all(message("again").as_bytes()).unwrap();
            said.send(()).unwrap();
            let mut third = next(2);
            answer_with(&mut third, &message("c"));
            answer_with(&mut third, &message("d"));
        });
        let (found, bodies) = mpsc::channel();
        let asking = runtime.start("asking".to_owned(), None, move || async move {
            let node = NodeAddress { id: "a".to_owned(), address, host: address.to_string(), tls: None };
            let pool = NodePool::new(node, None);
            let ask = || async { pool.exchange(&NodeRequest::get("/"), "").await.unwrap().body };
            found.send(ask().await).unwrap();
            found.send(ask().await).unwrap();
            answered.send(()).unwrap();
            twice.recv().unwrap();
            runtime::sleep(limits::NODE_SILENCE_TRUSTED).await;
            found.send(ask().await).unwrap();
            runtime::sleep(limits::NODE_SILENCE_TRUSTED).await;
            found.send(ask().await).unwrap();
        });
        asking.unwrap().unwrap().join().unwrap();
        node.join().unwrap();
        let bodies = bodies.iter().collect::<Vec<_>>();
        assert_eq!(bodies[0], "a".repeat(LARGE), "on {}", runtime.name());
        assert_eq!(bodies[1..], ["b", "c", "d"], "on {}", runtime.name());
    }

    #[test]
    fn a_node_that_answers_twice_is_not_taken_at_its_second_word() {
        check(Runtime::Monoio);
        check(Runtime::Glommio);
    }
}
