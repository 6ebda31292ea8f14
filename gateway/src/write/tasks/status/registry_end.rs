//! Ends tasks in the registry: changed settings hold from the success of their task on, and a primary key is removed
//! with the last failed write that named it first.
//!
//! Invariants: the registry changes before the task is seen to have ended. Changes of settings take effect in the
//! order in which nodes were sent them. What a failed change of settings left on some nodes is taken back before the
//! task ends.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use ahash::AHashSet;
use http::Method;
use router::NodeIndex;
use store::{Change, IndexRecord, StoreError, TaskKind, TaskRecord, TaskStatus};

use crate::{
    api::{
        error::ApiError,
        settings::{Derivation, whole_for_nodes},
    },
    clock,
    config::limits,
    nodes::pool::NodeRequest,
    observe::log,
    read::ask,
    state::{
        change::LaneGuard,
        core::Core,
        refresh,
        snapshot::{Index, publish, settings_after},
    },
    wire::runtime,
    write::{fanout, lane::entry, tasks::status},
};

/// Whether the caller has locked the lane of the index that a task is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LaneState {
    Free,
    Held,
}

/// Changes the registry as the end of a task requires; gives whether the task may be seen to have ended.
pub(crate) async fn settle(core: &Core, task: &TaskRecord, status: TaskStatus, lane: LaneState) -> bool {
    match task.kind {
        TaskKind::SettingsUpdate => settle_settings(core, task, status, lane).await,
        TaskKind::DocumentAdditionOrUpdate => settle_key(core, task.uid, status).await,
        TaskKind::DocumentEdition
        | TaskKind::DocumentDeletion
        | TaskKind::IndexCreation
        | TaskKind::IndexUpdate
        | TaskKind::IndexDeletion
        | TaskKind::IndexSwap
        | TaskKind::IndexCompaction
        | TaskKind::TaskCancelation
        | TaskKind::TaskDeletion
        | TaskKind::DumpCreation
        | TaskKind::SnapshotCreation
        | TaskKind::Export
        | TaskKind::UpgradeDatabase
        | TaskKind::NetworkTopologyChange
        | TaskKind::DsrUpdate
        | TaskKind::DsrClear => true,
    }
}

async fn settle_settings(core: &Core, task: &TaskRecord, status: TaskStatus, lane: LaneState) -> bool {
    for _ in 0..limits::REGISTRY_ATTEMPTS_MAX {
        let Some(index) = index_awaiting(core, task).await else { return true };
        let first = index.record.settings_ahead[0].task;
        if first != task.uid {
            if !settle_earlier(core, &index, first, lane).await {
                return false;
            }
            continue;
        }
        let holds = status == TaskStatus::Succeeded;
        // What is held lasts until the change has ended, so that whoever waits for it does not take it back again.
        let _held = match holds {
            true => Held::default(),
            false => match take_back(core, &index, task, lane).await {
                Some(held) => held,
                None => return false,
            },
        };
        if end_first(core, &index, first, holds).await {
            return true;
        }
    }
    false
}

/// The index whose settings wait for the end of a task.
async fn index_awaiting(core: &Core, task: &TaskRecord) -> Option<Arc<Index>> {
    let find = || {
        let snapshot = core.shared.snapshot();
        let waits =
            |index: &&Arc<Index>| index.record.settings_ahead.iter().any(|ahead| ahead.task == task.uid);
        snapshot.indexes.values().find(waits).cloned()
    };
    if let Some(index) = find() {
        return Some(index);
    }
    // Another pod may have sent this change to the nodes.
    if core.shared.coordinator.is_shared()
        && let Some(uid) = &task.index_uid
        && refresh::index(&core.shared, uid).await.is_err()
    {
        log::warn("index_not_read", &[("index", uid)]);
    }
    find()
}

/// Ends an earlier change of settings; gives whether it has ended.
async fn settle_earlier(core: &Core, index: &Arc<Index>, uid: u32, lane: LaneState) -> bool {
    let Ok(found) = core.shared.store.task(uid).await else { return false };
    let Some(task) = found else {
        // No client knows the task, and recovery has sent it to every node again.
        return end_first(core, index, uid, true).await;
    };
    if task.status.is_finished() {
        return end_first(core, index, uid, task.status == TaskStatus::Succeeded).await;
    }
    Box::pin(status::refresh_within(core, task, lane)).await.status.is_finished()
}

/// Ends the first change of settings that an index waits for; `false` when the index has changed meanwhile.
async fn end_first(core: &Core, index: &Arc<Index>, uid: u32, holds: bool) -> bool {
    let mut record = index.record.clone();
    if record.settings_ahead.first().is_none_or(|first| first.task != uid) {
        return false;
    }
    let ended = record.settings_ahead.remove(0);
    if holds {
        record.settings = settings_after(&record.settings, &[ended]);
    }
    put(core, index, record).await
}

/// Makes a changed record durable, then visible; `false` when it was changed meanwhile, or cannot be stored.
async fn put(core: &Core, before: &Index, mut record: IndexRecord) -> bool {
    record.updated_at = clock::utc();
    let expected_revision = Some(before.record.revision);
    let change = Change::PutIndex { record: Box::new(record.clone()), expected_revision };
    match core.shared.store.commit(vec![change]).await {
        Ok(revisions) => {
            record.revision = revisions[0];
            let index = Arc::new(Index::new(record, Arc::clone(&before.placement)));
            publish(&core.shared.snapshot, |snapshot| snapshot.with_changed(Arc::clone(&index)));
            true
        }
        Err(StoreError::Conflict) => {
            let _ = refresh::index(&core.shared, &before.record.uid).await;
            false
        }
        Err(_) => false,
    }
}

/// Ends a write that named a primary key first. The key stays when one of these writes has succeeded.
async fn settle_key(core: &Core, uid: u32, status: TaskStatus) -> bool {
    for _ in 0..limits::REGISTRY_ATTEMPTS_MAX {
        let snapshot = core.shared.snapshot();
        let index = snapshot.indexes.values().find(|index| index.record.key_tasks.contains(&uid)).cloned();
        let Some(index) = index else { return true };
        let mut record = index.record.clone();
        match status {
            TaskStatus::Succeeded => record.key_tasks.clear(),
            TaskStatus::Enqueued | TaskStatus::Processing | TaskStatus::Failed | TaskStatus::Canceled => {
                record.key_tasks.retain(|task| *task != uid)
            }
        }
        if record.key_tasks.is_empty() && status != TaskStatus::Succeeded {
            record.primary_key = None;
            record.key_is_stale = true;
        }
        if put(core, &index, record).await {
            return true;
        }
    }
    false
}

/// Makes a task end soon after its nodes have done it, whether a client asks for it or not.
pub(crate) fn watch(core: &Rc<Core>, uid: u32) {
    let core = Rc::clone(core);
    runtime::spawn(async move {
        let deadline = runtime::now() + limits::TASK_WATCH_MAX;
        let mut pause = limits::NODE_TASK_POLL_INTERVAL;
        while runtime::now() < deadline && !core.shared.is_draining() {
            runtime::sleep(pause).await;
            pause = (pause * 2).min(limits::TASK_WATCH_INTERVAL_MAX);
            match core.shared.store.task(uid).await {
                Ok(Some(task)) => {
                    if status::refresh(&core, task).await.status.is_finished() {
                        return;
                    }
                }
                Ok(None) => return,
                Err(_) => {}
            }
        }
    });
}

/// Waits until at most `left` changes of an index's settings have not ended. The caller has locked the index's lane.
///
/// # Errors
/// 503 when they do not end in time.
pub(crate) async fn wait_for_settings(
    core: &Core,
    index_uid: &str,
    left: usize,
) -> Result<Option<Arc<Index>>, ApiError> {
    let deadline = runtime::now() + limits::EARLIER_TASKS_WAIT_MAX;
    loop {
        let Some(index) = core.shared.snapshot().indexes.get(index_uid).cloned() else { return Ok(None) };
        if index.record.settings_ahead.len() <= left {
            return Ok(Some(index));
        }
        settle_earlier(core, &index, index.record.settings_ahead[0].task, LaneState::Held).await;
        if runtime::now() >= deadline {
            let message = "The settings of this index are being changed; try again shortly.";
            return Err(ApiError::overloaded(message).because("settings_ahead"));
        }
        let now = core.shared.snapshot().indexes.get(index_uid).cloned();
        if now.is_some_and(|now| now.record.revision == index.record.revision) {
            runtime::sleep(limits::NODE_TASK_POLL_INTERVAL).await;
        }
    }
}

/// Waits until it is known whether an index's new primary key stays. The caller has locked the index's lane.
///
/// # Errors
/// 503 when that is not known in time.
pub(crate) async fn wait_for_key(core: &Core, index_uid: &str) -> Result<Option<Arc<Index>>, ApiError> {
    let deadline = runtime::now() + limits::EARLIER_TASKS_WAIT_MAX;
    loop {
        let Some(index) = core.shared.snapshot().indexes.get(index_uid).cloned() else { return Ok(None) };
        let Some(first) = index.record.key_tasks.first().copied() else { return Ok(Some(index)) };
        match core.shared.store.task(first).await? {
            Some(task) if task.status.is_finished() => drop(settle_key(core, first, task.status).await),
            Some(task) => drop(status::refresh_within(core, task, LaneState::Held).await),
            // Recovery has dropped the task, and no client knows it.
            None => drop(settle_key(core, first, TaskStatus::Failed).await),
        }
        if runtime::now() >= deadline {
            let message = "The first documents of this index are being added; try again shortly.";
            return Err(ApiError::overloaded(message).because("key_ahead"));
        }
        let now = core.shared.snapshot().indexes.get(index_uid).cloned();
        if now.is_some_and(|now| now.record.revision == index.record.revision) {
            runtime::sleep(limits::NODE_TASK_POLL_INTERVAL).await;
        }
    }
}

thread_local! {
    /// The failed changes of settings that this core is taking back.
    static UNDER_WAY: RefCell<AHashSet<u32>> = RefCell::default();
}

/// Marks a change of settings as being taken back on this core.
struct TakingBack(u32);

impl TakingBack {
    fn begin(uid: u32) -> Option<Self> {
        UNDER_WAY.with_borrow_mut(|under_way| under_way.insert(uid)).then_some(Self(uid))
    }
}

impl Drop for TakingBack {
    fn drop(&mut self) {
        UNDER_WAY.with_borrow_mut(|under_way| under_way.remove(&self.0));
    }
}

/// What keeps others from taking a change back: the mark on this core, and the index's lane where the caller has not
/// locked it.
#[derive(Default)]
struct Held {
    _under_way: Option<TakingBack>,
    _lane: Vec<LaneGuard>,
}

/// Sends the settings that hold without a failed change to the nodes on which it succeeded; `None` when that cannot
/// be done now. What fails here is left to the comparison of nodes' settings, which is due while changes are pending.
async fn take_back(core: &Core, index: &Arc<Index>, task: &TaskRecord, lane: LaneState) -> Option<Held> {
    let is_followed = index.record.settings_ahead.len() > 1;
    // Later changes were derived from the failed one, so all nodes are sent theirs again.
    let changed = |status: TaskStatus| is_followed || status == TaskStatus::Succeeded;
    if !task.node_tasks.iter().any(|task| changed(task.status)) {
        return Some(Held::default());
    }
    let under_way = TakingBack::begin(task.uid)?;
    let guards = match lane {
        LaneState::Held => Vec::new(),
        LaneState::Free => entry::lock(core, vec![&index.record.uid]).await.ok()?,
    };
    let held = Held { _under_way: Some(under_way), _lane: guards };
    let now = core.shared.snapshot().indexes.get(&index.record.uid).cloned();
    let is_first =
        |index: &Arc<Index>| index.record.settings_ahead.first().is_some_and(|first| first.task == task.uid);
    // The change has ended meanwhile.
    let Some(index) = now.filter(is_first) else { return Some(held) };
    for node_task in task.node_tasks.iter().filter(|task| changed(task.status)) {
        let Some(node) = core.shared.snapshot().topology.index_of(&node_task.node) else { continue };
        if let Err(reason) = restore(core, &index, node).await {
            log::warn("settings_not_taken_back", &[("node", &node_task.node), ("reason", &reason)]);
        }
    }
    Some(held)
}

/// Sends a node the settings that hold without the first waiting change.
async fn restore(core: &Core, index: &Index, node: NodeIndex) -> Result<(), String> {
    let target = format!("/indexes/{}/settings", index.record.node_uid);
    let limit = core.shared.config.node_timeout;
    let had = core.pools.ask(node, NodeRequest::get(&target), limit).await;
    let had = had.map_err(|error| error.to_string())?;
    let had: serde_json::Value = serde_json::from_slice(&had.body).map_err(|error| error.to_string())?;
    let embedders = had["embedders"].as_object().into_iter().flatten();
    let embedders = embedders.map(|(name, _)| name.as_str()).collect::<Vec<_>>();
    let wanted = settings_after(&index.record.settings, &index.record.settings_ahead[1..]);
    let version = ask::lowest_version(core).await;
    let derivation = Derivation::new(&wanted, index.record.primary_key.as_deref(), version);
    for body in whole_for_nodes(&derivation, &embedders) {
        let sent = fanout::ask_once(core, node, &Method::PATCH, &target, body.to_string().into()).await;
        let task = sent.map_err(|error| error.into_task_error().message)?;
        wait_for(core, node, task).await?;
    }
    Ok(())
}

/// Waits until a node's task has succeeded.
pub(crate) async fn wait_for(core: &Core, node: NodeIndex, task: u32) -> Result<(), String> {
    let deadline = runtime::now() + limits::REPAIR_TASK_TIMEOUT;
    while runtime::now() < deadline {
        let view = status::ask_about(core, node, &format!("/tasks/{task}")).await;
        match view.as_ref().and_then(|view| view["status"].as_str()) {
            Some("succeeded") => return Ok(()),
            Some("failed" | "canceled") => {
                return Err(format!("its task {task} failed: {}", view.unwrap_or_default()["error"]));
            }
            _ => runtime::sleep(limits::NODE_TASK_POLL_INTERVAL).await,
        }
    }
    Err(format!("its task {task} does not end"))
}
