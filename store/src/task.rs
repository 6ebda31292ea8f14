//! The task registry's records and the rules of their transitions, the same for every backend.
//! - A status only moves forward: enqueued, processing, then one of the three finished ones.
//! - A task has `finished_at` exactly when its status is a finished one.
//! - A uid is never given out twice, not even after its task was pruned.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;

use crate::{IdempotencyKey, StoreError};

/// A task type, named as in Meilisearch's API (`GET /tasks`, field `type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TaskKind {
    DocumentAdditionOrUpdate,
    DocumentEdition,
    DocumentDeletion,
    SettingsUpdate,
    IndexCreation,
    IndexUpdate,
    IndexDeletion,
    IndexSwap,
    IndexCompaction,
    TaskCancelation,
    TaskDeletion,
    DumpCreation,
    SnapshotCreation,
    Export,
    UpgradeDatabase,
    NetworkTopologyChange,
    DsrUpdate,
    DsrClear,
}

/// A task's state, named as in Meilisearch's API (`GET /tasks`, field `status`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TaskStatus {
    Enqueued,
    Processing,
    Succeeded,
    Failed,
    Canceled,
}

/// A name that is neither a task type nor a status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a known name")]
pub struct UnknownName(pub String);

/// What one node was asked to do for a task, and how that went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeTask {
    pub node: String,
    /// The task's uid on that node.
    pub uid: u32,
    /// How many of the payload's documents were sent to the node.
    pub documents: u64,
    /// Whether this node task holds the documents of several writes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shared: bool,
    pub status: TaskStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<TaskError>,
}

/// A task's error, as in Meilisearch's API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskError {
    pub message: String,
    pub code: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub link: String,
}

/// A node that a write is sent to, and the shards that the node takes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskOwner {
    pub node: String,
    pub shards: Vec<u32>,
}

/// One task of the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRecord {
    pub uid: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index_uid: Option<String>,
    /// What the client called the index, where that is another name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named: Option<String>,
    pub kind: TaskKind,
    pub status: TaskStatus,
    /// False while the record is an intent: the fan-out to the nodes has not been confirmed.
    pub accepted: bool,
    /// The first cancelation that named this task. It took effect if the status is `Canceled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canceled_by: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<TaskError>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_metadata: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    pub enqueued_at: OffsetDateTime,
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub started_at: Option<OffsetDateTime>,
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<OffsetDateTime>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub node_tasks: Vec<NodeTask>,
    /// The write's intent: the nodes that it is sent to, and their shards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owners: Vec<TaskOwner>,
    /// The tasks that a cancelation names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<u32>,
    /// The pod that made the task, where pods have names. Only that pod finishes it while it is an intent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// The client's idempotency key that refers to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// Starts at 1 and grows by one with every change.
    pub revision: u64,
}

/// A task to register. It starts enqueued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTask {
    pub index_uid: Option<String>,
    /// What the client called the index, where that is another name for it.
    pub named: Option<String>,
    pub kind: TaskKind,
    pub accepted: bool,
    pub details: Option<Value>,
    pub custom_metadata: Option<String>,
    pub enqueued_at: OffsetDateTime,
    pub owners: Vec<TaskOwner>,
    /// When set, the task is made only if the key refers to no task yet.
    pub idempotency_key: Option<IdempotencyKey>,
}

/// A change of a task: every field that is set replaces the stored one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskChange {
    /// When set, the change conflicts unless the stored revision equals it.
    pub expected_revision: Option<u64>,
    pub status: Option<TaskStatus>,
    pub accepted: Option<bool>,
    pub canceled_by: Option<u32>,
    pub details: Option<Value>,
    pub error: Option<TaskError>,
    pub started_at: Option<OffsetDateTime>,
    pub finished_at: Option<OffsetDateTime>,
    pub node_tasks: Option<Vec<NodeTask>>,
    pub owners: Option<Vec<TaskOwner>>,
    pub targets: Option<Vec<u32>>,
}

/// Which tasks to list, with the meaning of Meilisearch's `GET /tasks`. A list names alternatives; an empty one matches
/// nothing. Different fields narrow each other. Dates are exclusive bounds, and a task without the date matches none of
/// them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskQuery {
    pub uids: Option<Vec<u32>>,
    pub statuses: Option<Vec<TaskStatus>>,
    pub kinds: Option<Vec<TaskKind>>,
    /// Tasks of these indexes. A task of several indexes (a swap) or of none never matches.
    pub index_uids: Option<Vec<String>>,
    pub canceled_by: Option<Vec<u32>>,
    pub before_enqueued_at: Option<OffsetDateTime>,
    pub after_enqueued_at: Option<OffsetDateTime>,
    pub before_started_at: Option<OffsetDateTime>,
    pub after_started_at: Option<OffsetDateTime>,
    pub before_finished_at: Option<OffsetDateTime>,
    pub after_finished_at: Option<OffsetDateTime>,
    /// The uid at which the page starts, inclusive.
    pub from: Option<u32>,
    /// The most tasks on a page.
    pub limit: u32,
    /// Oldest first instead of newest first.
    pub reverse: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskPage {
    pub tasks: Vec<TaskRecord>,
    /// How many tasks match, whatever `from` and `limit` are.
    pub total: u64,
    /// The uid of the page's first task.
    pub from: Option<u32>,
    /// The uid at which the next page starts.
    pub next: Option<u32>,
}

impl TaskKind {
    /// In the order in which Meilisearch's error messages list them.
    pub const ALL: [TaskKind; 18] = [
        TaskKind::DocumentAdditionOrUpdate,
        TaskKind::DocumentEdition,
        TaskKind::DocumentDeletion,
        TaskKind::SettingsUpdate,
        TaskKind::IndexCreation,
        TaskKind::IndexDeletion,
        TaskKind::IndexUpdate,
        TaskKind::IndexSwap,
        TaskKind::TaskCancelation,
        TaskKind::TaskDeletion,
        TaskKind::DumpCreation,
        TaskKind::SnapshotCreation,
        TaskKind::Export,
        TaskKind::UpgradeDatabase,
        TaskKind::IndexCompaction,
        TaskKind::NetworkTopologyChange,
        TaskKind::DsrUpdate,
        TaskKind::DsrClear,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            TaskKind::DocumentAdditionOrUpdate => "documentAdditionOrUpdate",
            TaskKind::DocumentEdition => "documentEdition",
            TaskKind::DocumentDeletion => "documentDeletion",
            TaskKind::SettingsUpdate => "settingsUpdate",
            TaskKind::IndexCreation => "indexCreation",
            TaskKind::IndexUpdate => "indexUpdate",
            TaskKind::IndexDeletion => "indexDeletion",
            TaskKind::IndexSwap => "indexSwap",
            TaskKind::IndexCompaction => "indexCompaction",
            TaskKind::TaskCancelation => "taskCancelation",
            TaskKind::TaskDeletion => "taskDeletion",
            TaskKind::DumpCreation => "dumpCreation",
            TaskKind::SnapshotCreation => "snapshotCreation",
            TaskKind::Export => "export",
            TaskKind::UpgradeDatabase => "upgradeDatabase",
            TaskKind::NetworkTopologyChange => "networkTopologyChange",
            TaskKind::DsrUpdate => "dsrUpdate",
            TaskKind::DsrClear => "dsrClear",
        }
    }
}

impl TaskStatus {
    pub const ALL: [TaskStatus; 5] = [
        TaskStatus::Enqueued,
        TaskStatus::Processing,
        TaskStatus::Succeeded,
        TaskStatus::Failed,
        TaskStatus::Canceled,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            TaskStatus::Enqueued => "enqueued",
            TaskStatus::Processing => "processing",
            TaskStatus::Succeeded => "succeeded",
            TaskStatus::Failed => "failed",
            TaskStatus::Canceled => "canceled",
        }
    }

    pub fn is_finished(self) -> bool {
        match self {
            TaskStatus::Enqueued | TaskStatus::Processing => false,
            TaskStatus::Succeeded | TaskStatus::Failed | TaskStatus::Canceled => true,
        }
    }

    fn may_become(self, next: TaskStatus) -> bool {
        self == next || (!self.is_finished() && next != TaskStatus::Enqueued)
    }
}

/// Ignores letter case, as Meilisearch's filters do.
impl FromStr for TaskKind {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<TaskKind, UnknownName> {
        let found = TaskKind::ALL.into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(name));
        found.ok_or_else(|| UnknownName(name.to_owned()))
    }
}

impl FromStr for TaskStatus {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<TaskStatus, UnknownName> {
        let found = TaskStatus::ALL.into_iter().find(|status| status.as_str().eq_ignore_ascii_case(name));
        found.ok_or_else(|| UnknownName(name.to_owned()))
    }
}

impl Default for TaskQuery {
    /// Every task, newest first, 20 on a page, as Meilisearch defaults to.
    fn default() -> TaskQuery {
        TaskQuery {
            uids: None,
            statuses: None,
            kinds: None,
            index_uids: None,
            canceled_by: None,
            before_enqueued_at: None,
            after_enqueued_at: None,
            before_started_at: None,
            after_started_at: None,
            before_finished_at: None,
            after_finished_at: None,
            from: None,
            limit: 20,
            reverse: false,
        }
    }
}

impl TaskRecord {
    /// The index as its client called it.
    #[must_use]
    pub fn index_name(&self) -> Option<&str> {
        self.named.as_deref().or(self.index_uid.as_deref())
    }

    pub(crate) fn first(uid: u32, new: NewTask, pod: Option<String>) -> TaskRecord {
        TaskRecord {
            uid,
            index_uid: new.index_uid,
            named: new.named,
            kind: new.kind,
            status: TaskStatus::Enqueued,
            accepted: new.accepted,
            canceled_by: None,
            details: new.details,
            error: None,
            custom_metadata: new.custom_metadata,
            enqueued_at: new.enqueued_at,
            started_at: None,
            finished_at: None,
            node_tasks: Vec::new(),
            owners: new.owners,
            targets: Vec::new(),
            pod,
            idempotency_key: new.idempotency_key.map(|key| key.key),
            revision: 1,
        }
    }

    /// The record after `change`.
    ///
    /// # Errors
    /// `Conflict`: the change contradicts the record or the rules at the top of this file.
    pub(crate) fn changed(&self, change: TaskChange) -> Result<TaskRecord, StoreError> {
        if change.expected_revision.is_some_and(|expected| expected != self.revision) {
            return Err(StoreError::Conflict);
        }
        if change.accepted == Some(true) && !self.accepted && self.status.is_finished() {
            // Another pod took the maker of this intent for dead and dropped the intent. The maker comes too late.
            return Err(StoreError::Conflict);
        }
        let mut record = self.clone();
        record.revision += 1;
        if let Some(status) = change.status {
            if !self.status.may_become(status) {
                return Err(StoreError::Conflict);
            }
            record.status = status;
        }
        record.accepted = change.accepted.unwrap_or(record.accepted);
        record.canceled_by = change.canceled_by.or(record.canceled_by);
        record.details = change.details.or(record.details);
        record.error = change.error.or(record.error);
        record.started_at = change.started_at.or(record.started_at);
        record.finished_at = change.finished_at.or(record.finished_at);
        record.node_tasks = change.node_tasks.unwrap_or(record.node_tasks);
        record.owners = change.owners.unwrap_or(record.owners);
        record.targets = change.targets.unwrap_or(record.targets);
        if record.status.is_finished() != record.finished_at.is_some() {
            return Err(StoreError::Conflict);
        }
        Ok(record)
    }

    /// The task with two index names exchanged. Its revision grows, so that a concurrent change of the task conflicts.
    pub(crate) fn with_exchanged_names(&self, one: &str, other: &str) -> TaskRecord {
        let exchange = |name: &mut String| match name.as_str() {
            known if known == one => other.clone_into(name),
            known if known == other => one.clone_into(name),
            _ => {}
        };
        let mut after = self.clone();
        if let Some(name) = &mut after.index_uid {
            exchange(name);
        }
        let swaps = match (self.kind, &mut after.details) {
            (TaskKind::IndexSwap, Some(details)) => details.get_mut("swaps").and_then(Value::as_array_mut),
            _ => None,
        };
        let swapped = swaps.into_iter().flatten();
        for name in swapped.filter_map(|swap| swap.get_mut("indexes")?.as_array_mut()).flatten() {
            if let Value::String(name) = name {
                exchange(name);
            }
        }
        if after != *self {
            after.revision += 1;
        }
        after
    }

    /// The uid of the cancelation that canceled this task.
    pub fn canceler(&self) -> Option<u32> {
        self.canceled_by.filter(|_| self.status == TaskStatus::Canceled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_on_the_wire_are_the_names_of_filters() {
        for kind in TaskKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
            assert_eq!(kind.as_str().to_uppercase().parse(), Ok(kind));
        }
        for status in TaskStatus::ALL {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
            assert_eq!(status.as_str().to_uppercase().parse(), Ok(status));
        }
        assert_eq!("index".parse::<TaskKind>(), Err(UnknownName("index".to_owned())));
        assert_eq!("done".parse::<TaskStatus>(), Err(UnknownName("done".to_owned())));
    }

    #[test]
    fn a_status_only_moves_forward() {
        use TaskStatus::{Canceled, Enqueued, Failed, Processing, Succeeded};
        let forward = [
            (Enqueued, Processing),
            (Enqueued, Succeeded),
            (Enqueued, Failed),
            (Enqueued, Canceled),
            (Processing, Succeeded),
            (Processing, Failed),
            (Processing, Canceled),
        ];
        for before in TaskStatus::ALL {
            for after in TaskStatus::ALL {
                let allowed = before == after || forward.contains(&(before, after));
                assert_eq!(before.may_become(after), allowed, "{before:?} to {after:?}");
            }
        }
    }
}
