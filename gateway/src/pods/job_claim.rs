//! A job that this pod has claimed: kept alive while it is worked on, with its progress stored, and given up at once
//! when another pod has it or this pod ends.
//!
//! Invariants: every step of a job's work asks the store whether the job is still this pod's. A pod that dies costs
//! the rest of its claim's time and nothing else.

use std::{cell::Cell, rc::Rc, sync::Arc, time::Duration};

use serde_json::Value;
use store::{Change, Job, StoreError};

use crate::{observe::log, state::shared::Shared, wire::runtime};

/// How long a claim lasts without a heartbeat.
pub const CLAIM_TTL: Duration = Duration::from_secs(30);
/// How often the holder of a claim sends a heartbeat.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(10);
/// How often an idle pod looks for a job.
pub const LOOK_INTERVAL: Duration = Duration::from_secs(1);

const _: () = assert!(HEARTBEAT_INTERVAL.as_secs() * 3 <= CLAIM_TTL.as_secs());

/// Ends when it is dropped. A job that is neither completed nor failed by then can be claimed after the claim's time.
pub struct Claim {
    shared: Arc<Shared>,
    job: Job,
    is_over: Rc<Cell<bool>>,
}

impl Claim {
    /// Claims the job of a queue that has waited longest, if there is one.
    ///
    /// # Errors
    /// The store's error.
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

    /// Stores the progress of the work.
    ///
    /// # Errors
    /// `Fenced` when another pod has the job by now: the work has to stop.
    pub async fn advance(&self, cursor: Value) -> Result<(), StoreError> {
        self.shared.store.advance_job(&self.job, cursor, CLAIM_TTL).await
    }

    /// The change with which a commit ends the job, so that its outcome is durable if and only if the job is gone.
    #[must_use]
    pub fn completion(&self) -> Change {
        let Job { queue, key, token, .. } = &self.job;
        Change::CompleteJob { queue: queue.clone(), key: key.clone(), token: *token }
    }

    /// Gives the job up, so that a pod may try it again.
    pub async fn fail(self, reason: &str) {
        log::warn("job_failed", &[("queue", &self.job.queue), ("job", &self.job.key), ("reason", reason)]);
        // When the store is out of reach, the claim expires by itself.
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
        // A heartbeat that does not get through now may the next time.
        if let Err(StoreError::Fenced) = shared.store.keep_job(&job, CLAIM_TTL).await {
            return;
        }
    }
}

/// Gives up all jobs that this pod works on, before it ends.
pub async fn give_back(shared: &Shared) {
    for job in shared.coordinator.claimed.load_full().iter() {
        let _ = shared.store.fail_job(job, "its pod ends").await;
    }
}
