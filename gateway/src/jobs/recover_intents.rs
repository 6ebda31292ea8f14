//! Recovers what a killed gateway left half done: intents whose fan-out was never confirmed.
//!
//! Invariants: such an intent was never answered, so no client knows it and it may be deleted. Settings are first
//! sent again to every node, now or when it is back, so that no node differs from the others. Indexes that are half
//! made or half dropped are orphan indexes, which are swept (`write::orphan_indexes`). Shards of documents that may
//! be on some of their nodes only are marked as suspect.

use http::StatusCode;
use router::NodeIndex;
use serde_json::Value;
use store::{Change, StoreError, TaskChange, TaskKind, TaskRecord, TaskStatus};

use crate::{
    api::{
        settings::{Derivation, NodeSettingsRequest, SettingsChange},
        tasks::view,
    },
    clock,
    config::limits,
    nodes::{
        hints::{Hint, suspect},
        pool::NodeRequest,
    },
    observe::log,
    state::{
        core::Core,
        leadership::{Term, scope},
        snapshot::Index,
    },
    write::{
        self, idempotency,
        orphan_indexes::{self, ORPHAN_INDEXES},
    },
};

/// Finishes or deletes every unconfirmed intent of the last process.
pub(crate) async fn interrupted_changes(core: &Core, interrupted: Vec<TaskRecord>, term: &Term) {
    for record in interrupted {
        let is_write = view::is_cancelable(record.kind) || record.kind == TaskKind::IndexUpdate;
        let changes = match record.kind == TaskKind::SettingsUpdate {
            true => redo(core, &record).await,
            false if is_write => suspects(core, &record),
            false => Vec::new(),
        };
        forget(core, &record, changes, term).await;
    }
}

/// The same for intents of dead pods; also hands the indexes that these were making to the sweep.
pub(crate) async fn of_dead_pods(core: &Core) {
    let coordinator = &core.shared.coordinator;
    let term = coordinator.term(scope::RECOVERY).filter(|_| coordinator.is_shared());
    let Some(term) = term else { return };
    let live = coordinator.pods();
    let is_dead = |task: &TaskRecord| task.pod.as_ref().is_some_and(|pod| !live.contains(pod));
    let Ok(mut unfinished) = core.shared.store.unfinished_tasks(limits::TASKS_REFRESHED_MAX).await else {
        return;
    };
    unfinished.retain(|task| !task.accepted);
    let (dead, alive): (Vec<_>, Vec<_>) = unfinished.into_iter().partition(is_dead);
    interrupted_changes(core, dead, &term).await;
    let Ok(orphans) = core.shared.store.records(ORPHAN_INDEXES, None, limits::TASKS_REFRESHED_MAX).await
    else {
        return;
    };
    for record in orphans {
        let maker = orphan_indexes::task_of(&record.key);
        let is_made = maker.is_none_or(|maker| alive.iter().any(|task| task.uid == maker));
        if record.value["beingMade"] == true && !is_made {
            let (key, value) = (record.key, orphan_indexes::value(false));
            let expected_revision = Some(record.revision);
            let put = Change::PutRecord { table: ORPHAN_INDEXES, key, value, expected_revision };
            let _ = core.shared.commit_by(&term, vec![put]).await;
        }
    }
}

/// The index that a record is about, if it still exists.
fn index_of(core: &Core, record: &TaskRecord) -> Option<std::sync::Arc<Index>> {
    core.shared.snapshot().indexes.get(record.index_uid.as_deref()?).cloned()
}

/// Marks every copy that the write may have reached as suspect, since others may lack the write.
fn suspects(core: &Core, record: &TaskRecord) -> Vec<Change> {
    let Some(index) = index_of(core, record) else { return Vec::new() };
    let everywhere = |node_uid: &str| {
        let snapshot = core.shared.snapshot();
        let nodes = snapshot.topology.every_node().into_iter();
        let mark = |node| suspect(&snapshot.topology.node(node).id, node_uid, Vec::new());
        nodes.map(mark).collect::<Vec<_>>()
    };
    // A twin is compared with what serves before it serves, but not its copies of a shard among themselves after that.
    let twin = index.twin.as_ref().filter(|twin| has_several_copies(core, twin));
    let mut marks = twin.map(|twin| everywhere(&twin.record.node_uid)).unwrap_or_default();
    let node_uid = &index.record.node_uid;
    match record.owners.as_slice() {
        [] => marks.extend(everywhere(node_uid)),
        owners => {
            marks.extend(owners.iter().map(|owner| suspect(&owner.node, node_uid, owner.shards.clone())));
        }
    }
    marks
}

/// Whether any shard of an index has more than one owner.
fn has_several_copies(core: &Core, index: &Index) -> bool {
    let groups = core.shared.snapshot().topology.groups().len();
    let copies =
        |shard: u32| (0..groups).map(|group| index.placement.owners(group, shard).len()).sum::<usize>();
    (0..index.record.shards).any(|shard| copies(shard) > 1)
}

/// Sends settings again; gives what to commit for nodes that do not take them now.
async fn redo(core: &Core, record: &TaskRecord) -> Vec<Change> {
    let Some(index) = index_of(core, record) else { return Vec::new() };
    let Some(Value::Object(settings)) = &record.details else { return Vec::new() };
    let ahead = index.settings_ahead();
    let request = SettingsChange::Whole(settings.clone()).for_nodes(&Derivation::new(
        &ahead,
        index.record.primary_key.as_deref(),
        core.shared.nodes.health.lowest_version(),
    ));
    let mut changes = Vec::new();
    for copy in [Some(&index), index.twin.as_ref()].into_iter().flatten() {
        for node in core.shared.snapshot().topology.every_node() {
            if !send(core, node, copy, &request).await {
                changes.extend(keep(core, node, copy, &request, record.uid));
            }
        }
    }
    changes
}

/// Sends settings to one node; gives whether the node has taken them, or refuses them as the other nodes do.
async fn send(core: &Core, node: NodeIndex, index: &Index, request: &NodeSettingsRequest) -> bool {
    if !core.shared.nodes.health.state(node).takes_writes() || !core.shared.nodes.hints.lets_through(node) {
        return false;
    }
    let question = NodeRequest {
        method: request.method.clone(),
        target: &format!("/indexes/{}{}", index.record.node_uid, request.suffix),
        content_type: (!request.body.is_empty()).then_some("application/json"),
        body: request.body.clone().into(),
        repeatable: true,
    };
    let answer = core.pools.ask(node, question, core.shared.config.node_timeout).await;
    matches!(&answer, Ok(answer) if answer.status == StatusCode::ACCEPTED || answer.status.is_client_error())
}

fn keep(
    core: &Core,
    node: NodeIndex,
    index: &Index,
    request: &NodeSettingsRequest,
    task: u32,
) -> Vec<Change> {
    let hint = Hint {
        method: request.method.as_str().to_owned(),
        target: format!("/indexes/{}{}", index.record.node_uid, request.suffix),
        task,
        index: index.record.node_uid.clone(),
        ambiguous: false,
        once: false,
        shards: Vec::new(),
    };
    let id = &core.shared.nodes.addresses[usize::from(node.0)].id;
    let changes = core.shared.nodes.hints.keep(node, id, &hint, request.body.clone().into());
    core.shared.nodes.health.fall_behind(node);
    changes
}

async fn forget(core: &Core, record: &TaskRecord, mut changes: Vec<Change>, term: &Term) {
    let change = TaskChange {
        // A pod that was taken for dead may have confirmed it meanwhile; then a client knows the task.
        expected_revision: Some(record.revision),
        status: Some(TaskStatus::Canceled),
        finished_at: Some(clock::utc()),
        ..TaskChange::default()
    };
    changes.push(Change::UpdateTask { uid: record.uid, change: Box::new(change) });
    changes.extend(idempotency::release_key(record));
    match write::changes::recovered(&core.shared, record.uid).await {
        // Nodes may have taken the change, so whoever follows changes is told of it.
        Ok(told) => changes.extend(told),
        Err(error) => return log::error("recovery_not_stored", &[("reason", &error.to_string())]),
    }
    match core.shared.commit_by(term, changes).await {
        Ok(_) => drop(core.shared.store.delete_tasks(vec![record.uid]).await),
        // The pod that made it is alive, or another pod recovers it: the next run checks what is left of it.
        Err(StoreError::Conflict | StoreError::Fenced) => return,
        Err(error) => return log::error("recovery_not_stored", &[("reason", &error.to_string())]),
    }
    log::info("intent_dropped", &[("task", &record.uid.to_string()), ("kind", record.kind.as_str())]);
}
