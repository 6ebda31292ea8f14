//! Swaps and renames from their request to their end.
//!
//! Invariants: the lanes of all names are held from before the task is accepted until the registry
//! has changed, so that writes accepted before go to the old index and later ones to the new; the
//! names change when the tasks accepted before have ended, as on one node; a swap that was accepted
//! and not done when the process died is done at the next start, before anybody is served.

use std::{panic::AssertUnwindSafe, rc::Rc, sync::Arc, time::Instant};

use futures_util::FutureExt;
use store::{NewTask, NodeTask, StoreError, TaskChange, TaskQuery, TaskRecord, TaskStatus};
use time::OffsetDateTime;

use super::{
    Core, changes,
    lanes::{self, Hold},
    settle,
};
use crate::{
    api::error::{ApiError, Code},
    config::limits,
    moves::{self, Move},
    observe::log,
    runtime::Runtime,
    snapshot::{Index, Snapshot, publish},
};

/// `POST /swap-indexes`, checked.
///
/// # Errors
/// 503 when a lane or the store is full.
pub(super) async fn swap<R: Runtime>(
    core: &Rc<Core<R>>,
    task: NewTask,
    steps: Vec<Move>,
) -> Result<TaskRecord, ApiError> {
    let names = steps.iter().flat_map(|step| [step.from.as_str(), step.to.as_str()]).collect();
    let holds = lanes::hold(core, names).await?;
    let intent = core.shared.store.create_task(task).await?;
    let snapshot = core.shared.snapshot();
    match moves::check_swap(&steps, |uid| snapshot.indexes.contains_key(uid)) {
        Ok(()) => accept(core, intent, steps, Vec::new(), holds).await,
        Err(error) => Ok(core.shared.store.update_task(intent.uid, changes::failed_change(error)).await?),
    }
}

/// A rename, and with it another primary key if one is given.
///
/// # Errors
/// 503 when a lane or the store is full, or a node does not take the primary key.
pub(super) async fn rename<R: Runtime>(
    core: &Rc<Core<R>>,
    task: NewTask,
    step: Move,
    primary_key: Option<String>,
) -> Result<TaskRecord, ApiError> {
    let holds = lanes::hold(core, vec![&step.from, &step.to]).await?;
    let intent = core.shared.store.create_task(task).await?;
    let snapshot = core.shared.snapshot();
    let fail = |error| core.shared.store.update_task(intent.uid, changes::failed_change(error));
    let Some(index) = snapshot.indexes.get(&step.from) else {
        let message = format!("Index `{}` not found.", step.from);
        return Ok(fail(ApiError::new(Code::IndexNotFound, message)).await?);
    };
    if step.from != step.to && snapshot.indexes.contains_key(&step.to) {
        let message = format!("Index `{}` already exists.", step.to);
        return Ok(fail(ApiError::new(Code::IndexAlreadyExists, message)).await?);
    }
    let node_tasks = match primary_key {
        None => Vec::new(),
        Some(key) => match changes::send_primary_key(core, index, &key).await {
            Ok(node_tasks) => node_tasks,
            Err(error) => {
                changes::discard(core, &intent).await;
                return Err(error);
            }
        },
    };
    let steps = if step.from == step.to { Vec::new() } else { vec![step] };
    accept(core, intent, steps, node_tasks, holds).await
}

/// Answers, and moves the indexes once the tasks accepted before have ended.
async fn accept<R: Runtime>(
    core: &Rc<Core<R>>,
    intent: TaskRecord,
    steps: Vec<Move>,
    node_tasks: Vec<NodeTask>,
    holds: Vec<Hold>,
) -> Result<TaskRecord, ApiError> {
    let change = TaskChange { accepted: Some(true), node_tasks: Some(node_tasks), ..TaskChange::default() };
    let record = core.shared.store.update_task(intent.uid, change).await?;
    let (core, accepted) = (Rc::clone(core), record.clone());
    R::spawn(async move {
        let finished = finish(&core, accepted, &steps);
        if AssertUnwindSafe(finished).catch_unwind().await.is_err() {
            log::error("panic_in_move", &[]);
            core.metrics.panics.increment(1);
        }
        drop(holds);
    });
    Ok(record)
}

async fn finish<R: Runtime>(core: &Core<R>, mut task: TaskRecord, steps: &[Move]) {
    let deadline = R::now() + core.shared.config.request_timeout;
    wait_for_earlier(core, &task, steps, deadline).await;
    let mut times = settle::fold(&mut task, &settle::Seen::new());
    while !settle::overall_status(&task.node_tasks).is_finished() && R::now() < deadline {
        let seen = settle::look(core, &task).await;
        times = settle::fold(&mut task, &seen);
        R::sleep(limits::NODE_TASK_POLL_INTERVAL).await;
    }
    let now = OffsetDateTime::now_utc();
    let mut change = match settle::overall_status(&task.node_tasks) {
        TaskStatus::Failed | TaskStatus::Canceled => settle::ended(&task, TaskStatus::Failed, &times, 1),
        TaskStatus::Succeeded | TaskStatus::Enqueued | TaskStatus::Processing => moves::succeeded(&task, now),
    };
    change.expected_revision = None;
    let primary_key = task.details.as_ref().and_then(|details| details["primaryKey"].as_str());
    let primary_key = primary_key.filter(|_| change.status == Some(TaskStatus::Succeeded));
    let snapshot = core.shared.snapshot();
    let find = |uid: &str| {
        let mut record = snapshot.indexes.get(uid).map(|index| index.record.clone())?;
        if let Some(key) = primary_key {
            record.primary_key = Some(key.to_owned());
        }
        Some(record)
    };
    let stays = steps.is_empty().then(|| task.index_uid.clone()).flatten();
    let mut commit = moves::commit(steps, task.uid, change, now, find);
    if let Some(mut record) = stays.as_deref().and_then(find) {
        record.updated_at = now;
        let expected_revision = Some(record.revision);
        commit.push(store::Change::PutIndex { record: Box::new(record), expected_revision });
    }
    loop {
        match core.shared.store.commit(commit.clone()).await {
            Ok(revisions) => return show(core, &snapshot, steps, &commit, &revisions),
            Err(StoreError::Overloaded) => R::sleep(limits::NODE_TASK_POLL_INTERVAL).await,
            Err(error) => {
                let uid = task.uid.to_string();
                return log::error("move_not_stored", &[("task", &uid), ("reason", &error.to_string())]);
            }
        }
    }
}

/// Waits until nothing accepted before is unfinished on the indexes; nothing is added meanwhile, for
/// their lanes are held. A node that is gone is waited for no longer than a request may take.
async fn wait_for_earlier<R: Runtime>(core: &Core<R>, task: &TaskRecord, steps: &[Move], deadline: Instant) {
    let names = steps.iter().flat_map(|step| [step.from.clone(), step.to.clone()]).collect::<Vec<_>>();
    let query = TaskQuery {
        index_uids: Some(names),
        statuses: Some(vec![TaskStatus::Enqueued, TaskStatus::Processing]),
        limit: u32::try_from(limits::TASKS_REFRESHED_MAX).unwrap_or(u32::MAX),
        reverse: true,
        ..TaskQuery::default()
    };
    while R::now() < deadline {
        let Ok(mut page) = core.shared.store.tasks(query.clone()).await else { return };
        page.tasks.retain(|earlier| earlier.uid != task.uid);
        if page.tasks.is_empty() {
            return;
        }
        let refreshed = settle::refresh_all(core, page.tasks).await;
        if refreshed.iter().any(|earlier| !earlier.status.is_finished()) {
            R::sleep(limits::NODE_TASK_POLL_INTERVAL).await;
        }
    }
    log::warn(
        "move_did_not_wait",
        &[("task", &task.uid.to_string()), ("reason", "earlier tasks do not end")],
    );
}

/// Publishes what a commit has stored, all of it at once.
fn show<R: Runtime>(
    core: &Core<R>,
    before: &Snapshot,
    steps: &[Move],
    commit: &[store::Change],
    revisions: &[u64],
) {
    let placement = |uid: &str| before.indexes.get(uid).map(|index| Arc::clone(&index.placement));
    let mut placements = moves::outcome(steps, placement);
    let mut shown = Vec::new();
    for (change, revision) in commit.iter().zip(revisions) {
        if let store::Change::PutIndex { record, .. } = change {
            let moved = placements.iter_mut().find(|(uid, _)| *uid == record.uid);
            let placement =
                moved.and_then(|(_, placement)| placement.take()).or_else(|| placement(&record.uid));
            let Some(placement) = placement else { continue };
            let mut record = record.as_ref().clone();
            record.revision = *revision;
            shown.push(Arc::new(Index::new(record, placement)));
        }
    }
    publish(&core.shared.snapshot, |snapshot| {
        let gone = steps.iter().filter(|step| step.rename).map(|step| step.from.as_str());
        let without = gone.fold(snapshot.clone(), |snapshot, uid| snapshot.without_index(uid));
        shown.iter().fold(without, |snapshot, index| snapshot.with_index(Arc::clone(index)))
    });
}
