//! The filters of task and batch lists, cancelations and deletions.
//!
//! Source of names, order and messages: Meilisearch's task routes, 1.15 to 1.50.

use std::str::FromStr;

use store::{TaskKind, TaskQuery, TaskStatus};
use time::{Date, OffsetDateTime, format_description::well_known::Rfc3339, macros::format_description};

use crate::api::{
    error::{ApiError, Code},
    http::query_string::{Query, invalid, members},
    tasks::view::{invalid_index_uid_reason, is_index_uid},
};

const PAGE: [&str; 3] = ["limit", "from", "reverse"];
const FILTERS: [&str; 12] = [
    "uids",
    "batchUids",
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
];

/// Reads the query string of `GET /tasks` and `GET /batches`; `empty_lists` tells whether nodes skip the empty members
/// of a list, as newer ones do.
///
/// # Errors
/// 400 with Meilisearch's code for the parameter.
pub fn parse_list(query: &Query<'_>, empty_lists: bool) -> Result<TaskQuery, ApiError> {
    // Lists name batches before tasks; cancelations and deletions do it the other way round.
    let mut known = [&PAGE[..], &FILTERS].concat();
    known.swap(PAGE.len(), PAGE.len() + 1);
    query.only(&known)?;
    Ok(TaskQuery {
        limit: query.integer("limit", Code::InvalidTaskLimit)?.unwrap_or(20),
        from: query.integer("from", Code::InvalidTaskFrom)?,
        reverse: query.flag("reverse", Code::InvalidTaskReverse)?.unwrap_or(false),
        ..filters(query, empty_lists)?
    })
}

/// Reads the query string of `POST /tasks/cancel` and `DELETE /tasks`; `verb` tells which of them.
///
/// # Errors
/// 400 with Meilisearch's code for the parameter; `missing_task_filters` without filters.
pub fn parse_selection(query: &Query<'_>, verb: &str, empty_lists: bool) -> Result<TaskQuery, ApiError> {
    query.only(&FILTERS)?;
    if query.iter().next().is_none() {
        let available = [
            "uids",
            "indexUids",
            "statuses",
            "types",
            "canceledBy",
            "beforeEnqueuedAt",
            "afterEnqueuedAt",
            "beforeStartedAt",
            "afterStartedAt",
            "beforeFinishedAt",
            "afterFinishedAt",
        ];
        let available = available.map(|name| format!("`{name}`")).join(", ");
        let message = format!(
            "Query parameters to filter the tasks to {verb} are missing. Available query parameters are: {available}."
        );
        return Err(ApiError::new(Code::MissingTaskFilters, message));
    }
    filters(query, empty_lists)
}

/// A batch holds one task and has its uid; it exists once the task has started.
pub fn only_started(query: &mut TaskQuery) {
    query.after_started_at.get_or_insert(OffsetDateTime::UNIX_EPOCH);
}

fn filters(query: &Query<'_>, empty_lists: bool) -> Result<TaskQuery, ApiError> {
    let number = |text: &str| {
        text.parse::<u32>().map_err(|_| format!("could not parse `{text}` as a positive integer"))
    };
    let index_uid = |text: &str| match is_index_uid(text) {
        true => Ok(text.to_owned()),
        false => Err(invalid_index_uid_reason(text)),
    };
    let status = |text: &str| {
        TaskStatus::from_str(text).map_err(|_| {
            let known = quoted(TaskStatus::ALL.map(TaskStatus::as_str));
            format!("`{text}` is not a valid task status. Available statuses are {known}.")
        })
    };
    let kind = |text: &str| {
        TaskKind::from_str(text).map_err(|_| {
            let known = quoted(TaskKind::ALL.map(TaskKind::as_str));
            format!("`{text}` is not a valid task type. Available types are {known}.")
        })
    };
    let batches = list(query, empty_lists, "batchUids", Code::InvalidBatchUids, number)?;
    let mut read = TaskQuery {
        uids: list(query, empty_lists, "uids", Code::InvalidTaskUids, number)?,
        canceled_by: list(query, empty_lists, "canceledBy", Code::InvalidTaskCanceledBy, number)?,
        kinds: list(query, empty_lists, "types", Code::InvalidTaskTypes, kind)?,
        statuses: list(query, empty_lists, "statuses", Code::InvalidTaskStatuses, status)?,
        index_uids: list(query, empty_lists, "indexUids", Code::InvalidIndexUid, index_uid)?,
        after_enqueued_at: bound(query, "afterEnqueuedAt", Code::InvalidTaskAfterEnqueuedAt, true)?,
        before_enqueued_at: bound(query, "beforeEnqueuedAt", Code::InvalidTaskBeforeEnqueuedAt, false)?,
        after_started_at: bound(query, "afterStartedAt", Code::InvalidTaskAfterStartedAt, true)?,
        before_started_at: bound(query, "beforeStartedAt", Code::InvalidTaskBeforeStartedAt, false)?,
        after_finished_at: bound(query, "afterFinishedAt", Code::InvalidTaskAfterFinishedAt, true)?,
        before_finished_at: bound(query, "beforeFinishedAt", Code::InvalidTaskBeforeFinishedAt, false)?,
        ..TaskQuery::default()
    };
    if let Some(batches) = batches {
        only_started(&mut read);
        read.uids = Some(match read.uids {
            Some(uids) => uids.into_iter().filter(|uid| batches.contains(uid)).collect(),
            None => batches,
        });
    }
    Ok(read)
}

fn quoted<const COUNT: usize>(names: [&str; COUNT]) -> String {
    names.map(|name| format!("`{name}`")).join(", ")
}

/// Reads a comma-separated list; with a `*` among its values it filters nothing.
fn list<T>(
    query: &Query<'_>,
    empty_lists: bool,
    name: &str,
    code: Code,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<Vec<T>>, ApiError> {
    let Some(text) = query.get(name) else { return Ok(None) };
    let values = match empty_lists {
        true => members(text).collect::<Vec<_>>(),
        false => text.split(',').collect(),
    };
    if values.contains(&"*") {
        return Ok(None);
    }
    let place = |position: usize| match values.len() {
        1 => name.to_owned(),
        _ => format!("{name}[{position}]"),
    };
    let parsed = values
        .iter()
        .enumerate()
        .map(|(position, value)| parse(value).map_err(|reason| invalid(&place(position), code, reason)));
    parsed.collect::<Result<Vec<_>, _>>().map(Some)
}

/// Reads a date bound. A plain day stands for its end in `after` and for its start in `before`.
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
    use crate::api::tasks::view::date;

    #[test]
    fn list_filters_are_read() {
        let parse = |text: &str| parse_list(&Query::parse(Some(text)), false);
        let query =
            parse("statuses=succeeded,failed&types=*&indexUids=a&limit=3&reverse=true&uids=1,2").unwrap();
        assert_eq!(query.statuses, Some(vec![TaskStatus::Succeeded, TaskStatus::Failed]));
        assert_eq!((query.kinds, query.limit, query.reverse), (None, 3, true));
        assert_eq!((query.uids, query.after_started_at), (Some(vec![1, 2]), None));
        assert_eq!(parse("statuses=succeeded,*").unwrap().statuses, None);
        let nothing = parse_list(&Query::parse(Some("uids=&types=")), true).unwrap();
        assert_eq!(
            (nothing.uids, nothing.kinds, nothing.statuses),
            (Some(Vec::new()), Some(Vec::new()), None)
        );
        let batches = parse("batchUids=2,3&uids=1,2").unwrap();
        assert_eq!(batches.uids, Some(vec![2]));
        assert_eq!(batches.after_started_at, Some(OffsetDateTime::UNIX_EPOCH));
        let day = parse("afterEnqueuedAt=2026-01-31").unwrap().after_enqueued_at.unwrap();
        assert_eq!(date(day), "2026-02-01T00:00:00Z");
    }

    #[test]
    fn wrong_filters_are_refused_with_their_place() {
        let list = |text: &str| parse_list(&Query::parse(Some(text)), false);
        let selection = |text: &str| parse_selection(&Query::parse(Some(text)), "cancel", false);
        for (text, code) in [
            ("statuses=done", Code::InvalidTaskStatuses),
            ("types=x", Code::InvalidTaskTypes),
            ("uids=a", Code::InvalidTaskUids),
            ("batchUids=-1", Code::InvalidBatchUids),
            ("canceledBy=", Code::InvalidTaskCanceledBy),
            ("indexUids=a%20b", Code::InvalidIndexUid),
            ("afterEnqueuedAt=yesterday", Code::InvalidTaskAfterEnqueuedAt),
            ("nope=1", Code::BadRequest),
        ] {
            assert_eq!(list(text).unwrap_err().code(), Some(code), "{text}");
            assert_eq!(selection(text).unwrap_err().code(), Some(code), "{text}");
        }
        assert_eq!(selection("").unwrap_err().code(), Some(Code::MissingTaskFilters));
        assert_eq!(selection("limit=1").unwrap_err().code(), Some(Code::BadRequest));
        assert!(selection("statuses=*").unwrap().statuses.is_none());
        let message = String::from_utf8(list("uids=1,b").unwrap_err().into_answer().body.unwrap()).unwrap();
        assert!(message.contains("parameter `uids[1]`: could not parse `b`"), "{message}");
    }

    #[test]
    fn empty_members_do_not_count() {
        let list = |text: &str| parse_list(&Query::parse(Some(text)), true);
        assert_eq!(list("uids=1,,2").unwrap().uids, Some(vec![1, 2]));
        assert_eq!(list("batchUids=,3,").unwrap().uids, Some(vec![3]));
        assert_eq!(list("canceledBy=,").unwrap().canceled_by, Some(Vec::new()));
        assert_eq!(list("statuses=failed,,").unwrap().statuses, Some(vec![TaskStatus::Failed]));
        assert_eq!(list("indexUids=,a").unwrap().index_uids, Some(vec!["a".to_owned()]));
        assert_eq!(list("types=,*").unwrap().kinds, None);
        let selection = parse_selection(&Query::parse(Some("uids=4,,")), "cancel", true);
        assert_eq!(selection.unwrap().uids, Some(vec![4]));
        // The place counts the members that are read.
        let message = list("uids=,1,,b").unwrap_err().into_answer().body.unwrap();
        let message = String::from_utf8(message).unwrap();
        assert!(message.contains("parameter `uids[1]`: could not parse `b`"), "{message}");
        let older = parse_list(&Query::parse(Some("uids=1,,2")), false).unwrap_err();
        assert_eq!(older.code(), Some(Code::InvalidTaskUids));
    }
}
