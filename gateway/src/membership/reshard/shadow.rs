//! Further copies of an index: made empty on all nodes, and dropped from them.
//!
//! Invariants: they are on record before the first node is asked to make them, and from when they are given up until
//! every node has dropped them; the index's lane is locked while it gets or loses them, so that a write goes to both or
//! to one.

use std::{sync::Arc, time::Duration};

use http::Method;
use store::{Change, Twin};

use crate::{
    api::{
        error::ApiError,
        settings::{Derivation, whole_for_nodes},
    },
    membership::{
        rebalance::work::{Trouble, Work},
        reshard::{copies, registry},
    },
    read::ask,
    state::{change::Repetition, core::Core, snapshot::Index},
    write::{
        fanout::{self, Missed},
        index_life, lane,
        orphan_indexes::{self, ORPHAN_INDEXES},
    },
};

/// Counts the further copies of a store, for ever.
const NUMBERS: &str = "twins";
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Gives an index empty copies of so many shards, which get every write from then on; answers their name on the nodes.
pub(super) async fn make(work: &Work<'_>, index: &Arc<Index>, shards: u32) -> Result<String, Trouble> {
    let (core, uid) = (work.core, &index.record.uid);
    registry::place(work, shards).await?;
    abandon_others(work, uid).await?;
    if copies::kept(index).is_some() {
        // What was kept from before an earlier reshard makes room.
        registry::wait_for_readers(work, shards).await?;
    }
    let hold = lane::lock(core, vec![uid]).await;
    let _hold = hold.map_err(|_| copies::busy(index))?;
    let Some(index) = copies::index(work) else { return Err(copies::busy(index)) };
    let unserved = index.record.twin.as_ref().filter(|twin| twin.kept_until.is_none());
    if let Some(twin) = unserved {
        // The run that made them has died.
        return Ok(twin.node_uid.clone());
    }
    let node_uid = orphan_indexes::twin_uid(uid, core.shared.store.count(NUMBERS, 1, FOR_EVER).await?);
    core.shared.store.put_record(ORPHAN_INDEXES, &node_uid, orphan_indexes::value(true), None).await?;
    let mut missed = Missed::new(core, 0);
    let made = make_on_nodes(core, &index, (&node_uid, shards), &mut missed).await;
    let mut changes = missed.take();
    if let Err(error) = made {
        if !changes.is_empty() {
            core.shared.store.commit(changes).await?;
        }
        return Err(trouble(error));
    }
    changes.push(orphan_indexes::forget(&node_uid));
    changes.extend(index.record.twin.as_ref().map(|twin| orphan_indexes::remember(&twin.node_uid)));
    let twin = Twin { node_uid: node_uid.clone(), shards, kept_until: None };
    registry::change(work, uid, &changes, |record| record.twin = Some(twin.clone())).await?;
    Ok(node_uid)
}

/// Hands copies that a dead run was making to the sweep.
async fn abandon_others(work: &Work<'_>, uid: &str) -> Result<(), Trouble> {
    let shared = &work.core.shared;
    let prefix = orphan_indexes::twin_prefix(uid);
    for record in shared.store.records(ORPHAN_INDEXES, Some(&prefix), usize::MAX).await? {
        if record.key.starts_with(&prefix) && record.value["beingMade"] == true {
            let put = Change::PutRecord {
                table: ORPHAN_INDEXES,
                key: record.key,
                value: orphan_indexes::value(false),
                expected_revision: Some(record.revision),
            };
            shared.commit_by(&work.term, vec![put]).await?;
        }
    }
    Ok(())
}

async fn make_on_nodes(
    core: &Core,
    index: &Index,
    (node_uid, shards): (&str, u32),
    missed: &mut Missed,
) -> Result<(), ApiError> {
    let snapshot = core.shared.snapshot();
    let placement = snapshot.topology.placement(shards).cloned();
    let placement =
        placement.ok_or_else(|| ApiError::overloaded("Shards are being placed; try again shortly."))?;
    let mut record = index.record.clone();
    (record.node_uid, record.shards, record.twin) = (node_uid.to_owned(), shards, None);
    let twin = Index::new(record, placement);
    let quorum = fanout::quorum(core, &snapshot, &twin.placement);
    let key = twin.record.primary_key.as_deref();
    index_life::make_on_nodes(core, &quorum, node_uid, key, missed).await?;
    let ahead = twin.settings_ahead();
    let derivation = Derivation::new(&ahead, key, ask::lowest_version(core).await);
    for body in whole_for_nodes(&derivation, &[]) {
        let request = (&Method::PATCH, "/settings", body.to_string().into());
        fanout::send_to_all(core, &twin, request, Repetition::Harmless, missed).await?;
    }
    Ok(())
}

/// Drops copies that never served.
pub(super) async fn drop_unserved(work: &Work<'_>, index: &Arc<Index>) -> Result<(), Trouble> {
    let unserved = index.record.twin.as_ref().filter(|twin| twin.kept_until.is_none());
    match unserved {
        Some(twin) => take_away(work, index, &twin.node_uid).await,
        None => Ok(()),
    }
}

/// Drops copies that have served, once nobody reads them any more.
pub(super) async fn drop_served(work: &Work<'_>, index: &Arc<Index>, node_uid: &str) -> Result<(), Trouble> {
    if index.record.node_uid == node_uid {
        return Ok(());
    }
    registry::wait_for_readers(work, index.record.shards).await?;
    take_away(work, index, node_uid).await
}

async fn take_away(work: &Work<'_>, index: &Arc<Index>, node_uid: &str) -> Result<(), Trouble> {
    let core = work.core;
    let hold = lane::lock(core, vec![&index.record.uid]).await;
    let hold = hold.map_err(|_| copies::busy(index))?;
    let Some(index) = copies::index(work) else { return Ok(()) };
    if index.record.node_uid == node_uid {
        return Err(Trouble::new(format!(
            "the copies that serve index `{}` are not dropped",
            index.record.uid
        )));
    }
    if index.record.twin.as_ref().is_some_and(|twin| twin.node_uid == node_uid) {
        let remember = [orphan_indexes::remember(node_uid)];
        registry::change(work, &index.record.uid, &remember, |record| record.twin = None).await?;
    }
    drop(hold);
    // Where a node cannot be asked now the sweep asks it.
    let _ = index_life::drop_orphan_index(core, node_uid, &work.term).await;
    Ok(())
}

pub(super) fn trouble(error: ApiError) -> Trouble {
    Trouble::new(error.into_task_error().message)
}
