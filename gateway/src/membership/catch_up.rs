//! The catch-up of a joining node beyond its hints: a full resync, or the comparison of its suspect shards.
//!
//! Invariants: a node with a full resync gets its indexes and settings while all lanes are locked, and every write
//! from then on. Before it serves, its documents are compared with those of others, and nothing that only it has is
//! believed. A mark is removed only after the copies that it is about are equal.

use std::collections::BTreeMap;

use router::{NodeIndex, ShardSet};
use serde_json::Value;
use store::Change;

use crate::{
    config::limits,
    nodes::{
        hints::{HINTS, SUSPECT_SHARDS, SuspectCopies, suspect},
        pool::NodeRequest,
    },
    observe::log,
    repair::{
        compare, index_sync, node_copy,
        report::{Pace, RepairError, Scope},
    },
    state::{core::Core, leadership::Term},
    write::lane,
};

/// Begins a full resync: gives a node its indexes and settings, and lets writes be sent to it again.
pub(crate) async fn begin_copy(core: &Core, node: NodeIndex, term: &Term) -> Result<(), RepairError> {
    let id = &core.shared.nodes.addresses[usize::from(node.0)].id;
    let failed = |reason: String| RepairError::Node { node: id.clone(), reason };
    let request = NodeRequest::get("/tasks?limit=1");
    let answer = core.pools.ask(node, request, limits::TASK_QUESTION_TIMEOUT).await;
    let page = answer.map_err(|error| failed(error.to_string()))?;
    let page: Value = serde_json::from_slice(&page.body).map_err(|error| failed(error.to_string()))?;
    let newest = page["results"][0]["uid"].as_u64().and_then(|uid| u32::try_from(uid).ok());
    let snapshot = core.shared.snapshot();
    let names = snapshot.in_order().into_iter().map(|index| index.record.uid.as_str()).collect::<Vec<_>>();
    let _guards = lane::lock(core, names.clone()).await.map_err(|_| RepairError::Busy)?;
    for name in names {
        index_sync::sync_index(core, node, name).await?;
    }
    index_sync::drop_unknown(core, node).await?;
    let cut = Change::Truncate { log: HINTS, stream: id.clone(), through: u64::MAX };
    core.shared.commit_by(term, vec![cut]).await?;
    // The node may count its tasks anew.
    core.shared.nodes.hints.counts_from(node, newest);
    core.shared.nodes.hints.resynced(node);
    log::info("node_copied_anew", &[("node", id)]);
    Ok(())
}

/// Compares what is suspect on a node with the copies of others; gives whether the node may serve. Shards of which no
/// other node has a copy for now stay suspect, and are compared again while the node serves.
pub(crate) async fn compare_suspects(core: &Core, node: NodeIndex, term: &Term) -> bool {
    let id = &core.shared.nodes.addresses[usize::from(node.0)].id;
    let mut next = 0;
    let mut uncompared: BTreeMap<String, ShardSet> = BTreeMap::new();
    loop {
        let Ok(page) = core.shared.store.entries(SUSPECT_SHARDS, id, next, usize::MAX).await else {
            return false;
        };
        let Some(last) = page.last() else { break };
        next = last.sequence + 1;
        for entry in &page {
            let Ok(suspicion) = serde_json::from_value::<SuspectCopies>(entry.header.clone()) else {
                log::error("suspicion_not_understood", &[("node", id)]);
                return false;
            };
            match compare_suspect(core, node, (entry.sequence, &suspicion), &mut uncompared).await {
                Ok(true) => {}
                Ok(false) => return false,
                Err(error) => {
                    log::warn("node_not_level", &[("node", id), ("reason", &error.to_string())]);
                    return false;
                }
            }
        }
    }
    let Some(through) = u64::checked_sub(next, 1) else { return true };
    let mut changes = vec![Change::Truncate { log: SUSPECT_SHARDS, stream: id.clone(), through }];
    changes.extend(uncompared.iter().map(|(index, shards)| suspect(id, index, shards.iter().collect())));
    core.shared.commit_by(term, changes).await.is_ok()
}

/// Whether anything on a node is suspect.
pub(crate) async fn has_suspects(core: &Core, node: NodeIndex) -> bool {
    let id = &core.shared.nodes.addresses[usize::from(node.0)].id;
    core.shared.store.entries(SUSPECT_SHARDS, id, 0, 1).await.is_ok_and(|page| !page.is_empty())
}

async fn compare_suspect(
    core: &Core,
    node: NodeIndex,
    (mark, suspicion): (u64, &SuspectCopies),
    uncompared: &mut BTreeMap<String, ShardSet>,
) -> Result<bool, RepairError> {
    let (index, shards) = match suspicion {
        SuspectCopies::Everything { .. } => {
            return node_copy::by_some_pod(core, node, mark).await;
        }
        SuspectCopies::Shards { index, shards } => (index, shards),
    };
    let snapshot = core.shared.snapshot();
    // An index that is gone needs no comparison.
    let Some(known) = snapshot.on_nodes(index) else { return Ok(true) };
    let mut suspect =
        if shards.is_empty() { known.placement.written_to(node).clone() } else { ShardSet::new() };
    for shard in shards {
        suspect.insert(*shard);
    }
    if let Some(known) = uncompared.get(index) {
        suspect = suspect.difference(known);
    }
    let scope = Scope { target: Some(node), mark_suspect: false, pace: Pace::Full, dry_run: false };
    match compare::compare_copies(core, index, &suspect, scope).await {
        Ok(report) if report.is_equal() => {
            let alone = report.alone.into_iter().collect::<ShardSet>();
            if !alone.is_empty() {
                let known = uncompared.entry(index.clone()).or_default();
                *known = known.union(&alone);
            }
            Ok(true)
        }
        Ok(_) => Ok(false),
        Err(RepairError::IndexGone) => Ok(true),
        Err(error) => Err(error),
    }
}
