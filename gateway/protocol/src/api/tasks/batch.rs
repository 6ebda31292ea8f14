//! Batches as clients see them.
//!
//! Invariant: each node batches in its own way, so the gateway's batches are its tasks: one batch, with the task's
//! uid, for each task that has started. Source of the form: Meilisearch's batch view.

use serde_json::{Map, Value, json};
use store::{TaskPage, TaskRecord};

use crate::api::tasks::view::{self, date};

/// The batch of a task that has started.
#[must_use]
pub fn view(task: &TaskRecord) -> Value {
    let finished = task.started_at.zip(task.finished_at);
    let once = |name: &str| Value::Object(Map::from_iter([(name.to_owned(), json!(1))]));
    json!({
        "uid": task.uid,
        "progress": null,
        "details": view::details(task).unwrap_or_else(|| json!({})),
        "stats": {
            "totalNbTasks": 1,
            "status": once(task.status.as_str()),
            "types": once(task.kind.as_str()),
            "indexUids": task.index_name().map_or_else(|| json!({}), once),
            "progressTrace": trace(task),
        },
        "duration": finished.map(|(started, finished)| view::duration(finished - started)),
        "startedAt": task.started_at.map(date),
        "finishedAt": task.finished_at.map(date),
        "batchStrategy": format!(
            "created batch containing only task with id {} of type `{}` that cannot be batched with any other task.",
            task.uid,
            task.kind.as_str()
        ),
    })
}

/// The time of a batch's only step; empty until the batch has ended.
fn trace(task: &TaskRecord) -> Value {
    match task.started_at.zip(task.finished_at) {
        Some((started, finished)) => {
            json!({"processing tasks": format!("{:.2?}", (finished - started).unsigned_abs())})
        }
        None => json!({}),
    }
}

/// A page of the batch list.
#[must_use]
pub fn page(page: &TaskPage, limit: u32) -> Value {
    json!({
        "results": page.tasks.iter().map(view).collect::<Vec<_>>(),
        "total": page.total,
        "limit": limit,
        "from": page.from,
        "next": page.next,
    })
}
