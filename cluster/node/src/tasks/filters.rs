//! Which tasks a list, a cancelation or a deletion selects.
//! Invariants: an absent filter matches everything, a present one only the values that it lists. Times are exclusive
//! bounds; a date without a time means its end for `after…` and its start for `before…`.

use std::collections::BTreeSet;

use serde_json::Value;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, Duration, OffsetDateTime, Time};

use super::{STATUSES, TYPES, Task};
use crate::errors::ApiError;
use crate::wire::{self, Parameter};

/// Filters shared by `GET /tasks`, `POST /tasks/cancel`, `DELETE /tasks` and `GET /batches`.
#[derive(Debug, Default)]
pub(crate) struct TaskFilters {
    uids: Option<BTreeSet<u32>>,
    batch_uids: Option<BTreeSet<u32>>,
    canceled_by: Option<BTreeSet<u32>>,
    types: Option<BTreeSet<String>>,
    statuses: Option<BTreeSet<String>>,
    index_uids: Option<BTreeSet<String>>,
    enqueued: (Option<OffsetDateTime>, Option<OffsetDateTime>),
    started: (Option<OffsetDateTime>, Option<OffsetDateTime>),
    finished: (Option<OffsetDateTime>, Option<OffsetDateTime>),
}

/// Which part of the matching tasks to show.
#[derive(Debug)]
pub(crate) struct TaskPage {
    pub(crate) limit: usize,
    pub(crate) from: Option<u32>,
    pub(crate) reverse: bool,
}

const FILTERS: [(&str, Parameter); 12] = [
    ("uids", Parameter::Text),
    ("batchUids", Parameter::Text),
    ("canceledBy", Parameter::Text),
    ("types", Parameter::Text),
    ("statuses", Parameter::Text),
    ("indexUids", Parameter::Text),
    ("afterEnqueuedAt", Parameter::Text),
    ("beforeEnqueuedAt", Parameter::Text),
    ("afterStartedAt", Parameter::Text),
    ("beforeStartedAt", Parameter::Text),
    ("afterFinishedAt", Parameter::Text),
    ("beforeFinishedAt", Parameter::Text),
];
const PAGE: [(&str, Parameter); 3] =
    [("limit", Parameter::Integer), ("from", Parameter::Integer), ("reverse", Parameter::Flag)];

impl TaskPage {
    /// Reads filters and page of a list request.
    pub(crate) fn read(query: &str) -> Result<(TaskFilters, Self), ApiError> {
        let mut known: Vec<(&'static str, Parameter)> = PAGE.into_iter().chain(FILTERS).collect();
        // Lists name batches before tasks; cancelations and deletions do the opposite.
        known.swap(PAGE.len(), PAGE.len() + 1);
        let query = wire::query(query, &known, wire::TASKS)?;
        let page = Self {
            limit: usize::try_from(query["limit"].as_u64().unwrap_or(20)).unwrap_or(usize::MAX),
            from: query["from"].as_u64().map(|from| u32::try_from(from).unwrap_or(u32::MAX)),
            reverse: query["reverse"].as_bool().unwrap_or(false),
        };
        Ok((TaskFilters::from_query(&query)?, page))
    }
}

impl TaskFilters {
    /// Exactly these tasks.
    pub(crate) fn of_uids(uids: &[u32]) -> Self {
        Self { uids: Some(uids.iter().copied().collect()), ..Self::default() }
    }

    /// Parses the filters of a cancelation or deletion; `None` when there is none, which Meilisearch refuses.
    pub(crate) fn read(query: &str) -> Result<Option<Self>, ApiError> {
        let query = wire::query(query, &FILTERS, wire::TASKS)?;
        if query.as_object().is_none_or(serde_json::Map::is_empty) {
            return Ok(None);
        }
        Self::from_query(&query).map(Some)
    }

    fn from_query(query: &Value) -> Result<Self, ApiError> {
        let kinds = |text: &str| {
            known(text, &TYPES).ok_or_else(|| {
                format!("`{text}` is not a valid task type. Available types are {}.", quoted(&TYPES))
            })
        };
        let statuses = |text: &str| {
            known(text, &STATUSES).ok_or_else(|| {
                format!("`{text}` is not a valid task status. Available statuses are {}.", quoted(&STATUSES))
            })
        };
        let indexes = |text: &str| crate::names::index_uid(text).map_err(|error| error.message);
        Ok(Self {
            uids: list(query, "uids", number)?,
            batch_uids: list(query, "batchUids", number)?,
            canceled_by: list(query, "canceledBy", number)?,
            types: list(query, "types", kinds)?,
            statuses: list(query, "statuses", statuses)?,
            index_uids: list(query, "indexUids", indexes)?,
            enqueued: (date(query, "afterEnqueuedAt", true)?, date(query, "beforeEnqueuedAt", false)?),
            started: (date(query, "afterStartedAt", true)?, date(query, "beforeStartedAt", false)?),
            finished: (date(query, "afterFinishedAt", true)?, date(query, "beforeFinishedAt", false)?),
        })
    }

    /// Whether the task, as shown now, passes every filter.
    pub(crate) fn matches(&self, task: &Task) -> bool {
        listed(self.uids.as_ref(), &task.uid)
            && self
                .batch_uids
                .as_ref()
                .is_none_or(|uids| task.batch_uid.is_some_and(|uid| uids.contains(&uid)))
            && self
                .canceled_by
                .as_ref()
                .is_none_or(|uids| task.canceled_by.is_some_and(|uid| uids.contains(&uid)))
            && listed(self.types.as_ref(), task.work.kind())
            && listed(self.statuses.as_ref(), task.status.name())
            && self
                .index_uids
                .as_ref()
                .is_none_or(|uids| task.index_uid.as_ref().is_some_and(|uid| uids.contains(uid)))
            && within(self.enqueued, Some(task.enqueued_at))
            && within(self.started, task.started_at)
            && within(self.finished, task.finished_at)
    }
}

fn listed<T: Ord + std::borrow::Borrow<Q>, Q: Ord + ?Sized>(set: Option<&BTreeSet<T>>, value: &Q) -> bool {
    set.is_none_or(|set| set.contains(value))
}

fn within(bounds: (Option<OffsetDateTime>, Option<OffsetDateTime>), time: Option<OffsetDateTime>) -> bool {
    bounds.0.is_none_or(|after| time.is_some_and(|time| time > after))
        && bounds.1.is_none_or(|before| time.is_some_and(|time| time < before))
}

/// Parses a comma-separated list; `*` anywhere means no filter.
fn list<T: Ord>(
    query: &Value,
    name: &'static str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<BTreeSet<T>>, ApiError> {
    let Some(text) = query[name].as_str() else { return Ok(None) };
    if text.split(',').any(|element| element == "*") {
        return Ok(None);
    }
    let mut values = BTreeSet::new();
    for (position, element) in text.split(',').enumerate() {
        let value = parse(element).map_err(|reason| {
            // The position is named only if there are several elements.
            let place = if text.contains(',') { format!("{name}[{position}]") } else { name.to_owned() };
            ApiError::new(
                wire::TASKS.code(&[name.to_owned()]),
                format!("Invalid value in parameter `{place}`: {reason}"),
            )
        })?;
        values.insert(value);
    }
    Ok(Some(values))
}

fn number(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("could not parse `{text}` as a positive integer"))
}

fn known(text: &str, names: &[&str]) -> Option<String> {
    names.iter().find(|name| name.eq_ignore_ascii_case(text)).map(|name| (*name).to_owned())
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn date(query: &Value, name: &'static str, end_of_day: bool) -> Result<Option<OffsetDateTime>, ApiError> {
    let Some(text) = query[name].as_str().filter(|text| *text != "*") else { return Ok(None) };
    if let Ok(time) = OffsetDateTime::parse(text, &Rfc3339) {
        return Ok(Some(time));
    }
    let day = Date::parse(text, format_description!("[year]-[month]-[day]")).map_err(|_| {
        ApiError::new(
            wire::TASKS.code(&[name.to_owned()]),
            format!(
                "Invalid value in parameter `{name}`: `{text}` is an invalid date-time. It should follow the \
                 YYYY-MM-DD or RFC 3339 date-time format."
            ),
        )
    })?;
    let day = if end_of_day { day.saturating_add(Duration::days(1)) } else { day };
    Ok(Some(day.with_time(Time::MIDNIGHT).assume_utc()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_filters_are_named_with_their_place() {
        for (query, code, message) in [
            (
                "uids=1,hello",
                "invalid_task_uids",
                "Invalid value in parameter `uids[1]`: could not parse `hello` as a positive integer",
            ),
            (
                "statuses=done",
                "invalid_task_statuses",
                "Invalid value in parameter `statuses`: `done` is not a valid task status. Available \
                 statuses are `enqueued`, `processing`, `succeeded`, `failed`, `canceled`.",
            ),
            (
                "afterEnqueuedAt=noon",
                "invalid_task_after_enqueued_at",
                "Invalid value in parameter `afterEnqueuedAt`: `noon` is an invalid date-time. It should follow \
                 the YYYY-MM-DD or RFC 3339 date-time format.",
            ),
        ] {
            let error = TaskPage::read(query).unwrap_err();
            assert_eq!((error.code.as_ref(), error.message.as_str()), (code, message));
        }
        assert!(TaskFilters::read("").unwrap().is_none());
        assert!(TaskFilters::read("uids=*").unwrap().unwrap().uids.is_none());
    }
}
