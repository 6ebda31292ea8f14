//! Yardstick: a minimal scatter on monoio, with monoio-http's codecs on both sides.
//!
//! It asks every node concurrently over pooled connections, merges by score and answers. It has no timeouts, retries,
//! limits, routes or metrics: its distance to the gateway is the cost of those.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::future::try_join_all;
use http::{Request, Response};
use monoio::io::{sink::SinkExt as _, stream::Stream as _};
use monoio::net::{TcpListener, TcpStream};
use monoio_http::common::body::{Body as _, BodyExt as _};
use monoio_http::h1::codec::decoder::FillPayload as _;
use monoio_http::h1::codec::{ClientCodec, ServerCodec};
use monoio_http::h1::payload::{FixedPayload, Payload};

use crate::{canned_node, corpus, yardsticks::score_merge};

/// Serves on a port chosen by the system until killed. Prints the same line as a canned node.
pub fn serve(nodes: &[SocketAddr], hits: usize) -> anyhow::Result<()> {
    let mut runtime = monoio::RuntimeBuilder::<monoio::FusionDriver>::new()
        .with_entries(4096)
        .build()
        .context("building the runtime of scatter-monoio")?;
    let scatter = Rc::new(Scatter {
        legs: nodes.iter().map(|node| Leg { node: *node, idle: RefCell::default() }).collect(),
        request: Bytes::from(corpus::leg_request(hits)),
        hits,
    });
    runtime.block_on(async move {
        let listener = TcpListener::bind("127.0.0.1:0").context("binding")?;
        canned_node::announce(&[listener.local_addr().context("asking for the port")?])?;
        loop {
            let (stream, _) = listener.accept().await.context("accepting")?;
            stream.set_nodelay(true).context("setting TCP_NODELAY")?;
            monoio::spawn(converse(stream, Rc::clone(&scatter)));
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
    idle: RefCell<Vec<ClientCodec<TcpStream>>>,
}

impl Leg {
    async fn ask(&self, body: Bytes) -> anyhow::Result<Bytes> {
        // The borrow must end before the connect below awaits.
        let pooled = self.idle.borrow_mut().pop();
        let mut codec = match pooled {
            Some(codec) => codec,
            None => {
                let stream = TcpStream::connect(self.node).await.context("connecting to a node")?;
                stream.set_nodelay(true).context("setting TCP_NODELAY")?;
                ClientCodec::new(stream)
            }
        };
        let request: Request<Payload> = Request::post("/indexes/bench/search")
            .header("host", "node")
            .header("content-type", "application/json")
            .body(Payload::Fixed(FixedPayload::new(body)))
            .context("building a request")?;
        codec.send_and_flush(request).await.ok().context("sending to a node")?;
        let answer =
            codec.next().await.context("a node closed its connection")?.ok().context("reading a head")?;
        let body = answer.into_body().with_io(&mut codec).bytes().await.ok().context("reading a body")?;
        self.idle.borrow_mut().push(codec);
        Ok(body)
    }
}

/// Answers one client until it leaves; a failed leg ends the client's connection.
async fn converse(stream: TcpStream, scatter: Rc<Scatter>) {
    let mut codec = ServerCodec::new(stream);
    while let Some(Ok(request)) = codec.next().await {
        let mut body = request.into_body();
        if codec.fill_payload().await.is_err() {
            return;
        }
        while let Some(Ok(_)) = body.next_data().await {}
        let legs = scatter.legs.iter().map(|leg| leg.ask(scatter.request.clone()));
        let answers = match try_join_all(legs).await {
            Ok(answers) => answers,
            Err(problem) => return eprintln!("scatter-monoio: {problem:#}"),
        };
        let answers: Vec<&[u8]> = answers.iter().map(AsRef::as_ref).collect();
        let Ok(merged) = score_merge::merge(&answers, scatter.hits) else { return };
        let response: Result<Response<Payload>, _> = Response::builder()
            .header("content-type", "application/json")
            .body(Payload::Fixed(FixedPayload::new(Bytes::from(merged))));
        let Ok(response) = response else { return };
        if codec.send_and_flush(response).await.is_err() {
            return;
        }
    }
}
