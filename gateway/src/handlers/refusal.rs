//! Refusals: a node refuses, in its own words, what the gateway does not understand.
//!
//! Invariant: a request that the gateway cannot read but a node can is never answered by one node.

use serde_json::Value;

use crate::{
    api::{
        error::{ApiError, Code},
        http::query_string::Query,
    },
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
    refusal_at(core, request, &target).await.unwrap_or_else(|| not_spread(request))
}

/// How many members a refusal names.
const NAMED_MEMBERS_MAX: usize = 16;

/// The refusal of a request that a node takes, but that this gateway cannot make one of many nodes' answers: a single
/// node's would not be that of the cluster. It names what the request is made of.
pub(crate) fn not_spread(request: &Request) -> ApiError {
    let mut names =
        Query::parse(request.uri.query()).iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>();
    if let Ok(Value::Object(members)) = serde_json::from_slice::<Value>(&request.body) {
        names.extend(members.into_iter().map(|(name, _)| name));
    }
    names.truncate(NAMED_MEMBERS_MAX);
    let names = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let message = format!(
        "This request cannot be spread over the nodes of a cluster, because of something in {names}: each node \
         would answer it from its own documents alone."
    );
    ApiError::new(Code::BadRequest, message)
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
