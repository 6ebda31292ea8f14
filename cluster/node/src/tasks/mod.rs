//! Tasks: what to do, and how Meilisearch shows it.
//! Invariants: a task's uid is its position in the order of application. A finished task never changes. `details` are
//! made when the task is registered; the scheduler only completes them.

mod filters;
mod journal;
mod registry;

pub(crate) use filters::{TaskFilters, TaskPage};
pub(crate) use journal::{Durable, IndexTable};
pub(crate) use registry::{Draft, Registry};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use crate::errors::ApiError;

pub(crate) const STATUSES: [&str; 5] = ["enqueued", "processing", "succeeded", "failed", "canceled"];

/// The task types of v1.50, to validate filters: those of v1.15 and some that no task here has.
pub(crate) const TYPES: [&str; 18] = [
    "documentAdditionOrUpdate",
    "documentEdition",
    "documentDeletion",
    "settingsUpdate",
    "indexCreation",
    "indexDeletion",
    "indexUpdate",
    "indexSwap",
    "taskCancelation",
    "taskDeletion",
    "dumpCreation",
    "snapshotCreation",
    "export",
    "upgradeDatabase",
    "indexCompaction",
    "networkTopologyChange",
    "dsrUpdate",
    "dsrClear",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Status {
    Enqueued,
    Processing,
    Succeeded,
    Failed,
    Canceled,
}

impl Status {
    pub(crate) fn name(self) -> &'static str {
        STATUSES[self as usize]
    }
}

/// Two names that exchange their indexes, or one index that gets another name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Swap {
    pub(crate) indexes: (String, String),
    pub(crate) rename: bool,
}

/// The work of a task on its index or on the node.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Work {
    /// The NDJSON payload is in the journal, or in a file beside it, until the task is finished.
    DocumentAddition {
        update: bool,
        primary_key: Option<String>,
        documents: u64,
    },
    DocumentDeletion {
        ids: Vec<String>,
    },
    DocumentDeletionByFilter {
        filter: Value,
    },
    DocumentClear,
    /// `new` is as the client sent it; `null` fields are resets.
    Settings {
        new: Value,
        reset: bool,
    },
    IndexCreation {
        primary_key: Option<String>,
    },
    IndexUpdate {
        primary_key: Option<String>,
        new_uid: Option<String>,
    },
    IndexDeletion,
    IndexCompaction,
    SnapshotCreation,
    Swap {
        swaps: Vec<Swap>,
    },
    TaskCancelation {
        query: String,
        uids: Vec<u32>,
    },
    TaskDeletion {
        query: String,
        uids: Vec<u32>,
    },
}

impl Work {
    /// Meilisearch's task type.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::DocumentAddition { .. } => "documentAdditionOrUpdate",
            Self::DocumentDeletion { .. } | Self::DocumentDeletionByFilter { .. } | Self::DocumentClear => {
                "documentDeletion"
            }
            Self::Settings { .. } => "settingsUpdate",
            Self::IndexCreation { .. } => "indexCreation",
            Self::IndexUpdate { .. } => "indexUpdate",
            Self::IndexDeletion => "indexDeletion",
            Self::IndexCompaction => "indexCompaction",
            Self::SnapshotCreation => "snapshotCreation",
            Self::Swap { .. } => "indexSwap",
            Self::TaskCancelation { .. } => "taskCancelation",
            Self::TaskDeletion { .. } => "taskDeletion",
        }
    }

    /// The details of the newly registered task.
    pub(crate) fn details(&self) -> Value {
        match self {
            Self::DocumentAddition { documents, .. } => {
                json!({ "receivedDocuments": documents, "indexedDocuments": null })
            }
            Self::DocumentDeletion { ids } => {
                json!({ "providedIds": ids.len(), "deletedDocuments": null, "originalFilter": null })
            }
            Self::DocumentDeletionByFilter { filter } => {
                json!({ "providedIds": 0, "deletedDocuments": null, "originalFilter": filter.to_string() })
            }
            Self::DocumentClear | Self::IndexDeletion => json!({ "deletedDocuments": null }),
            Self::Settings { new, .. } => new.clone(),
            Self::IndexCreation { primary_key } | Self::IndexUpdate { primary_key, .. } => {
                json!({ "primaryKey": primary_key })
            }
            Self::IndexCompaction => json!({}),
            Self::SnapshotCreation => Value::Null,
            Self::Swap { swaps } => json!({ "swaps": swaps }),
            Self::TaskCancelation { query, uids } => {
                json!({ "matchedTasks": uids.len(), "canceledTasks": null, "originalFilter": query })
            }
            Self::TaskDeletion { query, uids } => {
                json!({ "matchedTasks": uids.len(), "deletedTasks": null, "originalFilter": query })
            }
        }
    }

    /// The completed details of a change that was acknowledged and lost.
    pub(crate) fn details_if_done(&self) -> Value {
        if let Self::DocumentAddition { documents, .. } = self {
            return json!({ "indexedDocuments": documents });
        }
        if let Self::DocumentDeletion { ids } = self {
            return json!({ "deletedDocuments": ids.len() });
        }
        json!({})
    }

    /// Drops bulky data that only the application needed, so that finished tasks stay small.
    pub(crate) fn shrink(&mut self) {
        match self {
            Self::DocumentDeletion { ids } => *ids = Vec::new(),
            Self::TaskCancelation { uids, .. } | Self::TaskDeletion { uids, .. } => *uids = Vec::new(),
            Self::Settings { new, .. } => *new = Value::Null,
            Self::DocumentAddition { .. }
            | Self::DocumentDeletionByFilter { .. }
            | Self::DocumentClear
            | Self::IndexCreation { .. }
            | Self::IndexUpdate { .. }
            | Self::IndexDeletion
            | Self::IndexCompaction
            | Self::SnapshotCreation
            | Self::Swap { .. } => {}
        }
    }
}

/// One task, as stored in the journal and in memory.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Task {
    pub(crate) uid: u32,
    pub(crate) batch_uid: Option<u32>,
    pub(crate) index_uid: Option<String>,
    pub(crate) status: Status,
    pub(crate) work: Work,
    pub(crate) canceled_by: Option<u32>,
    pub(crate) details: Value,
    pub(crate) error: Option<Value>,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) enqueued_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    pub(crate) started_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    pub(crate) finished_at: Option<OffsetDateTime>,
    /// Whether a fault switch makes the node acknowledge this write and lose it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) dropped: bool,
}

impl Task {
    /// The task as `GET /tasks/{uid}` shows it.
    pub(crate) fn view(&self) -> Value {
        let mut view = Map::new();
        view.insert("uid".into(), self.uid.into());
        view.insert("batchUid".into(), self.batch_uid.into());
        view.insert("indexUid".into(), self.index_uid.clone().into());
        view.insert("status".into(), self.status.name().into());
        view.insert("type".into(), self.work.kind().into());
        view.insert("canceledBy".into(), self.canceled_by.into());
        if !self.details.is_null() {
            view.insert("details".into(), self.details.clone());
        }
        view.insert("error".into(), self.error.clone().unwrap_or(Value::Null));
        let duration = self.started_at.zip(self.finished_at).map(|(start, end)| duration_text(end - start));
        view.insert("duration".into(), duration.into());
        view.insert("enqueuedAt".into(), time_text(self.enqueued_at).into());
        view.insert("startedAt".into(), self.started_at.map(time_text).into());
        view.insert("finishedAt".into(), self.finished_at.map(time_text).into());
        Value::Object(view)
    }

    /// The summary in a 202 answer.
    pub(crate) fn summary(&self) -> Value {
        json!({
            "taskUid": self.uid,
            "indexUid": self.index_uid,
            "status": self.status.name(),
            "type": self.work.kind(),
            "enqueuedAt": time_text(self.enqueued_at),
        })
    }

    /// Ends the task as succeeded; `completed` overrides the registered details.
    pub(crate) fn succeed(&mut self, completed: Value) {
        self.status = Status::Succeeded;
        self.complete(completed);
    }

    /// Ends the task with an error. Open counts become 0, as in Meilisearch.
    pub(crate) fn fail(&mut self, error: &ApiError) {
        self.status = Status::Failed;
        self.error = Some(error.to_json());
        self.zero_open_counts();
    }

    /// Ends the task as canceled by the task `by`.
    pub(crate) fn cancel(&mut self, by: u32) {
        self.status = Status::Canceled;
        self.canceled_by = Some(by);
        self.zero_open_counts();
    }

    /// Exchanges two index names wherever the task mentions them.
    pub(crate) fn exchange_names(&mut self, one: &str, other: &str) {
        let exchange = |name: &mut String| match name.as_str() {
            known if known == one => other.clone_into(name),
            known if known == other => one.clone_into(name),
            _ => {}
        };
        if let Some(name) = &mut self.index_uid {
            exchange(name);
        }
        if let Work::Swap { swaps } = &mut self.work {
            for swap in swaps.iter_mut() {
                exchange(&mut swap.indexes.0);
                exchange(&mut swap.indexes.1);
            }
            self.details = self.work.details();
        }
    }

    fn complete(&mut self, completed: Value) {
        if let (Value::Object(details), Value::Object(completed)) = (&mut self.details, completed) {
            details.extend(completed);
        }
    }

    fn zero_open_counts(&mut self) {
        let Value::Object(details) = &mut self.details else { return };
        for count in ["indexedDocuments", "deletedDocuments", "canceledTasks", "deletedTasks"] {
            if details.get(count).is_some_and(Value::is_null) {
                details.insert(count.to_owned(), 0.into());
            }
        }
    }
}

/// RFC 3339 in UTC, as every time in the API.
pub(crate) fn time_text(time: OffsetDateTime) -> String {
    time.format(&time::format_description::well_known::Rfc3339)
        .expect("the years of a wall clock are within RFC 3339")
}

/// An ISO 8601 duration in seconds with the fraction that Meilisearch prints, e.g. `PT0.040512S`.
pub(crate) fn duration_text(duration: time::Duration) -> String {
    let nanoseconds = duration.whole_nanoseconds().max(0);
    let (seconds, rest) = (nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
    if rest == 0 {
        return format!("PT{seconds}S");
    }
    let fraction = format!("{rest:09}");
    format!("PT{seconds}.{}S", fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_print_as_iso_8601() {
        for (nanoseconds, text) in [
            (0, "PT0S"),
            (40_512_000, "PT0.040512S"),
            (2_000_000_000, "PT2S"),
            (61_000_000_001, "PT61.000000001S"),
        ] {
            assert_eq!(duration_text(time::Duration::nanoseconds(nanoseconds)), text);
        }
    }
}
