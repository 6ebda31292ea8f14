//! The records in sled's trees, and what each command does to them.
//! - One record is one key of one tree. A command checks the stored record before it changes it; as the only writer it
//!   needs no transaction for that (see `commit` for commands of many changes).
//! - The task index follows the tree: it changes only after the tree has taken the record.
//! - A counter is raised in the same sync as the records that rely on it, or in an earlier one.

pub(crate) mod commit;
pub(crate) mod coordination;
pub(crate) mod log;
pub(crate) mod transfer;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::codec::{decode, encode};
use super::tree::{Ground, Tree};
use super::{FORMAT_VERSION, Refusal, first_line};
use crate::answer::Answer;
use crate::change_ring::{ChangeLog, Changes, Name};
use crate::command::{Read, Write};
use crate::idempotency::{self, FirstTask, IDEMPOTENCY_KEYS, IdempotencyKey};
use crate::limits::{IDEMPOTENCY_KEY_COUNT_MAX, REVISION_BLOCK, TASK_COUNT_MAX};
use crate::sled_backend::body_files::{Bodies, FileChanges};
use crate::task_index::TaskIndex;
use crate::{
    Clock, IndexRecord, NewTask, Record, StoreError, Table, TaskChange, TaskPage, TaskQuery, TaskRecord,
    Versioned,
};

/// Sends a write's answer after its sync. If the sync failed, its error replaces the answer.
pub(super) type Deferred = Box<dyn FnOnce(Option<&StoreError>)>;

const META_VERSION: &str = "version";
const META_TASK_UID_NEXT: &str = "task_uid_next";
const META_REVISIONS_RESERVED: &str = "revisions_reserved";
const TOPOLOGY_KEY: &str = "current";

pub(super) struct Tables {
    meta: Tree,
    topology: Tree,
    indexes: Tree,
    tasks: Tree,
    records: Tree,
    log: Tree,
    /// The files of long bodies; `None` when all bodies are stored in the log itself.
    bodies: Option<Bodies>,
    task_index: TaskIndex,
    task_uid_next: u32,
    revision_next: u64,
    revisions_reserved: u64,
    /// The number of records in `IDEMPOTENCY_KEYS`.
    idempotency_key_count: u64,
    dirty: bool,
    clock: Clock,
    /// Names changed since the last sync; `changes` has those of earlier syncs.
    names: Vec<Name>,
    changes: ChangeLog,
}

/// A generic record as it is stored.
#[derive(Serialize, Deserialize)]
struct Revised<T = Value> {
    revision: u64,
    value: T,
}

impl Tables {
    /// Reads every task once to rebuild the index. `existing` says that the directory claims to hold a store, which
    /// must then have a version record.
    pub(super) fn open(
        ground: Ground<'_>,
        bodies: Option<Bodies>,
        clock: Clock,
        existing: bool,
    ) -> Result<Tables, Refusal> {
        let mut tables = Tables {
            meta: ground.tree("meta")?,
            topology: ground.tree("topology")?,
            indexes: ground.tree("indexes")?,
            tasks: ground.tree("tasks")?,
            records: ground.tree("records")?,
            log: ground.tree("log")?,
            bodies,
            task_index: TaskIndex::default(),
            task_uid_next: 0,
            revision_next: 1,
            revisions_reserved: 1,
            idempotency_key_count: 0,
            dirty: false,
            clock,
            names: Vec::new(),
            changes: ChangeLog::default(),
        };
        match get::<u32>(&tables.meta, META_VERSION)? {
            Some(found) if found > FORMAT_VERSION => return Err(Refusal::NewerVersion(found)),
            Some(_) => {}
            None if existing => return Err(Refusal::Corrupt("its records are gone".to_owned())),
            None => {
                put(&tables.meta, META_VERSION, &FORMAT_VERSION)?;
                ground.flush()?;
            }
        }
        let uid_next = get::<u32>(&tables.meta, META_TASK_UID_NEXT)?.unwrap_or(0);
        tables.revisions_reserved = get::<u64>(&tables.meta, META_REVISIONS_RESERVED)?.unwrap_or(1);
        tables.revision_next = tables.revisions_reserved;
        for entry in tables.tasks.iter() {
            let (_key, bytes) = entry?;
            tables.task_index.insert(&decode::<TaskRecord>(&bytes)?);
        }
        tables.idempotency_key_count = tables.count(IDEMPOTENCY_KEYS)?;
        tables.sweep_bodies()?;
        tables.end_claims()?;
        tables.names.clear();
        tables.task_uid_next = tables.task_index.uid_max().map_or(0, |uid| uid + 1).max(uid_next);
        Ok(tables)
    }

    /// Whether anything has changed since the last call.
    pub(super) fn take_dirty(&mut self) -> bool {
        std::mem::take(&mut self.dirty)
    }

    /// Announces the changes to watchers, now that they are durable.
    pub(super) fn publish(&mut self) {
        self.changes.add(self.names.drain(..));
    }

    /// The file operations of the next sync.
    pub(super) fn take_file_changes(&mut self) -> FileChanges {
        self.bodies.as_mut().map(Bodies::take_changes).unwrap_or_default()
    }

    /// What has changed since a version, if anything has.
    pub(super) fn news(&self, after: Option<u64>) -> Option<Changes> {
        self.changes.news(after)
    }

    pub(super) fn answer(&mut self, read: Read) {
        self.look(read)(None);
    }

    /// Reads now; the answer keeps this state, whenever it is sent.
    pub(super) fn look(&mut self, read: Read) -> Deferred {
        match read {
            Read::Topology { answer } => defer(answer, get(&self.topology, TOPOLOGY_KEY)),
            Read::Indexes { answer } => defer(answer, self.all_indexes()),
            Read::Index { uid, answer } => defer(answer, get(&self.indexes, uid)),
            Read::Task { uid, answer } => defer(answer, get(&self.tasks, uid.to_be_bytes())),
            Read::FirstTask { key, answer } => defer(answer, self.first_task(&key)),
            Read::Tasks { query, answer } => defer(answer, self.task_page(&query)),
            Read::TaskUids { query, answer } => {
                defer(answer, Ok(self.task_index.select(&query).into_iter().collect()))
            }
            Read::UnfinishedTasks { count_max, answer } => {
                defer(answer, self.tasks_of(self.task_index.unfinished().into_iter().take(count_max)))
            }
            Read::Record { table, key, answer } => defer(answer, self.record(table, key)),
            Read::Records { table, after, limit, answer } => {
                defer(answer, self.records_after(table, after.as_deref(), limit))
            }
            Read::Entries { log, stream, after, bytes_max, answer } => {
                defer(answer, self.entries(log, &stream, after, bytes_max))
            }
            Read::LogSizes { log, answer } => defer(answer, self.log_sizes(log)),
            Read::Leases { prefix, answer } => defer(answer, self.leases(&prefix)),
            Read::Jobs { queue, answer } => defer(answer, self.jobs(&queue)),
            Read::Stored { after, answer } => defer(answer, self.stored(after)),
            Read::Changes { after, answer } => {
                self.changes.watch(after, answer);
                Box::new(|_| ())
            }
        }
    }

    pub(super) fn apply(&mut self, write: Write) -> Deferred {
        match write {
            Write::PutTopology { expected, version, value, answer } => {
                defer(answer, self.put_topology(expected, Versioned { version, value }))
            }
            Write::PutIndex { record, expected_revision, answer } => {
                defer(answer, self.put_index(*record, expected_revision))
            }
            Write::DeleteIndex { uid, expected_revision, answer } => {
                defer(answer, self.delete_index(&uid, expected_revision))
            }
            Write::CreateTask { new, pod, answer } => defer(answer, self.create_task(*new, pod)),
            Write::UpdateTask { uid, change, answer } => defer(answer, self.update_task(uid, *change)),
            Write::DeleteTasks { uids, answer } => defer(answer, self.delete_tasks(uids)),
            Write::PruneTasks { finished_before, count_max, answer } => {
                let uids = self.task_index.prunable(finished_before, count_max);
                defer(answer, self.delete_tasks(uids).map(|deleted| deleted.len()))
            }
            Write::Commit { changes, answer } => defer(answer, self.commit(changes)),
            Write::PutRecord { table, key, value, expected_revision, answer } => {
                defer(answer, self.put_record(table, &key, value, expected_revision))
            }
            Write::TakeTaskUids { count, least, answer } => defer(answer, self.take_task_uids(count, least)),
            Write::Load { entries, answer } => defer(answer, self.load(entries)),
            Write::Step { step, answer } => {
                let outcome = self.step(&step);
                Box::new(move |error| answer(error.map_or(outcome, |error| Err(error.clone()))))
            }
            Write::DeleteRecord { table, key, expected_revision, answer } => {
                defer(answer, self.delete_record(table, &key, expected_revision))
            }
        }
    }

    fn put_topology(&mut self, expected: Option<u64>, next: Versioned<Value>) -> Result<(), StoreError> {
        let stored = get::<Versioned<Value>>(&self.topology, TOPOLOGY_KEY)?.map(|topology| topology.version);
        if stored != expected || stored.is_some_and(|version| version >= next.version) {
            return Err(StoreError::Conflict);
        }
        self.dirty = true;
        self.names.push(Name::Topology);
        put(&self.topology, TOPOLOGY_KEY, &next)
    }

    fn all_indexes(&self) -> Result<Vec<IndexRecord>, StoreError> {
        self.indexes.iter().map(|entry| decode(&entry.map_err(failed)?.1)).collect()
    }

    fn put_index(&mut self, mut record: IndexRecord, expected: Option<u64>) -> Result<u64, StoreError> {
        let stored = get::<IndexRecord>(&self.indexes, &record.uid)?.map(|index| index.revision);
        if stored != expected {
            return Err(StoreError::Conflict);
        }
        record.revision = self.next_revision()?;
        put(&self.indexes, &record.uid, &record)?;
        self.names.push(Name::Index(record.uid));
        Ok(record.revision)
    }

    fn delete_index(&mut self, uid: &str, expected: u64) -> Result<(), StoreError> {
        let stored = get::<IndexRecord>(&self.indexes, uid)?.map(|index| index.revision);
        if stored != Some(expected) {
            return Err(StoreError::Conflict);
        }
        self.dirty = true;
        self.indexes.remove(uid).map_err(failed)?;
        self.names.push(Name::Index(uid.to_owned()));
        Ok(())
    }

    fn create_task(&mut self, new: NewTask, pod: Option<String>) -> Result<TaskRecord, StoreError> {
        if self.task_index.len() >= TASK_COUNT_MAX {
            return Err(StoreError::Full);
        }
        if let Some(key) = &new.idempotency_key {
            self.check_idempotency_key(key)?;
        }
        let idempotency_key = new.idempotency_key.clone();
        let task = TaskRecord::first(self.task_uid_next, new, pod);
        let task_uid_next = self.task_uid_next.checked_add(1).ok_or(StoreError::Full)?;
        self.dirty = true;
        put(&self.tasks, task.uid.to_be_bytes(), &task)?;
        self.task_uid_next = task_uid_next;
        self.task_index.insert(&task);
        if let Some(idempotency_key) = idempotency_key {
            let revision = self.next_revision()?;
            let value = FirstTask::new(&idempotency_key, &task, (self.clock)());
            let key = record_key(IDEMPOTENCY_KEYS, &idempotency_key.key);
            let before = self.records.insert(key, encode(&Revised { revision, value })?).map_err(failed)?;
            self.idempotency_key_count += u64::from(before.is_none());
        }
        Ok(task)
    }

    fn check_idempotency_key(&self, key: &IdempotencyKey) -> Result<(), StoreError> {
        let known = get::<Revised<FirstTask>>(&self.records, record_key(IDEMPOTENCY_KEYS, &key.key))?;
        idempotency::judge(key, known.map(|known| known.value).as_ref(), (self.clock)())?;
        if self.idempotency_key_count >= IDEMPOTENCY_KEY_COUNT_MAX { Err(StoreError::Full) } else { Ok(()) }
    }

    fn first_task(&self, key: &str) -> Result<Option<FirstTask>, StoreError> {
        let known = get::<Revised<FirstTask>>(&self.records, record_key(IDEMPOTENCY_KEYS, key))?;
        Ok(known.map(|known| known.value).filter(|known| known.is_live((self.clock)())))
    }

    fn count(&self, table: Table) -> Result<u64, StoreError> {
        let (start, end) = bounds(table);
        self.records.range(start..end).try_fold(0, |count, entry| entry.map(|_| count + 1)).map_err(failed)
    }

    fn update_task(&mut self, uid: u32, change: TaskChange) -> Result<TaskRecord, StoreError> {
        let before: TaskRecord = get(&self.tasks, uid.to_be_bytes())?.ok_or(StoreError::Conflict)?;
        let after = before.changed(change)?;
        self.dirty = true;
        put(&self.tasks, uid.to_be_bytes(), &after)?;
        self.task_index.replace(&before, &after);
        Ok(after)
    }

    /// Deletes the finished tasks among `uids`. Stores the uid counter first, so that a deleted highest uid is not
    /// given out again after a restart.
    fn delete_tasks(&mut self, mut uids: Vec<u32>) -> Result<Vec<u32>, StoreError> {
        uids.sort_unstable();
        uids.dedup();
        let mut deleted = Vec::new();
        for uid in uids {
            let Some(task) = get::<TaskRecord>(&self.tasks, uid.to_be_bytes())? else { continue };
            if !task.status.is_finished() {
                continue;
            }
            if deleted.is_empty() {
                self.dirty = true;
                put(&self.meta, META_TASK_UID_NEXT, &self.task_uid_next)?;
            }
            self.tasks.remove(uid.to_be_bytes()).map_err(failed)?;
            self.task_index.remove(&task);
            deleted.push(uid);
        }
        Ok(deleted)
    }

    fn task_page(&mut self, query: &TaskQuery) -> Result<TaskPage, StoreError> {
        let page = self.task_index.page(query);
        let from = page.uids.first().copied();
        Ok(TaskPage { tasks: self.tasks_of(page.uids)?, total: page.total, from, next: page.next })
    }

    fn tasks_of(&self, uids: impl IntoIterator<Item = u32>) -> Result<Vec<TaskRecord>, StoreError> {
        let stored = |uid: u32| {
            let task = get(&self.tasks, uid.to_be_bytes())?;
            task.ok_or_else(|| StoreError::Io(format!("the record of task {uid} is gone")))
        };
        uids.into_iter().map(stored).collect()
    }

    fn record(&self, table: Table, key: String) -> Result<Option<Record>, StoreError> {
        let stored: Option<Revised> = get(&self.records, record_key(table, &key))?;
        Ok(stored.map(|Revised { revision, value }| Record { key, value, revision }))
    }

    fn records_after(
        &self,
        table: Table,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let skipped = after.map(|after| record_key(table, after));
        let start = skipped.clone().unwrap_or(record_key(table, ""));
        self.records_in(table, start, skipped.as_deref(), limit)
    }

    fn records_in(
        &self,
        table: Table,
        start: Vec<u8>,
        skipped: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let prefix_length = table.name().len() + 1;
        let (_, end) = bounds(table);
        let mut records = Vec::new();
        for entry in self.records.range(start..end) {
            if records.len() == limit {
                break;
            }
            let (key, bytes) = entry.map_err(failed)?;
            if skipped == Some(&key[..]) {
                continue;
            }
            let key = String::from_utf8_lossy(&key[prefix_length..]).into_owned();
            let Revised { revision, value } = decode(&bytes)?;
            records.push(Record { key, value, revision });
        }
        Ok(records)
    }

    fn put_record(
        &mut self,
        table: Table,
        key: &str,
        value: Value,
        expected: Option<u64>,
    ) -> Result<u64, StoreError> {
        let stored = get::<Revised>(&self.records, record_key(table, key))?.map(|record| record.revision);
        if stored != expected {
            return Err(StoreError::Conflict);
        }
        let revision = self.next_revision()?;
        put(&self.records, record_key(table, key), &Revised { revision, value })?;
        self.idempotency_key_count += u64::from(table == IDEMPOTENCY_KEYS && stored.is_none());
        self.names.push(record_name(table, key));
        Ok(revision)
    }

    fn delete_record(&mut self, table: Table, key: &str, expected: u64) -> Result<(), StoreError> {
        let stored = get::<Revised>(&self.records, record_key(table, key))?.map(|record| record.revision);
        if stored != Some(expected) {
            return Err(StoreError::Conflict);
        }
        self.remove_record(table, key)
    }

    fn remove_record(&mut self, table: Table, key: &str) -> Result<(), StoreError> {
        self.dirty = true;
        let before = self.records.remove(record_key(table, key)).map_err(failed)?;
        self.idempotency_key_count -= u64::from(table == IDEMPOTENCY_KEYS && before.is_some());
        self.names.push(record_name(table, key));
        Ok(())
    }

    fn next_revision(&mut self) -> Result<u64, StoreError> {
        self.dirty = true;
        if self.revision_next == self.revisions_reserved {
            let reserved = self.revisions_reserved + REVISION_BLOCK;
            put(&self.meta, META_REVISIONS_RESERVED, &reserved)?;
            self.revisions_reserved = reserved;
        }
        self.revision_next += 1;
        Ok(self.revision_next - 1)
    }
}

fn get<T: serde::de::DeserializeOwned>(tree: &Tree, key: impl AsRef<[u8]>) -> Result<Option<T>, StoreError> {
    tree.get(key).map_err(failed)?.map(|bytes| decode(&bytes)).transpose()
}

fn put<T: Serialize>(tree: &Tree, key: impl AsRef<[u8]>, value: &T) -> Result<(), StoreError> {
    tree.insert(key, encode(value)?).map_err(failed)?;
    Ok(())
}

fn record_name(table: Table, key: &str) -> Name {
    Name::Record { table: table.name().to_owned(), key: key.to_owned() }
}

/// The range of a table's keys. Keys are UTF-8, so a byte of 255 lies behind all of them.
fn bounds(table: Table) -> (Vec<u8>, Vec<u8>) {
    (record_key(table, ""), [table.name().as_bytes(), &[0, u8::MAX]].concat())
}

/// Table names have no zero byte, so a table's keys lie together and no two tables share one.
fn record_key(table: Table, key: &str) -> Vec<u8> {
    [table.name().as_bytes(), &[0], key.as_bytes()].concat()
}

#[expect(clippy::needless_pass_by_value, reason = "shaped for map_err")]
fn failed(error: std::io::Error) -> StoreError {
    StoreError::Io(first_line(&error.to_string()))
}

fn defer<T: 'static>(answer: Answer<T>, result: Result<T, StoreError>) -> Deferred {
    Box::new(move |sync_error| reply(answer, sync_error.map_or(result, |error| Err(error.clone()))))
}

fn reply<T>(answer: Answer<T>, result: Result<T, StoreError>) {
    // A dropped reply is no error: the caller no longer wants the answer.
    let _ = answer.send(result);
}
