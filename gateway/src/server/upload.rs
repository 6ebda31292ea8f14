//! A request whose body is larger than memory should hold: it is handed to its handler piece by piece as it comes.
//!
//! Invariants: the request passes the same steps as any other before its body is read, so one without a right costs
//! nothing. What the handler does not take in time waits in the socket. The connection is closed afterwards.

use std::{panic::AssertUnwindSafe, rc::Rc};

use futures_util::{
    FutureExt,
    future::{Either, select},
};
use http::Method;
use tokio::sync::mpsc;

use crate::{
    api::error::{ApiError, Code},
    config::limits,
    observe::log,
    server::pipeline,
    state::core::Core,
    wire::h1::{Incoming, Pieces, Request, Response, ServerConnection},
};

/// Whether a request's body is read in pieces.
pub(crate) fn is_one(request: &Request) -> bool {
    request.method == Method::POST && request.uri.path() == "/_miroir/dumps/import"
}

/// Serves such a request, and ends the connection.
pub(crate) async fn run(core: &Rc<Core>, mut connection: ServerConnection, incoming: Incoming) {
    let (sender, pieces) = mpsc::channel(limits::UPLOAD_PIECES_WAITING_MAX);
    let request = Request { upload: Some(Pieces::new(pieces)), ..incoming.request };
    let serving = Box::pin(AssertUnwindSafe(Box::pin(pipeline::serve(core, request))).catch_unwind());
    let reading = Box::pin(connection.hand_on_body(incoming.body, limits::UPLOAD_TIMEOUT, sender));
    let served = match select(serving, reading).await {
        // The handler has an answer, whatever is still to come.
        Either::Left((served, _)) => served,
        Either::Right((_, serving)) => serving.await,
    };
    let response = match served {
        Ok(served) => served.response,
        Err(_) => {
            log::error("panic_in_request", &[("method", "POST")]);
            core.metrics.panics.increment(1);
            Response::from(ApiError::new(Code::Internal, "An internal error has occurred."))
        }
    };
    // An error means that the client is gone.
    let _ = connection.write_response(&Method::POST, response, false).await;
    connection.close().await;
}
