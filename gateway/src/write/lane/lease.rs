//! Lane leases: where several pods change an index, only the pod that holds the index's lease does.
//!
//! Invariants: intents are made under the lease, so that the order of tasks is the order in which nodes are asked,
//! whichever pods the writes came by. A pod gives the lease back when it is idle or another pod waits for it. A pod
//! that sleeps past its lease in the middle of a change marks all copies of the index as suspect, since another pod
//! may have changed it.

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

use serde_json::Value;
use store::{Lease, Store, StoreError, coordination::LEASES};

use crate::{
    api::error::ApiError,
    config::limits,
    nodes::hints::suspect,
    observe::log,
    state::core::Core,
    wire::runtime::{self, timeout},
};

/// Prefixes of lease names: the lane leases themselves, and the leases by which waiting pods tell that they want one.
const LANE_LEASES: &str = "lane/";
const LANE_LEASES_WANTED: &str = "lane-wanted/";

/// The right to change an index.
pub(crate) struct LaneLease {
    lease: Lease,
    state: Rc<Cell<State>>,
    /// When it was last checked whether another pod waits.
    checked_at: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Held,
    GivenBack,
    /// Another pod holds the lease, or has held it since.
    Lost,
}

/// Waits for the lane lease of an index, and brings the index up to date from the store.
///
/// # Errors
/// 503 when the store is out of reach, or another pod does not give the lease back in time.
pub(crate) async fn acquire(core: &Rc<Core>, index_uid: &str) -> Result<LaneLease, ApiError> {
    let (store, pod) = (&core.shared.store, core.shared.coordinator.pod());
    let (scope, wanted) = (format!("{LANE_LEASES}{index_uid}"), format!("{LANE_LEASES_WANTED}{index_uid}"));
    let deadline = runtime::now() + limits::LANE_LEASE_WAIT_MAX;
    loop {
        let acquired = store.acquire_lease(&scope, pod, Value::Null, limits::LANE_LEASE_TTL);
        // A lease that the store grants later expires by itself.
        let Ok(acquired) = timeout(limits::LANE_LEASE_STORE_WAIT_MAX, acquired).await else {
            return Err(ApiError::overloaded("The gateway's store does not answer; try again shortly."));
        };
        if let Some(acquired) = acquired? {
            let lease = LaneLease {
                lease: acquired,
                state: Rc::new(Cell::new(State::Held)),
                checked_at: runtime::now(),
            };
            runtime::spawn(keep(store.clone(), lease.lease.clone(), Rc::clone(&lease.state)));
            // The pod that begins a turn knows where shards are: a move of shards waits for earlier turns only.
            let fresh = async {
                crate::state::placed::refresh(&core.shared).await?;
                crate::state::refresh::index(&core.shared, index_uid).await
            };
            if let Err(error) = fresh.await {
                lease.give_back(core, index_uid);
                return Err(error.into());
            }
            return Ok(lease);
        }
        if runtime::now() >= deadline {
            let message = "Another pod is changing this index; try again shortly.";
            return Err(ApiError::overloaded(message).because("turn_of_another_pod"));
        }
        // The sign of one waiting pod is enough for the holder to give the lease back.
        let _ = store.acquire_lease(&wanted, pod, Value::Null, limits::LANE_LEASE_WANTED_TTL).await?;
        runtime::sleep(limits::LANE_LEASE_POLL_INTERVAL).await;
    }
}

/// Renews a lease until it is given back or lost.
async fn keep(store: Store, lease: Lease, state: Rc<Cell<State>>) {
    loop {
        runtime::sleep(limits::LANE_LEASE_RENEWAL_INTERVAL).await;
        if state.get() != State::Held {
            return;
        }
        if let Err(StoreError::Fenced) = store.renew_lease(&lease, limits::LANE_LEASE_TTL).await
            && state.get() == State::Held
        {
            return state.set(State::Lost);
        }
    }
}

impl LaneLease {
    /// Whether to give the lease back after the change under way; checks now and then whether other pods wait.
    pub(crate) async fn is_over(&mut self, core: &Core, index_uid: &str) -> bool {
        if self.state.get() == State::Lost {
            return true;
        }
        if runtime::now().saturating_duration_since(self.checked_at) < limits::LANE_LEASE_MIN {
            return false;
        }
        self.checked_at = runtime::now();
        let wanted = format!("{LANE_LEASES_WANTED}{index_uid}");
        // While the store hangs, no waiting pod could get the lease either.
        let waiting = timeout(limits::LANE_LEASE_CHECK_MAX, core.shared.store.leases(&wanted)).await;
        let waiting = waiting.ok().and_then(Result::ok).unwrap_or_default();
        waiting.iter().any(|lease| lease.scope == wanted && lease.holder != core.shared.coordinator.pod())
    }

    /// Gives the lease back. Nobody waits for the answer, since the store releases it before whatever it is asked
    /// next.
    pub(crate) fn give_back(self, core: &Rc<Core>, index_uid: &str) {
        let is_lost = self.state.replace(State::GivenBack) == State::Lost;
        let released = core.shared.store.release_lease(&self.lease);
        let (core, index_uid) = (Rc::clone(core), index_uid.to_owned());
        runtime::spawn(async move {
            if released.await == Err(StoreError::Fenced) || is_lost {
                log::warn("turn_lost", &[("index", &index_uid)]);
                mark_suspect(&core, &index_uid).await;
            }
        });
    }
}

/// Deletes leases that had expired at a time (since 1970), of indexes that may be gone. Tokens continue by the clock.
///
/// # Errors
/// The store's error.
pub(crate) async fn sweep(store: &Store, over: Duration) -> Result<(), StoreError> {
    let over = u64::try_from(over.as_millis()).unwrap_or(u64::MAX);
    let mut after = None::<String>;
    loop {
        let leases = store.records(LEASES, after.as_deref(), limits::LANE_LEASES_SWEPT_MAX).await?;
        let Some(last) = leases.last() else { return Ok(()) };
        after = Some(last.key.clone());
        for lease in &leases {
            let is_lane_lease =
                lease.key.starts_with(LANE_LEASES) || lease.key.starts_with(LANE_LEASES_WANTED);
            if is_lane_lease && lease.value["expires_ms"].as_u64().is_some_and(|expires| expires < over) {
                // A lease that was taken meanwhile stays, by its revision.
                let _ = store.delete_record(LEASES, &lease.key, lease.revision).await;
            }
        }
    }
}

/// Has all copies of an index compared, where there are several.
async fn mark_suspect(core: &Core, index_uid: &str) {
    let snapshot = core.shared.snapshot();
    let Some(index) = snapshot.indexes.get(index_uid) else { return };
    if snapshot.topology.replication_factor < 2 && snapshot.topology.groups().len() < 2 {
        return;
    }
    let nodes = snapshot.topology.every_node().into_iter();
    let marks = nodes
        .map(|node| suspect(&snapshot.topology.node(node).id, &index.record.node_uid, Vec::new()))
        .collect();
    if let Err(error) = core.shared.store.commit(marks).await {
        log::error("suspicion_not_stored", &[("index", index_uid), ("reason", &error.to_string())]);
    }
}
