//! The fan-out of one change: every node that it concerns gets it, now or as a hint.
//!
//! Invariants: nothing is sent where too few owners could take it. Nothing is sent to a node before the hints that
//! wait for it. Once a node has taken a change, or may have, every other node that it concerns has it or a hint of
//! it, whatever the client is told. An owner that keeps the others waiting is left behind.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{
    FutureExt, StreamExt,
    future::{Either, ready},
    stream::FuturesUnordered,
};
use http::Method;
use router::{NodeIndex, Placement, ShardSet};
use serde_json::Value;
use store::{Change, NodeTask, StoreError, TaskStatus};

use crate::{
    api::error::{ApiError, Code},
    config::limits,
    nodes::{
        health::NodeState,
        hints::{self, Hint},
        pool::{NodeError, NodeRequest},
    },
    observe::log,
    read::scatter::is_refusal,
    state::{
        change::NodePart,
        core::Core,
        shared::Shared,
        snapshot::{Index, Snapshot},
    },
    wire::{
        h1::NodeAnswer,
        runtime::{self, timeout},
    },
    write::quorum::{Degraded, Quorum},
};

/// Why a change is refused that was cut for nodes that are no longer the ones.
pub(crate) const CUT_FOR_OTHERS: &str = "cut_for_others";

/// The request that all nodes of a fan-out get, but for the body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NodeCommand<'a> {
    /// The index's name on the nodes.
    pub(crate) index: &'a str,
    pub(crate) method: &'a Method,
    pub(crate) target: &'a str,
    /// Whether one node is asked alone at first, so that what nodes refuse changes nothing anywhere.
    pub(crate) validated: bool,
    /// Whether doing it twice differs from doing it once.
    pub(crate) once: bool,
}

/// The outcome of one node's part.
#[derive(Debug)]
pub(crate) enum Delivery {
    /// The uid of the node's task.
    Taken(u32),
    /// `ambiguous`: the node may have taken it, or may still take it.
    Missed {
        ambiguous: bool,
    },
    Refused(ApiError),
}

/// What nodes missed of one change; to be committed before the client is answered.
pub(crate) struct Missed {
    shared: Arc<Shared>,
    task: u32,
    changes: Vec<Change>,
    nodes: Vec<NodeIndex>,
    pub(crate) degraded: Degraded,
}

impl Missed {
    /// Begins empty, for the change of this task.
    pub(crate) fn new(core: &Core, task: u32) -> Self {
        let shared = Arc::clone(&core.shared);
        Self { shared, task, changes: Vec::new(), nodes: Vec::new(), degraded: Degraded::default() }
    }

    /// Takes out what the caller is to commit.
    pub(crate) fn take(&mut self) -> Vec<Change> {
        self.nodes.clear();
        std::mem::take(&mut self.changes)
    }

    /// Adds changes that have to be durable when the client is answered.
    pub(crate) fn commit_with(&mut self, changes: Vec<Change>) {
        self.changes.extend(changes);
    }

    /// The uid of the gateway's task of the change.
    pub(crate) fn task(&self) -> u32 {
        self.task
    }

    fn keep(&mut self, command: &NodeCommand<'_>, part: &NodePart, ambiguous: bool) {
        let hint = Hint {
            method: command.method.as_str().to_owned(),
            target: command.target.to_owned(),
            task: self.task,
            index: command.index.to_owned(),
            ambiguous,
            once: command.once,
            shards: part.shards.iter().collect(),
        };
        let id = &self.shared.nodes.addresses[usize::from(part.node.0)].id;
        self.changes.extend(self.shared.nodes.hints.keep(part.node, id, &hint, part.body.clone()));
        self.nodes.push(part.node);
        // The node falls behind after its hint is counted, so that the rejoin sees at least one of the two.
        if self.shared.nodes.health.fall_behind(part.node) {
            log::warn("node_lags", &[("node", id), ("reason", "it missed a write")]);
        }
        metrics::counter!("miroir_hints_total", "node" => id.clone()).increment(1);
    }

    fn suspect(&mut self, command: &NodeCommand<'_>, part: &NodePart) {
        let id = &self.shared.nodes.addresses[usize::from(part.node.0)].id;
        self.changes.push(hints::suspect(id, command.index, part.shards.iter().collect()));
    }
}

impl Drop for Missed {
    /// Hints that a panic kept from being stored are a gap in a node's log, so the node needs a full resync.
    fn drop(&mut self) {
        for node in self.nodes.drain(..) {
            let id = &self.shared.nodes.addresses[usize::from(node.0)].id;
            log::error("hint_lost", &[("node", id), ("consequence", "the node is copied anew")]);
            self.shared.nodes.hints.mark_full_resync(node);
        }
    }
}

/// Checks whether enough owners of these shards take writes now.
pub(crate) async fn check(core: &Core, quorum: &Quorum<'_>, shards: &ShardSet) -> Result<(), ApiError> {
    wait_for_catch_up(core, &quorum.topology.every_node()).await;
    let nodes = quorum.topology.every_node();
    let enough = || quorum.is_reached(shards, |node| is_direct(core, node));
    let joining = || nodes.iter().any(|node| core.shared.nodes.health.state(*node) == NodeState::Joining);
    match wait_for_owners(core, enough, joining).await {
        true => Ok(()),
        false => Err(no_quorum()),
    }
}

/// Waits a moment where too few owners can be written to: one may come back just while another fails. Only the first
/// write that finds too few waits for nodes that are down; those behind it would wait one after the other.
async fn wait_for_owners(core: &Core, enough: impl Fn() -> bool, joining: impl Fn() -> bool) -> bool {
    let now = runtime::now();
    if enough() {
        core.short_of_owners.set(None);
        return true;
    }
    let known = core.short_of_owners.get();
    let since =
        known.filter(|since| now.saturating_duration_since(*since) < limits::SHORTAGE_FORGOTTEN_AFTER);
    let since = since.unwrap_or(now);
    core.short_of_owners.set(Some(since));
    loop {
        let waited_from = if joining() { now } else { since };
        if runtime::now() >= waited_from + limits::OWNERS_WAIT_MAX {
            return false;
        }
        runtime::sleep(limits::OWNERS_POLL_INTERVAL).await;
        if enough() {
            core.short_of_owners.set(None);
            return true;
        }
    }
}

/// Whether a change is sent to a node at once; else it becomes a hint.
pub(crate) fn is_direct(core: &Core, node: NodeIndex) -> bool {
    core.shared.nodes.health.state(node).takes_writes() && core.shared.nodes.hints.lets_through(node)
}

/// Waits until the last hints of a node are replayed; else new writes would add hints for ever.
async fn wait_for_catch_up(core: &Core, nodes: &[NodeIndex]) {
    let deadline = runtime::now() + limits::CATCHING_UP_WAIT_MAX;
    while nodes.iter().any(|node| core.shared.nodes.hints.is_catching_up(*node)) && runtime::now() < deadline
    {
        runtime::sleep(limits::CATCHING_UP_POLL_INTERVAL).await;
    }
}

/// The same request for every node.
pub(crate) fn for_every_node(quorum: &Quorum<'_>, body: &Bytes) -> Vec<NodePart> {
    let nodes = quorum.topology.every_node().into_iter();
    let part = |node| NodePart {
        node,
        body: body.clone(),
        documents: 0,
        shards: quorum.placement.written_to(node).clone(),
    };
    nodes.map(part).collect()
}

/// The shards that parts concern.
pub(crate) fn shards_of(parts: &[NodePart]) -> ShardSet {
    parts.iter().fold(ShardSet::new(), |all, part| all.union(&part.shards))
}

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

pub(crate) fn taken_by(parts: &[NodePart], deliveries: &[Delivery]) -> Vec<NodeIndex> {
    let taken = parts.iter().zip(deliveries);
    taken.filter(|(_, delivery)| is_taken(delivery)).map(|(part, _)| part.node).collect()
}

/// The record of a task that a node has just taken.
pub(crate) fn node_task(core: &Core, node: NodeIndex, uid: u32, documents: u64) -> NodeTask {
    let node = core.shared.nodes.addresses[usize::from(node.0)].id.clone();
    let status = TaskStatus::Enqueued;
    NodeTask { node, uid, documents, shared: false, status, details: None, error: None }
}

/// Sends each part to its node. As long as too few took theirs, it sends for a moment again to those that missed it:
/// one node may fail just while another comes back.
pub(crate) async fn deliver(
    core: &Core,
    quorum: &Quorum<'_>,
    command: &NodeCommand<'_>,
    parts: &[NodePart],
) -> Vec<Delivery> {
    let shards = shards_of(parts);
    let deadline = runtime::now() + limits::OWNERS_WAIT_MAX;
    let mut deliveries = deliver_once(core, quorum, command, parts).await;
    let mut pause = limits::OWNERS_POLL_INTERVAL;
    loop {
        let took = taken_by(parts, &deliveries);
        let refused = deliveries.iter().any(|delivery| matches!(delivery, Delivery::Refused(_)));
        let accepted = quorum.is_reached(&shards, |node| took.contains(&node));
        if accepted || refused || command.once || runtime::now() >= deadline {
            return deliveries;
        }
        runtime::sleep(pause).await;
        pause *= 2;
        let again = (0..parts.len())
            .filter(|position| !is_taken(&deliveries[*position]) && is_direct(core, parts[*position].node));
        let again = again.collect::<Vec<_>>();
        let rest = again.iter().map(|position| parts[*position].clone()).collect::<Vec<_>>();
        let command = NodeCommand { validated: command.validated && took.is_empty(), ..*command };
        for (position, delivery) in again.into_iter().zip(deliver_once(core, quorum, &command, &rest).await) {
            // It stays known that an earlier request may have been taken.
            let known = matches!(deliveries[position], Delivery::Missed { ambiguous: true });
            deliveries[position] = match delivery {
                Delivery::Missed { ambiguous } => Delivery::Missed { ambiguous: ambiguous || known },
                Delivery::Taken(_) | Delivery::Refused(_) => delivery,
            };
        }
    }
}

/// Sends each part once to its node, if the node takes changes now.
async fn deliver_once(
    core: &Core,
    quorum: &Quorum<'_>,
    command: &NodeCommand<'_>,
    parts: &[NodePart],
) -> Vec<Delivery> {
    let shards = shards_of(parts);
    let mut deliveries = parts.iter().map(|_| Delivery::Missed { ambiguous: false }).collect::<Vec<_>>();
    let mut open = parts.iter().map(|part| is_direct(core, part.node)).collect::<Vec<_>>();
    if command.validated && !validate(core, quorum, command, parts, &mut open, &mut deliveries).await {
        return deliveries;
    }
    let sent = parts.iter().enumerate().filter(|(position, _)| open[*position]);
    let limit = core.shared.config.node_timeout;
    let mut sent = sent
        .map(|(position, part)| async move { (position, ask(core, command, part, limit).await) })
        .collect::<FuturesUnordered<_>>();
    let mut deadline: Option<Instant> = None;
    loop {
        let left = deadline.map_or(limit * 2, |deadline| deadline.saturating_duration_since(runtime::now()));
        match timeout(left, sent.next()).await {
            Ok(Some((position, delivery))) => {
                (deliveries[position], open[position]) = (delivery, false);
                let took = taken_by(parts, &deliveries);
                if deadline.is_none() && quorum.is_reached(&shards, |node| took.contains(&node)) {
                    deadline = Some(runtime::now() + patience(parts));
                }
            }
            Ok(None) => return deliveries,
            Err(_) => break,
        }
    }
    for (position, part) in parts.iter().enumerate().filter(|(position, _)| open[*position]) {
        warn_failed(core, part.node, "it took longer than the others");
        deliveries[position] = Delivery::Missed { ambiguous: true };
    }
    deliveries
}

/// Asks one node after the other until one has judged the request; gives whether to send it to the others.
async fn validate(
    core: &Core,
    quorum: &Quorum<'_>,
    command: &NodeCommand<'_>,
    parts: &[NodePart],
    open: &mut [bool],
    deliveries: &mut [Delivery],
) -> bool {
    let shards = shards_of(parts);
    for (position, part) in parts.iter().enumerate() {
        if !open[position] {
            continue;
        }
        open[position] = false;
        let others =
            |node: NodeIndex| parts.iter().zip(open.iter()).any(|(part, open)| part.node == node && *open);
        let dispensable = quorum.is_reached(&shards, others);
        let patience = if dispensable { patience(parts) } else { core.shared.config.node_timeout };
        let limit = patience.min(core.shared.config.node_timeout);
        deliveries[position] = ask(core, command, part, limit).await;
        match &deliveries[position] {
            Delivery::Taken(_) => return true,
            Delivery::Refused(_) => return false,
            Delivery::Missed { .. } if !dispensable => return false,
            Delivery::Missed { .. } => {}
        }
    }
    false
}

/// How long to wait for owners that the quorum does not need.
fn patience(parts: &[NodePart]) -> Duration {
    let longest = parts.iter().map(|part| part.body.len() as u64).max().unwrap_or(0);
    limits::STRAGGLER_WAIT + Duration::from_secs(longest / limits::STRAGGLER_BYTES_PER_SECOND)
}

/// Keeps hints of what nodes missed of a change that another node took, or may have taken.
pub(crate) fn keep_missed(
    command: &NodeCommand<'_>,
    parts: &[NodePart],
    deliveries: &[Delivery],
    missed: &mut Missed,
) {
    let taken = deliveries.iter().any(is_taken);
    let refused = deliveries.iter().any(|delivery| matches!(delivery, Delivery::Refused(_)));
    let ambiguous =
        deliveries.iter().any(|delivery| matches!(delivery, Delivery::Missed { ambiguous: true }));
    for (part, delivery) in parts.iter().zip(deliveries) {
        match delivery {
            Delivery::Missed { ambiguous: own } if taken || (ambiguous && !refused) => {
                missed.keep(command, part, *own);
            }
            // Another node refused it, so this one refused it as well or never saw it; it is only suspected.
            Delivery::Missed { ambiguous: true } => missed.suspect(command, part),
            // This copy refused what another took.
            Delivery::Refused(_) if taken => missed.suspect(command, part),
            Delivery::Taken(_) | Delivery::Missed { .. } | Delivery::Refused(_) => {}
        }
    }
}

fn is_taken(delivery: &Delivery) -> bool {
    matches!(delivery, Delivery::Taken(_))
}

/// Sends one part of a change to its node.
pub(crate) async fn ask(
    core: &Core,
    command: &NodeCommand<'_>,
    part: &NodePart,
    limit: Duration,
) -> Delivery {
    let (body, method) = (part.body.clone(), command.method.clone());
    let content_type = (!body.is_empty()).then_some("application/json");
    let request =
        NodeRequest { method, target: command.target, content_type, body, repeatable: !command.once };
    let (reason, ambiguous) = match core.pools.ask(part.node, request, limit).await {
        Ok(answer) if answer.status.is_success() => match task_uid(&answer) {
            Some(uid) => {
                core.shared.nodes.hints.saw_task(part.node, uid);
                return Delivery::Taken(uid);
            }
            None => ("its answer names no task".to_owned(), true),
        },
        Ok(answer) if is_refusal(&answer) => {
            return Delivery::Refused(ApiError::from_node(answer.status, &answer.body));
        }
        Ok(answer) => {
            let status = answer.status.as_u16();
            // A node that turns a request away at once (such as 503) has not taken it.
            (format!("status {status}"), matches!(status, 500 | 502 | 504))
        }
        Err(error) => (error.to_string(), !matches!(error, NodeError::Connect(_))),
    };
    warn_failed(core, part.node, &reason);
    Delivery::Missed { ambiguous }
}

/// Sends one request to one node without keeping a hint; gives the node's task uid.
///
/// # Errors
/// The node's refusal, or 503.
pub(crate) async fn ask_once(
    core: &Core,
    node: NodeIndex,
    method: &Method,
    target: &str,
    body: Bytes,
) -> Result<u32, ApiError> {
    let command = NodeCommand { index: "", method, target, validated: false, once: false };
    let part = NodePart { node, body, documents: 0, shards: ShardSet::new() };
    match ask(core, &command, &part, core.shared.config.node_timeout).await {
        Delivery::Taken(uid) => Ok(uid),
        Delivery::Refused(error) => Err(error),
        Delivery::Missed { .. } => Err(no_quorum()),
    }
}

/// Whether a change was cut for nodes that are still those to cut it for; if not it is cut anew.
pub(crate) fn is_current(cut_for: &Arc<Placement>, index: &Index) -> bool {
    Arc::ptr_eq(cut_for, &index.placement) || **cut_for == *index.placement
}

/// What a change is refused with that was cut for other nodes; its handler cuts it anew.
pub(crate) fn cut_for_others() -> ApiError {
    ApiError::overloaded("Shards have just moved; try again shortly.").because(CUT_FOR_OTHERS)
}

pub(crate) fn no_quorum() -> ApiError {
    ApiError::new(
        Code::MiroirNoQuorum,
        "Too few of the nodes that must take this write are available; it was not acknowledged.",
    )
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

fn warn_failed(core: &Core, node: NodeIndex, reason: &str) {
    log::warn(
        "write_failed",
        &[("node", &core.shared.nodes.addresses[usize::from(node.0)].id), ("reason", reason)],
    );
}

fn task_uid(answer: &NodeAnswer) -> Option<u32> {
    let value: Value = serde_json::from_slice(&answer.body).ok()?;
    u32::try_from(value["taskUid"].as_u64()?).ok()
}

/// The quorum of writes to an index with this placement.
pub(crate) fn quorum<'a>(core: &Core, snapshot: &'a Snapshot, placement: &'a Placement) -> Quorum<'a> {
    Quorum { topology: &snapshot.topology, placement, quorum: core.shared.config.write_quorum }
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
