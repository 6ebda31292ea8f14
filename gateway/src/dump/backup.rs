//! Backups: a dump of the cluster, or of some indexes, beside an export of the store, under a manifest with hashes.
//!
//! Invariants: a backup counts once its manifest is on disk, and its record says so after that. One pod makes backups,
//! under the term of dumps; one that was interrupted is begun again. The newest ones are kept, as many as configured,
//! and none is removed before a newer one is complete.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{Change, StoreError, Table, transfer};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    api::{alias::Alias, error::ApiError},
    clock,
    config::limits,
    dump::{
        archive::Archive,
        backup_files::{self, Manifest},
        export::{self, Extent},
        format,
    },
    observe::log,
    read::ask,
    state::{core::Core, leadership::Term, shared::Shared},
};

/// The table of backups, by id, which begins with the time.
const BACKUPS: Table = Table::named("backups");
/// The counter of operations, which all kinds share.
const OPERATIONS: &str = "operations";

/// How far a backup is, in the words of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Status {
    Queued,
    Running,
    Succeeded,
    Failed,
}

/// One backup.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Backup {
    pub id: String,
    /// The number by which it is followed.
    pub operation: u64,
    pub status: Status,
    /// Whether the schedule asked for it.
    pub scheduled: bool,
    /// Its only indexes; `None` for all.
    pub indexes: Option<Vec<String>>,
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    pub started_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    pub finished_at: Option<OffsetDateTime>,
    /// The pod on whose disk it is.
    pub pod: Option<String>,
    pub reason: Option<String>,
    pub manifest: Option<Manifest>,
}

impl Backup {
    /// A backup of another cluster, of which this store knows nothing.
    fn found(manifest: Manifest) -> Self {
        Self {
            id: manifest.id.clone(),
            operation: 0,
            status: Status::Succeeded,
            scheduled: false,
            indexes: None,
            created_at: manifest.created_at,
            started_at: None,
            finished_at: None,
            pod: None,
            reason: None,
            manifest: Some(manifest),
        }
    }

    /// As the management API shows an operation.
    #[must_use]
    pub fn operation(&self) -> Value {
        let date = |at: Option<OffsetDateTime>| at.and_then(|at| at.format(&Rfc3339).ok());
        let documents = self.manifest.as_ref().map_or(0, Manifest::documents);
        json!({
            "operation": self.operation,
            "kind": "backup",
            "status": self.status,
            "phase": match self.status {
                Status::Queued => "Queued",
                Status::Running => "Writing",
                Status::Succeeded | Status::Failed => "Complete",
            },
            "progress": {
                "documentsMoved": documents,
                "documentsTotal": documents,
                "bytesMoved": self.manifest.as_ref().map_or(0, Manifest::bytes),
                "documentsPerSecond": 0,
                "secondsLeft": null,
                "deltaDocuments": 0,
            },
            "shards": [],
            "reason": self.reason,
            "backup": self.id,
            "startedAt": date(self.started_at),
            "finishedAt": date(self.finished_at),
        })
    }
}

/// Requests a backup; gives its record.
///
/// # Errors
/// The store's error.
pub async fn request(
    shared: &Shared,
    indexes: Option<Vec<String>>,
    scheduled: bool,
) -> Result<Backup, StoreError> {
    let operation = shared.store.count(OPERATIONS, 1, limits::OPERATION_NUMBERS_KEPT).await?;
    let now = clock::utc();
    let backup = Backup {
        id: format!("{}-{operation}", format::uid(now)),
        operation,
        status: Status::Queued,
        scheduled,
        indexes,
        created_at: now,
        started_at: None,
        finished_at: None,
        pod: None,
        reason: None,
        manifest: None,
    };
    shared.store.put_record(BACKUPS, &backup.id, json!(backup), None).await?;
    Ok(backup)
}

/// All backups that are remembered with their revisions, oldest first.
///
/// # Errors
/// The store's error.
pub async fn all(shared: &Shared) -> Result<Vec<(Backup, u64)>, StoreError> {
    let records = shared.store.records(BACKUPS, None, limits::BACKUPS_MAX).await?;
    let read = |record: store::Record| Some((serde_json::from_value(record.value).ok()?, record.revision));
    Ok(records.into_iter().filter_map(read).collect())
}

/// All backups that this cluster has made, and those that somebody has put into the folder, by id.
///
/// # Errors
/// The store's error.
pub async fn known(shared: &Shared) -> Result<Vec<Backup>, StoreError> {
    let mut known = all(shared).await?.into_iter().map(|(backup, _)| backup).collect::<Vec<_>>();
    match backup_files::found(shared.config.backup_dir.clone()).await {
        Ok(found) => {
            for manifest in found {
                if !known.iter().any(|backup| backup.id == manifest.id) {
                    known.push(Backup::found(manifest));
                }
            }
        }
        // Another pod may be the one whose disk holds them.
        Err(error) => log::warn("backups_not_listed", &[("reason", &error.to_string())]),
    }
    known.sort_unstable_by(|one, other| one.id.cmp(&other.id));
    Ok(known)
}

/// Makes the backups that were requested or are due, oldest first, and removes those that are no longer kept.
pub async fn work_off(core: &Core, term: &Term) {
    if let Err(error) = request_due(core).await {
        log::warn("backup_not_scheduled", &[("reason", &error.to_string())]);
    }
    while let Ok(all) = all(&core.shared).await
        && let Some((mut backup, revision)) =
            all.into_iter().find(|(backup, _)| matches!(backup.status, Status::Queued | Status::Running))
    {
        (backup.status, backup.started_at) = (Status::Running, Some(clock::utc()));
        backup.pod = Some(core.shared.coordinator.pod().to_owned());
        let Ok(revision) = put(core, term, &backup, revision).await else {
            // Another pod leads by now.
            return;
        };
        match make(core, &backup).await {
            Ok(manifest) => {
                log::info("backup_made", &[("backup", &backup.id), ("bytes", &manifest.bytes().to_string())]);
                (backup.status, backup.manifest) = (Status::Succeeded, Some(manifest));
            }
            Err(error) => {
                let reason = error.into_task_error().message;
                log::warn("backup_failed", &[("backup", &backup.id), ("reason", &reason)]);
                (backup.status, backup.reason) = (Status::Failed, Some(reason));
            }
        }
        backup.finished_at = Some(clock::utc());
        if put(core, term, &backup, revision).await.is_err() {
            return;
        }
        metrics::counter!("miroir_backups_total", "status" => status_name(backup.status)).increment(1);
        if let Err(error) = forget_old(core, term).await {
            log::warn("backups_not_removed", &[("reason", &error.to_string())]);
        }
    }
}

fn status_name(status: Status) -> &'static str {
    if status == Status::Succeeded { "succeeded" } else { "failed" }
}

async fn put(core: &Core, term: &Term, backup: &Backup, revision: u64) -> Result<u64, StoreError> {
    let expected_revision = Some(revision);
    let key = backup.id.clone();
    let put = Change::PutRecord { table: BACKUPS, key, value: json!(backup), expected_revision };
    Ok(core.shared.commit_by(term, vec![put]).await?[0])
}

/// Requests the scheduled backup when the last one is old enough; one that failed is tried again at the next turn of
/// the schedule.
async fn request_due(core: &Core) -> Result<(), StoreError> {
    let Some(interval) = core.shared.config.backup_interval else { return Ok(()) };
    let all = all(&core.shared).await?;
    let last = all.iter().rev().find(|(backup, _)| backup.scheduled);
    let is_due = last.is_none_or(|(last, _)| clock::utc() - last.created_at >= interval);
    if is_due {
        request(&core.shared, None, true).await?;
    }
    Ok(())
}

async fn make(core: &Core, backup: &Backup) -> Result<Manifest, ApiError> {
    let directory = core.shared.config.backup_dir.join(&backup.id);
    let disk = |error: std::io::Error| export::disk(&error);
    let version =
        ask::any_node(core, "/version").await?["pkgVersion"].as_str().unwrap_or("1.15.0").to_owned();
    let archive = Archive::begin(directory.clone(), backup_files::CLUSTER.to_owned()).map_err(disk)?;
    let extent = Extent { before: None, only: backup.indexes.as_deref() };
    let written = export::write_all(core, &archive, &version, backup.created_at, &extent).await?;
    archive.finish().await.map_err(disk)?;
    let archive = Archive::begin(directory.clone(), backup_files::STORE.to_owned()).map_err(disk)?;
    let mut after = None;
    archive.lines(transfer::first_line()).await;
    let mut count = 0;
    loop {
        let (lines, entries, next) = transfer::page(&core.shared.store, after).await.map_err(unreadable)?;
        archive.lines(lines).await;
        count += entries;
        after = next;
        if after.is_none() {
            break;
        }
    }
    archive.lines(transfer::last_line(count)).await;
    archive.end("store.jsonl").await;
    archive.finish().await.map_err(disk)?;
    let snapshot = core.shared.snapshot();
    let mut aliases = snapshot.aliases.values().map(|alias| alias.record.clone()).collect::<Vec<Alias>>();
    aliases.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    let ttl = written
        .iter()
        .filter_map(|index| Some((index.uid.clone(), snapshot.indexes.get(&index.uid)?.record.ttl?)));
    let manifest = Manifest {
        format: backup_files::FORMAT,
        id: backup.id.clone(),
        created_at: backup.created_at,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        node_version: version,
        ttl_policies: ttl.collect(),
        indexes: written,
        aliases,
        files: Vec::new(),
    };
    backup_files::seal(directory, manifest).await.map_err(disk)
}

fn unreadable(error: transfer::TransferError) -> ApiError {
    ApiError::new(crate::api::error::Code::Internal, format!("The store cannot be exported: {error}."))
}

/// Removes the oldest backups beyond those that are kept: the files first, then the record.
async fn forget_old(core: &Core, term: &Term) -> Result<(), StoreError> {
    let all = all(&core.shared).await?;
    let complete = all.iter().filter(|(backup, _)| backup.status == Status::Succeeded).count();
    let mut excess = complete.saturating_sub(core.shared.config.backup_keep);
    let newest = all.iter().rev().find(|(backup, _)| backup.status == Status::Succeeded);
    let newest = newest.map(|(backup, _)| backup.created_at);
    for (backup, _) in &all {
        let is_old = match backup.status {
            Status::Succeeded if excess > 0 => {
                excess -= 1;
                true
            }
            // A failed one tells its reason until a newer one is complete.
            Status::Failed => newest.is_some_and(|newest| backup.created_at < newest),
            Status::Succeeded | Status::Queued | Status::Running => false,
        };
        if is_old {
            let directory = core.shared.config.backup_dir.join(&backup.id);
            if let Err(error) = backup_files::remove(directory).await {
                log::warn("backup_not_removed", &[("backup", &backup.id), ("reason", &error.to_string())]);
                continue;
            }
            let forget = Change::ForgetRecord { table: BACKUPS, key: backup.id.clone() };
            core.shared.commit_by(term, vec![forget]).await?;
        }
    }
    Ok(())
}
