//! Yardstick: a minimal scatter on hyper and tokio's current-thread runtime.
//!
//! It does the same as the monoio yardstick, so the two differ only in runtime and codec.

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::future::try_join_all;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use crate::{canned_node, corpus, yardsticks::score_merge};

/// Serves on a port chosen by the system until killed. Prints the same line as a canned node.
pub fn serve(nodes: &[SocketAddr], hits: usize) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let scatter = Rc::new(Scatter {
        legs: nodes.iter().map(|node| Leg { node: *node, idle: RefCell::default() }).collect(),
        request: Bytes::from(corpus::leg_request(hits)),
        hits,
    });
    tokio::task::LocalSet::new().block_on(&runtime, async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("binding")?;
        canned_node::announce(&[listener.local_addr().context("asking for the port")?])?;
        loop {
            let (stream, _) = listener.accept().await.context("accepting")?;
            stream.set_nodelay(true).context("setting TCP_NODELAY")?;
            let scatter = Rc::clone(&scatter);
            tokio::task::spawn_local(async move {
                let service = service_fn(|request| Rc::clone(&scatter).serve_one(request));
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                if let Err(problem) = connection.await {
                    // A load generator ends by leaving mid-request; a leg's error arrives here too.
                    eprintln!("scatter-hyper: {problem:#}");
                }
            });
        }
    })
}

struct Scatter {
    legs: Vec<Leg>,
    request: Bytes,
    hits: usize,
}

struct Leg {
    node: SocketAddr,
    idle: RefCell<Vec<SendRequest<Full<Bytes>>>>,
}

impl Scatter {
    async fn serve_one(
        self: Rc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let answer = self.scatter(request).await;
        Ok(answer.unwrap_or_else(|problem| {
            let mut response = Response::new(Full::new(Bytes::from(format!("{problem:#}"))));
            *response.status_mut() = http::StatusCode::BAD_GATEWAY;
            response
        }))
    }

    async fn scatter(&self, request: Request<Incoming>) -> anyhow::Result<Response<Full<Bytes>>> {
        request.into_body().collect().await.context("reading a request")?;
        let legs = self.legs.iter().map(|leg| leg.ask(self.request.clone()));
        let answers = try_join_all(legs).await?;
        let answers: Vec<&[u8]> = answers.iter().map(AsRef::as_ref).collect();
        let merged = score_merge::merge(&answers, self.hits)?;
        let response = Response::builder().header("content-type", "application/json");
        Ok(response.body(Full::new(Bytes::from(merged)))?)
    }
}

impl Leg {
    async fn ask(&self, body: Bytes) -> anyhow::Result<Bytes> {
        // The borrow must end before the connect below awaits.
        let pooled = self.idle.borrow_mut().pop();
        let mut sender = match pooled {
            Some(sender) => sender,
            None => connect(self.node).await?,
        };
        sender.ready().await.context("a node closed its connection")?;
        let request = Request::post("/indexes/bench/search")
            .header("host", "node")
            .header("content-type", "application/json")
            .body(Full::new(body))?;
        let answer = sender.send_request(request).await.context("asking a node")?;
        let body = answer.into_body().collect().await.context("reading a body")?.to_bytes();
        self.idle.borrow_mut().push(sender);
        Ok(body)
    }
}

async fn connect(node: SocketAddr) -> anyhow::Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(node).await.context("connecting to a node")?;
    stream.set_nodelay(true).context("setting TCP_NODELAY")?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::task::spawn_local(async move {
        if let Err(problem) = connection.await {
            eprintln!("scatter-hyper: a node's connection ended: {problem:#}");
        }
    });
    Ok(sender)
}
