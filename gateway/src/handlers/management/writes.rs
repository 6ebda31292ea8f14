//! Writes as an operator sees them: every node's part of a task, what has not ended for long, and its end by hand.
//!
//! Invariant: a write that is ended by hand leaves its copies marked for comparison, so that what nodes still do of it
//! becomes equal on all of them.

use http::StatusCode;
use serde_json::{Value, json};
use store::{TaskQuery, TaskRecord, TaskStatus};

use crate::{
    api::{
        error::{ApiError, Code},
        http::{json_body, query_string::Query},
        tasks::view,
    },
    clock,
    config::limits,
    handlers::extract,
    state::core::Core,
    wire::h1::{Request, Response},
    write::tasks::{fail, status},
};

/// `GET /_miroir/tasks/{uid}`: the task, and every node's part of it.
pub(crate) async fn task(core: &Core, uid: &str) -> Result<Response, ApiError> {
    let not_found = || ApiError::new(Code::TaskNotFound, format!("Task `{uid}` not found."));
    let number = uid.parse::<u32>().map_err(|_| {
        let message = format!("Task uid `{uid}` is invalid. It should only contain numeric characters.");
        ApiError::new(Code::InvalidTaskUids, message)
    })?;
    let record = core.shared.store.task(number).await?.ok_or_else(not_found)?;
    let record = status::refresh(core, record).await;
    Ok(Response::json(StatusCode::OK, shown(core, &record).to_string()))
}

/// `GET /_miroir/writes`: tasks that have not ended, oldest first; with `stuck=true` those that should have.
pub(crate) async fn list(core: &Core, request: &Request) -> Result<Response, ApiError> {
    let query = Query::parse(request.uri.query());
    query.only(&["stuck", "index", "documentId"])?;
    let only_stuck = query.flag("stuck", Code::BadRequest)?.unwrap_or(false);
    let chosen = Chosen { index: query.get("index"), document: query.get("documentId") };
    status::refresh_unfinished(core).await?;
    let mut unfinished = core.shared.store.unfinished_tasks(limits::WRITES_LISTED_MAX).await?;
    unfinished.retain(|task| chosen.holds(core, task) && (!only_stuck || is_stuck(task)));
    let views = unfinished.iter().map(|task| shown(core, task)).collect::<Vec<_>>();
    let answer = json!({
        "stuckAfterSeconds": limits::WRITE_STUCK_AFTER.as_secs(),
        "results": views,
    });
    Ok(Response::json(StatusCode::OK, answer.to_string()))
}

/// `POST /_miroir/writes/fail`: ends a write that does not end by itself.
pub(crate) async fn fail(core: &Core, request: &Request) -> Result<Response, ApiError> {
    let known = ["taskUid", "documentId", "index", "reason"];
    let body = json_body::object(json_body::json(&extract::json_body(core, request)?)?, &known)?;
    let reason =
        text(&body, "reason")?.ok_or_else(|| bad("Missing field `reason`: why the write is ended."))?;
    if reason.is_empty() || reason.len() > limits::WRITE_REASON_BYTES_MAX {
        let most = limits::WRITE_REASON_BYTES_MAX;
        return Err(bad(&format!("Invalid value at `.reason`: expected 1 to {most} bytes of text.")));
    }
    let (document, index) = (text(&body, "documentId")?, text(&body, "index")?);
    let uid = match (&body["taskUid"], document) {
        (Value::Null, Some(document)) => of_document(core, document, index).await?,
        (uid @ Value::Number(_), None) => {
            let uid = uid.as_u64().and_then(|uid| u32::try_from(uid).ok());
            uid.ok_or_else(|| bad("Invalid value at `.taskUid`: expected the uid of a task."))?
        }
        _ => return Err(bad("Give either `taskUid`, or `documentId` with `index`.")),
    };
    let record = core.shared.store.task(uid).await?;
    let record =
        record.ok_or_else(|| ApiError::new(Code::TaskNotFound, format!("Task `{uid}` not found.")))?;
    let record = status::refresh(core, record).await;
    if record.status.is_finished() {
        let message = format!("Task `{uid}` has ended as {}: it cannot be failed.", record.status.as_str());
        return Err(ApiError::new(Code::MiroirWriteNotPending, message));
    }
    let ended = Box::pin(fail::by_hand(core, record, reason)).await?;
    Ok(Response::json(StatusCode::OK, shown(core, &ended).to_string()))
}

/// The one unfinished write of an index that concerns a document.
async fn of_document(core: &Core, document: &str, index: Option<&str>) -> Result<u32, ApiError> {
    let index = index.ok_or_else(|| bad("Missing field `index`: the index of the document."))?;
    let chosen = Chosen { index: Some(index), document: Some(document) };
    crate::state::snapshot::find_index(&core.shared.snapshot(), index)?;
    status::refresh_unfinished(core).await?;
    let mut unfinished = core.shared.store.unfinished_tasks(limits::WRITES_LISTED_MAX).await?;
    unfinished.retain(|task| chosen.holds(core, task));
    match unfinished.as_slice() {
        [one] => Ok(one.uid),
        [] => {
            let message = format!("No write of `{index}` that concerns document `{document}` is under way.");
            Err(ApiError::new(Code::MiroirWriteNotPending, message))
        }
        several => {
            let uids = several.iter().map(|task| task.uid.to_string()).collect::<Vec<_>>().join(", ");
            let message =
                format!("Several writes may concern document `{document}`: give one of `taskUid` {uids}.");
            Err(ApiError::new(Code::BadRequest, message))
        }
    }
}

/// Which writes are asked for.
struct Chosen<'a> {
    index: Option<&'a str>,
    document: Option<&'a str>,
}

impl Chosen<'_> {
    /// Whether a task is of the index, and sent to owners of the document's shard.
    fn holds(&self, core: &Core, task: &TaskRecord) -> bool {
        let of_index = self.index.is_none_or(|index| {
            let snapshot = core.shared.snapshot();
            snapshot.targets(index).iter().any(|target| task.index_uid.as_deref() == Some(*target))
        });
        let of_document = self.document.is_none_or(|document| {
            let snapshot = core.shared.snapshot();
            let index = task.index_uid.as_ref().and_then(|uid| snapshot.indexes.get(uid));
            index.is_some_and(|index| {
                let shard = router::shard_of(document, index.record.shards);
                task.owners.is_empty() || task.owners.iter().any(|owner| owner.shards.contains(&shard))
            })
        });
        of_index && of_document
    }
}

/// Whether a task has not ended although it should have.
pub(crate) fn is_stuck(task: &TaskRecord) -> bool {
    !task.status.is_finished() && (clock::utc() - task.enqueued_at) > limits::WRITE_STUCK_AFTER
}

/// The oldest unfinished tasks, for a diagnosis.
///
/// # Errors
/// The store's error.
pub(crate) async fn stuck(core: &Core) -> Result<Vec<TaskRecord>, ApiError> {
    let mut unfinished = core.shared.store.unfinished_tasks(limits::WRITES_LISTED_MAX).await?;
    unfinished.retain(is_stuck);
    Ok(unfinished)
}

/// How many tasks have not ended.
///
/// # Errors
/// The store's error.
pub(crate) async fn pending(core: &Core) -> Result<u64, ApiError> {
    let statuses = Some(vec![TaskStatus::Enqueued, TaskStatus::Processing]);
    let query = TaskQuery { statuses, limit: 0, ..TaskQuery::default() };
    Ok(core.shared.store.tasks(query).await?.total)
}

/// A task as clients see it, with every node's part.
pub(crate) fn shown(core: &Core, task: &TaskRecord) -> Value {
    let topology = &core.shared.snapshot().topology;
    let nodes = &core.shared.nodes;
    let part = |id: &str| {
        let done = task.node_tasks.iter().find(|task| task.node == id);
        let shards = task.owners.iter().find(|owner| owner.node == id).map(|owner| &owner.shards);
        let node = topology.index_of(id);
        json!({
            "node": id,
            "nodeState": node.map(|node| nodes.health.state(node).as_str()),
            "taskUid": done.map(|task| task.uid),
            "status": done.map_or("missed", |task| task.status.as_str()),
            "documents": done.map(|task| task.documents),
            "shards": shards,
            "hintsWaiting": node.map(|node| nodes.hints.pending(node)),
            "error": done.and_then(|task| task.error.as_ref()),
        })
    };
    let mut ids = task.node_tasks.iter().map(|part| part.node.as_str()).collect::<Vec<_>>();
    ids.extend(task.owners.iter().map(|owner| owner.node.as_str()));
    ids.sort_unstable();
    ids.dedup();
    let mut value = view::view(task);
    value["accepted"] = json!(task.accepted);
    value["pod"] = json!(task.pod);
    value["ageSeconds"] = json!((clock::utc() - task.enqueued_at).whole_seconds().max(0));
    value["nodes"] = ids.into_iter().map(part).collect();
    value
}

fn text<'a>(body: &'a Value, name: &str) -> Result<Option<&'a str>, ApiError> {
    match &body[name] {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            Err(bad(&format!("Invalid value at `.{name}`: expected a string, but found `{other}`.")))
        }
    }
}

fn bad(message: &str) -> ApiError {
    ApiError::new(Code::BadRequest, message.to_owned())
}
