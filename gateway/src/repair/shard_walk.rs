//! The walk over the shards of indexes, which a pass and the copying of a node share.
//!
//! Invariant: it can stop after any part, and another pod can continue it from the position that was stored then.

use std::{ops::ControlFlow, sync::Arc};

use router::ShardSet;

use crate::{
    repair::{
        compare::compare_copies,
        queue::Position,
        report::{RepairError, Report, Scope},
    },
    state::{core::Core, snapshot::Index},
};

/// Compares the shards of all indexes, or of one, or a range of them, from a position on. Calls `done` with the report
/// of each part and the next position, until it says that this is enough.
///
/// # Errors
/// Those of `done`.
pub(crate) async fn walk(
    core: &Core,
    scope: Scope,
    only_index: Option<&str>,
    only_shards: Option<(u32, u32)>,
    start: &Position,
    mut done: impl AsyncFnMut(Result<Report, RepairError>, Position) -> Result<ControlFlow<()>, RepairError>,
) -> Result<(), RepairError> {
    // What is held meanwhile is waited for by whoever moves shards, so that is no snapshot.
    let snapshot = core.shared.snapshot();
    let asked = |index: &Arc<Index>| only_index.is_none_or(|only| only == index.record.uid);
    let known = snapshot.with_twins().into_iter().filter(asked);
    let known = known.map(|index| (index.record.node_uid.clone(), index.record.shards));
    let mut known = known.collect::<Vec<_>>();
    drop(snapshot);
    known.sort_unstable();
    known.retain(|(node_uid, _)| *node_uid >= start.index);
    for (uid, shards) in &known {
        let shards = *shards;
        // The shards of one node are compared together, since most shards are not on it.
        let parts = if scope.target.is_some() { 1 } else { shards };
        let first = if *uid == start.index { start.part } else { 0 };
        let is_wanted = |part: &u32| only_shards.is_none_or(|(least, most)| (least..=most).contains(part));
        for part in (first..parts).filter(is_wanted) {
            let set =
                if scope.target.is_some() { ShardSet::all(shards) } else { [part].into_iter().collect() };
            let next = Position { index: uid.clone(), part: part + 1 };
            let found = match compare_copies(core, uid, &set, scope).await {
                // The index was deleted meanwhile: nothing of it is left to compare.
                Err(RepairError::IndexGone) => break,
                found => found,
            };
            if done(found, next).await?.is_break() {
                return Ok(());
            }
        }
    }
    Ok(())
}
