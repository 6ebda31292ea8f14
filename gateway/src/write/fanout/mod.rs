//! The fan-out of one change: every node that it concerns gets it, now or as a hint.
//!
//! Invariants: nothing is sent where too few owners could take it (`owners`). Nothing is sent to a node before the
//! hints that wait for it. Once a node has taken a change (`delivery`), or may have, every other node that it concerns
//! has it or a hint of it (`missed`), whatever the client is told.

mod command;
mod delivery;
mod missed;
mod owners;
mod twin;

use std::future::Future;

use bytes::Bytes;
use futures_util::{
    FutureExt,
    future::{Either, ready},
};
use http::Method;
use router::{NodeIndex, ShardSet};
use serde_json::Value;
use store::{Change, NodeTask, StoreError, TaskStatus};

pub(crate) use self::{
    command::{
        CUT_FOR_OTHERS, NodeCommand, cut_for_others, for_every_node, is_current, is_cut_for, no_quorum,
        quorum, shards_of,
    },
    delivery::{Delivery, ask_once, deliver, taken_by},
    missed::{Missed, keep_missed},
    owners::{check, is_direct},
    twin::repeat,
};
use crate::{
    api::error::ApiError,
    config::limits,
    state::{
        change::{NodePart, Repetition},
        core::Core,
        snapshot::Index,
    },
    wire::runtime,
    write::quorum::Quorum,
};

/// Sends a change to its nodes and adds what they miss to `missed`.
///
/// # Errors
/// A node's refusal; 503 when no group takes it as a whole.
pub(crate) async fn send(
    core: &Core,
    quorum: &Quorum<'_>,
    command: &NodeCommand<'_>,
    parts: &[NodePart],
    missed: &mut Missed,
) -> Result<Vec<NodeTask>, ApiError> {
    let shards = shards_of(parts);
    check(core, quorum, &shards).await?;
    let deliveries = deliver(core, quorum, command, parts).await;
    keep_missed(command, parts, &deliveries, missed);
    let took = taken_by(parts, &deliveries);
    missed.degraded.add(quorum.missed(&shards, |node| took.contains(&node)));
    outcome(core, quorum, &shards, parts, deliveries)
}

/// Sends a change to its nodes. What a node misses it never gets.
pub(crate) async fn send_unhinted(
    core: &Core,
    quorum: &Quorum<'_>,
    command: &NodeCommand<'_>,
    parts: &[NodePart],
) -> Result<Vec<NodeTask>, ApiError> {
    let shards = shards_of(parts);
    check(core, quorum, &shards).await?;
    let deliveries = deliver(core, quorum, command, parts).await;
    outcome(core, quorum, &shards, parts, deliveries)
}

/// The node tasks of an accepted change, else the error.
fn outcome(
    core: &Core,
    quorum: &Quorum<'_>,
    shards: &ShardSet,
    parts: &[NodePart],
    deliveries: Vec<Delivery>,
) -> Result<Vec<NodeTask>, ApiError> {
    let took = taken_by(parts, &deliveries);
    let accepted = quorum.is_reached(shards, |node| took.contains(&node));
    let mut node_tasks = Vec::with_capacity(parts.len());
    for (part, delivery) in parts.iter().zip(deliveries) {
        match delivery {
            Delivery::Taken(uid) => node_tasks.push(node_task(core, part.node, uid, part.documents)),
            Delivery::Refused(error) if !accepted => return Err(error),
            Delivery::Missed { .. } | Delivery::Refused(_) => {}
        }
    }
    if accepted { Ok(node_tasks) } else { Err(no_quorum()) }
}

/// The record of a task that a node has just taken.
pub(crate) fn node_task(core: &Core, node: NodeIndex, uid: u32, documents: u64) -> NodeTask {
    let node = core.shared.nodes.addresses[usize::from(node.0)].id.clone();
    let status = TaskStatus::Enqueued;
    NodeTask { node, uid, documents, shared: false, status, details: None, error: None }
}

/// Hands a commit to the store, in order, and waits while its queue is full; gives a future of the commit's end.
pub(crate) async fn commit(
    core: &Core,
    changes: Vec<Change>,
) -> impl Future<Output = Result<Vec<u64>, StoreError>> + 'static {
    loop {
        let mut reply = core.shared.store.commit(changes.clone());
        match (&mut reply).now_or_never() {
            Some(Err(StoreError::Overloaded)) => runtime::sleep(limits::CATCHING_UP_POLL_INTERVAL).await,
            Some(done) => return Either::Left(ready(done)),
            None => return Either::Right(reply),
        }
    }
}

/// Sends a request that is about no particular index to the nodes that are available; gives their tasks.
pub(crate) async fn send_to_every_node(
    core: &Core,
    method: &Method,
    target: &str,
) -> Result<Vec<NodeTask>, ApiError> {
    send_to_nodes(core, method, target, &Bytes::new(), false).await
}

/// The same with a body, or without one where it is null; one node is asked alone at first.
pub(crate) async fn change_every_node(
    core: &Core,
    method: &Method,
    target: &str,
    body: &Value,
) -> Result<Vec<NodeTask>, ApiError> {
    let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
    send_to_nodes(core, method, target, &body, true).await
}

async fn send_to_nodes(
    core: &Core,
    method: &Method,
    target: &str,
    body: &Bytes,
    validated: bool,
) -> Result<Vec<NodeTask>, ApiError> {
    let snapshot = core.shared.snapshot();
    let placement = snapshot.topology.placement(core.shared.config.shards).ok_or_else(no_quorum)?;
    let quorum = quorum(core, &snapshot, placement);
    let command = NodeCommand { index: "", method, target, validated, once: !validated };
    let parts = for_every_node(&quorum, body);
    send_unhinted(core, &quorum, &command, &parts).await
}

/// Sends one request, whose target is given below the index, to every node. One node is asked alone at first, so that
/// a request that nodes refuse changes nothing anywhere.
pub(crate) async fn send_to_all(
    core: &Core,
    index: &Index,
    (method, suffix, body): (&Method, &str, Bytes),
    repetition: Repetition,
    missed: &mut Missed,
) -> Result<Vec<NodeTask>, ApiError> {
    let snapshot = core.shared.snapshot();
    let quorum = quorum(core, &snapshot, &index.placement);
    let target = format!("/indexes/{}{suffix}", index.record.node_uid);
    let once = repetition != Repetition::Harmless;
    let command =
        NodeCommand { index: &index.record.node_uid, method, target: &target, validated: true, once };
    let parts = for_every_node(&quorum, &body);
    if repetition == Repetition::Unneeded {
        return send_unhinted(core, &quorum, &command, &parts).await;
    }
    let node_tasks = send(core, &quorum, &command, &parts, missed).await?;
    twin::repeat_everywhere(core, index, (method, suffix, once), &body, missed).await;
    Ok(node_tasks)
}
