//! Routes about tasks and batches.
//! Invariant: a cancelation or deletion applies to the tasks that match when it is requested.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::call::{Call, Reply};
use crate::errors::ApiError;
use crate::tasks::{Task, TaskFilters, TaskPage, Work, duration_text, time_text};

pub(super) fn list(call: &Call) -> Result<Reply, ApiError> {
    let (filters, page) = TaskPage::read(&call.query)?;
    Reply::ok(&call.node.registry.list(&filters, &page))
}

pub(super) fn get(call: &Call) -> Result<Reply, ApiError> {
    let text = &call.path[0];
    let uid: u32 = text.parse().map_err(|_| {
        let text = format!("Task uid `{text}` is invalid. It should only contain numeric characters.");
        ApiError::new("invalid_task_uids", text)
    })?;
    let missing = || ApiError::new("task_not_found", format!("Task `{uid}` not found."));
    Reply::ok(&call.node.registry.task(uid).ok_or_else(missing)?.view())
}

pub(super) fn cancel(call: &Call) -> Result<Reply, ApiError> {
    let (query, uids) = matching(call, "cancel")?;
    Reply::json(200, &call.node.enqueue(None, Work::TaskCancelation { query, uids })?.summary())
}

pub(super) fn delete(call: &Call) -> Result<Reply, ApiError> {
    let (query, uids) = matching(call, "delete")?;
    Reply::json(200, &call.node.enqueue(None, Work::TaskDeletion { query, uids })?.summary())
}

fn matching(call: &Call, verb: &str) -> Result<(String, Vec<u32>), ApiError> {
    let Some(filters) = TaskFilters::read(&call.query)? else {
        return Err(ApiError::new(
            "missing_task_filters",
            format!(
                "Query parameters to filter the tasks to {verb} are missing. Available query parameters are: \
                 `uids`, `indexUids`, `statuses`, `types`, `canceledBy`, `beforeEnqueuedAt`, \
                 `afterEnqueuedAt`, `beforeStartedAt`, `afterStartedAt`, `beforeFinishedAt`, \
                 `afterFinishedAt`."
            ),
        ));
    };
    let uids = call.node.registry.matching(&filters).iter().map(|task| task.uid).collect();
    Ok((format!("?{}", call.query), uids))
}

pub(super) fn batches(call: &Call) -> Result<Reply, ApiError> {
    let (filters, page) = TaskPage::read(&call.query)?;
    let all = by_batch(call, &filters);
    let total = all.len();
    let in_page =
        |uid: &u32| page.from.is_none_or(|from| if page.reverse { *uid >= from } else { *uid <= from });
    let mut uids: Vec<u32> = all.keys().copied().filter(in_page).collect();
    if !page.reverse {
        uids.reverse();
    }
    let next = uids.get(page.limit).copied();
    uids.truncate(page.limit);
    Reply::ok(&json!({
        "results": uids.iter().map(|uid| batch_view(*uid, &all[uid])).collect::<Vec<_>>(),
        "total": total,
        "limit": page.limit,
        "from": uids.first(),
        "next": next,
    }))
}

pub(super) fn batch(call: &Call) -> Result<Reply, ApiError> {
    let text = &call.path[0];
    let uid: u32 = text.parse().map_err(|_| {
        let text = format!("Batch uid `{text}` is invalid. It should only contain numeric characters.");
        ApiError::new("invalid_batch_uids", text)
    })?;
    let all = by_batch(call, &TaskFilters::default());
    let missing = || ApiError::new("batch_not_found", format!("Batch `{uid}` not found."));
    Reply::ok(&batch_view(uid, all.get(&uid).ok_or_else(missing)?))
}

/// Batches with a matching task, each with all of its tasks.
fn by_batch(call: &Call, filters: &TaskFilters) -> BTreeMap<u32, Vec<Arc<Task>>> {
    let mut batches: BTreeMap<u32, Vec<Arc<Task>>> = BTreeMap::new();
    for task in call.node.registry.matching(&TaskFilters::default()) {
        if let Some(uid) = task.batch_uid {
            batches.entry(uid).or_default().push(task);
        }
    }
    batches.retain(|_, tasks| tasks.iter().any(|task| filters.matches(task)));
    batches
}

fn batch_view(uid: u32, tasks: &[Arc<Task>]) -> Value {
    let mut counts = [Map::new(), Map::new(), Map::new()];
    let mut details = Map::new();
    for task in tasks {
        let index = task.index_uid.as_deref();
        for (counts, name) in counts.iter_mut().zip([Some(task.status.name()), Some(task.work.kind()), index])
        {
            let Some(name) = name else { continue };
            let count = counts.get(name).and_then(Value::as_u64).unwrap_or(0);
            counts.insert(name.to_owned(), (count + 1).into());
        }
        add_details(&mut details, &task.details);
    }
    let [status, types, index_uids] = counts;
    let started = tasks.iter().filter_map(|task| task.started_at).min();
    let finished = tasks.iter().filter_map(|task| task.finished_at).max();
    json!({
        "uid": uid,
        "progress": null,
        "details": details,
        "stats": {
            "totalNbTasks": tasks.len(),
            "status": status,
            "types": types,
            "indexUids": index_uids,
        },
        "duration": started.zip(finished).map(|(start, end)| duration_text(end - start)),
        "startedAt": started.map(time_text),
        "finishedAt": finished.map(time_text),
        "batchStrategy": "unspecified",
    })
}

/// Adds counts up; keeps the first value of other details.
fn add_details(sum: &mut Map<String, Value>, details: &Value) {
    for (name, value) in details.as_object().into_iter().flatten() {
        match (sum.get(name).and_then(Value::as_u64), value.as_u64()) {
            (Some(left), Some(right)) => {
                sum.insert(name.clone(), (left + right).into());
            }
            (None, Some(_)) => {
                sum.insert(name.clone(), value.clone());
            }
            (_, None) => {
                sum.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
    }
}
