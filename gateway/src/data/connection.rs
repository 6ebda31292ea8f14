//! One client connection: requests in, answers out, until one side closes.
//!
//! Invariants: a panic while serving costs this connection and nothing else; a refusal of the
//! wire (`h1::Refusal`) is answered and closes; requests on one connection are served in order.

use std::{panic::AssertUnwindSafe, rc::Rc};

use futures_util::FutureExt;
use http::{Method, StatusCode};

use super::{Core, serve};
use crate::{
    api::error::{ApiError, Code},
    h1::{Refusal, Response, ServerConnection},
    observe::log,
    runtime::Runtime,
};

/// Serves a connection to its end.
pub(super) async fn run<R: Runtime>(core: Rc<Core<R>>, stream: R::Stream) {
    let mut connection = ServerConnection::<R>::new(stream, core.server_limits());
    loop {
        let mut request = match connection.read_request().await {
            Ok(request) => request,
            Err(refusal) => {
                if let Some(response) = refusal_response(&core, refusal) {
                    let _ = connection.write_response(&Method::GET, response, false).await;
                }
                return;
            }
        };
        let method = request.method.clone();
        // RFC 9110, section 9.3.2: a HEAD is a GET whose body is not sent.
        if method == Method::HEAD {
            request.method = Method::GET;
        }
        let keep_alive = request.keep_alive && !core.shared.is_draining();
        let served = AssertUnwindSafe(serve::serve(&core, request)).catch_unwind().await;
        let Ok(response) = served else {
            log::error("panic_in_request", &[("method", method.as_str())]);
            core.metrics.panics.increment(1);
            let response = ApiError::new(Code::Internal, "An internal error has occurred.").into_response();
            let _ = connection.write_response(&method, response, false).await;
            return;
        };
        if connection.write_response(&method, response, keep_alive).await.is_err() || !keep_alive {
            return;
        }
    }
}

fn refusal_response<R: Runtime>(core: &Core<R>, refusal: Refusal) -> Option<Response> {
    let status = refusal.status()?;
    core.metrics.refusals.increment(1);
    let error = match refusal {
        Refusal::Gone => return None,
        Refusal::Malformed(reason) => {
            ApiError::new(Code::BadRequest, format!("Malformed HTTP request: {reason}."))
        }
        Refusal::HeadTooLarge(bytes) => {
            ApiError::new(Code::BadRequest, format!("The request's head is over its limit of {bytes} bytes."))
        }
        Refusal::BodyTooLarge(bytes) => ApiError::new(
            Code::PayloadTooLarge,
            format!(
                "The provided payload reached the size limit. The maximum accepted payload size is {bytes} bytes."
            ),
        ),
        Refusal::TimedOut => ApiError::new(Code::BadRequest, "The request did not arrive in time."),
    };
    let mut response = error.into_response();
    debug_assert!(status.is_client_error());
    response.status = match status {
        StatusCode::PAYLOAD_TOO_LARGE => response.status,
        status => status,
    };
    Some(response)
}
