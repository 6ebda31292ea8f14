//! Commits: many changes of which all happen or none.
//! - Everything is checked before anything is changed; what is left to fail then is the disk, which
//!   closes the store.
//! - One commit lies in one sync, so a crash keeps or loses it whole.

use roaring::RoaringBitmap;
use serde_json::Value;

use super::{Revised, Tables, failed, get, put, record_key};
use crate::{Change, IndexRecord, StoreError, TaskKind, TaskRecord};

impl Tables {
    pub(super) fn commit(&mut self, changes: Vec<Change>) -> Result<Vec<u64>, StoreError> {
        for change in &changes {
            self.check(change)?;
        }
        changes.into_iter().map(|change| self.perform(change)).collect()
    }

    fn check(&self, change: &Change) -> Result<(), StoreError> {
        let as_expected = match change {
            Change::PutIndex { record, expected_revision } => {
                self.index_revision(&record.uid)? == *expected_revision
            }
            Change::DeleteIndex { uid, expected_revision } => {
                self.index_revision(uid)? == Some(*expected_revision)
            }
            Change::UpdateTask { uid, change } => {
                let before: Option<TaskRecord> = get(&self.tasks, uid.to_be_bytes())?;
                before.is_some_and(|before| before.changed(change.as_ref().clone()).is_ok())
            }
            Change::PutRecord { table, key, expected_revision, .. } => {
                let stored = get::<Revised>(&self.records, record_key(*table, key))?;
                stored.map(|record| record.revision) == *expected_revision
            }
            Change::ExchangeIndexNames { .. }
            | Change::ForgetRecord { .. }
            | Change::Append { .. }
            | Change::Truncate { .. } => true,
        };
        if as_expected { Ok(()) } else { Err(StoreError::Conflict) }
    }

    fn perform(&mut self, change: Change) -> Result<u64, StoreError> {
        match change {
            Change::PutIndex { record, expected_revision } => self.put_index(*record, expected_revision),
            Change::DeleteIndex { uid, expected_revision } => {
                self.delete_index(&uid, expected_revision).map(|()| 0)
            }
            Change::UpdateTask { uid, change } => self.update_task(uid, *change).map(|task| task.revision),
            Change::ExchangeIndexNames { one, other, below } => {
                self.exchange_index_names(&one, &other, below).map(|()| 0)
            }
            Change::PutRecord { table, key, value, expected_revision } => {
                self.put_record(table, &key, value, expected_revision)
            }
            Change::ForgetRecord { table, key } => {
                self.dirty = true;
                self.records.remove(record_key(table, &key)).map_err(failed)?;
                Ok(0)
            }
            Change::Append { log, stream, header, body } => self.append(log, &stream, &header, &body),
            Change::Truncate { log, stream, through } => self.truncate(log, &stream, through).map(|()| 0),
        }
    }

    fn index_revision(&self, uid: &str) -> Result<Option<u64>, StoreError> {
        Ok(get::<IndexRecord>(&self.indexes, uid)?.map(|index| index.revision))
    }

    fn exchange_index_names(&mut self, one: &str, other: &str, below: u32) -> Result<(), StoreError> {
        let mut uids: RoaringBitmap = self.task_index.naming([one, other]);
        uids.remove_range(below..);
        for uid in uids {
            let Some(before) = get::<TaskRecord>(&self.tasks, uid.to_be_bytes())? else { continue };
            let after = renamed(&before, one, other);
            if after != before {
                self.dirty = true;
                put(&self.tasks, uid.to_be_bytes(), &after)?;
                self.task_index.replace(&before, &after);
            }
        }
        Ok(())
    }
}

/// The task with two index names exchanged; a new revision, for somebody may be about to change it.
fn renamed(task: &TaskRecord, one: &str, other: &str) -> TaskRecord {
    let exchange = |name: &mut String| match name.as_str() {
        known if known == one => other.clone_into(name),
        known if known == other => one.clone_into(name),
        _ => {}
    };
    let mut after = task.clone();
    if let Some(name) = &mut after.index_uid {
        exchange(name);
    }
    let swaps = match (task.kind, &mut after.details) {
        (TaskKind::IndexSwap, Some(details)) => details.get_mut("swaps").and_then(Value::as_array_mut),
        _ => None,
    };
    let swapped = swaps.into_iter().flatten().filter_map(|swap| swap.get_mut("indexes")?.as_array_mut());
    for name in swapped.flatten() {
        if let Value::String(name) = name {
            exchange(name);
        }
    }
    if after != *task {
        after.revision += 1;
    }
    after
}
