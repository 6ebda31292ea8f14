//! One client connection: requests in, answers out, until one side closes.
//!
//! Invariants: a panic while serving costs this connection and nothing else. A refusal by the wire (`h1::Refusal`) is
//! answered and closes the connection. Requests on one connection are served in order.

use std::{io, net::IpAddr, panic::AssertUnwindSafe, rc::Rc};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Method, StatusCode};
use tokio::sync::mpsc;

use crate::{
    api::error::{ApiError, Code},
    console::sessions,
    observe::log,
    server::{
        event_stream,
        pipeline::{self, Served},
        upload,
    },
    state::core::Core,
    wire::{
        h1::{Pieces, Refusal, Response, ServerConnection},
        runtime,
    },
};

/// Serves a connection to its end.
pub(crate) async fn run(core: &Rc<Core>, stream: runtime::Stream, peer: IpAddr) {
    let limits = core.server_limits();
    let mut connection = match core.shared.tls.load_full() {
        None => ServerConnection::new(stream, peer, limits),
        Some(tls) => match ServerConnection::new_tls(stream, peer, tls, limits).await {
            Ok(connection) => connection,
            Err(_) => return core.metrics.refusal("tls_handshake"),
        },
    };
    loop {
        let read = match connection.read_head().await {
            Ok(incoming) if upload::is_one(&incoming.request) => {
                return Box::pin(upload::run(core, connection, incoming)).await;
            }
            Ok(incoming) => connection.read_body(incoming).await,
            Err(refusal) => Err(refusal),
        };
        let mut request = match read {
            Ok(request) => request,
            Err(refusal) => {
                let Some(response) = refusal_response(core, refusal) else { return };
                let _ = connection.write_response(&Method::GET, response, false).await;
                return connection.close().await;
            }
        };
        let method = request.method.clone();
        let ticket = sessions::sealed_ticket(&request).map(str::to_owned);
        // RFC 9110, section 9.3.2: a HEAD is a GET whose body is not sent.
        if method == Method::HEAD {
            request.method = Method::GET;
        }
        let keep_alive = request.keep_alive && !core.shared.is_draining();
        let served = match pipeline::shed_early(core, &request) {
            Some(refusal) => Ok(refusal.into()),
            None => {
                // Boxed while it lasts, so that a waiting connection does not hold the memory that serving needs.
                let serving = Box::pin(pipeline::serve(core, request));
                AssertUnwindSafe(serving).catch_unwind().await
            }
        };
        let Ok(Served { response, listened }) = served else {
            log::error("panic_in_request", &[("method", method.as_str())]);
            core.metrics.panics.increment(1);
            let response = Response::from(ApiError::new(Code::Internal, "An internal error has occurred."));
            let _ = connection.write_response(&method, response, false).await;
            return connection.close().await;
        };
        if event_stream::is_one(&method, &response) {
            return event_stream::run(core, connection, response, ticket).await;
        }
        if let Some(pieces) = response.pieces.as_ref().and_then(Pieces::take) {
            // An error means that the client is gone.
            let _ = send_pieces(&mut connection, &response, pieces).await;
            return connection.close().await;
        }
        let written = connection.write_response(&method, response, keep_alive).await;
        if let Some(listened) = listened {
            listened.tell(core);
        }
        if written.is_err() {
            return;
        }
        if !keep_alive {
            return connection.close().await;
        }
        connection.set_limits(core.server_limits());
    }
}

/// Sends a body that is still being made, piece by piece.
async fn send_pieces(
    connection: &mut ServerConnection,
    head: &Response,
    mut pieces: mpsc::Receiver<Bytes>,
) -> io::Result<()> {
    connection.begin_stream(head).await?;
    while let Some(piece) = pieces.recv().await {
        // An empty piece would end the body.
        if !piece.is_empty() {
            connection.send_piece(&piece).await?;
        }
    }
    connection.send_piece(b"").await
}

fn refusal_response(core: &Core, refusal: Refusal) -> Option<Response> {
    let status = refusal.status()?;
    core.metrics.refusal(refusal.name());
    let code = match status {
        StatusCode::PAYLOAD_TOO_LARGE => Code::PayloadTooLarge,
        _ => Code::BadRequest,
    };
    let mut response = Response::from(ApiError::new(code, refusal.message()));
    response.status = status;
    Some(response)
}
