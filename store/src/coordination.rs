//! How pods share work: leases, jobs and counters, as pure steps on one record each. Every backend performs a step as
//! one compare-and-swap, so all backends and the simulator follow the same rules.
//!
//! - A token is higher than every earlier token of the same scope or job, even when the record was lost in between.
//! - The holder of the newest token is the holder, expired or not. Expiry only permits another to take over.
//! - A job belongs to one token at a time. A stale token can neither advance nor end it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{StoreError, Table};

/// Leases, keyed by scope.
pub const LEASES: Table = Table::named("leases");
/// Jobs, keyed by `queue/key`.
pub const JOBS: Table = Table::named("jobs");
/// Counters, keyed by name.
pub const COUNTERS: Table = Table::named("counters");

/// A lease as its holder knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub scope: String,
    /// Fences the holder's commits ([`crate::Change::Fence`]).
    pub token: u64,
}

/// A lease as every pod sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldLease {
    pub scope: String,
    pub holder: String,
    pub token: u64,
    /// What the holder published about itself.
    pub about: Value,
    /// Time until another holder may take the lease.
    pub left: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    Queued,
    Claimed,
    /// It failed as often as `attempts_max` allows. Only `revive_job` queues it again.
    Dead,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub queue: String,
    pub key: String,
    pub payload: Value,
    /// Progress that the last holder stored.
    pub cursor: Value,
    pub state: JobState,
    pub holder: Option<String>,
    pub token: u64,
    /// How often it was claimed since it was queued or revived.
    pub attempts: u32,
    /// Why the last attempt failed.
    pub reason: Option<String>,
}

/// The stored form of a lease. A released lease has no holder and keeps its token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct LeaseRecord {
    holder: Option<String>,
    token: u64,
    expires_ms: u64,
    #[serde(default)]
    about: Value,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct JobRecord {
    payload: Value,
    cursor: Value,
    holder: Option<String>,
    token: u64,
    expires_ms: u64,
    attempts: u32,
    attempts_max: u32,
    reason: Option<String>,
    dead: bool,
    queued_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct CounterRecord {
    count: u64,
    expires_ms: u64,
}

/// One step on one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub table: Table,
    /// For [`Act::Claim`] the queue; [`pick`] then chooses the job.
    pub key: String,
    pub act: Act,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    Acquire { holder: String, about: Value, ttl: Duration },
    Renew { token: u64, ttl: Duration },
    Release { token: u64 },
    Enqueue { payload: Value, attempts_max: u32 },
    Claim { holder: String, ttl: Duration },
    Heartbeat { token: u64, ttl: Duration },
    Progress { token: u64, cursor: Value, ttl: Duration },
    Complete { token: u64 },
    Fail { token: u64, reason: String },
    Revive,
    Count { add: u64, ttl: Duration },
}

/// What the backend does to the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum After {
    Keep,
    Put(Value),
    Delete,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// The new token, or `None` when another holder has the lease.
    Token(Option<u64>),
    Job(Option<Box<Job>>),
    State(JobState),
    Count(u64),
}

/// Computes what a step does to a record at the time `now` (since 1970). `revision` is the record's, 0 when there is
/// none. A job's token is at least its record's revision, so a job never repeats a token of an earlier job with the
/// same key.
///
/// # Errors
/// `Fenced`: the token is not the newest. `Conflict`: the job exists already, does not exist, or is not dead
/// (`Revive`). `Io`: the stored record cannot be read.
pub fn decide(
    step: &Step,
    record: Option<&Value>,
    revision: u64,
    now: Duration,
) -> Result<(After, Outcome), StoreError> {
    match &step.act {
        Act::Acquire { .. } | Act::Renew { .. } | Act::Release { .. } => {
            on_lease(&step.act, read(record)?, now)
        }
        Act::Count { add, ttl } => {
            let known: Option<CounterRecord> = read(record)?;
            let live = known.filter(|known| known.expires_ms > millis(now));
            let expires_ms = live.as_ref().map_or(millis(now + *ttl), |known| known.expires_ms);
            let count = live.map_or(0, |known| known.count).saturating_add(*add);
            Ok((put(&CounterRecord { count, expires_ms }), Outcome::Count(count)))
        }
        Act::Enqueue { .. }
        | Act::Claim { .. }
        | Act::Heartbeat { .. }
        | Act::Progress { .. }
        | Act::Complete { .. }
        | Act::Fail { .. }
        | Act::Revive => on_job(step, read(record)?, revision, now),
    }
}

fn on_lease(act: &Act, record: Option<LeaseRecord>, now: Duration) -> Result<(After, Outcome), StoreError> {
    let held = |token: u64| {
        let mine = record.clone().filter(|lease| lease.token == token && lease.holder.is_some());
        mine.ok_or(StoreError::Fenced)
    };
    match act {
        Act::Acquire { holder, about, ttl } => {
            let live = record.as_ref().filter(|lease| lease.expires_ms > millis(now));
            if live.and_then(|lease| lease.holder.as_ref()).is_some_and(|known| known != holder) {
                return Ok((After::Keep, Outcome::Token(None)));
            }
            let token = next_token(record.as_ref().map(|lease| lease.token), now);
            let (holder, about) = (Some(holder.clone()), about.clone());
            let lease = LeaseRecord { holder, token, expires_ms: millis(now + *ttl), about };
            Ok((put(&lease), Outcome::Token(Some(token))))
        }
        Act::Renew { token, ttl } => {
            let lease = LeaseRecord { expires_ms: millis(now + *ttl), ..held(*token)? };
            Ok((put(&lease), Outcome::Done))
        }
        Act::Release { token } => {
            let lease = LeaseRecord { holder: None, expires_ms: 0, about: Value::Null, ..held(*token)? };
            Ok((put(&lease), Outcome::Done))
        }
        Act::Enqueue { .. }
        | Act::Claim { .. }
        | Act::Heartbeat { .. }
        | Act::Progress { .. }
        | Act::Complete { .. }
        | Act::Fail { .. }
        | Act::Revive
        | Act::Count { .. } => Err(StoreError::Conflict),
    }
}

fn on_job(
    step: &Step,
    record: Option<JobRecord>,
    revision: u64,
    now: Duration,
) -> Result<(After, Outcome), StoreError> {
    if let Act::Enqueue { payload, attempts_max } = &step.act {
        let job = JobRecord {
            payload: payload.clone(),
            cursor: Value::Null,
            holder: None,
            token: 0,
            expires_ms: 0,
            attempts: 0,
            attempts_max: (*attempts_max).max(1),
            reason: None,
            dead: false,
            queued_ms: millis(now),
        };
        return if record.is_some() { Err(StoreError::Conflict) } else { Ok((put(&job), Outcome::Done)) };
    }
    if let Act::Claim { holder, ttl } = &step.act {
        let Some(mut job) = record.filter(|job| job.state(now) == JobState::Queued) else {
            return Ok((After::Keep, Outcome::Job(None)));
        };
        job.token = job.token.saturating_add(1).max(revision);
        job.holder = Some(holder.clone());
        job.expires_ms = millis(now + *ttl);
        job.attempts += 1;
        let view = Box::new(job.view(&step.key, now));
        return Ok((put(&job), Outcome::Job(Some(view))));
    }
    if step.act == Act::Revive {
        let mut job = record.filter(|job| job.state(now) == JobState::Dead).ok_or(StoreError::Conflict)?;
        (job.dead, job.attempts, job.holder, job.reason) = (false, 0, None, None);
        return Ok((put(&job), Outcome::Done));
    }
    let token = match &step.act {
        Act::Heartbeat { token, .. } | Act::Progress { token, .. } => *token,
        Act::Complete { token } | Act::Fail { token, .. } => *token,
        Act::Acquire { .. }
        | Act::Renew { .. }
        | Act::Release { .. }
        | Act::Count { .. }
        | Act::Enqueue { .. }
        | Act::Claim { .. }
        | Act::Revive => return Err(StoreError::Conflict),
    };
    let mine = record.filter(|job| job.token == token && job.holder.is_some());
    let mut job = mine.ok_or(StoreError::Fenced)?;
    match &step.act {
        Act::Complete { .. } => return Ok((After::Delete, Outcome::Done)),
        Act::Fail { reason, .. } => {
            (job.holder, job.expires_ms, job.reason) = (None, 0, Some(reason.clone()));
            job.dead = job.attempts >= job.attempts_max;
            let state = job.state(now);
            return Ok((put(&job), Outcome::State(state)));
        }
        Act::Progress { cursor, ttl, .. } => {
            job.cursor = cursor.clone();
            job.expires_ms = millis(now + *ttl);
        }
        Act::Heartbeat { ttl, .. } => job.expires_ms = millis(now + *ttl),
        Act::Acquire { .. }
        | Act::Renew { .. }
        | Act::Release { .. }
        | Act::Count { .. }
        | Act::Enqueue { .. }
        | Act::Claim { .. }
        | Act::Revive => {}
    }
    Ok((put(&job), Outcome::Done))
}

/// The key of the job to claim next: of the queued ones, that with the fewest attempts, then the one queued first.
/// `jobs` are the queue's records.
pub fn pick<'r>(jobs: impl IntoIterator<Item = (&'r str, &'r Value)>, now: Duration) -> Option<String> {
    let read = |(key, value): (&'r str, &'r Value)| {
        let job: JobRecord = serde_json::from_value(value.clone()).ok()?;
        (job.state(now) == JobState::Queued).then(|| (job.attempts, job.queued_ms, key.to_owned()))
    };
    jobs.into_iter().filter_map(read).min().map(|(_, _, key)| key)
}

/// A stored job as it is at the time `now`. `key` includes the queue. `None` when the record cannot be read.
#[must_use]
pub fn job_view(key: &str, record: &Value, now: Duration) -> Option<Job> {
    let job: JobRecord = serde_json::from_value(record.clone()).ok()?;
    Some(job.view(key, now))
}

/// A stored lease as it is at the time `now`; `None` when nobody holds it.
#[must_use]
pub fn lease_view(scope: &str, record: &Value, now: Duration) -> Option<HeldLease> {
    let lease: LeaseRecord = serde_json::from_value(record.clone()).ok()?;
    let left = lease.expires_ms.checked_sub(millis(now)).filter(|left| *left > 0)?;
    let LeaseRecord { holder, token, about, .. } = lease;
    Some(HeldLease {
        scope: scope.to_owned(),
        holder: holder?,
        token,
        about,
        left: Duration::from_millis(left),
    })
}

/// Whether `token` is the newest of its scope and was not released.
#[must_use]
pub fn is_newest(record: Option<&Value>, token: u64) -> bool {
    let lease: Result<Option<LeaseRecord>, _> = read(record);
    lease.is_ok_and(|lease| lease.is_some_and(|lease| lease.token == token && lease.holder.is_some()))
}

/// Whether `token` is that of the job's newest claim and the claim has not been ended.
#[must_use]
pub fn is_claimed_by(record: Option<&Value>, token: u64) -> bool {
    let job: Result<Option<JobRecord>, _> = read(record);
    job.is_ok_and(|job| job.is_some_and(|job| job.token == token && job.holder.is_some()))
}

/// The same lease without a holder, free to take: its holder is known to be gone.
pub(crate) fn ended(record: &Value) -> Option<Value> {
    let lease: LeaseRecord = serde_json::from_value(record.clone()).ok()?;
    lease.holder.as_ref()?;
    serde_json::to_value(LeaseRecord { holder: None, expires_ms: 0, ..lease }).ok()
}

/// The same job without a holder, free to claim. `None` when it has none.
pub(crate) fn unclaimed(record: &Value) -> Option<Value> {
    let job: JobRecord = serde_json::from_value(record.clone()).ok()?;
    job.holder.as_ref()?;
    serde_json::to_value(JobRecord { holder: None, expires_ms: 0, ..job }).ok()
}

/// The common beginning of the keys of a queue's jobs.
pub(crate) fn queue_prefix(queue: &str) -> String {
    format!("{queue}/")
}

impl JobRecord {
    fn state(&self, now: Duration) -> JobState {
        if self.dead {
            return JobState::Dead;
        }
        if self.holder.is_some() && self.expires_ms > millis(now) {
            return JobState::Claimed;
        }
        // The last permitted claim expired: claiming it again would likely kill the next holder too.
        if self.attempts >= self.attempts_max { JobState::Dead } else { JobState::Queued }
    }

    fn view(&self, key: &str, now: Duration) -> Job {
        let (queue, key) = key.split_once('/').unwrap_or((key, ""));
        Job {
            queue: queue.to_owned(),
            key: key.to_owned(),
            payload: self.payload.clone(),
            cursor: self.cursor.clone(),
            state: self.state(now),
            holder: self.holder.clone(),
            token: self.token,
            attempts: self.attempts,
            reason: self.reason.clone(),
        }
    }
}

/// Above the last token; also above the clock, so that a lost record does not bring old tokens back.
fn next_token(last: Option<u64>, now: Duration) -> u64 {
    last.map_or(0, |last| last.saturating_add(1)).max(millis(now)).max(1)
}

pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn read<T: serde::de::DeserializeOwned>(record: Option<&Value>) -> Result<Option<T>, StoreError> {
    let read = |value: &Value| {
        T::deserialize(value)
            .map_err(|error| StoreError::Io(format!("a stored record cannot be read: {error}")))
    };
    record.map(read).transpose()
}

fn put(record: &impl Serialize) -> After {
    After::Put(serde_json::to_value(record).unwrap_or_default())
}
