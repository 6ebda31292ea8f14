//! Waiting for everybody: for writes that were cut for other nodes, and for requests that were planned before.
//!
//! Invariants: a lane's turn begins with the newest topology, so whoever has had a lane once after a commit knows that
//! all older writes of its index are over, in every pod. A pod announces a version when nothing in it goes by an older.
//! One that has vanished is waited for as long as it may read without the store.

use crate::{
    config::limits,
    membership::rebalance::work::{Trouble, Work},
    observe::log,
    pods::election::PODS,
    state::{
        core::Core,
        placed::{self, Followed},
    },
    wire::runtime,
    write::lane,
};

/// Waits until every write that was cut for an older topology is over.
pub(super) async fn wait_for_writes(core: &Core) -> Result<(), Trouble> {
    let snapshot = core.shared.snapshot();
    let names = snapshot.in_order().into_iter().map(|index| index.record.uid.clone()).collect::<Vec<_>>();
    // What is held here would be waited for below.
    drop(snapshot);
    for name in names {
        let held = lane::lock(core, vec![&name]).await;
        drop(held.map_err(|_| Trouble::new(format!("index `{name}` is busy")))?);
    }
    Ok(())
}

/// Waits until nobody plans with an older version of the topology. What takes longer than the drain timeout is waited
/// for all the same, and said.
pub(crate) async fn wait_for_reads(work: &Work<'_>, version: u64) -> Result<(), Trouble> {
    let shared = &work.core.shared;
    let (begun, mut is_told) = (runtime::now(), false);
    loop {
        work.absences.look(shared).await?;
        let Some(laggard) = laggard(work, version).await? else { return Ok(()) };
        let waited = runtime::now().saturating_duration_since(begun);
        if waited >= limits::OLD_PLANS_WAIT_MAX {
            return Err(Trouble::new(laggard));
        }
        if waited >= shared.config.migration_drain_timeout && !is_told {
            is_told = true;
            let number = work.operation.operation.to_string();
            let fields = [("operation", &*number), ("waits_for", &laggard)];
            log::warn("old_plans_left", &fields);
        }
        work.check_wish().await?;
        runtime::sleep(limits::OLD_PLANS_LOOK_INTERVAL).await;
    }
}

/// A pod, or requests of this one, that may still plan with an older version.
async fn laggard(work: &Work<'_>, version: u64) -> Result<Option<String>, Trouble> {
    let shared = &work.core.shared;
    if !placed::is_alone(shared) {
        return Ok(Some("requests that were planned before are still served".to_owned()));
    }
    let coordinator = &shared.coordinator;
    if !coordinator.is_shared() {
        return Ok(None);
    }
    let known = shared.store.records(placed::FOLLOWED, None, usize::MAX).await?;
    // Asked for after the records: who has come since has read the newest version.
    let live = shared.store.leases(PODS).await?.into_iter().map(|lease| lease.holder).collect::<Vec<_>>();
    let is_silent =
        |pod: &&String| *pod != coordinator.pod() && !known.iter().any(|record| record.key == **pod);
    if let Some(pod) = live.iter().find(is_silent) {
        return Ok(Some(format!("pod {pod} has not said yet what it plans with")));
    }
    for record in known.iter().filter(|record| record.key != coordinator.pod()) {
        let followed = serde_json::from_value::<Followed>(record.value.clone()).ok();
        if followed.is_some_and(|followed| followed.version >= version) {
            continue;
        }
        if live.contains(&record.key) {
            return Ok(Some(format!("pod {} plans with an older version of the topology", record.key)));
        }
        // What it said of an earlier operation may have changed since without a word.
        let is_warned =
            followed.is_some_and(|followed| !followed.is_settled && followed.version > work.operation.base);
        let most = placed::reads_without_store_max(!is_warned) + limits::VANISHED_POD_MARGIN;
        let gone_for = work.absences.lasts(&record.key);
        if gone_for < most {
            let seconds = (most - gone_for).as_secs();
            let pod = &record.key;
            return Ok(Some(format!("pod {pod} has vanished and may read for {seconds} more seconds")));
        }
        // One that comes back tells anew what it plans with.
        shared.store.delete_record(placed::FOLLOWED, &record.key, record.revision).await?;
    }
    Ok(None)
}
