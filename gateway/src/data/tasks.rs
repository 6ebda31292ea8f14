//! The gateway's tasks: what nodes say of theirs, gathered when somebody asks.
//!
//! Invariants: a task that has ended is never asked about again; a status is durable before a
//! client sees the task ended; nobody polling costs nothing but the control sweep.

use ahash::AHashMap;
use futures_util::future::join_all;
use http::{Method, StatusCode};
use router::NodeIndex;
use serde_json::Value;
use store::{NodeTask, TaskChange, TaskError, TaskQuery, TaskRecord, TaskStatus};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{Core, pool::NodeRequest};
use crate::{
    api::{
        error::{ApiError, Code},
        query::Query,
        task,
    },
    auth::Permission,
    config::limits,
    h1::{Request, Response},
    runtime::Runtime,
};

/// `GET /tasks/{uid}`.
pub(super) async fn get<R: Runtime>(
    core: &Core<R>,
    permission: &Permission,
    uid: &str,
) -> Result<Response, ApiError> {
    let Ok(number) = uid.parse::<u32>() else {
        let message = format!("Task uid `{uid}` is invalid. It should only contain numeric characters.");
        return Err(ApiError::new(Code::InvalidTaskUids, message));
    };
    let found = core.shared.store.task(number).await?;
    let visible = |record: &TaskRecord| permission.allows_task(record.index_uid.as_deref());
    let Some(record) = found.filter(visible) else {
        return Err(ApiError::new(Code::TaskNotFound, format!("Task `{number}` not found.")));
    };
    let record = refresh(core, record).await;
    Ok(Response::json(StatusCode::OK, task::view(&record).to_string()))
}

/// `GET /tasks`.
pub(super) async fn list<R: Runtime>(
    core: &Core<R>,
    request: &Request,
    permission: &Permission,
) -> Result<Response, ApiError> {
    let query = task::parse_list(&Query::parse(request.uri.query()))?;
    let limit = query.limit;
    refresh_unfinished(core).await?;
    if permission.allows_all_indexes() {
        let page = core.shared.store.tasks(query).await?;
        return Ok(Response::json(StatusCode::OK, task::page(&page, limit).to_string()));
    }
    // As on one node, what may not be seen leaves holes in a page and is still counted in the total.
    let mut page = core.shared.store.tasks(TaskQuery { limit: limit.saturating_add(1), ..query }).await?;
    page.tasks.retain(|record| permission.allows_task(record.index_uid.as_deref()));
    let full = u32::try_from(page.tasks.len()).is_ok_and(|count| count > limit);
    page.next = if full { page.tasks.pop().map(|record| record.uid) } else { None };
    page.from = page.tasks.first().map(|record| record.uid);
    Ok(Response::json(StatusCode::OK, task::page(&page, limit).to_string()))
}

/// Answers a change with the summary of its task.
pub(super) fn accepted(record: &TaskRecord) -> Response {
    Response::json(StatusCode::ACCEPTED, task::summary(record).to_string())
}

/// Asks the nodes about one task and stores what changed.
pub(super) async fn refresh<R: Runtime>(core: &Core<R>, record: TaskRecord) -> TaskRecord {
    if record.status.is_finished() || !record.accepted {
        return record;
    }
    let waiting = record.node_tasks.iter().filter(|task| !task.status.is_finished());
    let asked = waiting.map(|task| async move {
        let node = core.shared.snapshot().topology.index_of(&task.node)?;
        let seen = ask_about(core, node, &format!("/tasks/{}", task.uid)).await?;
        Some(((task.node.clone(), task.uid), seen))
    });
    let seen = join_all(asked).await.into_iter().flatten().collect::<AHashMap<_, _>>();
    settle(core, record, &seen).await
}

/// Asks the nodes about every unfinished task, oldest first, and stores what changed.
pub async fn refresh_unfinished<R: Runtime>(core: &Core<R>) -> Result<(), ApiError> {
    let mut records = core.shared.store.unfinished_tasks().await?;
    records.retain(|record| record.accepted);
    records.truncate(limits::TASKS_REFRESHED_MAX);
    let mut by_node: AHashMap<&str, Vec<u32>> = AHashMap::new();
    for task in records.iter().flat_map(|record| &record.node_tasks) {
        if !task.status.is_finished() {
            by_node.entry(&task.node).or_default().push(task.uid);
        }
    }
    let asked = by_node.iter().map(|(node, uids)| ask_about_many(core, node, uids));
    let seen = join_all(asked).await.into_iter().flatten().collect::<AHashMap<_, _>>();
    join_all(records.into_iter().map(|record| settle(core, record, &seen))).await;
    Ok(())
}

/// What a node says of its tasks, by node id and the node's task uid.
type Seen = AHashMap<(String, u32), Value>;

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
    let mut times = Times { started: record.started_at, finished: None };
    for task in &mut record.node_tasks {
        if let Some(value) = seen.get(&(task.node.clone(), task.uid)) {
            absorb(task, value, &mut times);
        }
    }
    let status = overall_status(&record.node_tasks);
    if status == record.status {
        return record;
    }
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
        if status == TaskStatus::Succeeded && task::counted(record.kind).is_some() {
            let details =
                record.node_tasks.iter().filter_map(|task| task.details.as_ref()).collect::<Vec<_>>();
            change.details = task::sum_details(record.details.clone(), record.kind, &details, copies(core));
        }
    }
    match core.shared.store.update_task(record.uid, change).await {
        Ok(stored) => stored,
        // Somebody else settled it at the same time: theirs is as good.
        Err(_) => core.shared.store.task(record.uid).await.ok().flatten().unwrap_or(record),
    }
}

struct Times {
    started: Option<OffsetDateTime>,
    finished: Option<OffsetDateTime>,
}

fn absorb(task: &mut NodeTask, value: &Value, times: &mut Times) {
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
        error.message = merge::strip_message(&error.message).into_owned();
        error
    });
}

/// Failed if any failed, else canceled if any was canceled, else succeeded; only once all ended.
fn overall_status(node_tasks: &[NodeTask]) -> TaskStatus {
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
fn copies<R: Runtime>(core: &Core<R>) -> u64 {
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
