//! The queue of passes over the copies, and their progress: a queue of jobs, so that any pod may be asked for a pass
//! and any pod may do it.
//!
//! Invariants: two requests for the same pass that has not begun become one. At most one periodic pass waits. A pass
//! that has ended is in the history, and no longer in the queue.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use store::{Job, JobState, Store, StoreError};
use time::OffsetDateTime;

use crate::{
    clock,
    repair::report::Report,
    state::{leadership::ATTEMPTS_MAX, shared::Shared},
};

/// The queue of passes.
pub(crate) const PASSES: &str = "anti_entropy";
/// The counter that numbers the passes of a store.
const NUMBERS: &str = "anti_entropy_passes";
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 86_400);
const PERIODIC: &str = "periodic";

/// A request for a pass: the payload of its job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PassRequest {
    pub number: u64,
    pub index: Option<String>,
    /// The id of the only node to repair, its indexes and settings as well.
    pub node: Option<String>,
    pub dry_run: bool,
    pub periodic: bool,
    /// The first and the last of the only shards to compare.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shards: Option<(u32, u32)>,
}

/// A pass, running or ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pass {
    /// The pass's number among the passes of this store.
    pub number: u64,
    pub index: Option<String>,
    /// The id of the only node that was repaired, its indexes and settings as well.
    #[serde(default)]
    pub node: Option<String>,
    pub dry_run: bool,
    pub periodic: bool,
    /// The first and the last of the only shards that were compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shards: Option<(u32, u32)>,
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    pub finished_at: Option<OffsetDateTime>,
    /// The value of the write clock when it began.
    pub clock: u64,
    /// Whether every copy of everything was compared, by this pass or by those whose round it ends.
    pub whole: bool,
    /// What came before in the round of passes that this one goes on with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round: Option<Round>,
    /// Where it ended because it had compared as many shards as a pass may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stopped_at: Option<Position>,
    pub report: Report,
    /// The pod that works on it, or that ended it.
    #[serde(default)]
    pub pod: Option<String>,
}

/// Earlier passes that each did a part of one comparison of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Round {
    /// The value of the write clock when the first of them began.
    pub clock: u64,
    /// Whether all of them compared every copy, and found or left all equal.
    pub is_equal: bool,
}

/// The progress of a pass: the cursor of its job.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Progress {
    pub(crate) pass: Pass,
    pub(crate) next: Position,
    /// Parts that it has compared.
    #[serde(default)]
    pub(crate) parts: u32,
}

/// A position in a walk; everything before it has been compared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    pub(crate) index: String,
    pub(crate) part: u32,
}

/// The queue as the management API shows it.
#[derive(Debug, Default, Serialize)]
pub struct Queue {
    /// The number of the pass that begins next, and those of all that wait.
    pub waiting: Option<u64>,
    pub queued: Vec<u64>,
    pub running: Option<Pass>,
    /// Numbers of passes during which every pod that claimed them died.
    pub dead: Vec<u64>,
}

/// Requests a pass; gives its number. An equal request that has not begun is reused.
///
/// # Errors
/// The store's error: `Full` when too many wait.
pub async fn enqueue(shared: &Shared, wanted: PassRequest) -> Result<u64, StoreError> {
    let store = &shared.store;
    let jobs = store.jobs(PASSES).await?;
    let waits = jobs.iter().filter(|job| job.state == JobState::Queued && job.cursor.is_null());
    let mut waits = waits.filter_map(request_of);
    if let Some(same) = waits.find(|other| PassRequest { number: other.number, ..wanted.clone() } == *other) {
        return Ok(same.number);
    }
    let number = store.count(NUMBERS, 1, FOR_EVER).await?;
    let key = if wanted.periodic { PERIODIC.to_owned() } else { format!("{number:020}") };
    let payload = serde_json::to_value(PassRequest { number, ..wanted }).unwrap_or_default();
    match store.put_job(PASSES, &key, payload, ATTEMPTS_MAX).await {
        // Another pod has requested the periodic pass.
        Ok(()) | Err(StoreError::Conflict) => {}
        Err(error) => return Err(error),
    }
    shared.wakeups.pass.notify_one();
    Ok(number)
}

/// The waiting and running passes.
///
/// # Errors
/// The store's error.
pub async fn queue(store: &Store) -> Result<Queue, StoreError> {
    let mut queue = Queue::default();
    for job in store.jobs(PASSES).await? {
        let Some(wanted) = request_of(&job) else { continue };
        match job.state {
            JobState::Queued => queue.queued.push(wanted.number),
            JobState::Dead => queue.dead.push(wanted.number),
            JobState::Claimed => {
                let progress = serde_json::from_value(job.cursor).ok();
                let mut pass = progress.map_or_else(|| wanted.begun(0), |known: Progress| known.pass);
                pass.pod = job.holder;
                queue.running = queue.running.or(Some(pass));
            }
        }
    }
    queue.queued.sort_unstable();
    queue.waiting = queue.queued.first().copied();
    Ok(queue)
}

/// The request that a job of the queue stands for.
pub(crate) fn request_of(job: &Job) -> Option<PassRequest> {
    serde_json::from_value(job.payload.clone()).ok()
}

impl Progress {
    /// The progress of a pass that begins now. A periodic one goes on where the last one stopped.
    pub(crate) fn begun(wanted: PassRequest, clock: u64, ended: &[Pass]) -> Self {
        let mut pass = wanted.begun(clock);
        let last = ended.iter().rev().find(|last| last.periodic).filter(|_| pass.periodic);
        let next = last.and_then(|last| last.stopped_at.clone());
        pass.round = last.filter(|_| next.is_some()).map(Pass::round_so_far);
        Self { pass, next: next.unwrap_or_default(), parts: 0 }
    }
}

impl Pass {
    /// The round of passes with this one as its last.
    fn round_so_far(&self) -> Round {
        let before = self.round.unwrap_or(Round { clock: self.clock, is_equal: true });
        let report = &self.report;
        Round { is_equal: before.is_equal && report.is_equal() && report.missing == 0, ..before }
    }

    /// Ends the pass, and says whether its round is whole with it.
    pub(crate) fn end(&mut self) {
        self.finished_at = Some(clock::utc());
        self.whole = self.index.is_none()
            && self.node.is_none()
            && self.shards.is_none()
            && self.stopped_at.is_none()
            && !self.dry_run
            && self.round_so_far().is_equal;
    }

    /// The value of the write clock before which everything written has been compared, where the pass is whole.
    pub(crate) fn compared_since(&self) -> u64 {
        self.round.map_or(self.clock, |round| round.clock)
    }
}

impl PassRequest {
    /// The pass of this request, beginning now.
    pub(crate) fn begun(self, clock: u64) -> Pass {
        let Self { number, index, node, dry_run, periodic, shards } = self;
        Pass {
            number,
            index,
            node,
            dry_run,
            periodic,
            shards,
            started_at: clock::utc(),
            finished_at: None,
            clock,
            whole: false,
            round: None,
            stopped_at: None,
            report: Report::default(),
            pod: None,
        }
    }
}
