//! The walk over the shards of indexes, which a pass and the copying of a node share.
//!
//! Invariant: it can be left after any part, and gone on with by another pod from the position that was stored then.

use router::ShardSet;

use crate::{
    repair::{
        compare::{only, verify},
        queue::Position,
        report::{RepairError, Report, Scope},
    },
    state::core::Core,
};

/// Compares the shards of all indexes, or of one, from a position on; `done` is told of each part and of what is next.
///
/// # Errors
/// What `done` says.
pub(crate) async fn walk(
    core: &Core,
    scope: Scope,
    only_index: Option<&str>,
    start: &Position,
    mut done: impl AsyncFnMut(Result<Report, RepairError>, Position) -> Result<(), RepairError>,
) -> Result<(), RepairError> {
    let snapshot = core.shared.snapshot();
    let mut uids = snapshot.indexes.keys().filter(|uid| **uid >= start.index).collect::<Vec<_>>();
    uids.retain(|uid| only_index.is_none_or(|only| only == *uid));
    uids.sort_unstable();
    for uid in uids {
        let shards = snapshot.indexes[uid].record.shards;
        // One node's shards are compared together: most of them are not on it.
        let parts = if scope.target.is_some() { 1 } else { shards };
        let first = if *uid == start.index { start.part } else { 0 };
        for part in first..parts {
            let set = if scope.target.is_some() { ShardSet::all(shards) } else { only(part, shards) };
            let next = Position { index: uid.clone(), part: part + 1 };
            match verify(core, uid, &set, scope).await {
                // It was deleted meanwhile: nothing of it is left to compare.
                Err(RepairError::IndexGone) => break,
                found => done(found, next).await?,
            }
        }
    }
    Ok(())
}
