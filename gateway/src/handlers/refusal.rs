//! Refusals: a node refuses, in its own words, what the gateway does not understand.
//!
//! Invariant: a request that the gateway cannot read but a node can is never answered by one node.

use crate::{
    api::error::{ApiError, Code},
    handlers::extract,
    read::refusal::refusal_to,
    state::{core::Core, snapshot::Index},
    wire::h1::message::Request,
};

/// Sends a request that the gateway does not understand to a node, for the node's refusal.
pub(crate) async fn refusal_of_a_node(
    core: &Core,
    request: &Request,
    index: &Index,
    suffix: &str,
) -> ApiError {
    let target = node_target(request, index, suffix);
    // The node understood the request, but a single node's answer would not be that of the cluster.
    let not_understood = || ApiError::new(Code::BadRequest, "The gateway does not understand this request.");
    refusal_at(core, request, &target).await.unwrap_or_else(not_understood)
}

/// The path of a request about an index on the nodes, its query string included.
pub(crate) fn node_target(request: &Request, index: &Index, suffix: &str) -> String {
    let mut target = format!("/indexes/{}{suffix}", index.record.node_uid);
    if let Some(query) = request.uri.query() {
        target.push('?');
        target.push_str(query);
    }
    target
}

/// A node's refusal of a request; `None` when the node would serve it.
pub(crate) async fn refusal_at(core: &Core, request: &Request, target: &str) -> Option<ApiError> {
    match extract::decoded_body(core, request) {
        Ok(body) => Box::pin(refusal_to(core, request, target, body)).await,
        Err(error) => Some(error),
    }
}
