//! Notes what clients change, for the stream of changes: before the first node is asked, and for good with the task.
//!
//! Invariants: a change that is confirmed and its entry in the stream are one commit. What was noted of a change that
//! a crash interrupted becomes an entry at its recovery, since nodes may have taken it. A refused change leaves
//! nothing; one that nodes refuse after it was told, or that is canceled, is told so in the commit that ends its task.
//! While the stream is off nothing is noted.

use bytes::Bytes;
use router::ShardSet;
use serde_json::{Value, json};
use store::{Change, StoreError, Table, TaskChange, TaskKind, TaskRecord, TaskStatus};

use crate::{
    api::{error::ApiError, tasks::view},
    clock,
    state::{
        change::{Action, DocumentWrite, Draft, Erased},
        core::Core,
        shared::Shared,
    },
};

/// The log of confirmed changes; all of them are one stream.
pub const CHANGES: Table = Table::named("cdc_changes");
pub const STREAM: &str = "all";
/// The log of changes that are under way, a stream for each task.
const PENDING: Table = Table::named("cdc_pending");

/// The metadata of a task that sweeps expired documents, which clients see.
pub(crate) const SWEEP: &str = "miroir-ttl-sweep";

/// What a task changes, as an entry of the stream has it: one line of JSON, and the documents as lines behind it.
#[derive(Debug, Clone)]
pub(crate) struct Noted {
    pub(crate) task: u32,
    entry: Bytes,
}

/// The part of a change that the stream tells; `None` for what does not change documents.
pub(crate) fn draft_of(core: &Core, index_uid: &str, action: &Action) -> Option<Draft> {
    if !core.shared.config.cdc.on {
        return None;
    }
    match action {
        Action::OnExisting(action) => draft_of(core, index_uid, action),
        Action::OnEveryNode { suffix: "/documents/edit", body, .. } => {
            let body = serde_json::from_slice::<Value>(body).unwrap_or_default();
            Some(Draft { filter: Some(body["filter"].clone()), ..Draft::of("update") })
        }
        Action::DeleteIndex => Some(Draft { filter: Some(Value::Null), ..Draft::of("delete") }),
        Action::DeleteDocuments { .. } | Action::OnEveryNode { .. } => match action.erases()? {
            Erased::Keys(keys) => {
                let snapshot = core.shared.snapshot();
                let count = snapshot.indexes.get(index_uid).map(|index| index.record.shards);
                let count = count.unwrap_or(core.shared.config.shards);
                let shards = keys.iter().map(|key| router::shard_of(key, count)).collect();
                Some(Draft { keys, shards, ..Draft::of("delete") })
            }
            Erased::Matching(filter) => {
                Some(Draft { filter: Some(filter.unwrap_or(Value::Null)), ..Draft::of("delete") })
            }
        },
        Action::AddDocuments(_)
        | Action::CreateIndex { .. }
        | Action::ChangeSettings(_)
        | Action::Fail(_) => None,
    }
}

/// What is told of a write of documents.
pub(crate) fn draft_of_write(core: &Core, write: &mut DocumentWrite) -> Option<Draft> {
    let (parsed, shards) = write.told.take()?;
    if parsed.is_empty() {
        return None;
    }
    let keys = parsed.documents().map(|document| document.id.to_owned()).collect::<Vec<_>>();
    let documents = core.shared.config.cdc.has_bodies().then(|| {
        let mut lines = Vec::new();
        for document in parsed.documents() {
            let begun = lines.len();
            if merge::strip_document(document.raw.as_bytes(), &mut lines).is_err() {
                lines.truncate(begun);
                lines.extend_from_slice(b"null");
            }
            lines.push(b'\n');
        }
        lines
    });
    let operation = if write.replace { "add" } else { "update" };
    Some(Draft { keys, shards: parsed.shards(shards), documents, ..Draft::of(operation) })
}

/// Notes durably what tasks are about to change.
///
/// # Errors
/// 503 while the stream has no room and writes have to wait for it; the store's error. Nothing is noted then.
pub(crate) async fn note(
    core: &Core,
    index_uid: &str,
    drafts: Vec<(&TaskRecord, Draft)>,
) -> Result<Vec<Noted>, ApiError> {
    if !drafts.is_empty() && core.shared.cdc.is_blocked() {
        let message = "The stream of changes is full: writes wait until its sinks have caught up.";
        return Err(ApiError::overloaded(message).because("cdc_full"));
    }
    let mut noted = Vec::with_capacity(drafts.len());
    let mut changes = Vec::with_capacity(drafts.len());
    let snapshot = core.shared.snapshot();
    let version = snapshot.indexes.get(index_uid).map_or(1, |index| index.record.settings_version);
    for (task, draft) in drafts {
        if is_suppressed(core, task) {
            metrics::counter!("miroir_cdc_suppressed_total", "origin" => "ttl").increment(1);
            continue;
        }
        let entry = Noted { task: task.uid, entry: entry_of(index_uid, version, task, draft) };
        changes.push(Change::Append {
            log: PENDING,
            stream: task.uid.to_string(),
            header: Value::Null,
            body: entry.entry.clone(),
        });
        noted.push(entry);
    }
    if !changes.is_empty() {
        core.shared.store.commit(changes).await?;
    }
    Ok(noted)
}

/// Whether a change is the gateway's own and not to be told.
fn is_suppressed(core: &Core, task: &TaskRecord) -> bool {
    task.custom_metadata.as_deref() == Some(SWEEP) && !core.shared.config.cdc.ttl_deletes
}

fn entry_of(index_uid: &str, settings_version: u64, task: &TaskRecord, draft: Draft) -> Bytes {
    let Draft { operation, keys, shards, filter, documents } = draft;
    let line = json!({
        "taskUid": task.uid,
        "index": index_uid,
        "operation": operation,
        "primaryKeys": keys,
        "shardIds": shards,
        "filter": filter,
        "settingsVersion": settings_version,
        "timestamp": view::date(clock::utc()),
    });
    let mut entry = line.to_string().into_bytes();
    entry.push(b'\n');
    entry.extend_from_slice(documents.as_deref().unwrap_or_default());
    entry.into()
}

impl Noted {
    /// The change that makes an entry of the stream of it.
    pub(crate) fn append(&self) -> Change {
        let body = self.entry.clone();
        Change::Append { log: CHANGES, stream: STREAM.to_owned(), header: Value::Null, body }
    }

    /// Counts it as an entry of the stream.
    pub(crate) fn count(&self, shared: &Shared) {
        shared.cdc.added(self.entry.len());
        metrics::counter!("miroir_cdc_events_total").increment(1);
    }
}

/// The changes of a commit that confirms a task: what was noted becomes an entry of the stream.
pub(crate) fn confirmed(shared: &Shared, noted: &Noted) -> [Change; 2] {
    noted.count(shared);
    [noted.append(), dropped(noted.task)]
}

/// What the stream tells of a task whose change was told, and which ends without it; `None` for any other end. `shards`
/// are those whose nodes did not do it.
pub(crate) fn undone(
    core: &Core,
    task: &TaskRecord,
    change: &TaskChange,
    shards: &ShardSet,
) -> Option<Noted> {
    let operation = match change.status? {
        TaskStatus::Failed => "refuse",
        TaskStatus::Canceled => "cancel",
        TaskStatus::Enqueued | TaskStatus::Processing | TaskStatus::Succeeded => return None,
    };
    let changes_documents = matches!(
        task.kind,
        TaskKind::DocumentAdditionOrUpdate
            | TaskKind::DocumentDeletion
            | TaskKind::DocumentEdition
            | TaskKind::IndexDeletion
    );
    let index_uid = task.index_uid.as_deref()?;
    if !core.shared.config.cdc.on || !changes_documents || is_suppressed(core, task) {
        return None;
    }
    let snapshot = core.shared.snapshot();
    let line = json!({
        "taskUid": task.uid,
        "index": index_uid,
        "operation": operation,
        "shardIds": shards.iter().collect::<Vec<_>>(),
        "settingsVersion": snapshot.indexes.get(index_uid).map_or(1, |index| index.record.settings_version),
        "timestamp": view::date(clock::utc()),
        "error": change.error,
    });
    Some(Noted { task: task.uid, entry: format!("{line}\n").into() })
}

/// The change of a commit that refuses a task.
pub(crate) fn dropped(task: u32) -> Change {
    Change::Truncate { log: PENDING, stream: task.to_string(), through: u64::MAX }
}

/// The changes that go with the recovery of an interrupted task: what was noted of it is told.
///
/// # Errors
/// The store's.
pub async fn recovered(shared: &Shared, task: u32) -> Result<Vec<Change>, StoreError> {
    if !shared.config.cdc.on {
        return Ok(Vec::new());
    }
    let entries = shared.store.entries(PENDING, &task.to_string(), 0, usize::MAX).await?;
    let mut changes = Vec::new();
    for entry in entries {
        let noted = Noted { task, entry: entry.body };
        noted.count(shared);
        changes.push(noted.append());
    }
    if !changes.is_empty() {
        changes.push(dropped(task));
    }
    Ok(changes)
}
