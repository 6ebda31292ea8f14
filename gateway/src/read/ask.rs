//! Asks for small answers that are read as values (indexes, stats, settings, version), and sends requests that any
//! one of several nodes can answer.
//!
//! Invariant: a question to "a group" is answered by every node of one group or fails, so that sums count each
//! document once per copy.

use futures_util::{StreamExt, future::join_all, stream::FuturesUnordered};
use http::StatusCode;
use router::{Leg, NodeIndex, ShardSet};
use serde_json::{Value, value::RawValue};

use crate::{
    api::{
        error::{ApiError, Code},
        node_version::NodeVersion,
    },
    config::limits,
    nodes::pool::{NodeRequest, is_refusal},
    observe::log,
    read::{
        plan,
        race::{self, Placed, ShardedQuery},
    },
    state::{core::Core, coverage},
    wire::{
        h1::NodeAnswer,
        runtime::{self, timeout},
    },
};

/// A request that any of these nodes can answer; `nodes` is in order of preference.
struct OneOf<'a> {
    nodes: Vec<NodeIndex>,
    request: NodeRequest<'a>,
}

impl ShardedQuery for OneOf<'_> {
    fn place(&self, _wanted: Option<&ShardSet>, avoided: &[NodeIndex]) -> Placed {
        // The race counts in shards, so the whole request is one shard.
        let shards: ShardSet = [0].into_iter().collect();
        match self.nodes.iter().find(|node| !avoided.contains(node)) {
            Some(node) => {
                let leg = Leg { node: *node, shards, whole_node: true };
                Placed { legs: vec![leg], uncovered: ShardSet::default() }
            }
            None => Placed { legs: Vec::new(), uncovered: shards },
        }
    }

    fn request(&self, _leg: &Leg) -> NodeRequest<'_> {
        self.request.clone()
    }
}

/// Asks the best of nodes that can all answer; asks another one when it fails or is late.
///
/// # Errors
/// 503 when no node answers. The inner error is a node's refusal.
pub(crate) async fn first_of(
    core: &Core,
    nodes: Vec<NodeIndex>,
    request: NodeRequest<'_>,
) -> Result<Result<NodeAnswer, NodeAnswer>, ApiError> {
    one_in_order(core, plan::in_order(core, nodes), request).await
}

/// Asks joining nodes that may stand in, for when no node serves reads.
///
/// # Errors
/// Those of [`first_of`].
pub(crate) async fn stand_in(
    core: &Core,
    mut nodes: Vec<NodeIndex>,
    request: NodeRequest<'_>,
) -> Result<Result<NodeAnswer, NodeAnswer>, ApiError> {
    nodes.retain(|node| plan::stands_in(core, *node));
    one_in_order(core, nodes, request).await
}

async fn one_in_order(
    core: &Core,
    nodes: Vec<NodeIndex>,
    request: NodeRequest<'_>,
) -> Result<Result<NodeAnswer, NodeAnswer>, ApiError> {
    let mut question = OneOf { nodes, request };
    let deadline = runtime::now() + core.shared.config.request_timeout;
    loop {
        match race::ask(core, &question, None, &[], deadline).await {
            Ok(mut outcome) => match outcome.answers.pop() {
                Some((_, answer)) if is_json(&answer.body) => return Ok(Ok(answer)),
                Some((leg, _)) => {
                    race::note_failure(core, leg.node, runtime::now(), "its answer is not JSON");
                    question.nodes.retain(|node| *node != leg.node);
                }
                None => return Err(coverage::no_node(&core.shared, question.nodes)),
            },
            Err(refusal) => return Ok(Err(refusal)),
        }
    }
}

fn is_json(body: &[u8]) -> bool {
    serde_json::from_slice::<&RawValue>(body).is_ok()
}

/// Sends a GET to any one node.
pub(crate) async fn any_node(core: &Core, target: &str) -> Result<Value, ApiError> {
    one(core, NodeRequest::get(target)).await
}

/// Sends a request to any one node; the request must be repeatable.
pub(crate) async fn one(core: &Core, question: NodeRequest<'_>) -> Result<Value, ApiError> {
    let nodes = core.shared.snapshot().topology.every_node();
    let answer = first_of(core, nodes, question).await?;
    let answer = answer.map_err(|refusal| ApiError::from_node(refusal.status, &refusal.body))?;
    let unreadable = |_| ApiError::new(Code::MiroirShardUnavailable, "A node's answer cannot be read.");
    serde_json::from_slice(&answer.body).map_err(unreadable)
}

/// Asks every node of one replica group; the next group where a node of it does not answer.
pub(crate) async fn group(core: &Core, target: &str) -> Result<Vec<Value>, ApiError> {
    let snapshot = core.shared.snapshot();
    let groups = snapshot.topology.groups();
    let turn = core.turn();
    for step in 0..groups.len() {
        let nodes = &groups[(turn + step) % groups.len()];
        let is_whole = snapshot
            .topology
            .placements()
            .iter()
            .all(|placement| placement.is_whole((turn + step) % groups.len()));
        if !is_whole || !nodes.iter().all(|node| plan::serves_well(core, *node)) {
            continue;
        }
        let values = ask(core, nodes.iter().copied(), target).await?;
        if values.len() == nodes.len() {
            return Ok(values);
        }
    }
    Err(ApiError::new(Code::MiroirShardUnavailable, "No replica group answers whole."))
}

/// Asks every node and gives the answers of those that respond: each document counts once per copy on them.
///
/// # Errors
/// A node's refusal, or 503 when no node answers.
pub(crate) async fn all_reachable(core: &Core, target: &str) -> Result<Vec<Value>, ApiError> {
    let nodes = core.shared.snapshot().topology.every_node();
    let (well, others) = nodes.into_iter().partition::<Vec<_>, _>(|node| plan::serves_well(core, *node));
    let mut values = ask(core, well.into_iter(), target).await?;
    if values.is_empty() {
        let others = others.into_iter().filter(|node| core.shared.nodes.health.state(*node).serves_reads());
        values = ask(core, others, target).await?;
    }
    match values.is_empty() {
        false => Ok(values),
        true => {
            let nodes = core.shared.snapshot().topology.every_node();
            Err(coverage::no_node(&core.shared, nodes))
        }
    }
}

/// Asks all these nodes at once; gives the answers that arrive before a node is far later than the others.
///
/// # Errors
/// A node's refusal.
async fn ask(
    core: &Core,
    nodes: impl Iterator<Item = NodeIndex>,
    target: &str,
) -> Result<Vec<Value>, ApiError> {
    let (started, longest) = (runtime::now(), core.shared.config.node_timeout);
    let mut silent = nodes.collect::<Vec<_>>();
    let pending = silent.iter().map(|node| {
        let node = *node;
        async move { (node, core.pools.ask(node, NodeRequest::get(target), longest).await) }
    });
    let mut pending = pending.collect::<FuturesUnordered<_>>();
    let mut values = Vec::new();
    let mut limit = longest;
    while let Ok(Some((node, answer))) = timeout(limit, pending.next()).await {
        silent.retain(|waiting| *waiting != node);
        let took = runtime::now().saturating_duration_since(started);
        match answer {
            Ok(answer) if answer.status == StatusCode::OK => {
                values.extend(serde_json::from_slice::<Value>(&answer.body).ok());
                // Nodes that are still silent get a multiple of the time that this one took.
                let most = (took * limits::PATIENCE_FACTOR).max(limits::STRAGGLER_PATIENCE_MIN);
                limit = most.min(longest).saturating_sub(took);
            }
            Ok(answer) if is_refusal(&answer) => {
                return Err(ApiError::from_node(answer.status, &answer.body));
            }
            Ok(_) | Err(_) => race::note_failure(core, node, started, "no answer to a question"),
        }
    }
    for node in silent {
        race::note_failure(core, node, started, "it is far later than others");
    }
    Ok(values)
}

/// The version of the oldest node. Asks the nodes whose version is not known yet.
pub(crate) async fn lowest_version(core: &Core) -> Option<NodeVersion> {
    let nodes = core.shared.snapshot().topology.every_node();
    let unknown = nodes.into_iter().filter(|node| {
        !core.shared.nodes.health.knows_version(*node) && core.shared.nodes.health.state(*node).takes_writes()
    });
    join_all(unknown.map(|node| learn_version(core, node))).await;
    core.shared.nodes.health.lowest_version()
}

/// Asks a node for its version and remembers it.
pub async fn learn_version(core: &Core, node: NodeIndex) {
    let answer = core.pools.ask(node, NodeRequest::get("/version"), limits::NODE_QUESTION_TIMEOUT).await;
    let version = answer.ok().and_then(|answer| serde_json::from_slice::<Value>(&answer.body).ok());
    let version = version.as_ref().and_then(|version| NodeVersion::parse(version["pkgVersion"].as_str()?));
    match version {
        Some(version) => core.shared.nodes.health.set_version(node, version),
        None => log::warn(
            "node_version_unknown",
            &[("node", &core.shared.nodes.addresses[usize::from(node.0)].id)],
        ),
    }
}
