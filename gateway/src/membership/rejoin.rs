//! Rejoin: how a node that answers again, or for the first time, comes to serve reads.
//!
//! Invariants: it becomes healthy only after all steps have succeeded while it stayed reachable, in this order. It is
//! the node that was known, or begins a full resync. It has taken its hints. It has done these tasks, and those that
//! the gateway ended without it. What is suspect on it equals the copies of others, as far as others have it. A
//! failed step is tried again at the next probe. One task at a time brings a node back.

use std::{panic::AssertUnwindSafe, rc::Rc, sync::Arc, time::Duration};

use futures_util::FutureExt;
use router::NodeIndex;
use serde_json::Value;
use store::Change;

use crate::{
    config::limits,
    membership::{catch_up, hint_replay},
    nodes::{
        health::NodeState,
        hints::{UNAPPLIED, Unapplied},
        pool::{NodeRequest, fault},
    },
    observe::log,
    read::ask::learn_version,
    state::{
        core::Core,
        leadership::{Term, scope},
        snapshot::Index,
    },
    wire::runtime,
    write::rule_copies,
};

/// Begins the rejoin of a node, in the background, so that other nodes need not wait.
pub(crate) fn begin(core: &Rc<Core>, node: NodeIndex) {
    if !core.shared.nodes.hints.begin_joining(node) {
        return;
    }
    let core = Rc::clone(core);
    runtime::spawn(async move {
        if AssertUnwindSafe(admit(&core, node)).catch_unwind().await.is_err() {
            log::error("panic_in_rejoin", &[]);
        }
        core.shared.nodes.hints.end_joining(node);
    });
}

/// Lets a joining node catch up, and then serve.
pub(crate) async fn admit(core: &Core, node: NodeIndex) {
    let (hints, health) = (&core.shared.nodes.hints, &core.shared.nodes.health);
    let id = &core.shared.nodes.addresses[usize::from(node.0)].id;
    // It may have come back with another version.
    learn_version(core, node).await;
    hints.set_caught_up(node, false);
    let term = core.shared.coordinator.term(scope::NODES);
    if term.is_none() && (hints.needs_full_resync(node) || hints.pending(node) > 0) {
        // Another pod replays or resyncs the node; this pod learns of it by following the store.
        return;
    }
    // Without hints to send no right is needed. Every pod that the node joins compares what is suspect, since each
    // has to know the result. The first pod to finish deletes the marks that it read before it compared, and no later
    // ones.
    let term = term.unwrap_or(Term::own());
    if hints.needs_full_resync(node) {
        if let Err(error) = catch_up::begin_copy(core, node, &term).await {
            core.shared.nodes.holds_back(node, format!("it could not be given all documents: {error}"));
            return log::warn("node_not_copied", &[("node", id), ("reason", &error.to_string())]);
        }
    } else if is_known(core, node, limits::TASK_QUESTION_TIMEOUT).await {
        hints.set_known(node, true);
    } else {
        return;
    }
    if !hint_replay::replay_hints(core, node, &term).await {
        return;
    }
    // From here on tasks wait for it; so do those that did not wait for it before.
    hints.set_caught_up(node, true);
    while let Some(uid) = hints.awaited(node) {
        if health.state(node) != NodeState::Joining || hints.pending(node) > 0 {
            return;
        }
        if has_done(core, node, uid).await {
            hints.has_done(node, uid);
            forget_awaited(core, node, uid).await;
        } else {
            runtime::sleep(limits::NODE_TASK_POLL_INTERVAL).await;
        }
    }
    match has_all_indexes(core, node).await {
        Some(true) => {}
        Some(false) => return mark_suspect(core, node, "it lacks an index that it had taken").await,
        // The next probe asks it again.
        None => return,
    }
    if !crate::write::node_features::restore(core, node).await || !rule_copies::restore(core, node).await {
        let reason = "its experimental features or search rules could not be set";
        return core.shared.nodes.holds_back(node, reason.to_owned());
    }
    if !catch_up::compare_suspects(core, node, &term).await {
        return;
    }
    if health.has_joined(node) {
        if hints.lets_through(node) {
            core.shared.nodes.serves(node);
        } else {
            // It has missed something since.
            health.fall_behind(node);
        }
    }
}

/// Checks that a serving node is still the one that was known: it may have restarted between two probes.
pub(crate) async fn watch(core: &Core, node: NodeIndex) {
    // A suspect node is being probed, so its silence is not waited for here as well.
    if core.shared.nodes.health.state(node) == NodeState::Healthy {
        is_known(core, node, limits::HEALTH_PROBE_TIMEOUT).await;
    }
}

/// Compares again, in the background, what is still suspect on a serving node: there may be a copy to compare it with
/// now. One pod does so for all.
pub(crate) async fn look_again(core: &Rc<Core>, node: NodeIndex) {
    let Some(term) = core.shared.coordinator.term(scope::NODES) else { return };
    let serves = core.shared.nodes.health.state(node) == NodeState::Healthy;
    if !serves || !catch_up::has_suspects(core, node).await || !core.shared.nodes.hints.begin_joining(node) {
        return;
    }
    let core = Rc::clone(core);
    runtime::spawn(async move {
        if AssertUnwindSafe(catch_up::compare_suspects(&core, node, &term)).catch_unwind().await.is_err() {
            log::error("panic_in_rejoin", &[]);
        }
        core.shared.nodes.hints.end_joining(node);
    });
}

/// Whether the node is the one that has given out the tasks that are known of it.
async fn is_known(core: &Core, node: NodeIndex, limit: Duration) -> bool {
    // The known uid is read first, since the node may give out more tasks meanwhile.
    let known = core.shared.nodes.hints.newest_task(node);
    let page = match ask_within(core, node, "/tasks?limit=1", limit).await {
        Ok(page) => page,
        Err(reason) => {
            if core.shared.nodes.health.state(node) == NodeState::Joining {
                core.shared.nodes.holds_back(node, reason);
            }
            return false;
        }
    };
    let newest = page["results"][0]["uid"].as_u64().and_then(|uid| u32::try_from(uid).ok());
    if newest >= known {
        newest.into_iter().for_each(|uid| core.shared.nodes.hints.saw_task(node, uid));
        return true;
    }
    mark_suspect(core, node, "it has lost tasks that it had taken").await;
    false
}

/// Whether the node has every index that it had taken before it was asked; `None` when the store does not answer.
async fn has_all_indexes(core: &Core, node: NodeIndex) -> Option<bool> {
    let before = core.shared.snapshot();
    let before = before.with_twins();
    let expected = before.iter().map(|index| &index.record.node_uid).collect::<Vec<_>>();
    let deadline = runtime::now() + core.shared.config.node_timeout;
    loop {
        let Some(list) = ask(core, node, "/indexes?limit=1000000").await else { return Some(true) };
        let Some(results) = list["results"].as_array() else { return Some(true) };
        let held = results.iter().filter_map(|index| index["uid"].as_str()).collect::<Vec<_>>();
        let after = core.shared.snapshot();
        let lacks = |index: &Arc<Index>| {
            let uid = &index.record.node_uid;
            expected.contains(&uid) && !held.contains(&uid.as_str())
        };
        let lacked = after.with_twins().into_iter().filter(lacks).collect::<Vec<_>>();
        if lacked.is_empty() {
            return Some(true);
        }
        // The node may have yet to make an index.
        let idle = ask(core, node, "/tasks?limit=1&statuses=enqueued,processing").await;
        if idle.is_some_and(|page| page["total"] == 0) || runtime::now() >= deadline {
            // Another pod may have unregistered an index and dropped it: the store knows.
            for index in &lacked {
                crate::state::refresh::index(&core.shared, &index.record.uid).await.ok()?;
            }
            let now = core.shared.snapshot();
            let is_there = |index: &Arc<Index>| now.on_nodes(&index.record.node_uid).is_some();
            return Some(!lacked.iter().any(is_there));
        }
        runtime::sleep(limits::NODE_TASK_POLL_INTERVAL).await;
    }
}

/// Marks all that a node holds as suspect, since it is not the node that was known; it needs a full resync.
async fn mark_suspect(core: &Core, node: NodeIndex, reason: &str) {
    let id = &core.shared.nodes.addresses[usize::from(node.0)].id;
    // A node that has never been given anything has lost nothing.
    match core.shared.nodes.hints.newest_task(node) {
        Some(_) => log::error("node_distrusted", &[("node", id), ("reason", reason)]),
        None => log::info("node_is_new", &[("node", id)]),
    }
    core.shared.nodes.hints.set_known(node, false);
    let changes = core.shared.nodes.hints.require_full_resync(node, id, reason.to_owned());
    core.shared.nodes.health.fall_behind(node);
    if let Err(error) = core.shared.store.commit(changes).await {
        log::error("mark_not_stored", &[("node", id), ("reason", &error.to_string())]);
    }
}

/// Whether a node has done its tasks up to `uid`.
async fn has_done(core: &Core, node: NodeIndex, uid: u32) -> bool {
    let target = "/tasks?limit=1&reverse=true&statuses=enqueued,processing";
    let Some(page) = ask(core, node, target).await else { return false };
    let Some(open) = page["results"].as_array() else { return false };
    open.first().is_none_or(|task| task["uid"].as_u64().is_some_and(|oldest| oldest > u64::from(uid)))
}

/// Forgets that tasks up to `uid` are awaited.
async fn forget_awaited(core: &Core, node: NodeIndex, uid: u32) {
    let id = &core.shared.nodes.addresses[usize::from(node.0)].id;
    while let Ok(page) = core.shared.store.entries(UNAPPLIED, id, 0, usize::MAX).await {
        let is_done = |header: &Value| {
            serde_json::from_value::<Unapplied>(header.clone()).is_ok_and(|unapplied| unapplied.task <= uid)
        };
        let done = page.iter().take_while(|entry| is_done(&entry.header)).last();
        let Some(through) = done.map(|entry| entry.sequence) else { return };
        let cut = Change::Truncate { log: UNAPPLIED, stream: id.clone(), through };
        if core.shared.store.commit(vec![cut]).await.is_err() {
            return;
        }
    }
}

async fn ask(core: &Core, node: NodeIndex, target: &str) -> Option<Value> {
    ask_within(core, node, target, limits::TASK_QUESTION_TIMEOUT).await.ok()
}

/// # Errors
/// Why there is no answer.
async fn ask_within(core: &Core, node: NodeIndex, target: &str, limit: Duration) -> Result<Value, String> {
    let limit = core.shared.config.node_timeout.min(limit);
    let answer = core.pools.ask(node, NodeRequest::get(target), limit).await;
    match &answer {
        Ok(answer) if answer.status.is_success() => {
            serde_json::from_slice(&answer.body).map_err(|_| "its answers are not JSON".to_owned())
        }
        Ok(_) | Err(_) => Err(fault(&answer)),
    }
}
