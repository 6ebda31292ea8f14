//! Runs swaps and renames from the request to the end of the task.
//!
//! Invariants: the lanes of all names are locked from before the task is accepted until the registry has changed, so
//! that earlier writes go to the old index and later ones to the new. As on one node, names change when the tasks
//! accepted before have ended. A swap that was accepted and not done when the process died is done at the next start,
//! before any client is served.

use std::{panic::AssertUnwindSafe, rc::Rc, sync::Arc, time::Instant};

use futures_util::FutureExt;
use http::Method;
use serde_json::json;
use store::{Change, NewTask, NodeTask, StoreError, TaskChange, TaskQuery, TaskRecord, TaskStatus};

use crate::{
    api::{
        error::{ApiError, Code},
        swap::Rename,
    },
    clock,
    config::limits,
    observe::log,
    state::{
        change::{Accepted, LaneGuard},
        core::Core,
        snapshot::{Index, Snapshot, publish},
    },
    wire::runtime::{self, timeout},
    write::{
        apply,
        fanout::{self, Missed},
        index_life, lane,
        rename::plan,
        rule_copies,
        tasks::status::{self, registry_end::LaneState},
    },
};

/// Runs a checked `POST /swap-indexes`.
///
/// # Errors
/// 503 when a lane or the store is full.
pub(crate) async fn swap(core: &Rc<Core>, task: NewTask, steps: Vec<Rename>) -> Result<Accepted, ApiError> {
    let names = steps.iter().flat_map(|step| [step.from.as_str(), step.to.as_str()]).collect();
    let guards = lane::lock(core, names).await?;
    let intent = core.shared.store.create_task(task).await?;
    let snapshot = core.shared.snapshot();
    match plan::check_swap(&steps, |uid| snapshot.indexes.contains_key(uid)) {
        Ok(()) => {
            let missed = Missed::new(core, intent.uid);
            accept(core, intent, steps, Vec::new(), missed, guards).await
        }
        Err(error) => fail(core, &intent, error).await,
    }
}

/// Runs a checked `PATCH /indexes/{uid}`: another name (`to`, or the same), another primary key, or both. The nodes
/// judge the key: they refuse it when there are documents.
///
/// # Errors
/// 503 when a lane or the store is full, or a node does not take the primary key.
pub(crate) async fn update(
    core: &Rc<Core>,
    task: NewTask,
    from: &str,
    to: &str,
    primary_key: Option<String>,
) -> Result<Accepted, ApiError> {
    let guards = lane::lock(core, vec![from, to]).await?;
    let intent = core.shared.store.create_task(task).await?;
    let snapshot = core.shared.snapshot();
    let Some(index) = snapshot.indexes.get(from) else {
        let message = format!("Index `{from}` not found.");
        return fail(core, &intent, ApiError::new(Code::IndexNotFound, message)).await;
    };
    if from != to && snapshot.indexes.contains_key(to) {
        let message = format!("Index `{to}` already exists.");
        return fail(core, &intent, ApiError::new(Code::IndexAlreadyExists, message)).await;
    }
    let mut missed = Missed::new(core, intent.uid);
    let node_tasks = match primary_key {
        None => Vec::new(),
        Some(key) => match index_life::send_primary_key(core, index, &key, &mut missed).await {
            Ok(node_tasks) => node_tasks,
            Err(error) => {
                store_missed(core, &mut missed).await?;
                apply::discard(core, &intent).await;
                return Err(error);
            }
        },
    };
    let steps = Rename::of_task(&intent);
    accept(core, intent, steps, node_tasks, missed, guards).await
}

/// Accepts a task that has failed at once.
async fn fail(core: &Core, intent: &TaskRecord, error: ApiError) -> Result<Accepted, ApiError> {
    let record = core.shared.store.update_task(intent.uid, apply::failed_change(error)).await?;
    Ok(Accepted { record, degraded: None })
}

async fn store_missed(core: &Core, missed: &mut Missed) -> Result<(), StoreError> {
    let changes = missed.take();
    if changes.is_empty() {
        return Ok(());
    }
    fanout::commit(core, changes).await.await.map(drop)
}

/// Resumes an accepted change, in which nodes have a part, of a process that died.
pub fn resume(core: &Rc<Core>, task: TaskRecord) {
    let steps = Rename::of_task(&task);
    spawn_finish(core, task, steps, Vec::new());
}

/// Answers the client, and moves the indexes once the tasks accepted before have ended.
async fn accept(
    core: &Rc<Core>,
    intent: TaskRecord,
    steps: Vec<Rename>,
    node_tasks: Vec<NodeTask>,
    mut missed: Missed,
    guards: Vec<LaneGuard>,
) -> Result<Accepted, ApiError> {
    let change =
        TaskChange { accepted: Some(true), node_tasks: Some(node_tasks.clone()), ..TaskChange::default() };
    let mut changes = vec![Change::UpdateTask { uid: intent.uid, change: Box::new(change) }];
    changes.extend(missed.take());
    let revision = fanout::commit(core, changes).await.await?[0];
    let record = TaskRecord { accepted: true, node_tasks, revision, ..intent };
    spawn_finish(core, record.clone(), steps, guards);
    Ok(Accepted { record, degraded: missed.degraded.header() })
}

fn spawn_finish(core: &Rc<Core>, task: TaskRecord, steps: Vec<Rename>, guards: Vec<LaneGuard>) {
    let core = Rc::clone(core);
    runtime::spawn(async move {
        if AssertUnwindSafe(finish(&core, task, &steps, guards)).catch_unwind().await.is_err() {
            log::error("panic_in_move", &[]);
            core.metrics.panics.increment(1);
        }
    });
}

/// Changes the registry and ends the task. The commit that changes the registry sets the task to processing, so a
/// processing task lacks only its end. The end comes after the change is visible, so that no client sees it before.
async fn finish(core: &Core, mut task: TaskRecord, steps: &[Rename], guards: Vec<LaneGuard>) {
    let deadline = runtime::now() + core.shared.config.request_timeout;
    if task.status == TaskStatus::Enqueued {
        wait_for_earlier(core, &task, steps, deadline).await;
        let _guards = wait_for_nodes(core, &mut task, guards, deadline).await;
        break_ties(core, &task).await;
        take_back_key(core, &task).await;
        loop {
            match change_registry(core, &task, steps).await {
                Ok(()) => break,
                // An index whose lane is no longer locked has changed, or the queue was full.
                Err(StoreError::Conflict | StoreError::Overloaded) => {
                    runtime::sleep(limits::NODE_TASK_POLL_INTERVAL).await;
                }
                Err(error) => return not_stored(&task, &error),
            }
        }
    }
    follow_with_rules(core, &task, steps).await;
    while let Err(error) = core.shared.store.update_task(task.uid, plan::ended(&task)).await {
        if error != StoreError::Overloaded {
            return not_stored(&task, &error);
        }
        runtime::sleep(limits::NODE_TASK_POLL_INTERVAL).await;
    }
}

/// Makes search rules follow the names, for no longer than a request may take.
async fn follow_with_rules(core: &Core, task: &TaskRecord, steps: &[Rename]) {
    let names = steps.iter().flat_map(|step| [step.from.as_str(), step.to.as_str()]).collect::<Vec<_>>();
    let node_tasks = rule_copies::follow(core, &names).await;
    let mut followed = TaskRecord { node_tasks, ..task.clone() };
    let limit = core.shared.config.request_timeout;
    let waited = wait_for_nodes(core, &mut followed, Vec::new(), runtime::now() + limit);
    if timeout(limit, waited).await.is_err() {
        log::warn("rules_not_followed", &[("task", &task.uid.to_string())]);
    }
}

/// Makes the nodes break ties by a primary key that they have taken.
async fn break_ties(core: &Core, task: &TaskRecord) {
    let key = task.details.as_ref().and_then(|details| details["primaryKey"].as_str());
    let succeeded = status::status(core, task) == TaskStatus::Succeeded;
    let index = task.index_uid.as_ref().and_then(|uid| core.shared.snapshot().indexes.get(uid).cloned());
    let (Some(key), Some(index), true) = (key, index, succeeded) else { return };
    let mut missed = Missed::new(core, task.uid);
    let settled = index_life::break_ties_by(core, &index, key, &mut missed).await.is_ok();
    if store_missed(core, &mut missed).await.is_err() || !settled {
        log::warn("ties_not_settled", &[("index", &index.record.uid)]);
    }
}

/// Takes back a primary key on the nodes that accepted it, since they had no documents, when other nodes refused it.
async fn take_back_key(core: &Core, task: &TaskRecord) {
    let index = task.index_uid.as_ref().and_then(|uid| core.shared.snapshot().indexes.get(uid).cloned());
    let key = index.as_ref().and_then(|index| index.record.primary_key.as_deref());
    let (Some(index), Some(key), TaskStatus::Failed) = (&index, key, status::status(core, task)) else {
        return;
    };
    let body = json!({"primaryKey": key}).to_string();
    let target = format!("/indexes/{}", index.record.node_uid);
    for done in task.node_tasks.iter().filter(|done| done.status == TaskStatus::Succeeded) {
        let Some(node) = core.shared.snapshot().topology.index_of(&done.node) else { continue };
        let body = body.clone().into();
        let taken_back = fanout::ask_once(core, node, &Method::PATCH, &target, body).await.is_ok();
        if !taken_back {
            log::warn("key_not_taken_back", &[("index", &index.record.uid), ("node", &done.node)]);
        }
    }
}

fn not_stored(task: &TaskRecord, error: &StoreError) {
    log::error("move_not_stored", &[("task", &task.uid.to_string()), ("reason", &error.to_string())]);
}

/// Waits until the nodes have done their part. The lanes stay locked no longer than a request may take, since other
/// writes must not wait for a node that is gone.
async fn wait_for_nodes(
    core: &Core,
    task: &mut TaskRecord,
    guards: Vec<LaneGuard>,
    deadline: Instant,
) -> Vec<LaneGuard> {
    let mut guards = guards;
    loop {
        let seen = status::poll(core, task).await;
        task.started_at = status::fold(task, &seen).started;
        if status::status(core, task).is_finished()
            && let Some(left) = status::leave_behind(core, task)
            && (left.is_empty() || fanout::commit(core, left).await.await.is_ok())
        {
            return guards;
        }
        let late = runtime::now() >= deadline;
        if late {
            guards.clear();
        }
        runtime::sleep(if late { limits::LATE_RETRY_INTERVAL } else { limits::NODE_TASK_POLL_INTERVAL })
            .await;
    }
}

/// Changes the registry in one commit, then publishes it.
async fn change_registry(core: &Core, task: &TaskRecord, steps: &[Rename]) -> Result<(), StoreError> {
    let now = clock::utc();
    let snapshot = core.shared.snapshot();
    let succeeds = status::status(core, task) == TaskStatus::Succeeded;
    let new_key = task.details.as_ref().and_then(|details| details["primaryKey"].as_str());
    let find = |uid: &str| {
        let mut record = snapshot.indexes.get(uid).map(|index| index.record.clone())?;
        if let Some(key) = new_key.filter(|_| succeeds) {
            record.primary_key = Some(key.to_owned());
        }
        Some(record)
    };
    // Names whose lanes were locked all the time are unchanged; others may be gone or taken.
    let possible = plan::check_swap(steps, |uid| snapshot.indexes.contains_key(uid)).is_ok();
    let steps = if possible { steps } else { &[] };
    let mut commit = plan::commit(steps, task.uid, plan::begun(task, now), now, find);
    // A primary key alone changes the index in place.
    if steps.is_empty()
        && succeeds
        && let Some(mut record) = task.index_uid.as_deref().and_then(find)
    {
        record.updated_at = now;
        let expected_revision = Some(record.revision);
        commit.push(Change::PutIndex { record: Box::new(record), expected_revision });
    }
    let revisions = core.shared.store.commit(commit.clone()).await?;
    show(core, &snapshot, steps, &commit, &revisions);
    Ok(())
}

/// Waits until no task accepted before is unfinished on the indexes. None is added meanwhile, since their lanes are
/// locked. A node that is gone is waited for no longer than a request may take.
async fn wait_for_earlier(core: &Core, task: &TaskRecord, steps: &[Rename], deadline: Instant) {
    let names = steps.iter().flat_map(|step| [step.from.clone(), step.to.clone()]).collect::<Vec<_>>();
    let query = TaskQuery {
        index_uids: Some(names),
        statuses: Some(vec![TaskStatus::Enqueued, TaskStatus::Processing]),
        limit: u32::try_from(limits::TASKS_REFRESHED_MAX).unwrap_or(u32::MAX),
        reverse: true,
        ..TaskQuery::default()
    };
    while runtime::now() < deadline {
        let Ok(mut page) = core.shared.store.tasks(query.clone()).await else { return };
        page.tasks.retain(|earlier| earlier.uid != task.uid);
        if page.tasks.is_empty() {
            return;
        }
        let refreshed = status::refresh_all_within(core, page.tasks, LaneState::Held).await;
        if refreshed.iter().any(|earlier| !earlier.status.is_finished()) {
            runtime::sleep(limits::NODE_TASK_POLL_INTERVAL).await;
        }
    }
    log::warn(
        "move_did_not_wait",
        &[("task", &task.uid.to_string()), ("reason", "earlier tasks do not end")],
    );
}

/// Publishes what a commit has stored, as one snapshot.
fn show(core: &Core, before: &Snapshot, steps: &[Rename], commit: &[Change], revisions: &[u64]) {
    let placement = |uid: &str| before.indexes.get(uid).map(|index| Arc::clone(&index.placement));
    let mut placements = plan::outcome(steps, placement);
    let mut shown = Vec::new();
    for (change, revision) in commit.iter().zip(revisions) {
        if let Change::PutIndex { record, .. } = change {
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
