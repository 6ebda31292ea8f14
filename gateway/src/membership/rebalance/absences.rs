//! Pods that are gone without a word: since when, so that it is known when they read no more.
//!
//! Invariant: a pod's absence counts from when this one has seen it first, which is not before it began.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    time::{Duration, Instant},
};

use store::StoreError;

use crate::{
    config::limits,
    pods::election::PODS,
    state::{placed, shared::Shared},
    wire::runtime,
};

/// Since when pods have been gone that have not said farewell, as far as this pod has seen.
#[derive(Default)]
pub(crate) struct Absences {
    since: RefCell<BTreeMap<String, Instant>>,
    looked_at: Cell<Option<Instant>>,
}

impl Absences {
    /// Looks now and then who is gone, so that it is known when somebody has to be waited for.
    pub(crate) async fn look(&self, shared: &Shared) -> Result<(), StoreError> {
        let now = runtime::now();
        let is_due = self
            .looked_at
            .get()
            .is_none_or(|looked| now.saturating_duration_since(looked) >= limits::TOPOLOGY_VOUCH_INTERVAL);
        if !shared.coordinator.is_shared() || !is_due {
            return Ok(());
        }
        self.looked_at.set(Some(now));
        let known = shared.store.records(placed::FOLLOWED, None, usize::MAX).await?;
        let live = shared.store.leases(PODS).await?;
        let is_gone = |pod: &str| !live.iter().any(|lease| lease.holder == pod);
        let mut since = self.since.borrow_mut();
        since.retain(|pod, _| is_gone(pod) && known.iter().any(|record| record.key == *pod));
        for record in known.into_iter().filter(|record| is_gone(&record.key)) {
            since.entry(record.key).or_insert(now);
        }
        Ok(())
    }

    /// How long a pod has been gone.
    pub(super) fn lasts(&self, pod: &str) -> Duration {
        let now = runtime::now();
        let mut since = self.since.borrow_mut();
        now.saturating_duration_since(*since.entry(pod.to_owned()).or_insert(now))
    }
}
