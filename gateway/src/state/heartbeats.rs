//! Signs of life of the executors, for a watchdog that has to know whether each of them still takes its turns.
//!
//! Invariant: where nobody watches, nobody beats.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crossbeam::utils::CachePadded;

use crate::wire::runtime;

/// One counter an executor, each on a cache line of its own.
pub struct Heartbeats {
    period: OnceLock<Duration>,
    counts: Vec<CachePadded<AtomicU64>>,
}

impl Heartbeats {
    #[must_use]
    pub fn new(executors: usize) -> Self {
        let counts = (0..executors).map(|_| CachePadded::new(AtomicU64::new(0))).collect();
        Self { period: OnceLock::new(), counts }
    }

    /// Lets executors that start from now on beat, once in each period.
    pub fn watch(&self, period: Duration) {
        let _ = self.period.set(period);
    }

    /// How often each executor has beaten.
    #[must_use]
    pub fn counts(&self) -> Vec<u64> {
        self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }
}

/// Beats for the executor that runs this, if anybody watches.
pub(crate) async fn beat(heartbeats: Arc<Heartbeats>, executor: usize) {
    let Some(period) = heartbeats.period.get().copied() else { return };
    loop {
        heartbeats.counts[executor].fetch_add(1, Ordering::Relaxed);
        runtime::sleep(period).await;
    }
}
