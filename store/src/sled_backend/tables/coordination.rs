//! Steps of leases, jobs and counters (`coordination`), and the views of them.
//! - Only one process has a store open, so the holders of the previous opening are gone.

use crate::coordination::{
    self, Act, After, HeldLease, JOBS, Job, LEASES, Outcome, Step, decide, pick, queue_prefix,
};
use crate::limits::JOBS_MAX;
use crate::sled_backend::tables::{Revised, Tables, get, put, record_key};
use crate::{Record, StoreError, Table};

impl Tables {
    pub(super) fn step(&mut self, step: &Step) -> Result<Outcome, StoreError> {
        let now = (self.clock)();
        let mut key = step.key.clone();
        match &step.act {
            Act::Claim { .. } => {
                let jobs = self.records_from(JOBS, &queue_prefix(&step.key))?;
                let jobs = jobs.iter().map(|job| (job.key.as_str(), &job.value));
                let Some(picked) = pick(jobs, now) else { return Ok(Outcome::Job(None)) };
                key = picked;
            }
            Act::Enqueue { .. } => {
                let queue = step.key.split('/').next().unwrap_or_default();
                if self.records_from(JOBS, &queue_prefix(queue))?.len() >= JOBS_MAX {
                    return Err(StoreError::Full);
                }
            }
            Act::Acquire { .. }
            | Act::Renew { .. }
            | Act::Release { .. }
            | Act::Heartbeat { .. }
            | Act::Progress { .. }
            | Act::Complete { .. }
            | Act::Fail { .. }
            | Act::Revive
            | Act::Count { .. } => {}
        }
        let stored: Option<Revised> = get(&self.records, record_key(step.table, &key))?;
        let step = Step { key: key.clone(), ..step.clone() };
        let revision = stored.as_ref().map_or(0, |stored| stored.revision);
        let (after, outcome) = decide(&step, stored.as_ref().map(|stored| &stored.value), revision, now)?;
        match after {
            After::Keep => {}
            After::Put(value) => {
                self.put_record(step.table, &key, value, stored.map(|stored| stored.revision))?;
            }
            After::Delete => self.remove_record(step.table, &key)?,
        }
        Ok(outcome)
    }

    pub(super) fn holds(&self, scope: &str, token: u64) -> Result<bool, StoreError> {
        let stored: Option<Revised> = get(&self.records, record_key(LEASES, scope))?;
        Ok(coordination::is_newest(stored.as_ref().map(|stored| &stored.value), token))
    }

    pub(super) fn is_claimed(&self, queue: &str, key: &str, token: u64) -> Result<bool, StoreError> {
        let stored: Option<Revised> = get(&self.records, record_key(JOBS, &(queue_prefix(queue) + key)))?;
        Ok(coordination::is_claimed_by(stored.as_ref().map(|stored| &stored.value), token))
    }

    pub(super) fn leases(&self, prefix: &str) -> Result<Vec<HeldLease>, StoreError> {
        let now = (self.clock)();
        let records = self.records_from(LEASES, prefix)?;
        let held = |record: &Record| coordination::lease_view(&record.key, &record.value, now);
        Ok(records.iter().filter_map(held).collect())
    }

    pub(super) fn jobs(&self, queue: &str) -> Result<Vec<Job>, StoreError> {
        let now = (self.clock)();
        let records = self.records_from(JOBS, &queue_prefix(queue))?;
        let view = |record: &Record| coordination::job_view(&record.key, &record.value, now);
        Ok(records.iter().filter_map(view).collect())
    }

    /// Ends the leases and claims of the process that had this store open before.
    pub(in crate::sled_backend) fn end_claims(&mut self) -> Result<(), StoreError> {
        type End = fn(&serde_json::Value) -> Option<serde_json::Value>;
        let ends: [(Table, End); 2] = [(LEASES, coordination::ended), (JOBS, coordination::unclaimed)];
        for (table, end) in ends {
            for record in self.records_from(table, "")? {
                if let Some(value) = end(&record.value) {
                    self.put_record(table, &record.key, value, Some(record.revision))?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn take_task_uids(&mut self, count: u32, least: u32) -> Result<u32, StoreError> {
        let first = self.task_uid_next.max(least);
        let next = first.checked_add(count).ok_or(StoreError::Full)?;
        self.dirty = true;
        put(&self.meta, crate::sled_backend::tables::META_TASK_UID_NEXT, &next)?;
        self.task_uid_next = next;
        Ok(first)
    }

    /// The records whose keys begin with `prefix`.
    fn records_from(&self, table: Table, prefix: &str) -> Result<Vec<Record>, StoreError> {
        let mut records = self.records_in(table, record_key(table, prefix), None, usize::MAX)?;
        records.truncate(records.iter().take_while(|record| record.key.starts_with(prefix)).count());
        Ok(records)
    }
}
