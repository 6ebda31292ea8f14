//! Routes about tasks and batches.
//!
//! Invariants: no node is asked about a task that has ended. Intents are never shown. A cancelation or deletion is
//! about the tasks that matched when it was requested.

use http::StatusCode;
use serde_json::json;
use store::{NewTask, TaskChange, TaskKind, TaskPage, TaskQuery, TaskRecord, TaskStatus};

use crate::{
    api::{
        error::{ApiError, Code},
        http::query_string::Query,
        node_version::NodeVersion,
        tasks::{
            batch,
            filters::{only_started, parse_list, parse_selection},
            view,
        },
    },
    auth::Permission,
    clock,
    config::limits,
    state::{change::Accepted, core::Core},
    wire::h1::{Request, Response},
    write::{
        idempotency,
        tasks::{cancel, status},
    },
};

/// Nodes of 1.15 refuse empty members of lists, those of 1.50 skip them; the first version that does is not known.
const EMPTY_LISTS_SINCE: NodeVersion = NodeVersion(1, 16);

/// `GET /tasks/{uid}`.
pub(crate) async fn get(core: &Core, permission: &Permission, uid: &str) -> Result<Response, ApiError> {
    let record = status::refresh(core, find(core, permission, uid).await?).await;
    Ok(Response::json(StatusCode::OK, view::view(&record).to_string()))
}

/// `GET /tasks`.
pub(crate) async fn list(
    core: &Core,
    request: &Request,
    permission: &Permission,
) -> Result<Response, ApiError> {
    let mut query = parse_list(&Query::parse(request.uri.query()), empty_lists(core))?;
    resolve(core, &mut query);
    let limit = query.limit;
    status::refresh_unfinished(core).await?;
    let page = page(core, permission, query).await?;
    Ok(Response::json(StatusCode::OK, view::page(&page, limit).to_string()))
}

/// Replaces aliases in a query by their targets, since tasks are stored by the index that they are about.
fn resolve(core: &Core, query: &mut TaskQuery) {
    let snapshot = core.shared.snapshot();
    if let Some(names) = query.index_uids.as_mut().filter(|_| !snapshot.aliases.is_empty()) {
        *names = names.iter().flat_map(|name| snapshot.targets(name)).map(str::to_owned).collect();
        names.sort_unstable();
        names.dedup();
    }
}

/// Whether nodes skip the empty members of lists; assumed while no version is known.
fn empty_lists(core: &Core) -> bool {
    core.shared.nodes.health.lowest_version().is_none_or(|version| version >= EMPTY_LISTS_SINCE)
}

/// One page of the tasks that the client may see.
async fn page(core: &Core, permission: &Permission, query: TaskQuery) -> Result<TaskPage, ApiError> {
    if permission.allows_all_indexes() {
        return Ok(core.shared.store.tasks(query).await?);
    }
    // As on one node, hidden tasks leave holes in a page and still count in the total.
    let limit = query.limit;
    let mut page = core.shared.store.tasks(TaskQuery { limit: limit.saturating_add(1), ..query }).await?;
    page.tasks.retain(|record| permission.allows_task(record.index_name()));
    let full = u32::try_from(page.tasks.len()).is_ok_and(|count| count > limit);
    page.next = if full { page.tasks.pop().map(|record| record.uid) } else { None };
    page.from = page.tasks.first().map(|record| record.uid);
    Ok(page)
}

/// `GET /batches`.
pub(crate) async fn batches(
    core: &Core,
    request: &Request,
    permission: &Permission,
) -> Result<Response, ApiError> {
    let mut query = parse_list(&Query::parse(request.uri.query()), empty_lists(core))?;
    let limit = query.limit;
    resolve(core, &mut query);
    only_started(&mut query);
    status::refresh_unfinished(core).await?;
    let page = page(core, permission, query).await?;
    Ok(Response::json(StatusCode::OK, batch::page(&page, limit).to_string()))
}

/// `GET /batches/{uid}`.
pub(crate) async fn batch(core: &Core, permission: &Permission, uid: &str) -> Result<Response, ApiError> {
    let Ok(number) = uid.parse::<u32>() else {
        let message = format!("Batch uid `{uid}` is invalid. It should only contain numeric characters.");
        return Err(ApiError::new(Code::InvalidBatchUids, message));
    };
    if let Some(record) = visible_task(core, permission, number).await? {
        let record = status::refresh(core, record).await;
        if record.started_at.is_some() {
            return Ok(Response::json(StatusCode::OK, batch::view(&record).to_string()));
        }
    }
    Err(ApiError::new(Code::BatchNotFound, format!("Batch `{number}` not found.")))
}

/// `GET /tasks/{uid}/documents`: the answer of a node that has this experimental route switched off. The gateway
/// keeps no payloads, and the nodes' payloads are parts that carry the gateway's stamps. An unknown task is not
/// found, whatever holds for the others.
pub(crate) async fn documents(core: &Core, permission: &Permission, uid: &str) -> ApiError {
    const REASON: &str = "each node keeps a part of them, with stamps of the gateway's in it";
    let action = "Getting the documents of an enqueued task";
    match crate::read::node_features::is_on(core, "getTaskDocumentsRoute").await {
        true => match find(core, permission, uid).await {
            Ok(_) => {
                ApiError::new(Code::FeatureNotEnabled, format!("{action} is not served here: {REASON}."))
            }
            Err(error) => error,
        },
        false => disabled(action, "get task documents route", 808),
    }
}

/// `POST /tasks/compact`: the same. A node has to be restarted after it, which no client may demand of all nodes at
/// once, and the gateway's own registry needs no compaction.
pub(crate) async fn compact(core: &Core) -> ApiError {
    const REASON: &str = "the gateway's own list of tasks needs no compaction";
    let action = "Using the /tasks/compact route";
    match crate::read::node_features::is_on(core, "taskQueueCompactionRoute").await {
        true => ApiError::new(Code::FeatureNotEnabled, format!("{action} is not served here: {REASON}.")),
        false => disabled(action, "task queue compaction route", 883),
    }
}

fn disabled(action: &str, feature: &str, discussion: u32) -> ApiError {
    let message = format!(
        "{action} requires enabling the `{feature}` experimental feature. See https://github.com/orgs/meilisearch/discussions/{discussion}"
    );
    ApiError::new(Code::FeatureNotEnabled, message)
}

/// `POST /tasks/cancel`.
pub(crate) async fn cancel(
    core: &Core,
    request: &Request,
    permission: &Permission,
) -> Result<Response, ApiError> {
    let (intent, matched) = select(core, request, permission, TaskKind::TaskCancelation, "cancel").await?;
    let record = cancel::cancel(core, intent, &matched).await?;
    Ok(Response::json(StatusCode::OK, view::summary(&record).to_string()))
}

/// `DELETE /tasks`. It is done when the client is answered; if the process dies before, nothing was requested.
pub(crate) async fn delete(
    core: &Core,
    request: &Request,
    permission: &Permission,
) -> Result<Response, ApiError> {
    let (intent, matched) = select(core, request, permission, TaskKind::TaskDeletion, "delete").await?;
    let started = clock::utc();
    // As on a node, the deletion comes after the tasks that were requested before it.
    status::wait_for(core, &matched).await?;
    let mut deleted = 0;
    for chunk in matched.chunks(limits::TASKS_CHANGED_AT_ONCE) {
        deleted += core.shared.store.delete_tasks(chunk.to_vec()).await?.len();
    }
    let change = TaskChange {
        accepted: Some(true),
        status: Some(TaskStatus::Succeeded),
        details: Some(view::with_member(intent.details.as_ref(), "deletedTasks", deleted)),
        started_at: Some(started),
        finished_at: Some(clock::utc()),
        ..TaskChange::default()
    };
    let record = core.shared.store.update_task(intent.uid, change).await?;
    Ok(Response::json(StatusCode::OK, view::summary(&record).to_string()))
}

/// The intent of a cancelation or deletion, and the uids of the tasks that it is about.
async fn select(
    core: &Core,
    request: &Request,
    permission: &Permission,
    kind: TaskKind,
    verb: &str,
) -> Result<(TaskRecord, Vec<u32>), ApiError> {
    let text = request.uri.query().unwrap_or_default();
    let query = parse_selection(&Query::parse(Some(text)), verb, empty_lists(core))?;
    status::refresh_unfinished(core).await?;
    let mut query = query;
    resolve(core, &mut query);
    let mut matched = core.shared.store.task_uids(query).await?;
    if !permission.allows_all_indexes() {
        let mut visible = Vec::new();
        for uid in matched {
            visible.extend(visible_task(core, permission, uid).await?.map(|record| record.uid));
        }
        matched = visible;
    }
    let count = view::counted(kind).unwrap_or_default();
    let details = json!({"matchedTasks": matched.len(), count: null, "originalFilter": format!("?{text}")});
    let new = NewTask {
        index_uid: None,
        named: None,
        kind,
        accepted: false,
        details: Some(details),
        custom_metadata: None,
        enqueued_at: clock::utc(),
        owners: Vec::new(),
        idempotency_key: idempotency::key_of(request),
    };
    Ok((core.shared.store.create_task(new).await?, matched))
}

/// The response to an accepted change: the summary of its task, and which copies missed it.
pub(crate) fn accepted(accepted: Accepted) -> Response {
    let response = Response::json(StatusCode::ACCEPTED, view::summary(&accepted.record).to_string());
    match accepted.degraded {
        Some(missed) => response.with_header("x-miroir-degraded", missed),
        None => response,
    }
}

async fn find(core: &Core, permission: &Permission, uid: &str) -> Result<TaskRecord, ApiError> {
    let Ok(number) = uid.parse::<u32>() else {
        let message = format!("Task uid `{uid}` is invalid. It should only contain numeric characters.");
        return Err(ApiError::new(Code::InvalidTaskUids, message));
    };
    let found = visible_task(core, permission, number).await?;
    found.ok_or_else(|| ApiError::new(Code::TaskNotFound, format!("Task `{number}` not found.")))
}

/// A task that is more than an intent, and that the client may see.
async fn visible_task(
    core: &Core,
    permission: &Permission,
    uid: u32,
) -> Result<Option<TaskRecord>, ApiError> {
    let visible = |record: &TaskRecord| record.accepted && permission.allows_task(record.index_name());
    Ok(core.shared.store.task(uid).await?.filter(visible))
}
