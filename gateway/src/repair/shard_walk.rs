//! The walk over the shards of indexes, which a pass and the copying of a node share.
//!
//! Invariant: it can stop after any part, and another pod can continue it from the position that was stored then.

use router::ShardSet;

use crate::{
    repair::{
        compare::{compare_copies, only},
        queue::Position,
        report::{RepairError, Report, Scope},
    },
    state::core::Core,
};

/// Compares the shards of all indexes, or of one, or a range of them, from a position on. Calls `done` with the report of each part and
/// the next position.
///
/// # Errors
/// Those of `done`.
pub(crate) async fn walk(
    core: &Core,
    scope: Scope,
    only_index: Option<&str>,
    only_shards: Option<(u32, u32)>,
    start: &Position,
    mut done: impl AsyncFnMut(Result<Report, RepairError>, Position) -> Result<(), RepairError>,
) -> Result<(), RepairError> {
    // What is held meanwhile is waited for by whoever moves shards, so that is no snapshot.
    let snapshot = core.shared.snapshot();
    let known = snapshot.in_order().into_iter().map(|index| (index.record.uid.clone(), index.record.shards));
    let mut known = known.collect::<Vec<_>>();
    drop(snapshot);
    known.retain(|(uid, _)| *uid >= start.index && only_index.is_none_or(|only| only == uid));
    for (uid, shards) in &known {
        let shards = *shards;
        // The shards of one node are compared together, since most shards are not on it.
        let parts = if scope.target.is_some() { 1 } else { shards };
        let first = if *uid == start.index { start.part } else { 0 };
        let is_wanted = |part: &u32| only_shards.is_none_or(|(least, most)| (least..=most).contains(part));
        for part in (first..parts).filter(is_wanted) {
            let set = if scope.target.is_some() { ShardSet::all(shards) } else { only(part, shards) };
            let next = Position { index: uid.clone(), part: part + 1 };
            match compare_copies(core, uid, &set, scope).await {
                // The index was deleted meanwhile: nothing of it is left to compare.
                Err(RepairError::IndexGone) => break,
                found => done(found, next).await?,
            }
        }
    }
    Ok(())
}
