//! Experimental features: switched on every node, shown as one node shows them.
//!
//! Invariants: a feature is on when every node that was asked has it on. What one node refuses changes nothing
//! anywhere, since the node that knows the fewest features is asked first. Changes are made one after the other,
//! whichever core takes them.

use std::rc::Rc;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Method, StatusCode};
use serde_json::Value;

use crate::{
    api::error::ApiError,
    handlers::extract,
    read::node_features::{Features, TARGET, on_everywhere, shown},
    state::core::Core,
    wire::h1::{Request, Response},
    write::{
        fanout, lane,
        node_features::{self, remember},
    },
};

/// The lane of these changes: no index has this name.
const LANE: &str = TARGET;

/// `GET /experimental-features`.
pub(crate) async fn get(core: &Core) -> Result<Response, ApiError> {
    Ok(response_of(shown(core).await?))
}

/// `PATCH /experimental-features`.
///
/// # Errors
/// A node's refusal; 503 when a node is not available.
pub(crate) async fn change(core: &Rc<Core>, request: &Request) -> Result<Response, ApiError> {
    let body = extract::json_body(core, request)?;
    let _hold = lane::lock(core, vec![LANE]).await?;
    let mut nodes = core.shared.snapshot().topology.every_node();
    // A node that is away is given what it misses when it joins again (`write::node_features::restore`).
    nodes.retain(|node| core.shared.nodes.health.state(*node).takes_writes());
    let known =
        join_all(nodes.iter().map(|node| node_features::ask(core, *node, Method::GET, Bytes::new()))).await;
    let mut known = known.into_iter().zip(nodes).map(|(known, node)| Ok((known?.len(), node)));
    let mut nodes = known.by_ref().collect::<Result<Vec<_>, ApiError>>()?;
    nodes.sort_unstable();
    let Some(((_, first), others)) = nodes.split_first() else { return Err(fanout::no_quorum()) };
    let mut changed = vec![node_features::ask(core, *first, Method::PATCH, body.clone()).await?];
    let others = others.iter().map(|(_, node)| node_features::ask(core, *node, Method::PATCH, body.clone()));
    for features in join_all(others).await {
        changed.push(features?);
    }
    remember(core, &body).await?;
    Ok(response_of(on_everywhere(changed)))
}

fn response_of(features: Features) -> Response {
    Response::json(StatusCode::OK, Value::Object(features).to_string())
}
