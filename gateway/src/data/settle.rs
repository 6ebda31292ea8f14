//! How the gateway's tasks end: what nodes say of theirs, gathered when somebody asks.
//!
//! Invariants: a task that has ended is never asked about again; a status is durable before a
//! client sees the task ended; nobody polling costs nothing but the control sweep.

use std::time::Instant;

use ahash::AHashMap;
use futures_util::future::join_all;
use http::Method;
use router::NodeIndex;
use serde_json::Value;
use store::{NodeTask, TaskChange, TaskError, TaskKind, TaskRecord, TaskStatus};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{Core, cancel, pool::NodeRequest};
use crate::{
    api::{
        error::{ApiError, rename_index},
        task,
    },
    config::limits,
    runtime::Runtime,
};

/// Asks the nodes about one task and stores what changed.
pub(crate) async fn refresh<R: Runtime>(core: &Core<R>, record: TaskRecord) -> TaskRecord {
    if record.status.is_finished() || !record.accepted {
        return record;
    }
    let seen = look(core, &record).await;
    settle(core, record, &seen).await
}

/// What the nodes say of one task now.
pub(super) async fn look<R: Runtime>(core: &Core<R>, record: &TaskRecord) -> Seen {
    let waiting = record.node_tasks.iter().filter(|task| !task.status.is_finished());
    let asked = waiting.map(|task| async move {
        let node = core.shared.snapshot().topology.index_of(&task.node)?;
        let seen = ask_about(core, node, &format!("/tasks/{}", task.uid)).await?;
        Some(((task.node.clone(), task.uid), seen))
    });
    join_all(asked).await.into_iter().flatten().collect()
}

/// Brings the status of every unfinished task up to date, unless this was done a moment ago.
pub async fn refresh_unfinished<R: Runtime>(core: &Core<R>) -> Result<(), ApiError> {
    let now = R::now();
    let fresh = |last: Instant| now.saturating_duration_since(last) < limits::TASK_LIST_AGE_MAX;
    if core.tasks_refreshed.get().is_some_and(fresh) {
        return Ok(());
    }
    core.tasks_refreshed.set(Some(now));
    let mut records = core.shared.store.unfinished_tasks(limits::TASKS_REFRESHED_MAX).await?;
    records.retain(|record| record.accepted);
    refresh_all(core, records).await;
    Ok(())
}

/// Waits until none of these tasks, whose uids ascend, is at work any more, or for as long as a client may have to
/// wait.
pub(super) async fn wait_for<R: Runtime>(core: &Core<R>, uids: &[u32]) -> Result<(), ApiError> {
    let deadline = R::now() + limits::TASK_DELETION_WAIT_MAX;
    loop {
        let mut records = core.shared.store.unfinished_tasks(limits::TASKS_REFRESHED_MAX).await?;
        records.retain(|record| record.accepted && uids.binary_search(&record.uid).is_ok());
        let settled = refresh_all(core, records).await;
        if settled.iter().all(|record| record.status.is_finished()) || R::now() >= deadline {
            return Ok(());
        }
        R::sleep(limits::NODE_TASK_POLL_INTERVAL).await;
    }
}

/// Asks the nodes about many tasks at once and stores what changed.
pub(super) async fn refresh_all<R: Runtime>(core: &Core<R>, records: Vec<TaskRecord>) -> Vec<TaskRecord> {
    let mut by_node: AHashMap<&str, Vec<u32>> = AHashMap::new();
    for task in records.iter().flat_map(|record| &record.node_tasks) {
        if !task.status.is_finished() {
            by_node.entry(&task.node).or_default().push(task.uid);
        }
    }
    let asked = by_node.iter().map(|(node, uids)| ask_about_many(core, node, uids));
    let seen = join_all(asked).await.into_iter().flatten().collect::<AHashMap<_, _>>();
    join_all(records.into_iter().map(|record| settle(core, record, &seen))).await
}

/// What a node says of its tasks, by node id and the node's task uid.
pub(super) type Seen = AHashMap<(String, u32), Value>;

async fn ask_about<R: Runtime>(core: &Core<R>, node: NodeIndex, target: &str) -> Option<Value> {
    let request = NodeRequest { method: Method::GET, ..NodeRequest::get(target) };
    let answer = core.pools.ask(node, request, core.shared.config.node_timeout).await.ok()?;
    answer.status.is_success().then(|| serde_json::from_slice(&answer.body).ok())?
}

async fn ask_about_many<R: Runtime>(core: &Core<R>, node_id: &str, uids: &[u32]) -> Seen {
    let mut seen = Seen::new();
    let Some(node) = core.shared.snapshot().topology.index_of(node_id) else { return seen };
    for chunk in uids.chunks(limits::TASKS_PER_NODE_QUESTION) {
        let list = chunk.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let target = format!("/tasks?limit={}&uids={list}", chunk.len());
        let Some(Value::Object(mut page)) = ask_about(core, node, &target).await else { break };
        let Some(Value::Array(tasks)) = page.remove("results") else { break };
        for task in tasks {
            if let Some(uid) = task["uid"].as_u64().and_then(|uid| u32::try_from(uid).ok()) {
                seen.insert((node_id.to_owned(), uid), task);
            }
        }
    }
    seen
}

/// Folds what nodes said into a record; a change of status is stored before it is returned.
async fn settle<R: Runtime>(core: &Core<R>, mut record: TaskRecord, seen: &Seen) -> TaskRecord {
    if record.status.is_finished() || (task::ends_here(&record) && record.kind != TaskKind::TaskCancelation) {
        return record;
    }
    let times = fold(&mut record, seen);
    let status = overall_status(&record.node_tasks);
    if record.kind == TaskKind::TaskCancelation && status.is_finished() {
        // Its targets are settled first, by this same function.
        return Box::pin(cancel::finish(core, record, times)).await;
    }
    if status == record.status {
        return record;
    }
    let change = ended(&record, status, &times, copies(core));
    store_change(core, record, change).await
}

/// Stores a change of a record that was read before.
pub(super) async fn store_change<R: Runtime>(
    core: &Core<R>,
    record: TaskRecord,
    change: TaskChange,
) -> TaskRecord {
    match core.shared.store.update_task(record.uid, change).await {
        Ok(stored) => stored,
        // Somebody else settled it at the same time: theirs is as good.
        Err(_) => core.shared.store.task(record.uid).await.ok().flatten().unwrap_or(record),
    }
}

/// The change that brings a record to the status of its node tasks.
pub(super) fn ended(record: &TaskRecord, status: TaskStatus, times: &Times, copies: u64) -> TaskChange {
    let now = OffsetDateTime::now_utc();
    let mut change = TaskChange {
        expected_revision: Some(record.revision),
        status: Some(status),
        started_at: Some(times.started.unwrap_or(now)),
        node_tasks: Some(record.node_tasks.clone()),
        ..TaskChange::default()
    };
    if status.is_finished() {
        change.finished_at = Some(times.finished.unwrap_or(now));
        change.error = record.node_tasks.iter().find_map(|task| task.error.clone());
        if status == TaskStatus::Succeeded && task::is_summed(record.kind) {
            let details =
                record.node_tasks.iter().filter_map(|task| task.details.as_ref()).collect::<Vec<_>>();
            change.details = task::sum_details(record.details.clone(), record.kind, &details, copies);
        }
    }
    change
}

/// Takes over what nodes said of a record's node tasks.
pub(super) fn fold(record: &mut TaskRecord, seen: &Seen) -> Times {
    let mut times = Times { started: record.started_at, finished: None };
    // An index that is renamed has its new name when its primary key is judged.
    let renamed = record.details.as_ref().and_then(|details| details["newIndexUid"].as_str());
    let index_uid = renamed.or(record.index_uid.as_deref()).map(str::to_owned);
    for task in &mut record.node_tasks {
        if let Some(value) = seen.get(&(task.node.clone(), task.uid)) {
            absorb(task, value, index_uid.as_deref(), &mut times);
        }
    }
    times
}

/// When the first node began and the last one ended.
pub(super) struct Times {
    pub(super) started: Option<OffsetDateTime>,
    pub(super) finished: Option<OffsetDateTime>,
}

fn absorb(task: &mut NodeTask, value: &Value, index_uid: Option<&str>, times: &mut Times) {
    let Some(status) = value["status"].as_str().and_then(|name| name.parse::<TaskStatus>().ok()) else {
        return;
    };
    task.status = status;
    let date = |name: &str| value[name].as_str().and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
    if let Some(started) = date("startedAt") {
        times.started = Some(times.started.map_or(started, |known| known.min(started)));
    }
    if !status.is_finished() {
        return;
    }
    if let Some(finished) = date("finishedAt") {
        times.finished = Some(times.finished.map_or(finished, |known| known.max(finished)));
    }
    task.details = Some(value["details"].clone()).filter(Value::is_object);
    task.error = serde_json::from_value::<TaskError>(value["error"].clone()).ok().map(|mut error| {
        let message = merge::strip_message(&error.message);
        error.message = rename_index(&message, |_| index_uid.map(str::to_owned)).into_owned();
        error
    });
}

/// Failed if any failed, else canceled if any was canceled, else succeeded; only once all ended.
pub(super) fn overall_status(node_tasks: &[NodeTask]) -> TaskStatus {
    let any = |status: TaskStatus| node_tasks.iter().any(|task| task.status == status);
    let ended = node_tasks.iter().filter(|task| task.status.is_finished()).count();
    match ended == node_tasks.len() {
        true if any(TaskStatus::Failed) => TaskStatus::Failed,
        true if any(TaskStatus::Canceled) => TaskStatus::Canceled,
        true => TaskStatus::Succeeded,
        false if ended > 0 || any(TaskStatus::Processing) => TaskStatus::Processing,
        false => TaskStatus::Enqueued,
    }
}

/// How many nodes hold each document.
pub(super) fn copies<R: Runtime>(core: &Core<R>) -> u64 {
    let topology = &core.shared.snapshot().topology;
    u64::from(topology.replication_factor) * topology.groups().len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_ends_with_its_last_node() {
        use TaskStatus::{Canceled, Enqueued, Failed, Processing, Succeeded};
        let check = |statuses: &[TaskStatus], expected| {
            let tasks = statuses.iter().map(|status| NodeTask {
                node: "n".to_owned(),
                uid: 0,
                documents: 0,
                status: *status,
                details: None,
                error: None,
            });
            assert_eq!(overall_status(&tasks.collect::<Vec<_>>()), expected, "{statuses:?}");
        };
        check(&[Enqueued, Enqueued], Enqueued);
        check(&[Enqueued, Processing], Processing);
        check(&[Succeeded, Enqueued], Processing);
        check(&[Failed, Enqueued], Processing);
        check(&[Succeeded, Failed, Canceled], Failed);
        check(&[Succeeded, Canceled], Canceled);
        check(&[Succeeded, Succeeded], Succeeded);
    }
}
