//! What each phase of an operation on one index does.
//!
//! Invariants: whatever is done may be done twice; the index is known by the names of its copies on the nodes, since
//! clients may rename it meanwhile; a run that has not compared the copies itself does so before they serve.

use std::sync::Arc;

use router::SHARDS_MAX;

use crate::{
    membership::{
        rebalance::{
            operation::{Copies, Event, IndexChange, Phase, Status},
            work::{Trouble, Work},
        },
        reshard::{backfill, copies, cutover, forecast, shadow, verify},
    },
    state::snapshot::Index,
    write::lane,
};

/// Does what the phase asks for; answers what has happened then. `level` is the operation whose copies this run has
/// found to be equal.
pub(crate) async fn perform(
    work: &Work<'_>,
    change: &IndexChange,
    level: &mut Option<u64>,
) -> Result<Event, Trouble> {
    let operation = &work.operation;
    if operation.status == Status::Queued {
        return Ok(Event::Begun);
    }
    if operation.phase == Phase::ComputingAssignments {
        return Ok(compute(work, change).await);
    }
    let Some(index) = copies::index(work) else {
        return Ok(Event::Refused { reason: "the index was deleted meanwhile".to_owned() });
    };
    match operation.phase {
        Phase::ComputingAssignments | Phase::Complete => {}
        Phase::ShadowCreate => {
            let IndexChange::Reshard { shards, .. } = change else { return Ok(Event::Done) };
            let node_uid = shadow::make(work, &index, *shards).await?;
            work.tell(Event::TwinMade { node_uid }).await?;
        }
        Phase::DualWrite | Phase::CutoverDraining => wait_for_writes(work, &index).await?,
        Phase::Backfill => {
            let IndexChange::Reshard { throttle, .. } = change else { return Ok(Event::Done) };
            backfill::run(work, &index, *throttle).await?;
        }
        Phase::Verify | Phase::CutoverDeltaPass => {
            verify::run(work, &index, operation.phase == Phase::CutoverDeltaPass).await?;
            *level = Some(operation.operation);
        }
        Phase::CutoverBegin => {
            copies::check_nodes(work.core)?;
            copies::check_settings(&index)?;
            if operation.waits_for_operator() {
                return Ok(Event::Verified);
            }
        }
        Phase::CutoverActivate => {
            if *level != Some(operation.operation) && index.record.node_uid != operation.copies.twin {
                verify::run(work, &index, true).await?;
                *level = Some(operation.operation);
            }
            cutover::activate(work, &index).await?;
        }
        Phase::CutoverCleanup => clean_up(work, change, &index).await?,
    }
    Ok(Event::Done)
}

/// Why a change of an index cannot be made.
pub(crate) fn refusal(index: &Index, change: &IndexChange) -> Option<String> {
    let record = &index.record;
    match change {
        IndexChange::Reshard { shards, .. } if !(1..=SHARDS_MAX).contains(shards) => {
            Some(format!("{shards} shards are not allowed: give 1 to {SHARDS_MAX}"))
        }
        IndexChange::Reshard { shards, .. } if *shards == record.shards => {
            Some(format!("index `{}` has {shards} shards already", record.uid))
        }
        IndexChange::RevertReshard { .. } if copies::kept(index).is_none() => {
            Some(format!("index `{}` keeps no copies from before a reshard", record.uid))
        }
        IndexChange::Reshard { .. } | IndexChange::RevertReshard { .. } | IndexChange::DropKept { .. } => {
            None
        }
    }
}

async fn compute(work: &Work<'_>, change: &IndexChange) -> Event {
    let snapshot = work.core.shared.snapshot();
    let Some(index) = snapshot.indexes.get(change.index()).cloned() else {
        return Event::Refused { reason: format!("index `{}` is gone", change.index()) };
    };
    let base = snapshot.topology.version;
    drop(snapshot);
    if let Some(reason) = refusal(&index, change) {
        return Event::Refused { reason };
    }
    let twin = match change {
        IndexChange::Reshard { .. } => String::new(),
        IndexChange::RevertReshard { .. } => copies::kept(&index).map(str::to_owned).unwrap_or_default(),
        IndexChange::DropKept { node_uid, .. } => node_uid.clone(),
    };
    let documents = match change {
        IndexChange::Reshard { .. } => {
            forecast::count(work.core, &index).await.map_or(0, |counted| counted.documents)
        }
        IndexChange::RevertReshard { .. } | IndexChange::DropKept { .. } => 0,
    };
    let serving = index.record.node_uid.clone();
    let copies = Copies { serving, twin, ..Copies::default() };
    Event::Planned { base, shards: (0..index.record.shards).collect(), documents, copies }
}

/// Waits until every write of the index that was cut before is over.
async fn wait_for_writes(work: &Work<'_>, index: &Arc<Index>) -> Result<(), Trouble> {
    let held = lane::lock(work.core, vec![&index.record.uid]).await;
    drop(held.map_err(|_| copies::busy(index))?);
    Ok(())
}

async fn clean_up(work: &Work<'_>, change: &IndexChange, index: &Arc<Index>) -> Result<(), Trouble> {
    let known = &work.operation.copies;
    match change {
        // What was never served is read by nobody.
        IndexChange::Reshard { .. } if work.operation.is_undone => shadow::drop_unserved(work, index).await,
        IndexChange::Reshard { .. } if work.core.shared.config.reshard_keep.is_zero() => {
            shadow::drop_served(work, index, &known.serving).await
        }
        IndexChange::RevertReshard { .. } if work.operation.is_undone => Ok(()),
        IndexChange::Reshard { .. } => Ok(()),
        IndexChange::RevertReshard { .. } => shadow::drop_served(work, index, &known.serving).await,
        IndexChange::DropKept { node_uid, .. } => shadow::drop_served(work, index, node_uid).await,
    }
}
