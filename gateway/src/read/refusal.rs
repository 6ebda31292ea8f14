//! A node's refusal of a request that the gateway cannot read.

use bytes::Bytes;

use crate::{
    api::error::ApiError, nodes::pool::NodeRequest, read::ask, state::core::Core, wire::h1::message::Request,
};

/// Has a node refuse a request whose body nodes get in another form; `None` when the node accepts it.
pub(crate) async fn refusal_to(
    core: &Core,
    request: &Request,
    target: &str,
    body: Bytes,
) -> Option<ApiError> {
    let nodes = core.shared.snapshot().topology.every_node();
    let content_type = (request.method != http::Method::GET).then_some("application/json");
    let request =
        NodeRequest { method: request.method.clone(), target, content_type, body, repeatable: true };
    match ask::first_of(core, nodes, request).await {
        Ok(Ok(_)) => None,
        Ok(Err(refusal)) => Some(ApiError::from_node(refusal.status, &refusal.body)),
        Err(error) => Some(error),
    }
}
