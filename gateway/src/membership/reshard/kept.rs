//! Copies that are kept from before a reshard, so that it can be taken back: dropped once their time is over.
//!
//! Invariant: they are dropped by an operation of their own, which waits for its turn.

use crate::{
    clock,
    membership::rebalance::{
        operation::{IndexChange, Wanted},
        queue,
    },
    observe::log,
    state::{core::Core, leadership::scope},
};

/// Asks for the end of copies whose time is over.
pub(crate) async fn sweep(core: &Core) {
    if core.shared.coordinator.term(scope::TOPOLOGY).is_none() {
        return;
    }
    let (snapshot, now) = (core.shared.snapshot(), clock::utc());
    let due = snapshot.in_order().into_iter().filter_map(|index| {
        let twin = index.record.twin.as_ref()?;
        let is_over = twin.kept_until.is_some_and(|until| until <= now);
        is_over.then(|| (index.record.uid.clone(), twin.node_uid.clone()))
    });
    let due = due.collect::<Vec<_>>();
    drop(snapshot);
    if due.is_empty() {
        return;
    }
    let Ok(known) = queue::all(&core.shared).await else { return };
    for (index, node_uid) in due {
        let wanted = Wanted::Index(IndexChange::DropKept { index, node_uid });
        let is_asked = known.iter().any(|operation| !operation.has_ended() && operation.change == wanted);
        if is_asked {
            continue;
        }
        if let Err(error) = queue::enqueue(&core.shared, wanted).await {
            log::warn("kept_copies_not_dropped", &[("reason", &error.to_string())]);
        }
    }
}
