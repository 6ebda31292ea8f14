//! Whose turn it is to change an index, where several pods do: a lease for each index, held while a lane works.
//!
//! Invariants: intents are made in a turn, so that the order of tasks is the order in which nodes are asked, whichever
//! pods the writes came by; a turn is given back when it is idle or another pod waits for it; a pod that sleeps past
//! its turn in the middle of a change marks all copies of the index as suspect, for another may have been at it.

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

/// Where the names of the leases begin.
const TURNS: &str = "lane/";
const WANTED: &str = "lane-wanted/";

/// The right to change an index.
pub(crate) struct LaneLease {
    lease: Lease,
    state: Rc<Cell<State>>,
    /// When it was last looked whether another pod waits.
    looked: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Held,
    GivenBack,
    /// Another pod has, or has had, a turn since.
    Lost,
}

/// Waits for the turn of an index, which is as the store has it from then on.
///
/// # Errors
/// 503 when the store is out of reach, or others do not give the turn back in time.
pub(crate) async fn take(core: &Rc<Core>, index_uid: &str) -> Result<LaneLease, ApiError> {
    let (store, pod) = (&core.shared.store, core.shared.coordinator.pod());
    let (scope, wanted) = (format!("{TURNS}{index_uid}"), format!("{WANTED}{index_uid}"));
    let deadline = runtime::now() + limits::LANE_LEASE_WAIT_MAX;
    loop {
        let acquired = store.acquire_lease(&scope, pod, Value::Null, limits::LANE_LEASE_TTL);
        // One that the store gives later ends by itself.
        let Ok(acquired) = timeout(limits::LANE_LEASE_STORE_WAIT_MAX, acquired).await else {
            return Err(ApiError::overloaded("The gateway's store does not answer; try again shortly."));
        };
        if let Some(lease) = acquired? {
            let turn = LaneLease { lease, state: Rc::new(Cell::new(State::Held)), looked: runtime::now() };
            runtime::spawn(keep(store.clone(), turn.lease.clone(), Rc::clone(&turn.state)));
            if let Err(error) = crate::state::refresh::index(&core.shared, index_uid).await {
                turn.give_back(core, index_uid);
                return Err(error.into());
            }
            return Ok(turn);
        }
        if runtime::now() >= deadline {
            let message = "Another pod is changing this index; try again shortly.";
            return Err(ApiError::overloaded(message).because("turn_of_another_pod"));
        }
        // Whoever of those who wait says so, the holder hears of it.
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
    /// Whether it is to be given back after the change under way; looks for others who wait now and then.
    pub(crate) async fn is_over(&mut self, core: &Core, index_uid: &str) -> bool {
        if self.state.get() == State::Lost {
            return true;
        }
        if runtime::now().saturating_duration_since(self.looked) < limits::LANE_LEASE_MIN {
            return false;
        }
        self.looked = runtime::now();
        let wanted = format!("{WANTED}{index_uid}");
        // Who waits while the store hangs cannot have the turn either.
        let waiting = timeout(limits::LANE_LEASE_CHECK_MAX, core.shared.store.leases(&wanted)).await;
        let waiting = waiting.ok().and_then(Result::ok).unwrap_or_default();
        waiting.iter().any(|lease| lease.scope == wanted && lease.holder != core.shared.coordinator.pod())
    }

    /// Lets others have their turn. The store does it before what it is asked next; nobody waits for its answer.
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

/// Forgets turns that were over at a time (since 1970): of indexes that may be no more. Tokens go on by the clock.
///
/// # Errors
/// The store's own.
pub(crate) async fn sweep(store: &Store, over: Duration) -> Result<(), StoreError> {
    let over = u64::try_from(over.as_millis()).unwrap_or(u64::MAX);
    let mut after = None::<String>;
    loop {
        let leases = store.records(LEASES, after.as_deref(), limits::LANE_LEASES_SWEPT_MAX).await?;
        let Some(last) = leases.last() else { return Ok(()) };
        after = Some(last.key.clone());
        for lease in &leases {
            let is_turn = lease.key.starts_with(TURNS) || lease.key.starts_with(WANTED);
            if is_turn && lease.value["expires_ms"].as_u64().is_some_and(|expires| expires < over) {
                // One that was taken meanwhile stays.
                let _ = store.delete_record(LEASES, &lease.key, lease.revision).await;
            }
        }
    }
}

/// Has all copies of an index compared, where there are several.
async fn mark_suspect(core: &Core, index_uid: &str) {
    let snapshot = core.shared.snapshot();
    let Some(index) = snapshot.indexes.get(index_uid) else { return };
    if core.shared.config.replication_factor < 2 && snapshot.topology.groups().len() < 2 {
        return;
    }
    let nodes = core.shared.nodes.addresses.iter();
    let marks = nodes.map(|node| suspect(&node.id, &index.record.node_uid, Vec::new())).collect();
    if let Err(error) = core.shared.store.commit(marks).await {
        log::error("suspicion_not_stored", &[("index", index_uid), ("reason", &error.to_string())]);
    }
}
