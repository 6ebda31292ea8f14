//! The control port: fault switches over plain JSON.
//! Invariant: nothing here is reachable from the data port.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::get;

use crate::faults::Faults;
use crate::node::Node;

/// The largest body with a set of faults, in bytes.
const BODY_BYTES_MAX: usize = 64 << 10;

/// `GET`, `POST` and `DELETE /faults`.
pub(super) fn router(node: Arc<Node>) -> Router {
    let (shown, cleared) = (Arc::clone(&node), Arc::clone(&node));
    let show = move || async move { reply(StatusCode::OK, shown.faults.current().as_ref()) };
    let clear = move || async move {
        apply(&cleared, Faults::default());
        reply(StatusCode::OK, &Faults::default())
    };
    let set = move |request: Request| async move {
        let body = axum::body::to_bytes(request.into_body(), BODY_BYTES_MAX).await.unwrap_or_default();
        match serde_json::from_slice::<Faults>(&body) {
            Ok(faults) => {
                apply(&node, faults.clone());
                reply(StatusCode::OK, &faults)
            }
            Err(error) => reply(StatusCode::BAD_REQUEST, &error.to_string()),
        }
    };
    Router::new().route("/faults", get(show).post(set).delete(clear))
}

fn apply(node: &Node, faults: Faults) {
    node.registry.stall(faults.stall_tasks);
    node.clock.skew(faults.clock_skew_ms);
    node.faults.set(faults);
}

fn reply(status: StatusCode, value: &impl serde::Serialize) -> Response {
    let body = serde_json::to_vec(value).expect("a set of faults is plain data");
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
