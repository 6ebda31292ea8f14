//! Switches experimental features on nodes, and again on nodes that join later.
//!
//! Invariant: what clients switched is stored, so that a joining node is given it.

use bytes::Bytes;
use http::{Method, StatusCode};
use router::NodeIndex;
use serde_json::Value;
use store::Versioned;

use crate::{
    api::error::ApiError,
    nodes::pool::{NodeRequest, is_refusal},
    observe::log,
    read::node_features::{Features, TARGET},
    state::{
        core::Core,
        refresh,
        shared::{FEATURES, FEATURES_KEY},
    },
    write::fanout,
};

/// Switches a node's features as clients have switched them; gives whether all went well.
pub async fn restore(core: &Core, node: NodeIndex) -> bool {
    let Ok((mut switched, _)) = stored(core).await else { return false };
    if switched.is_empty() {
        return true;
    }
    let Ok(known) = ask(core, node, Method::GET, Bytes::new()).await else { return false };
    // A feature that the node's version does not know cannot be switched there.
    switched.retain(|name, value| known.get(name).is_some_and(|now| now != value));
    let body = Value::Object(switched.clone()).to_string();
    switched.is_empty() || ask(core, node, Method::PATCH, body.into()).await.is_ok()
}

/// Stores what a client switched, for nodes that join later.
pub(crate) async fn remember(core: &Core, body: &[u8]) -> Result<(), ApiError> {
    let (mut switched, revision) = stored(core).await?;
    let change = serde_json::from_slice::<Features>(body).unwrap_or_default();
    switched.extend(change.into_iter().filter(|(_, value)| value.is_boolean()));
    let value = Value::Object(switched.clone());
    let version = core.shared.store.put_record(FEATURES, FEATURES_KEY, value, revision).await?;
    refresh::take_features(&core.shared, Versioned { version, value: switched });
    Ok(())
}

pub(crate) async fn stored(core: &Core) -> Result<(Features, Option<u64>), ApiError> {
    let record = core.shared.store.record(FEATURES, FEATURES_KEY).await?;
    let revision = record.as_ref().map(|record| record.revision);
    let features = record.and_then(|record| record.value.as_object().cloned());
    Ok((features.unwrap_or_default(), revision))
}

/// Sends one node a request about its features; gives the features that it answers with.
pub(crate) async fn ask(
    core: &Core,
    node: NodeIndex,
    method: Method,
    body: Bytes,
) -> Result<Features, ApiError> {
    // The same body twice leaves the same features.
    let content_type = (method != Method::GET).then_some("application/json");
    let question = NodeRequest { method, target: TARGET, content_type, body, repeatable: true };
    let reason = match core.pools.ask(node, question, core.shared.config.node_timeout).await {
        Ok(answer) if answer.status == StatusCode::OK => match serde_json::from_slice(&answer.body) {
            Ok(features) => return Ok(features),
            Err(error) => error.to_string(),
        },
        Ok(answer) if is_refusal(&answer) => return Err(ApiError::from_node(answer.status, &answer.body)),
        Ok(answer) => format!("status {}", answer.status.as_u16()),
        Err(error) => error.to_string(),
    };
    let id = &core.shared.nodes.addresses[usize::from(node.0)].id;
    log::warn("features_failed", &[("node", id), ("reason", &reason)]);
    Err(fanout::no_quorum())
}
