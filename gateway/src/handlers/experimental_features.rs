//! Experimental features: switched on every node, shown as one node shows them.
//!
//! Invariants: a feature is on when it is on at every node that is asked; what one node refuses changes
//! nothing anywhere, for the node that knows the fewest features is asked first; changes are made one
//! after the other, whichever core takes them.

use std::rc::Rc;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Method, StatusCode};
use router::NodeIndex;
use serde_json::{Map, Value};
use store::Table;

use crate::{
    api::error::ApiError,
    handlers::extract,
    nodes::pool::NodeRequest,
    observe::log,
    read::{ask, scatter::is_refusal},
    state::core::Core,
    wire::{
        h1::{Request, Response},
        runtime,
    },
    write::{fanout, lane},
};

const TARGET: &str = "/experimental-features";
/// The lane of these changes: no index is called so.
const LANE: &str = TARGET;

/// Where what clients have switched is stored, in one record.
const FEATURES: Table = Table::named("features");
const FEATURES_KEY: &str = "switched";

type Features = Map<String, Value>;

/// `GET /experimental-features`.
pub(crate) async fn get(core: &Core) -> Result<Response, ApiError> {
    Ok(answer(shown(core).await?))
}

/// Whether a feature is on, as far as anybody says.
pub(crate) async fn is_on(core: &Core, name: &str) -> bool {
    shown(core).await.is_ok_and(|features| features.get(name) == Some(&Value::Bool(true)))
}

pub(crate) async fn shown(core: &Core) -> Result<Features, ApiError> {
    let of_nodes = ask::answering(core, TARGET).await?;
    Ok(on_everywhere(of_nodes.into_iter().filter_map(|features| match features {
        Value::Object(features) => Some(features),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
    })))
}

/// `PATCH /experimental-features`.
///
/// # Errors
/// A node's refusal; 503 when a node is not available.
pub(crate) async fn change(core: &Rc<Core>, request: &Request) -> Result<Response, ApiError> {
    let body = extract::json_body(core, request)?;
    let _hold = lane::hold(core, vec![LANE]).await?;
    let mut nodes = core.shared.snapshot().topology.every_node();
    // One that is away is given what it misses when it joins again (`restore`).
    nodes.retain(|node| core.shared.health.state(*node).takes_writes());
    let known = join_all(nodes.iter().map(|node| ask(core, *node, Method::GET, Bytes::new()))).await;
    let mut known = known.into_iter().zip(nodes).map(|(known, node)| Ok((known?.len(), node)));
    let mut nodes = known.by_ref().collect::<Result<Vec<_>, ApiError>>()?;
    nodes.sort_unstable();
    let Some(((_, first), others)) = nodes.split_first() else { return Err(fanout::no_quorum()) };
    let mut changed = vec![ask(core, *first, Method::PATCH, body.clone()).await?];
    let others = others.iter().map(|(_, node)| ask(core, *node, Method::PATCH, body.clone()));
    for features in join_all(others).await {
        changed.push(features?);
    }
    remember(core, &body).await?;
    Ok(answer(on_everywhere(changed)))
}

/// Keeps what was switched, for nodes to come.
async fn remember(core: &Core, body: &[u8]) -> Result<(), ApiError> {
    let (mut switched, revision) = stored(core).await?;
    let change = serde_json::from_slice::<Features>(body).unwrap_or_default();
    switched.extend(change.into_iter().filter(|(_, value)| value.is_boolean()));
    core.shared.store.put_record(FEATURES, FEATURES_KEY, Value::Object(switched), revision).await?;
    Ok(())
}

async fn stored(core: &Core) -> Result<(Features, Option<u64>), ApiError> {
    let record = core.shared.store.record(FEATURES, FEATURES_KEY).await?;
    let revision = record.as_ref().map(|record| record.revision);
    let features = record.and_then(|record| record.value.as_object().cloned());
    Ok((features.unwrap_or_default(), revision))
}

/// Switches a node's features as clients have switched them; whether all went well.
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

/// Asks one node, which answers its features.
async fn ask(core: &Core, node: NodeIndex, method: Method, body: Bytes) -> Result<Features, ApiError> {
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
    let id = &core.shared.nodes[usize::from(node.0)].id;
    log::warn("features_failed", &[("node", id), ("reason", &reason)]);
    Err(fanout::no_quorum())
}

/// The features that every node knows; one is on when it is on everywhere.
fn on_everywhere(of_nodes: impl IntoIterator<Item = Features>) -> Features {
    let mut of_nodes = of_nodes.into_iter();
    let mut features = of_nodes.next().unwrap_or_default();
    for other in of_nodes {
        features.retain(|name, _| other.contains_key(name));
        for (name, value) in &mut features {
            if other[name] == Value::Bool(false) {
                *value = Value::Bool(false);
            }
        }
    }
    features
}

fn answer(features: Features) -> Response {
    Response::json(StatusCode::OK, Value::Object(features).to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_feature_is_on_when_it_is_on_everywhere() {
        let check = |of_nodes: &[Value], expected: Value| {
            let of_nodes = of_nodes.iter().map(|features| features.as_object().unwrap().clone());
            assert_eq!(Value::Object(on_everywhere(of_nodes)), expected);
        };
        let (on, off) = (json!({"a": true, "b": true}), json!({"a": true, "b": false}));
        check(&[on.clone(), on.clone()], on.clone());
        check(&[on.clone(), off.clone()], off.clone());
        check(&[off.clone(), on.clone()], off);
        check(&[on, json!({"a": true})], json!({"a": true}));
        check(&[], json!({}));
    }
}
