//! Replays what a node has missed, in the order in which it was written.
//!
//! Invariants: only the control executor replays, and one task replays one node's hints. An entry is deleted, and no
//! longer counted, after the node has taken it. Before a request is sent that must not be done twice, its hint is
//! deleted and its shards are marked as suspect.

use http::StatusCode;
use router::NodeIndex;
use store::{Change, LogEntry, TaskStatus};

use crate::{
    config::limits,
    nodes::{
        health::NodeState,
        hints::{self, HINTS, Hint},
        pool::NodeRequest,
    },
    observe::log,
    state::{core::Core, leadership::Term},
    wire::runtime,
};

/// Replays all hints of a joining node; gives whether none is left.
pub(crate) async fn replay_hints(core: &Core, node: NodeIndex, term: &Term) -> bool {
    let done = replay_all(core, node, term).await;
    core.shared.nodes.hints.set_catching_up(node, false);
    done
}

async fn replay_all(core: &Core, node: NodeIndex, term: &Term) -> bool {
    let shared = &core.shared;
    let id = &shared.nodes.addresses[usize::from(node.0)].id;
    let mut replayed = 0;
    while shared.nodes.hints.pending(node) > 0 {
        if shared.nodes.health.state(node) != NodeState::Joining || shared.nodes.hints.needs_full_resync(node)
        {
            return false;
        }
        let Ok(page) = shared.store.entries(HINTS, id, 0, limits::REPLAY_BYTES_MAX).await else {
            return false;
        };
        if page.is_empty() {
            // The counted hints are on their way to the store.
            runtime::sleep(limits::CATCHING_UP_POLL_INTERVAL).await;
            continue;
        }
        shared.nodes.hints.set_catching_up(node, page.len() as u64 >= shared.nodes.hints.pending(node));
        let (taken, uid) = replay_page(core, node, &page, term).await;
        if !forget(core, node, &page[..taken], uid, term).await {
            return false;
        }
        replayed += taken;
        if taken < page.len() {
            return false;
        }
    }
    if replayed > 0 {
        log::info("hints_replayed", &[("node", id), ("count", &replayed.to_string())]);
    }
    true
}

/// Sends entries until one is not taken; gives how many are done with, and the node's last task.
async fn replay_page(core: &Core, node: NodeIndex, page: &[LogEntry], term: &Term) -> (usize, Option<u32>) {
    let mut last = None;
    for (position, entry) in page.iter().enumerate() {
        match replay(core, node, entry, term).await {
            Replayed::Taken(uid) => last = Some(uid),
            Replayed::Dropped => {}
            Replayed::NotTaken => return (position, last),
        }
    }
    (page.len(), last)
}

enum Replayed {
    /// The node took it as this task.
    Taken(u32),
    /// It is not sent, or the node refuses it.
    Dropped,
    NotTaken,
}

async fn replay(core: &Core, node: NodeIndex, entry: &LogEntry, term: &Term) -> Replayed {
    let id = &core.shared.nodes.addresses[usize::from(node.0)].id;
    let Ok(hint) = serde_json::from_value::<Hint>(entry.header.clone()) else {
        log::error("hint_unreadable", &[("node", id)]);
        return Replayed::Dropped;
    };
    let suspect = || hints::suspect(id, &hint.index, hint.shards.clone());
    if hint.once && hint.ambiguous || is_canceled(core, hint.task).await {
        // Its copies are compared with those of others instead.
        return stored(core, term, vec![suspect()], Replayed::Dropped).await;
    }
    if hint.once {
        let through = entry.sequence;
        let cut = Change::Truncate { log: HINTS, stream: id.clone(), through };
        if let Replayed::NotTaken = stored(core, term, vec![suspect(), cut], Replayed::Dropped).await {
            return Replayed::NotTaken;
        }
    }
    let Ok(method) = hint.method.parse() else { return Replayed::Dropped };
    let body = entry.body.clone();
    let content_type = (!body.is_empty()).then_some("application/json");
    let request = NodeRequest { method, target: &hint.target, content_type, body, repeatable: !hint.once };
    match core.pools.ask(node, request, core.shared.config.node_timeout).await {
        Ok(answer) if answer.status.is_success() => {
            let value = serde_json::from_slice::<serde_json::Value>(&answer.body).unwrap_or_default();
            match value["taskUid"].as_u64().and_then(|uid| u32::try_from(uid).ok()) {
                Some(uid) => {
                    core.shared.nodes.hints.saw_task(node, uid);
                    core.shared.nodes.hints.succeeds(node);
                    Replayed::Taken(uid)
                }
                None => Replayed::Dropped,
            }
        }
        Ok(answer) if is_final(core, node, answer.status) => {
            core.shared.nodes.hints.succeeds(node);
            let status = answer.status.as_u16().to_string();
            log::error("hint_refused", &[("node", id), ("index", &hint.index), ("status", &status)]);
            stored(core, term, vec![suspect()], Replayed::Dropped).await
        }
        // It is sent again, unless it must not be done twice: then its shards are suspect already.
        Ok(_) | Err(_) if hint.once => Replayed::Dropped,
        Ok(_) | Err(_) => Replayed::NotTaken,
    }
}

/// Whether sending a request again is of no use: the node refuses it, or fails on it every time.
fn is_final(core: &Core, node: NodeIndex, status: StatusCode) -> bool {
    match status.as_u16() {
        400 | 404 | 405 | 413 | 415 | 422 => true,
        500 | 501 => core.shared.nodes.hints.fails(node) >= limits::REPLAY_ATTEMPTS_MAX,
        _ => false,
    }
}

async fn stored(core: &Core, term: &Term, changes: Vec<Change>, outcome: Replayed) -> Replayed {
    match core.shared.commit_by(term, changes).await {
        Ok(_) => outcome,
        Err(_) => Replayed::NotTaken,
    }
}

async fn is_canceled(core: &Core, task: u32) -> bool {
    let record = core.shared.store.task(task).await.ok().flatten();
    record.is_some_and(|record| record.accepted && record.status == TaskStatus::Canceled)
}

/// Deletes entries that are done with. The node must have done the tasks that it took before it serves.
async fn forget(core: &Core, node: NodeIndex, done: &[LogEntry], uid: Option<u32>, term: &Term) -> bool {
    let Some(last) = done.last() else { return true };
    let hints = &core.shared.nodes.hints;
    let id = &core.shared.nodes.addresses[usize::from(node.0)].id;
    let mut changes = vec![Change::Truncate { log: HINTS, stream: id.clone(), through: last.sequence }];
    changes.extend(uid.filter(|uid| hints.await_task(node, *uid)).map(|uid| hints::unapplied(id, uid)));
    if core.shared.commit_by(term, changes).await.is_err() {
        return false;
    }
    let bytes = done.iter().map(|entry| entry.body.len() as u64).sum();
    hints.replayed(node, done.len() as u64, bytes);
    true
}
