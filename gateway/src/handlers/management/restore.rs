//! Restores a backup into this cluster, whatever its shape: every document is written as a client would write it.
//!
//! Invariants: nothing is written before the backup's files were verified, and no index that is there already is
//! touched. A restore can be begun again after its indexes were deleted. It ends as failed with the first thing that
//! cannot be restored, and says which.

use std::{
    path::{Path, PathBuf},
    rc::Rc,
};

use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{StoreError, Table};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    api::error::{ApiError, Code},
    clock,
    config::limits,
    dump::{
        backup::{Backup, Status},
        backup_files::{self, Manifest},
        reader::Part,
    },
    handlers::{
        data::load::{Loader, json_request},
        management::{aliases, ttl},
    },
    observe::log,
    state::{core::Core, shared::Shared},
    wire::{h1::Response, runtime},
};

/// The table of restores, by the number of their operation.
const RESTORES: Table = Table::named("restores");
/// The counter of operations, which all kinds share.
const OPERATIONS: &str = "operations";

/// A restore as it is remembered.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Restore {
    pub(crate) operation: u64,
    backup: String,
    /// The pod that does it; when it dies, the restore has failed.
    pod: String,
    pub(crate) status: String,
    documents: u64,
    documents_total: u64,
    bytes: u64,
    reason: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    started_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    finished_at: Option<OffsetDateTime>,
}

impl Restore {
    /// As the management API shows an operation.
    pub(crate) fn view(&self, shared: &Shared) -> Value {
        let date = |at: Option<OffsetDateTime>| at.and_then(|at| at.format(&Rfc3339).ok());
        let own = shared.coordinator.pod();
        let is_dead =
            self.status == "running" && self.pod != own && !shared.coordinator.pods().contains(&self.pod);
        let (status, reason) = match is_dead {
            true => ("failed", Some("the pod that did it has ended; delete its indexes and begin it again")),
            false => (self.status.as_str(), self.reason.as_deref()),
        };
        let seconds =
            (self.finished_at.unwrap_or_else(clock::utc) - self.started_at).as_seconds_f64().max(0.001);
        #[allow(clippy::cast_precision_loss, reason = "a rate, rounded")]
        let rate = (self.documents as f64 / seconds).round();
        let left = self.documents_total.saturating_sub(self.documents);
        #[allow(clippy::cast_precision_loss, reason = "an estimate")]
        let left = (status == "running" && rate > 0.0).then(|| (left as f64 / rate).round());
        json!({
            "operation": self.operation,
            "kind": "restore",
            "status": status,
            "phase": if status == "running" { "Writing" } else { "Complete" },
            "progress": {
                "documentsMoved": self.documents,
                "documentsTotal": self.documents_total,
                "bytesMoved": self.bytes,
                "documentsPerSecond": rate,
                "secondsLeft": left,
                "deltaDocuments": 0,
            },
            "shards": [],
            "reason": reason,
            "backup": self.backup,
            "startedAt": date(Some(self.started_at)),
            "finishedAt": date(self.finished_at),
        })
    }
}

/// All restores that are remembered, oldest first.
///
/// # Errors
/// The store's error.
pub(crate) async fn all(shared: &Shared) -> Result<Vec<Restore>, StoreError> {
    let records = shared.store.records(RESTORES, None, limits::BACKUPS_MAX).await?;
    Ok(records.into_iter().filter_map(|record| serde_json::from_value(record.value).ok()).collect())
}

/// Verifies a backup and begins to restore it, or some of its indexes.
///
/// # Errors
/// 409 for a backup that is incomplete or damaged, and where an index of it is there already; 404 for an index that
/// it does not have.
pub(crate) async fn begin(
    core: &Rc<Core>,
    backup: Backup,
    only: Option<Vec<String>>,
) -> Result<Response, ApiError> {
    let directory = complete(core, &backup)?;
    let damaged = |reason: String| {
        let message = format!("Backup `{}` is damaged: {reason}.", backup.id);
        ApiError::new(Code::MiroirOperationConflict, message)
    };
    let (mut manifest, wrong) =
        backup_files::verify(directory.clone()).await.map_err(|error| damaged(error.to_string()))?;
    if let Some(reason) = wrong.into_iter().next() {
        return Err(damaged(reason));
    }
    if let Some(only) = &only {
        if let Some(uid) = only.iter().find(|uid| !manifest.indexes.iter().any(|index| index.uid == **uid)) {
            let message = format!("Backup `{}` has no index `{uid}`.", backup.id);
            return Err(ApiError::new(Code::IndexNotFound, message));
        }
        manifest.indexes.retain(|index| only.contains(&index.uid));
    }
    for index in &manifest.indexes {
        if core.shared.store.index(&index.uid).await?.is_some() {
            let message = format!(
                "Index `{}` is there already: delete it first, or name the indexes to restore.",
                index.uid
            );
            return Err(ApiError::new(Code::MiroirOperationConflict, message));
        }
    }
    let number = core.shared.store.count(OPERATIONS, 1, limits::OPERATION_NUMBERS_KEPT).await?;
    let restore = Restore {
        operation: number,
        backup: backup.id,
        pod: core.shared.coordinator.pod().to_owned(),
        status: "running".to_owned(),
        documents: 0,
        documents_total: manifest.documents(),
        bytes: 0,
        reason: None,
        started_at: clock::utc(),
        finished_at: None,
    };
    let key = format!("{number:020}");
    let revision = core.shared.store.put_record(RESTORES, &key, json!(restore), None).await?;
    let worker =
        Worker { core: Rc::clone(core), manifest, restore, key, revision, loader: Loader::new(core) };
    runtime::spawn(worker.run(directory));
    Ok(Response::json(StatusCode::ACCEPTED, json!({"operation": number}).to_string()))
}

/// The folder of a backup that is complete.
///
/// # Errors
/// 409 for one that is not.
pub(super) fn complete(core: &Core, backup: &Backup) -> Result<PathBuf, ApiError> {
    if backup.status == Status::Succeeded {
        return Ok(core.shared.config.backup_dir.join(&backup.id));
    }
    let message = format!("Backup `{}` is not complete: there is nothing to read.", backup.id);
    Err(ApiError::new(Code::MiroirOperationConflict, message))
}

/// A restore under way, on the core that was asked for it.
struct Worker {
    core: Rc<Core>,
    /// With the indexes that are restored.
    manifest: Manifest,
    restore: Restore,
    key: String,
    revision: u64,
    loader: Loader,
}

impl Worker {
    async fn run(mut self, directory: PathBuf) {
        let ended = self.restore_all(&directory).await;
        self.restore.finished_at = Some(clock::utc());
        self.restore.status = if ended.is_ok() { "succeeded" } else { "failed" }.to_owned();
        if let Err(error) = ended {
            let reason = error.into_task_error().message;
            log::warn("restore_failed", &[("backup", &self.restore.backup), ("reason", &reason)]);
            self.restore.reason = Some(reason);
        }
        self.note().await;
    }

    /// Stores how far it is; what cannot be stored now is stored with the next step.
    async fn note(&mut self) {
        let store = &self.core.shared.store;
        let put = store.put_record(RESTORES, &self.key, json!(self.restore), Some(self.revision)).await;
        match put {
            Ok(revision) => self.revision = revision,
            Err(error) => log::warn("restore_not_noted", &[("reason", &error.to_string())]),
        }
    }

    async fn restore_all(&mut self, directory: &Path) -> Result<(), ApiError> {
        let disk = |error: std::io::Error| {
            ApiError::new(Code::Internal, format!("The backup cannot be read: {error}."))
        };
        let mut parts = backup_files::read(directory, &self.manifest).map_err(disk)?;
        while let Some(part) = parts.recv().await {
            let part = part.map_err(disk)?;
            self.restore_part(part).await?;
        }
        self.loader.wait_for_tasks(0).await?;
        for (uid, policy) in self.manifest.ttl_policies.clone() {
            if self.is_wanted(&uid) {
                let request = json_request(
                    Method::POST,
                    &format!("/_miroir/indexes/{uid}/ttl-policy"),
                    &json!(policy),
                )?;
                ttl::policy(&self.core, &request, &uid).await?;
            }
        }
        self.restore_aliases().await
    }

    fn is_wanted(&self, uid: &str) -> bool {
        self.manifest.indexes.iter().any(|index| index.uid == uid)
    }

    async fn restore_part(&mut self, part: Part) -> Result<(), ApiError> {
        match part {
            Part::Index { uid, primary_key } if self.is_wanted(&uid) => {
                self.loader.index(&uid, primary_key.as_deref()).await
            }
            Part::Settings { uid, settings } if self.is_wanted(&uid) => {
                self.loader.settings(&uid, &settings).await
            }
            Part::Documents { uid, lines, count } if self.is_wanted(&uid) => {
                let (count, bytes) = (count as u64, lines.len() as u64);
                self.loader.documents(&uid, lines, count).await?;
                self.restore.documents += count;
                self.restore.bytes += bytes;
                self.note().await;
                Ok(())
            }
            Part::Key(key) => self.loader.key(&key).await,
            Part::Index { .. }
            | Part::Settings { .. }
            | Part::Documents { .. }
            | Part::End { .. }
            | Part::Name { .. }
            | Part::Metadata(_) => Ok(()),
        }
    }

    /// An alias that is there already stays as it is, and so does one whose indexes are not restored.
    async fn restore_aliases(&self) -> Result<(), ApiError> {
        for alias in &self.manifest.aliases {
            if !alias.targets.iter().all(|target| self.is_wanted(target)) {
                continue;
            }
            let view = alias.view();
            let mut body = json!({"name": alias.name});
            for name in ["target", "targets"] {
                if !view[name].is_null() {
                    body[name] = view[name].clone();
                }
            }
            let request = json_request(Method::POST, "/_miroir/aliases", &body)?;
            match aliases::serve(&self.core, &request, aliases::AliasesRoute::Create).await {
                Err(error) if error.code() == Some(Code::MiroirAliasConflict) => {}
                created => drop(created?),
            }
        }
        Ok(())
    }
}
