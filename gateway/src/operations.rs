//! Operations on data that take long: rollovers asked for, imports. Operators follow and steer them by number.
//!
//! Invariants: each change of an operation is a compare-and-swap. One that has ended changes no more. Numbers are
//! counted for the whole store and never given twice.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{Change, StoreError, Table};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{clock, config::limits, state::shared::Shared};

const OPERATIONS: Table = Table::named("data_operations");
/// Counts the operations of a store, of every kind, for ever.
const NUMBERS: &str = "operations";
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// The kind of operation that imports a dump.
pub const DUMP_IMPORT: &str = "dumpImport";

/// As operators see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Status {
    Queued,
    Running,
    Paused,
    Succeeded,
    Failed,
    Aborted,
}

impl Status {
    #[must_use]
    pub fn has_ended(self) -> bool {
        match self {
            Self::Queued | Self::Running | Self::Paused => false,
            Self::Succeeded | Self::Failed | Self::Aborted => true,
        }
    }

    /// Its name in the management API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
        }
    }
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    pub operation: u64,
    pub kind: String,
    pub status: Status,
    pub phase: String,
    pub documents_moved: u64,
    /// 0 while it is not known.
    pub documents_total: u64,
    pub bytes_moved: u64,
    pub reason: Option<String>,
    /// What it is about, and how far it has come, for whoever performs it.
    pub about: Value,
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    pub started_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    pub finished_at: Option<OffsetDateTime>,
    /// The revision of the stored record, which is not part of it.
    #[serde(skip)]
    pub revision: u64,
}

impl Operation {
    /// Whether it is an import of a dump for which there is something to do: writing, or removing the file of one that
    /// was given up.
    #[must_use]
    pub fn is_import_with_work(&self) -> bool {
        let has_work = match self.status {
            Status::Queued | Status::Running => true,
            Status::Aborted => self.about["file"].as_str().is_some_and(|file| !file.is_empty()),
            Status::Paused | Status::Succeeded | Status::Failed => false,
        };
        self.kind == DUMP_IMPORT && has_work
    }

    /// Sets the status, with its dates and the reason for it.
    pub fn become_(&mut self, status: Status, reason: Option<String>) {
        let now = clock::utc();
        (self.status, self.reason) = (status, reason);
        if status == Status::Running {
            self.started_at.get_or_insert(now);
        }
        if status.has_ended() {
            self.finished_at = Some(now);
        }
    }

    /// As the management API shows it.
    #[must_use]
    pub fn view(&self) -> Value {
        let until = self.finished_at.unwrap_or_else(clock::utc);
        let seconds = self.started_at.map_or(0.0, |started| (until - started).as_seconds_f64());
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate, rounded"
        )]
        let rate = if seconds > 0.0 { (self.documents_moved as f64 / seconds) as u64 } else { 0 };
        let left = self.documents_total.checked_sub(self.documents_moved);
        let seconds_left =
            left.filter(|_| self.status == Status::Running).and_then(|left| left.checked_div(rate));
        let date = |at: Option<OffsetDateTime>| at.and_then(|at| at.format(&Rfc3339).ok());
        let mut view = json!({
            "operation": self.operation,
            "kind": self.kind,
            "status": self.status,
            "phase": self.phase,
            "progress": {
                "documentsMoved": self.documents_moved,
                "documentsTotal": self.documents_total,
                "bytesMoved": self.bytes_moved,
                "documentsPerSecond": rate,
                "secondsLeft": seconds_left,
                "deltaDocuments": 0,
            },
            "shards": [],
            "reason": self.reason,
            "startedAt": date(self.started_at),
            "finishedAt": date(self.finished_at),
        });
        if self.kind == DUMP_IMPORT {
            view["dump"] = imported(&self.about);
        }
        view
    }
}

/// What is shown of a dump that is imported; nulls while it was not read yet.
fn imported(about: &Value) -> Value {
    let contents = &about["contents"];
    json!({
        "bytes": about["bytes"],
        "serverVersion": contents["serverVersion"],
        "keys": contents["keys"],
        "indexes": contents["indexes"],
    })
}

fn key(number: u64) -> String {
    format!("{number:020}")
}

/// Makes an operation, queued.
///
/// # Errors
/// The store's error.
pub async fn begin(shared: &Shared, kind: &str, about: Value) -> Result<Operation, StoreError> {
    let number = shared.store.count(NUMBERS, 1, FOR_EVER).await?;
    let mut operation = Operation {
        operation: number,
        kind: kind.to_owned(),
        status: Status::Queued,
        phase: "Queued".to_owned(),
        documents_moved: 0,
        documents_total: 0,
        bytes_moved: 0,
        reason: None,
        about,
        created_at: clock::utc(),
        started_at: None,
        finished_at: None,
        revision: 0,
    };
    operation.revision = shared.store.put_record(OPERATIONS, &key(number), json!(operation), None).await?;
    forget_old(shared).await?;
    Ok(operation)
}

/// All that are remembered, oldest first.
///
/// # Errors
/// The store's error.
pub async fn all(shared: &Shared) -> Result<Vec<Operation>, StoreError> {
    let records = shared.store.records(OPERATIONS, None, 2 * limits::DATA_OPERATIONS_MAX).await?;
    Ok(records.into_iter().filter_map(|record| read(record.value, record.revision)).collect())
}

/// # Errors
/// The store's error.
pub async fn one(shared: &Shared, number: u64) -> Result<Option<Operation>, StoreError> {
    let record = shared.store.record(OPERATIONS, &key(number)).await?;
    Ok(record.and_then(|record| read(record.value, record.revision)))
}

/// Stores an operation as it has become.
///
/// # Errors
/// `Conflict` when somebody else has changed it meanwhile; it is then to be read again. Else the store's error.
pub async fn put(shared: &Shared, operation: &mut Operation) -> Result<(), StoreError> {
    let (key, expected) = (key(operation.operation), Some(operation.revision));
    operation.revision = shared.store.put_record(OPERATIONS, &key, json!(operation), expected).await?;
    Ok(())
}

fn read(value: Value, revision: u64) -> Option<Operation> {
    let operation = serde_json::from_value::<Operation>(value).ok()?;
    Some(Operation { revision, ..operation })
}

/// Forgets the oldest of those that have ended.
async fn forget_old(shared: &Shared) -> Result<(), StoreError> {
    let all = all(shared).await?;
    let excess = all.len().saturating_sub(limits::DATA_OPERATIONS_MAX);
    let old = all.iter().filter(|operation| operation.status.has_ended()).take(excess);
    let changes =
        old.map(|operation| Change::ForgetRecord { table: OPERATIONS, key: key(operation.operation) });
    let changes = changes.collect::<Vec<_>>();
    if !changes.is_empty() {
        shared.store.commit(changes).await?;
    }
    Ok(())
}

/// Whether operations of a kind can be paused, resumed and given up.
#[must_use]
pub fn is_steered(kind: &str) -> bool {
    kind == DUMP_IMPORT
}
