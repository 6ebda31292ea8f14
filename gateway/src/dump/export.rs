//! Makes dumps of the whole cluster, in the format of one node.
//!
//! Invariants: a dump has every document once, from one owner of its shard, with its vectors and without reserved
//! fields. While the documents of an index are read its lane is locked, so that they are of one moment. A dump that
//! was interrupted is begun again.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{Change, TaskChange, TaskKind, TaskQuery, TaskRecord, TaskStatus};
use time::OffsetDateTime;

use crate::{
    api::{
        error::{ApiError, Code},
        settings,
    },
    clock,
    config::limits,
    dump::{archive::Archive, fingerprint, format, pages::Pages},
    observe::log,
    read::ask,
    state::{
        core::Core,
        leadership::Term,
        snapshot::{Index, Snapshot},
    },
    wire::runtime,
    write::{lane, tasks::status},
};

/// Makes the requested dumps, oldest first.
pub async fn work_off(core: &Core, term: &Term) {
    let query = TaskQuery {
        kinds: Some(vec![TaskKind::DumpCreation]),
        statuses: Some(vec![TaskStatus::Enqueued, TaskStatus::Processing]),
        limit: 1,
        reverse: true,
        ..TaskQuery::default()
    };
    while let Ok(page) = core.shared.store.tasks(query.clone()).await
        && let Some(record) = page.tasks.into_iter().next()
    {
        let started = clock::utc();
        let begun = TaskChange {
            status: Some(TaskStatus::Processing),
            started_at: Some(started),
            ..TaskChange::default()
        };
        let change = |change| vec![Change::UpdateTask { uid: record.uid, change: Box::new(change) }];
        if core.shared.commit_by(term, change(begun)).await.is_err() {
            // Another pod leads by now.
            return;
        }
        let uid = format::uid(started);
        let mut ended = match make(core, &record, &uid, started).await {
            Ok(()) => TaskChange {
                status: Some(TaskStatus::Succeeded),
                details: Some(json!({"dumpUid": uid})),
                ..TaskChange::default()
            },
            Err(error) => {
                let error = error.into_task_error();
                log::warn("dump_failed", &[("task", &record.uid.to_string()), ("reason", &error.message)]);
                TaskChange { status: Some(TaskStatus::Failed), error: Some(error), ..TaskChange::default() }
            }
        };
        ended.finished_at = Some(clock::utc());
        if core.shared.commit_by(term, change(ended)).await.is_err() {
            return;
        }
    }
}

async fn make(core: &Core, task: &TaskRecord, uid: &str, started: OffsetDateTime) -> Result<(), ApiError> {
    wait_for_earlier(core, Some(task.uid), None).await?;
    let version =
        ask::any_node(core, "/version").await?["pkgVersion"].as_str().unwrap_or("1.15.0").to_owned();
    let archive =
        Archive::begin(core.shared.config.dump_dir.clone(), uid.to_owned()).map_err(|error| disk(&error))?;
    write_all(core, &archive, &version, started, &Extent { before: Some(task.uid), only: None }).await?;
    archive.finish().await.map_err(|error| disk(&error))
}

/// What of the cluster is written.
pub(super) struct Extent<'a> {
    /// The tasks below this one have ended, and are written; without it none are.
    pub(super) before: Option<u32>,
    /// These indexes, or all.
    pub(super) only: Option<&'a [String]>,
}

/// An index as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    pub uid: String,
    pub documents: u64,
    /// The sum of the documents' hashes, in hexadecimal: the order of documents and of their fields does not count.
    pub fingerprint: String,
}

/// Writes the contents of a dump, in the order in which one node reads them.
pub(super) async fn write_all(
    core: &Core,
    archive: &Archive,
    version: &str,
    started: OffsetDateTime,
    extent: &Extent<'_>,
) -> Result<Vec<Written>, ApiError> {
    archive.file("metadata.json", format::metadata(version, started).to_string()).await;
    write_keys(core, archive).await;
    archive
        .file(
            "experimental-features.json",
            Value::Object(crate::read::node_features::shown(core).await?).to_string(),
        )
        .await;
    archive.file("network.json", crate::state::network::dumped(core).await?.to_string()).await;
    let webhooks = json!({"webhooks": core.shared.webhooks.load().value});
    archive.file("webhooks.json", webhooks.to_string()).await;
    for folder in ["tasks", "tasks/update_files", "batches", "indexes"] {
        archive.folder(folder).await;
    }
    write_tasks(core, archive, extent.before.unwrap_or(0)).await?;
    archive.file("batches/queue.jsonl", "").await;
    let mut uids = core.shared.snapshot().indexes.keys().cloned().collect::<Vec<_>>();
    uids.sort_unstable();
    uids.retain(|uid| extent.only.is_none_or(|only| only.contains(uid)));
    let mut written = Vec::new();
    for index_uid in uids {
        written.extend(write_index(core, archive, extent.before, &index_uid).await?);
    }
    Ok(written)
}

/// Waits until the tasks before this one have ended: those of one index, or all.
pub(super) async fn wait_for_earlier(
    core: &Core,
    task: Option<u32>,
    index_uid: Option<&str>,
) -> Result<(), ApiError> {
    loop {
        status::refresh_unfinished(core).await?;
        let unfinished = core.shared.store.unfinished_tasks(limits::TASKS_REFRESHED_MAX).await?;
        let concerns = |record: &TaskRecord| match index_uid {
            Some(uid) => record.index_uid.as_deref() == Some(uid),
            None => task.is_some_and(|task| record.uid < task),
        };
        if !unfinished.iter().any(|record| record.accepted && Some(record.uid) != task && concerns(record)) {
            return Ok(());
        }
        runtime::sleep(limits::NODE_TASK_POLL_INTERVAL).await;
    }
}

async fn write_keys(core: &Core, archive: &Archive) {
    let mut lines = String::new();
    for held in core.shared.keys.load().newest_first() {
        lines.push_str(&format::key(&held.key).to_string());
        lines.push('\n');
    }
    archive.file("keys.jsonl", lines).await;
}

async fn write_tasks(core: &Core, archive: &Archive, below: u32) -> Result<(), ApiError> {
    let mut from = Some(0);
    while from.is_some_and(|uid| uid < below) {
        let query =
            TaskQuery { from, limit: limits::TASKS_PER_DUMP_READ, reverse: true, ..TaskQuery::default() };
        let page = core.shared.store.tasks(query).await?;
        let earlier = page.tasks.iter().filter(|record| record.uid < below);
        let lines = earlier.filter_map(format::task).map(|line| format!("{line}\n")).collect::<String>();
        archive.lines(lines).await;
        from = page.next;
    }
    archive.end("tasks/queue.jsonl").await;
    Ok(())
}

/// Writes an index; `None` for one that was deleted meanwhile.
async fn write_index(
    core: &Core,
    archive: &Archive,
    task: Option<u32>,
    uid: &str,
) -> Result<Option<Written>, ApiError> {
    let _guard = lane::lock(core, vec![uid]).await?;
    wait_for_earlier(core, task, Some(uid)).await?;
    let snapshot = core.shared.snapshot();
    // It may have been deleted since the list was made.
    let Some(index) = snapshot.indexes.get(uid) else { return Ok(None) };
    archive.folder(format!("indexes/{uid}")).await;
    archive
        .file(format!("indexes/{uid}/metadata.json"), format::index_metadata(&index.record).to_string())
        .await;
    let mut of_node = ask::any_node(core, &format!("/indexes/{}/settings", index.record.node_uid)).await?;
    if let Value::Object(members) = &mut of_node {
        settings::from_node(members, &index.record.settings, index.rules.tie_break.as_ref());
    }
    let shown = format::without_hidden_keys(of_node).to_string();
    archive.file(format!("indexes/{uid}/settings.json"), shown).await;
    // A plain dump is compared with nothing.
    let is_hashed = task.is_none();
    let (documents, sum) = write_documents(core, archive, &snapshot, index, is_hashed).await?;
    archive.end(format!("indexes/{uid}/documents.jsonl")).await;
    Ok(Some(Written { uid: uid.to_owned(), documents, fingerprint: format!("{sum:016x}") }))
}

/// Writes the documents of an index; gives how many they are, and the sum of their hashes.
async fn write_documents(
    core: &Core,
    archive: &Archive,
    snapshot: &Snapshot,
    index: &Index,
    is_hashed: bool,
) -> Result<(u64, u64), ApiError> {
    let (mut documents, mut sum) = (0_u64, 0_u64);
    let mut pages = Pages::new(core, snapshot, index, None)?;
    while let Some((lines, count)) = pages.next().await? {
        documents += count as u64;
        if is_hashed {
            sum = sum.wrapping_add(fingerprint::of_lines(&lines));
        }
        archive.lines(lines).await;
    }
    Ok((documents, sum))
}

pub(super) fn disk(error: &std::io::Error) -> ApiError {
    ApiError::new(Code::Internal, format!("The dump cannot be written: {error}."))
}
