//! Commits: many changes of which all happen or none.
//! - Every change is checked before the first one is made. After that only the disk can fail, which closes the store.
//! - One commit lies in one sync, so a crash keeps or loses it whole.

use roaring::RoaringBitmap;

use super::{Revised, Tables, get, put, record_key};
use crate::coordination::{JOBS, queue_prefix};
use crate::{Change, IndexRecord, StoreError, TaskRecord};

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
            Change::Fence { scope, token } => {
                return if self.holds(scope, *token)? { Ok(()) } else { Err(StoreError::Fenced) };
            }
            Change::CompleteJob { queue, key, token } => {
                return if self.is_claimed(queue, key, *token)? { Ok(()) } else { Err(StoreError::Fenced) };
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
            Change::ForgetRecord { table, key } => self.remove_record(table, &key).map(|()| 0),
            Change::Fence { .. } => Ok(0),
            Change::CompleteJob { queue, key, .. } => {
                self.remove_record(JOBS, &(queue_prefix(&queue) + &key)).map(|()| 0)
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
            let after = before.with_exchanged_names(one, other);
            if after != before {
                self.dirty = true;
                put(&self.tasks, uid.to_be_bytes(), &after)?;
                self.task_index.replace(&before, &after);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path, sync::Arc, time::Duration};

    use serde_json::Value;

    use super::*;
    use crate::{
        Table,
        sled_backend::{Site, tree::Ground},
    };

    const LOG: Table = Table::named("log");

    fn append(stream: &str) -> Change {
        Change::Append { log: LOG, stream: stream.to_owned(), header: Value::Null, body: "x".into() }
    }

    /// The numbers of entries of two streams in a copy of the directory: what a crash would have left.
    fn left(path: &Path) -> [usize; 2] {
        let copy = tempfile::tempdir().unwrap();
        let folder = copy.path().join("sled");
        fs::create_dir(&folder).unwrap();
        copied(&path.join("sled"), &folder);
        let database = Site { path: copy.path() }.open_database().unwrap();
        let tables = opened(Ground::Disk(&database));
        ["kept", "cut"].map(|stream| tables.entries(LOG, stream, 0, usize::MAX).unwrap().len())
    }

    fn copied(from: &Path, to: &Path) {
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            let target = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                fs::create_dir(&target).unwrap();
                copied(&entry.path(), &target);
            } else {
                fs::copy(entry.path(), target).unwrap();
            }
        }
    }

    fn opened(ground: Ground<'_>) -> Tables {
        let clock = Arc::new(|| Duration::ZERO);
        Tables::open(ground, None, clock, false).unwrap_or_else(|_| panic!("the tables are refused"))
    }

    #[test]
    fn what_a_commit_reads_does_not_sync_the_half_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let database = Site { path: folder.path() }.open_database().unwrap();
        let mut tables = opened(Ground::Disk(&database));
        tables.commit(vec![append("cut")]).unwrap();
        database.flush().unwrap();
        assert_eq!(left(folder.path()), [0, 1]);
        // A truncation reads what it cuts off, after the entry has been written.
        let cut = Change::Truncate { log: LOG, stream: "cut".to_owned(), through: u64::MAX };
        tables.commit(vec![append("kept"), cut]).unwrap();
        tables.entries(LOG, "kept", 0, usize::MAX).unwrap();
        assert_eq!(left(folder.path()), [0, 1]);
        database.flush().unwrap();
        assert_eq!(left(folder.path()), [1, 0]);
    }
}
