//! What a write asks of the commit script: the revisions that must still be stored, and the operations to do then.
//! - A plan relies on records as they were read. The script verifies that they are unchanged.
//! - A failed check of the caller's expectation is a conflict. A failed check of the plan's own is a race, and the
//!   write is planned again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use fred::types::Value;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::command::Write;
use crate::coordination::{self, Act, After, JOBS, LEASES, Outcome, Step, decide, queue_prefix};
use crate::idempotency::{self, FirstTask, IDEMPOTENCY_KEYS};
use crate::limits::{IDEMPOTENCY_KEY_COUNT_MAX, RECORD_BYTES_MAX};
use crate::redis_backend::scripts::padded;
use crate::transfer::Entry;
use crate::{Change, NewTask, StoreError, Table, TaskChange, TaskRecord};

pub(super) const TASKS: &str = "tasks";
pub(super) const INDEXES: &str = "indexes";
pub(super) const TOPOLOGY: &str = "topology";
pub(super) const TOPOLOGY_KEY: &str = "current";

/// A record's hash in Redis and its key there.
pub(super) type Place = (String, String);
/// Records as they were read: revision and JSON.
pub(super) type Known = BTreeMap<Place, Option<(u64, Bytes)>>;

/// The result of a write, kept until the script has performed it.
pub(super) enum Memo {
    Nothing,
    Task(Box<TaskRecord>),
    Uids(Vec<u32>),
    Outcome(Outcome),
    /// One for each change of a commit.
    Revisions(Vec<Revision>),
}

/// The revision that a change gives its record.
pub(super) enum Revision {
    Known(u64),
    /// The script returns it for the operation at this position.
    OfOperation(usize),
}

pub(super) struct Plan {
    checks: Vec<(Place, Option<u64>)>,
    /// The positions of those checks that are the plan's own.
    own: BTreeSet<usize>,
    operations: Vec<Value>,
    count: usize,
    pub(super) memo: Memo,
}

pub(super) fn in_table(table: Table, key: &str) -> Place {
    (format!("t:{}", table.name()), key.to_owned())
}

pub(super) fn task_place(uid: u32) -> Place {
    (TASKS.to_owned(), uid.to_string())
}

fn job_place(queue: &str, key: &str) -> Place {
    in_table(JOBS, &(queue_prefix(queue) + key))
}

fn index_place(uid: &str) -> Place {
    (INDEXES.to_owned(), uid.to_owned())
}

/// Every record that a write reads or changes. `targets` are the tasks or the job found for it.
pub(super) fn places(write: &Write, targets: &Targets) -> Vec<Place> {
    match write {
        Write::PutTopology { .. } => vec![(TOPOLOGY.to_owned(), TOPOLOGY_KEY.to_owned())],
        Write::PutIndex { record, .. } => vec![index_place(&record.uid)],
        Write::DeleteIndex { uid, .. } => vec![index_place(uid)],
        Write::UpdateTask { uid, .. } => vec![task_place(*uid)],
        Write::CreateTask { new, .. } => {
            new.idempotency_key.iter().map(|known| in_table(IDEMPOTENCY_KEYS, &known.key)).collect()
        }
        Write::TakeTaskUids { .. } | Write::Load { .. } => Vec::new(),
        Write::DeleteTasks { uids, .. } => uids.iter().map(|uid| task_place(*uid)).collect(),
        Write::PruneTasks { .. } => targets.tasks.iter().map(|uid| task_place(*uid)).collect(),
        Write::PutRecord { table, key, .. } | Write::DeleteRecord { table, key, .. } => {
            vec![in_table(*table, key)]
        }
        Write::Step { step, .. } => vec![in_table(step.table, targets.job.as_ref().unwrap_or(&step.key))],
        Write::Commit { changes, .. } => {
            let mut places: Vec<Place> = changes.iter().filter_map(place).collect();
            places.extend(targets.tasks.iter().map(|uid| task_place(*uid)));
            places
        }
    }
}

fn place(change: &Change) -> Option<Place> {
    Some(match change {
        Change::PutIndex { record, .. } => index_place(&record.uid),
        Change::DeleteIndex { uid, .. } => index_place(uid),
        Change::UpdateTask { uid, .. } => task_place(*uid),
        Change::PutRecord { table, key, .. } | Change::ForgetRecord { table, key } => in_table(*table, key),
        Change::Fence { scope, .. } => in_table(LEASES, scope),
        Change::CompleteJob { queue, key, .. } => job_place(queue, key),
        Change::ExchangeIndexNames { .. } | Change::Append { .. } | Change::Truncate { .. } => return None,
    })
}

/// What has to be looked up before a write can be planned.
#[derive(Default)]
pub(super) struct Targets {
    /// The tasks to prune, or that may name an index of an exchange.
    pub(super) tasks: Vec<u32>,
    /// The job to claim; empty when the queue has none.
    pub(super) job: Option<String>,
    /// Whether the queue has `JOBS_MAX` jobs.
    pub(super) full: bool,
}

/// Whether a write needs targets, so that it cannot share a group with others.
pub(super) fn has_targets(write: &Write) -> bool {
    match write {
        Write::PruneTasks { .. } | Write::Load { .. } => true,
        Write::Step { step, .. } => matches!(step.act, Act::Claim { .. } | Act::Enqueue { .. }),
        Write::Commit { changes, .. } => {
            changes.iter().any(|change| matches!(change, Change::ExchangeIndexNames { .. }))
        }
        Write::PutTopology { .. }
        | Write::PutIndex { .. }
        | Write::DeleteIndex { .. }
        | Write::UpdateTask { .. }
        | Write::CreateTask { .. }
        | Write::TakeTaskUids { .. }
        | Write::DeleteTasks { .. }
        | Write::PutRecord { .. }
        | Write::DeleteRecord { .. } => false,
    }
}

/// Plans one write.
///
/// # Errors
/// What the caller is to be told without asking the script.
pub(super) fn plan(
    write: &Write,
    targets: &Targets,
    known: &Known,
    now: Duration,
) -> Result<Plan, StoreError> {
    let mut plan = Plan {
        checks: Vec::new(),
        own: BTreeSet::new(),
        operations: Vec::new(),
        count: 0,
        memo: Memo::Nothing,
    };
    match write {
        Write::PutTopology { expected, version, value, .. } => {
            if expected.is_some_and(|expected| expected >= *version) {
                return Err(StoreError::Conflict);
            }
            let place = (TOPOLOGY.to_owned(), TOPOLOGY_KEY.to_owned());
            plan.check(place.clone(), *expected);
            plan.set(place, *version, encode(value)?);
        }
        Write::PutIndex { record, expected_revision, .. } => {
            plan.put(index_place(&record.uid), *expected_revision, encode(record)?);
        }
        Write::DeleteIndex { uid, expected_revision, .. } => {
            plan.delete(index_place(uid), *expected_revision);
        }
        Write::CreateTask { new, pod, .. } => plan.create(new, pod.clone(), known, now)?,
        Write::UpdateTask { uid, change, .. } => {
            let after = plan.update(*uid, change, known)?;
            plan.memo = Memo::Task(Box::new(after));
        }
        Write::DeleteTasks { uids, .. } => plan.delete_tasks(uids.clone(), known)?,
        Write::PruneTasks { .. } => plan.delete_tasks(targets.tasks.clone(), known)?,
        Write::TakeTaskUids { count, least, .. } => {
            plan.operation("uids", [Value::from(count.to_string()), Value::from(least.to_string())]);
        }
        Write::PutRecord { table, key, value, expected_revision, .. } => {
            plan.put(in_table(*table, key), *expected_revision, encode(value)?);
        }
        Write::DeleteRecord { table, key, expected_revision, .. } => {
            plan.delete(in_table(*table, key), *expected_revision);
        }
        Write::Step { step, .. } => plan.step(step, targets, known, now)?,
        Write::Load { entries, .. } => entries.iter().try_for_each(|entry| plan.load(entry))?,
        Write::Commit { changes, .. } => {
            plan.memo = Memo::Revisions(Vec::new());
            for change in changes {
                plan.change(change, targets, known)?;
            }
        }
    }
    Ok(plan)
}

impl Plan {
    /// Takes the positions of the plan's own checks.
    pub(super) fn races(&mut self) -> BTreeSet<usize> {
        std::mem::take(&mut self.own)
    }

    pub(super) fn append_to(self, arguments: &mut Vec<Value>) {
        arguments.push(Value::from(self.checks.len().to_string()));
        for ((hash, key), expected) in self.checks {
            let expected = expected.map_or(String::new(), |expected| expected.to_string());
            arguments.extend([hash.into(), key.into(), expected.into()]);
        }
        arguments.push(Value::from(self.count.to_string()));
        arguments.extend(self.operations);
    }

    fn check(&mut self, place: Place, expected: Option<u64>) {
        self.checks.push((place, expected));
    }

    fn own_check(&mut self, place: Place, expected: Option<u64>) {
        self.own.insert(self.checks.len());
        self.check(place, expected);
    }

    fn operation(&mut self, kind: &'static str, arguments: impl IntoIterator<Item = Value>) {
        self.count += 1;
        self.operations.push(Value::from_static_str(kind));
        self.operations.extend(arguments);
    }

    fn put(&mut self, place: Place, expected: Option<u64>, json: Bytes) {
        self.check(place.clone(), expected);
        self.operation("put", [place.0.into(), place.1.into(), Value::Bytes(json)]);
    }

    fn set(&mut self, place: Place, revision: u64, json: Bytes) {
        let value = [revision.to_string().as_bytes(), b"|", &json].concat();
        self.operation("set", [place.0.into(), place.1.into(), Value::Bytes(value.into())]);
    }

    fn delete(&mut self, place: Place, expected: u64) {
        self.check(place.clone(), Some(expected));
        self.operation("delete", [place.0.into(), place.1.into()]);
    }

    fn create(
        &mut self,
        new: &NewTask,
        pod: Option<String>,
        known: &Known,
        now: Duration,
    ) -> Result<(), StoreError> {
        let task = TaskRecord::first(0, new.clone(), pod);
        let json = Value::Bytes(encode(&task)?);
        match &new.idempotency_key {
            None => self.operation("task", [json]),
            Some(idempotency_key) => {
                let place = in_table(IDEMPOTENCY_KEYS, &idempotency_key.key);
                let found = known.get(&place).cloned().flatten();
                let before = found.as_ref().map(|(_, json)| decode::<FirstTask>(json)).transpose()?;
                idempotency::judge(idempotency_key, before.as_ref(), now)?;
                self.own_check(place, found.map(|(revision, _)| revision));
                let (head, tail) = FirstTask::new(idempotency_key, &task, now).halves()?;
                let (key, most) =
                    (idempotency_key.key.as_str().into(), IDEMPOTENCY_KEY_COUNT_MAX.to_string().into());
                self.operation("once", [json, key, Value::Bytes(head), Value::Bytes(tail), most]);
            }
        }
        self.memo = Memo::Task(Box::new(task));
        Ok(())
    }

    fn update(&mut self, uid: u32, change: &TaskChange, known: &Known) -> Result<TaskRecord, StoreError> {
        let before = task(uid, known)?.ok_or(StoreError::Conflict)?;
        let after = before.changed(change.clone())?;
        self.own_check(task_place(uid), Some(before.revision));
        self.set(task_place(uid), after.revision, encode(&after)?);
        Ok(after)
    }

    fn delete_tasks(&mut self, mut uids: Vec<u32>, known: &Known) -> Result<(), StoreError> {
        uids.sort_unstable();
        uids.dedup();
        let mut deleted = Vec::new();
        for uid in uids {
            let Some(task) = task(uid, known)?.filter(|task| task.status.is_finished()) else { continue };
            self.own_check(task_place(uid), Some(task.revision));
            self.operation("delete", [TASKS.into(), uid.to_string().into()]);
            deleted.push(uid);
        }
        self.memo = Memo::Uids(deleted);
        Ok(())
    }

    fn step(
        &mut self,
        step: &Step,
        targets: &Targets,
        known: &Known,
        now: Duration,
    ) -> Result<(), StoreError> {
        if targets.full {
            return Err(StoreError::Full);
        }
        let key = targets.job.clone().unwrap_or_else(|| step.key.clone());
        let place = in_table(step.table, &key);
        let found = known.get(&place).cloned().flatten();
        let value = found.as_ref().map(|(_, json)| decode::<serde_json::Value>(json)).transpose()?;
        let step = Step { key, ..step.clone() };
        let revision = found.map(|(revision, _)| revision);
        let (after, outcome) = decide(&step, value.as_ref(), revision.unwrap_or(0), now)?;
        match (after, revision) {
            (After::Keep, _) => {}
            (After::Put(value), _) => {
                self.own.insert(self.checks.len());
                self.put(place, revision, encode(&value)?);
            }
            (After::Delete, Some(revision)) => {
                self.own.insert(self.checks.len());
                self.delete(place, revision);
            }
            (After::Delete, None) => {}
        }
        self.memo = Memo::Outcome(outcome);
        Ok(())
    }

    /// Fails with `Fenced` unless the record is as wanted, and checks that it stays so.
    fn fence(
        &mut self,
        place: Place,
        known: &Known,
        is_wanted: impl Fn(Option<&serde_json::Value>) -> bool,
    ) -> Result<(), StoreError> {
        let found = known.get(&place).cloned().flatten();
        let value = found.as_ref().map(|(_, json)| decode::<serde_json::Value>(json)).transpose()?;
        if !is_wanted(value.as_ref()) {
            return Err(StoreError::Fenced);
        }
        self.own_check(place, found.map(|(revision, _)| revision));
        Ok(())
    }

    /// Stores an entry as another store had it.
    fn load(&mut self, entry: &Entry) -> Result<(), StoreError> {
        match entry {
            Entry::Topology { version, value } => {
                self.set((TOPOLOGY.to_owned(), TOPOLOGY_KEY.to_owned()), *version, encode(value)?);
            }
            Entry::Index(index) => self.set(index_place(&index.uid), index.revision, encode(index)?),
            Entry::Task(task) => self.set(task_place(task.uid), task.revision, encode(task)?),
            Entry::Record { table, key, revision, value } => {
                self.set((format!("t:{table}"), key.clone()), *revision, encode(value)?);
            }
            Entry::Log { log, stream, sequence, header, body } => {
                let (header, body) = (encode(header)?, body.bytes().unwrap_or_default());
                let place = [log.as_str().into(), stream.as_str().into(), padded(*sequence).into()];
                self.operation("entry", place.into_iter().chain([Value::Bytes(header), Value::Bytes(body)]));
            }
            Entry::Counters { task_uid_next, revision_next } => {
                let last = revision_next.saturating_sub(1).to_string();
                self.operation("counters", [task_uid_next.to_string().into(), last.into()]);
            }
        }
        Ok(())
    }

    fn change(&mut self, change: &Change, targets: &Targets, known: &Known) -> Result<(), StoreError> {
        let is_numbered =
            matches!(change, Change::PutIndex { .. } | Change::PutRecord { .. } | Change::Append { .. });
        let mut revision = if is_numbered { Revision::OfOperation(self.count) } else { Revision::Known(0) };
        match change {
            Change::PutIndex { record, expected_revision } => {
                self.put(index_place(&record.uid), *expected_revision, encode(record)?);
            }
            Change::DeleteIndex { uid, expected_revision } => {
                self.delete(index_place(uid), *expected_revision);
            }
            Change::UpdateTask { uid, change } => {
                revision = Revision::Known(self.update(*uid, change, known)?.revision);
            }
            Change::ExchangeIndexNames { one, other, below } => {
                for uid in targets.tasks.iter().filter(|uid| *uid < below) {
                    let Some(before) = task(*uid, known)? else { continue };
                    let after = before.with_exchanged_names(one, other);
                    if after != before {
                        self.own_check(task_place(*uid), Some(before.revision));
                        self.set(task_place(*uid), after.revision, encode(&after)?);
                    }
                }
            }
            Change::PutRecord { table, key, value, expected_revision } => {
                self.put(in_table(*table, key), *expected_revision, encode(value)?);
            }
            Change::ForgetRecord { table, key } => {
                let (hash, key) = in_table(*table, key);
                self.operation("delete", [hash.into(), key.into()]);
            }
            Change::Fence { scope, token } => {
                self.fence(in_table(LEASES, scope), known, |lease| coordination::is_newest(lease, *token))?;
            }
            Change::CompleteJob { queue, key, token } => {
                let (hash, key) = job_place(queue, key);
                let is_claimed = |job: Option<&serde_json::Value>| coordination::is_claimed_by(job, *token);
                self.fence((hash.clone(), key.clone()), known, is_claimed)?;
                self.operation("delete", [hash.into(), key.into()]);
            }
            Change::Append { log, stream, header, body } => {
                let header = encode(header)?;
                let (log, stream) = (log.name().into(), stream.as_str().into());
                self.operation("append", [log, stream, Value::Bytes(header), Value::Bytes(body.clone())]);
            }
            Change::Truncate { log, stream, through } => {
                let (log, stream) = (log.name().into(), stream.as_str().into());
                self.operation("truncate", [log, stream, padded(*through).into()]);
            }
        }
        if let Memo::Revisions(revisions) = &mut self.memo {
            revisions.push(revision);
        }
        Ok(())
    }
}

/// A task among the records read.
fn task(uid: u32, known: &Known) -> Result<Option<TaskRecord>, StoreError> {
    let Some((revision, json)) = known.get(&task_place(uid)).cloned().flatten() else { return Ok(None) };
    task_of(uid, revision, &json).map(Some)
}

/// Decodes a task. Its stored JSON has no valid uid, and its revision stands before the JSON.
pub(super) fn task_of(uid: u32, revision: u64, json: &[u8]) -> Result<TaskRecord, StoreError> {
    Ok(TaskRecord { uid, revision, ..decode(json)? })
}

pub(super) fn decode<T: DeserializeOwned>(json: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(json)
        .map_err(|error| StoreError::Io(format!("a stored record cannot be read: {error}")))
}

/// `Full` when the record is larger than `RECORD_BYTES_MAX`.
fn encode<T: Serialize>(value: &T) -> Result<Bytes, StoreError> {
    let json = serde_json::to_vec(value).map_err(|error| StoreError::Io(error.to_string()))?;
    if json.len() >= RECORD_BYTES_MAX { Err(StoreError::Full) } else { Ok(json.into()) }
}
