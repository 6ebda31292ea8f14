//! Tasks as clients see them, and the filters of the task list.
//!
//! Invariants: nothing of a node's own task numbering shows; counts that nodes report are summed
//! over one replica per shard. Source: Meilisearch's task and task list formats, 1.15 to 1.50.

use std::str::FromStr;

use serde_json::{Value, json};
use store::{TaskKind, TaskPage, TaskQuery, TaskRecord, TaskStatus};
use time::{
    Date, Duration, OffsetDateTime, format_description::well_known::Rfc3339, macros::format_description,
};

use super::{
    error::{ApiError, Code},
    query::{Query, invalid},
};

/// The answer to a change: `202` with this.
#[must_use]
pub fn summary(task: &TaskRecord) -> Value {
    let mut view = json!({
        "taskUid": task.uid,
        "indexUid": task.index_uid,
        "status": task.status.as_str(),
        "type": task.kind.as_str(),
        "enqueuedAt": date(task.enqueued_at),
    });
    if let Some(metadata) = &task.custom_metadata {
        view["customMetadata"] = json!(metadata);
    }
    view
}

/// A task as `GET /tasks/{uid}` gives it.
#[must_use]
pub fn view(task: &TaskRecord) -> Value {
    let duration = match (task.started_at, task.finished_at) {
        (Some(started), Some(finished)) => Some(duration(finished - started)),
        _ => None,
    };
    let mut view = json!({
        "uid": task.uid,
        "batchUid": task.started_at.map(|_| task.uid),
        "indexUid": task.index_uid,
        "status": task.status.as_str(),
        "type": task.kind.as_str(),
        "canceledBy": task.canceled_by,
    });
    let members = view.as_object_mut().expect("an object was just made");
    if let Some(details) = details(task) {
        members.insert("details".to_owned(), details);
    }
    members.insert("error".to_owned(), json!(task.error));
    members.insert("duration".to_owned(), json!(duration));
    members.insert("enqueuedAt".to_owned(), json!(date(task.enqueued_at)));
    members.insert("startedAt".to_owned(), json!(task.started_at.map(date)));
    members.insert("finishedAt".to_owned(), json!(task.finished_at.map(date)));
    if let Some(metadata) = &task.custom_metadata {
        members.insert("customMetadata".to_owned(), json!(metadata));
    }
    view
}

/// A page of the task list.
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

/// Details with the counts a finished task has; a failed one counts nothing.
fn details(task: &TaskRecord) -> Option<Value> {
    let mut details = task.details.clone()?;
    if let (Value::Object(members), Some(count)) = (&mut details, counted(task.kind)) {
        let pending = !task.status.is_finished();
        let entry = members.entry(count.to_owned()).or_insert(Value::Null);
        if entry.is_null() && !pending {
            *entry = json!(0);
        }
    }
    Some(details)
}

/// The member of a task's details that nodes count.
#[must_use]
pub fn counted(kind: TaskKind) -> Option<&'static str> {
    match kind {
        TaskKind::DocumentAdditionOrUpdate => Some("indexedDocuments"),
        TaskKind::DocumentDeletion | TaskKind::IndexDeletion => Some("deletedDocuments"),
        TaskKind::DocumentEdition => Some("editedDocuments"),
        TaskKind::SettingsUpdate
        | TaskKind::IndexCreation
        | TaskKind::IndexUpdate
        | TaskKind::IndexSwap
        | TaskKind::IndexCompaction
        | TaskKind::TaskCancelation
        | TaskKind::TaskDeletion
        | TaskKind::DumpCreation
        | TaskKind::SnapshotCreation
        | TaskKind::Export
        | TaskKind::UpgradeDatabase
        | TaskKind::NetworkTopologyChange => None,
    }
}

/// Sums what nodes counted; `copies` is how many nodes hold each document.
#[must_use]
pub fn sum_details(
    details: Option<Value>,
    kind: TaskKind,
    of_nodes: &[&Value],
    copies: u64,
) -> Option<Value> {
    let mut members = details.and_then(|details| details.as_object().cloned()).unwrap_or_default();
    let mut names = counted(kind).into_iter().collect::<Vec<_>>();
    if kind == TaskKind::DocumentEdition {
        names.push("deletedDocuments");
    }
    for name in names {
        let sum: u64 = of_nodes.iter().filter_map(|details| details[name].as_u64()).sum();
        members.insert(name.to_owned(), json!(sum / copies.max(1)));
    }
    Some(Value::Object(members))
}

/// RFC 3339 as Meilisearch writes dates.
#[must_use]
pub fn date(date: OffsetDateTime) -> String {
    date.format(&Rfc3339).unwrap_or_default()
}

/// ISO 8601, seconds with up to nine decimals.
fn duration(duration: Duration) -> String {
    let (seconds, nanoseconds) = (duration.whole_seconds().max(0), duration.subsec_nanoseconds().max(0));
    let (days, seconds) = (seconds / 86_400, seconds % 86_400);
    let days = if days > 0 { format!("{days}D") } else { String::new() };
    match nanoseconds {
        0 => format!("P{days}T{seconds}S"),
        _ => {
            let decimals = format!("{nanoseconds:09}");
            format!("P{days}T{seconds}.{}S", decimals.trim_end_matches('0'))
        }
    }
}

/// Reads the query string of `GET /tasks`.
///
/// # Errors
/// 400 with Meilisearch's code for the parameter.
pub fn parse_list(query: &Query<'_>) -> Result<TaskQuery, ApiError> {
    query.only(&[
        "limit",
        "from",
        "reverse",
        "batchUids",
        "uids",
        "canceledBy",
        "types",
        "statuses",
        "indexUids",
        "afterEnqueuedAt",
        "beforeEnqueuedAt",
        "afterStartedAt",
        "beforeStartedAt",
        "afterFinishedAt",
        "beforeFinishedAt",
    ])?;
    let number = |text: &str| {
        text.parse::<u32>().map_err(|_| format!("could not parse `{text}` as a positive integer"))
    };
    let index_uid = |text: &str| match is_index_uid(text) {
        true => Ok(text.to_owned()),
        false => Err(invalid_index_uid_reason(text)),
    };
    // A batch holds one task and has its uid.
    let batches = list(query, "batchUids", Code::InvalidTaskUids, number)?;
    let uids = list(query, "uids", Code::InvalidTaskUids, number)?;
    let uids = match (uids, batches) {
        (Some(uids), Some(batches)) => Some(uids.into_iter().filter(|uid| batches.contains(uid)).collect()),
        (uids, batches) => uids.or(batches),
    };
    let status = |text: &str| TaskStatus::from_str(text).map_err(|_| unknown_status(text));
    let kind = |text: &str| TaskKind::from_str(text).map_err(|_| unknown_kind(text));
    Ok(TaskQuery {
        uids,
        statuses: list(query, "statuses", Code::InvalidTaskStatuses, status)?,
        kinds: list(query, "types", Code::InvalidTaskTypes, kind)?,
        index_uids: list(query, "indexUids", Code::InvalidIndexUid, index_uid)?,
        canceled_by: list(query, "canceledBy", Code::InvalidTaskCanceledBy, number)?,
        before_enqueued_at: bound(query, "beforeEnqueuedAt", Code::InvalidTaskBeforeEnqueuedAt, false)?,
        after_enqueued_at: bound(query, "afterEnqueuedAt", Code::InvalidTaskAfterEnqueuedAt, true)?,
        before_started_at: bound(query, "beforeStartedAt", Code::InvalidTaskBeforeStartedAt, false)?,
        after_started_at: bound(query, "afterStartedAt", Code::InvalidTaskAfterStartedAt, true)?,
        before_finished_at: bound(query, "beforeFinishedAt", Code::InvalidTaskBeforeFinishedAt, false)?,
        after_finished_at: bound(query, "afterFinishedAt", Code::InvalidTaskAfterFinishedAt, true)?,
        from: query.integer("from", Code::InvalidTaskFrom)?,
        limit: query.integer("limit", Code::InvalidTaskLimit)?.unwrap_or(20),
        reverse: query.flag("reverse", Code::InvalidTaskReverse)?.unwrap_or(false),
    })
}

/// Whether a text is an index uid: `[A-Za-z0-9_-]`, 1 to 400 bytes.
#[must_use]
pub fn is_index_uid(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=400).contains(&text.len()) && text.bytes().all(allowed)
}

/// Why a text is no index uid, in Meilisearch's words (which give another bound than it has).
#[must_use]
pub fn invalid_index_uid_reason(text: &str) -> String {
    format!(
        "`{text}` is not a valid index uid. Index uid can be an integer or a string containing only alphanumeric characters, hyphens (-) and underscores (_), and can not be more than 512 bytes."
    )
}

fn unknown_status(text: &str) -> String {
    let known = TaskStatus::ALL.iter().map(|status| format!("`{}`", status.as_str())).collect::<Vec<_>>();
    format!("`{text}` is not a valid task status. Available statuses are {}.", known.join(", "))
}

fn unknown_kind(text: &str) -> String {
    let known = TaskKind::ALL.iter().map(|kind| format!("`{}`", kind.as_str())).collect::<Vec<_>>();
    format!("`{text}` is not a valid task type. Available types are {}.", known.join(", "))
}

/// A comma-separated list; `*` alone means no filter.
fn list<T>(
    query: &Query<'_>,
    name: &str,
    code: Code,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<Vec<T>>, ApiError> {
    match query.get(name) {
        None | Some("*") => Ok(None),
        Some(values) => {
            let parsed =
                values.split(',').map(|value| parse(value).map_err(|reason| invalid(name, code, reason)));
            parsed.collect::<Result<Vec<_>, _>>().map(Some)
        }
    }
}

/// A date bound. A plain day means its end for `after` and its start for `before`.
fn bound(query: &Query<'_>, name: &str, code: Code, after: bool) -> Result<Option<OffsetDateTime>, ApiError> {
    let Some(text) = query.get(name).filter(|text| *text != "*") else { return Ok(None) };
    if let Ok(date) = OffsetDateTime::parse(text, &Rfc3339) {
        return Ok(Some(date));
    }
    let day = Date::parse(text, format_description!("[year]-[month]-[day]")).ok();
    let day = if after { day.and_then(Date::next_day) } else { day };
    match day {
        Some(day) => Ok(Some(day.midnight().assume_utc())),
        None => Err(invalid(
            name,
            code,
            format!(
                "`{text}` is an invalid date-time. It should follow the YYYY-MM-DD or RFC 3339 date-time format."
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_iso_8601() {
        assert_eq!(duration(Duration::new(0, 40_000_000)), "PT0.04S");
        assert_eq!(duration(Duration::new(86_401, 0)), "P1DT1S");
        assert_eq!(duration(Duration::ZERO), "PT0S");
    }

    #[test]
    fn list_filters_are_read() {
        let parse = |text: &str| parse_list(&Query::parse(Some(text)));
        let query =
            parse("statuses=succeeded,failed&types=*&indexUids=a&limit=3&reverse=true&uids=1,2").unwrap();
        assert_eq!(query.statuses, Some(vec![TaskStatus::Succeeded, TaskStatus::Failed]));
        assert_eq!((query.kinds, query.limit, query.reverse), (None, 3, true));
        assert_eq!(query.uids, Some(vec![1, 2]));
        let code = |text: &str| parse(text).unwrap_err().code().unwrap();
        assert_eq!(code("statuses=done"), Code::InvalidTaskStatuses);
        assert_eq!(code("types=x"), Code::InvalidTaskTypes);
        assert_eq!(code("uids=a"), Code::InvalidTaskUids);
        assert_eq!(code("indexUids=a%20b"), Code::InvalidIndexUid);
        assert_eq!(code("afterEnqueuedAt=yesterday"), Code::InvalidTaskAfterEnqueuedAt);
        assert_eq!(code("nope=1"), Code::BadRequest);
        let day = parse("afterEnqueuedAt=2026-01-31").unwrap().after_enqueued_at.unwrap();
        assert_eq!(date(day), "2026-02-01T00:00:00Z");
    }

    #[test]
    fn counts_are_summed_over_one_replica_per_shard() {
        let (one, two) = (json!({"indexedDocuments": 4}), json!({"indexedDocuments": 6}));
        let details = sum_details(
            Some(json!({"receivedDocuments": 5})),
            TaskKind::DocumentAdditionOrUpdate,
            &[&one, &two],
            2,
        );
        assert_eq!(details, Some(json!({"receivedDocuments": 5, "indexedDocuments": 5})));
    }
}
