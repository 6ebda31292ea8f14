//! Small questions to nodes whose answers are read as values: indexes, stats, settings, version.
//!
//! Invariant: a question to "a group" is answered by every node of one group, or not at all, so
//! that sums count each document once per copy.

use futures_util::future::join_all;
use http::StatusCode;
use router::NodeIndex;
use serde_json::Value;

use super::{Core, plan, pool::NodeRequest, scatter::is_refusal};
use crate::{
    api::error::{ApiError, Code},
    config::limits,
    health::NodeVersion,
    observe::log,
    runtime::Runtime,
};

/// Asks nodes one after the other until one answers.
pub(super) async fn any<R: Runtime>(core: &Core<R>, target: &str) -> Result<Value, ApiError> {
    one(core, &NodeRequest::get(target)).await
}

/// Asks nodes one after the other until one answers, whatever the question; it must be repeatable.
pub(super) async fn one<R: Runtime>(core: &Core<R>, question: &NodeRequest<'_>) -> Result<Value, ApiError> {
    let mut nodes = plan::every_node(&core.shared.snapshot().topology);
    let turn = core.turn() % nodes.len().max(1);
    nodes.rotate_left(turn);
    nodes.sort_by_key(|node| !core.shared.health.state(*node).serves_reads());
    for node in nodes {
        match core.pools.ask(node, question.clone(), core.shared.config.node_timeout).await {
            Ok(answer) if answer.status == StatusCode::OK => {
                if let Ok(value) = serde_json::from_slice(&answer.body) {
                    return Ok(value);
                }
            }
            Ok(answer) if is_refusal(&answer) => {
                return Err(ApiError::from_node(answer.status, &answer.body));
            }
            Ok(_) | Err(_) => {}
        }
    }
    Err(ApiError::new(Code::MiroirShardUnavailable, "No node is available."))
}

/// Asks every node of the first group that answers whole.
pub(super) async fn group<R: Runtime>(core: &Core<R>, target: &str) -> Result<Vec<Value>, ApiError> {
    let snapshot = core.shared.snapshot();
    let groups = snapshot.topology.groups();
    let turn = core.turn();
    for step in 0..groups.len() {
        let nodes = &groups[(turn + step) % groups.len()];
        let values = ask(core, nodes.iter().copied(), target).await?;
        if values.len() == nodes.len() {
            return Ok(values);
        }
    }
    Err(ApiError::new(Code::MiroirShardUnavailable, "No replica group answers whole."))
}

/// Asks every node; gives what those say that answer, with each document counted as often as it has copies on them.
///
/// # Errors
/// A node's refusal, or 503 when none answers.
pub(super) async fn answering<R: Runtime>(core: &Core<R>, target: &str) -> Result<Vec<Value>, ApiError> {
    let nodes = plan::every_node(&core.shared.snapshot().topology);
    let up = nodes.into_iter().filter(|node| core.shared.health.state(*node).serves_reads());
    let values = ask(core, up, target).await?;
    match values.is_empty() {
        false => Ok(values),
        true => Err(ApiError::new(Code::MiroirShardUnavailable, "No node is available.")),
    }
}

/// Asks nodes all at once; gives what those say that answer.
///
/// # Errors
/// A node's refusal.
async fn ask<R: Runtime>(
    core: &Core<R>,
    nodes: impl Iterator<Item = NodeIndex>,
    target: &str,
) -> Result<Vec<Value>, ApiError> {
    let limit = core.shared.config.node_timeout;
    let asked = nodes.map(|node| core.pools.ask(node, NodeRequest::get(target), limit));
    let mut values = Vec::new();
    for answer in join_all(asked).await {
        match answer {
            Ok(answer) if answer.status == StatusCode::OK => {
                values.extend(serde_json::from_slice::<Value>(&answer.body).ok());
            }
            Ok(answer) if is_refusal(&answer) => {
                return Err(ApiError::from_node(answer.status, &answer.body));
            }
            Ok(_) | Err(_) => {}
        }
    }
    Ok(values)
}

/// The version of the oldest node; those whose version is not known yet are asked.
pub(super) async fn lowest_version<R: Runtime>(core: &Core<R>) -> Option<NodeVersion> {
    let nodes = plan::every_node(&core.shared.snapshot().topology);
    let unknown = nodes.into_iter().filter(|node| !core.shared.health.knows_version(*node));
    join_all(unknown.map(|node| learn_version(core, node))).await;
    core.shared.health.lowest_version()
}

/// Asks a node for its version and remembers it.
pub async fn learn_version<R: Runtime>(core: &Core<R>, node: NodeIndex) {
    let answer = core.pools.ask(node, NodeRequest::get("/version"), limits::HEALTH_PROBE_TIMEOUT).await;
    let version = answer.ok().and_then(|answer| serde_json::from_slice::<Value>(&answer.body).ok());
    let version = version.as_ref().and_then(|version| NodeVersion::parse(version["pkgVersion"].as_str()?));
    match version {
        Some(version) => core.shared.health.set_version(node, version),
        None => log::warn("node_version_unknown", &[("node", &core.shared.nodes[usize::from(node.0)].id)]),
    }
}
