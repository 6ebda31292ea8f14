//! A job that this pod has claimed: kept alive while it is worked on, with its progress stored, and let go of at once
//! when it is another's or the pod ends.
//!
//! Invariants: whoever works on a job asks the store at every step whether it is still his; a pod that dies loses the
//! time of its claim and nothing else.

use std::{cell::Cell, rc::Rc, sync::Arc, time::Duration};

use serde_json::Value;
use store::{Change, Job, StoreError};

use crate::{observe::log, state::shared::Shared, wire::runtime};

/// How long a claim lasts without a sign of life.
pub const CLAIM_TTL: Duration = Duration::from_secs(30);
/// How often its holder gives one.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(10);
/// How often a pod that has nothing to do looks for a job.
pub const LOOK_INTERVAL: Duration = Duration::from_secs(1);

const _: () = assert!(HEARTBEAT_INTERVAL.as_secs() * 3 <= CLAIM_TTL.as_secs());

/// Ends with its drop; a job that is neither completed nor failed by then is another's after its time.
pub struct Claim {
    shared: Arc<Shared>,
    job: Job,
    is_over: Rc<Cell<bool>>,
}

impl Claim {
    /// Claims the job of a queue that has waited longest, if there is one.
    ///
    /// # Errors
    /// What the store says.
    pub async fn next(shared: &Arc<Shared>, queue: &str) -> Result<Option<Self>, StoreError> {
        if shared.coordinator.is_draining() {
            return Ok(None);
        }
        let Some(job) = shared.store.claim_job(queue, shared.coordinator.pod(), CLAIM_TTL).await? else {
            return Ok(None);
        };
        shared.coordinator.claimed.rcu(|held| {
            let mut held = Vec::clone(held);
            held.push(job.clone());
            held
        });
        log::info("job_claimed", &[("queue", queue), ("job", &job.key)]);
        let claim = Self { shared: Arc::clone(shared), job, is_over: Rc::default() };
        runtime::spawn(keep_alive(Arc::clone(shared), claim.job.clone(), Rc::clone(&claim.is_over)));
        Ok(Some(claim))
    }

    /// The job as it was when it was claimed.
    #[must_use]
    pub fn job(&self) -> &Job {
        &self.job
    }

    /// Stores where the work has come to.
    ///
    /// # Errors
    /// `Fenced` when the job is another's by now: whoever works on it has to stop.
    pub async fn advance(&self, cursor: Value) -> Result<(), StoreError> {
        self.shared.store.advance_job(&self.job, cursor, CLAIM_TTL).await
    }

    /// What a commit ends with that makes the job's outcome durable and the job go, both or neither.
    #[must_use]
    pub fn completion(&self) -> Change {
        let Job { queue, key, token, .. } = &self.job;
        Change::CompleteJob { queue: queue.clone(), key: key.clone(), token: *token }
    }

    /// Lets the next pod try.
    pub async fn fail(self, reason: &str) {
        log::warn("job_failed", &[("queue", &self.job.queue), ("job", &self.job.key), ("reason", reason)]);
        // Where the store cannot be reached, the claim runs out by itself.
        let _ = self.shared.store.fail_job(&self.job, reason).await;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.is_over.set(true);
        self.shared.coordinator.claimed.rcu(|held| {
            let others = held.iter().filter(|job| job.token != self.job.token || job.key != self.job.key);
            others.cloned().collect::<Vec<_>>()
        });
    }
}

async fn keep_alive(shared: Arc<Shared>, job: Job, is_over: Rc<Cell<bool>>) {
    loop {
        runtime::sleep(HEARTBEAT_INTERVAL).await;
        if is_over.get() {
            return;
        }
        // What does not get through now may the next time.
        if let Err(StoreError::Fenced) = shared.store.keep_job(&job, CLAIM_TTL).await {
            return;
        }
    }
}

/// Gives all jobs back that this pod works on: it is about to end.
pub async fn give_back(shared: &Shared) {
    for job in shared.coordinator.claimed.load_full().iter() {
        let _ = shared.store.fail_job(job, "its pod ends").await;
    }
}
