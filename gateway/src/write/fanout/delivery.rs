//! The delivery of a change's parts to their nodes, all at once.
//!
//! Invariants: where a request is to be validated, one node judges it before the others see it. An owner that keeps
//! the others waiting is left behind, and it stays known that it may have taken its part.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt, stream::FuturesUnordered};
use http::Method;
use router::{NodeIndex, ShardSet};
use serde_json::Value;

use crate::{
    api::error::ApiError,
    config::limits,
    nodes::pool::{NodeError, NodeRequest},
    observe::{log, spans::StepSpan},
    read::scatter::is_refusal,
    state::{change::NodePart, core::Core},
    wire::{
        h1::NodeAnswer,
        runtime::{self, timeout},
    },
    write::{
        fanout::{
            command::{NodeCommand, no_quorum, shards_of},
            owners::is_direct,
        },
        quorum::Quorum,
    },
};

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

pub(crate) fn taken_by(parts: &[NodePart], deliveries: &[Delivery]) -> Vec<NodeIndex> {
    let taken = parts.iter().zip(deliveries);
    taken.filter(|(_, delivery)| is_taken(delivery)).map(|(part, _)| part.node).collect()
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
pub(crate) async fn deliver_once(
    core: &Core,
    quorum: &Quorum<'_>,
    command: &NodeCommand<'_>,
    parts: &[NodePart],
) -> Vec<Delivery> {
    let shards = shards_of(parts);
    let mut waited = core.trace().map(|trace| trace.step("quorum"));
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
    let reached = |deliveries: &[Delivery]| {
        let took = taken_by(parts, deliveries);
        quorum.is_reached(&shards, |node| took.contains(&node)).then_some(took.len())
    };
    let mut deadline: Option<Instant> = None;
    loop {
        let left = deadline.map_or(limit * 2, |deadline| deadline.saturating_duration_since(runtime::now()));
        match timeout(left, sent.next()).await {
            Ok(Some((position, delivery))) => {
                (deliveries[position], open[position]) = (delivery, false);
                if deadline.is_none()
                    && let Some(count) = reached(&deliveries)
                {
                    deadline = Some(runtime::now() + patience(parts));
                    end_wait(waited.take(), count);
                }
            }
            Ok(None) => {
                // The one that judged the request may have been enough.
                if waited.is_some()
                    && let Some(count) = reached(&deliveries)
                {
                    end_wait(waited.take(), count);
                }
                return deliveries;
            }
            Err(_) => break,
        }
    }
    for (position, part) in parts.iter().enumerate().filter(|(position, _)| open[*position]) {
        warn_failed(core, part.node, "it took longer than the others");
        deliveries[position] = Delivery::Missed { ambiguous: true };
    }
    deliveries
}

/// Notes in a trace that so many nodes were enough.
fn end_wait(waited: Option<StepSpan>, nodes: usize) {
    if let Some(waited) = waited {
        waited.succeeded(&[("miroir.quorum.nodes", nodes as u64)]);
    }
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

pub(crate) fn is_taken(delivery: &Delivery) -> bool {
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
