//! Index sync: gives a whole node the right indexes and settings, after which every document is compared
//! (`shard_walk`).
//!
//! Invariants: an index is made and given its settings while its lane is locked, so that changes by clients come
//! before or after. An unknown index on the node is dropped only when its name is one that the gateway gives, and it
//! is neither being made nor in the registry. Documents come last.

use std::sync::Arc;

use ahash::AHashSet;
use bytes::Bytes;
use http::{Method, StatusCode};
use router::NodeIndex;
use serde_json::{Value, json};

use crate::{
    config::limits,
    nodes::pool::NodeRequest,
    observe::log,
    repair::{
        node_settings::Copies,
        replica::{Replica, send},
        report::RepairError,
    },
    state::{core::Core, snapshot::Index},
    write::{
        lane,
        orphan_indexes::{self, ORPHAN_INDEXES},
    },
};

/// Gives a node the indexes that it lacks, with their settings, and drops unknown ones.
///
/// # Errors
/// [`RepairError`].
pub async fn sync_indexes(core: &Core, node: NodeIndex) -> Result<(), RepairError> {
    let mut names = core.shared.snapshot().indexes.keys().cloned().collect::<Vec<_>>();
    names.sort_unstable();
    for name in &names {
        let _guard = lane::lock(core, vec![name]).await.map_err(|_| RepairError::Busy)?;
        sync_index(core, node, name).await?;
    }
    drop_unknown(core, node).await
}

/// Makes an index and its twin on a node that lacks them, and gives them their settings. The caller has locked their
/// lane.
///
/// # Errors
/// [`RepairError`].
pub async fn sync_index(core: &Core, node: NodeIndex, name: &str) -> Result<(), RepairError> {
    // It may have been deleted or renamed while this waited for its lane.
    let Some(index) = core.shared.snapshot().indexes.get(name).cloned() else { return Ok(()) };
    if let Some(twin) = &index.twin {
        sync_copies(core, node, Arc::clone(twin)).await?;
    }
    sync_copies(core, node, index).await
}

async fn sync_copies(core: &Core, node: NodeIndex, index: Arc<Index>) -> Result<(), RepairError> {
    let copies = Copies::new(core, Arc::clone(&index), vec![node]);
    let replica = copies.replica(node);
    replica.wait_until_idle(limits::REPAIR_TASK_TIMEOUT).await?;
    let is_made = match is_there(&replica).await? {
        true => false,
        false => make(core, &replica, &index).await.map(|()| true)?,
    };
    let found = copies.read().await?;
    let expected = copies.committed().await?;
    if is_made || expected.is_none() || !copies.drifted(&found, expected.as_ref()).is_empty() {
        copies.send_whole(node).await?;
    }
    Ok(())
}

async fn is_there(replica: &Replica<'_>) -> Result<bool, RepairError> {
    let target = format!("/indexes/{}", replica.node_uid);
    let request = NodeRequest::get(&target);
    let answer = replica.core.pools.ask(replica.node, request, limits::REPAIR_HELD_REQUEST_TIMEOUT).await;
    match answer.map_err(|error| replica.failed(error))?.status {
        StatusCode::OK => Ok(true),
        StatusCode::NOT_FOUND => Ok(false),
        status => Err(replica.failed(format!("status {}", status.as_u16()))),
    }
}

async fn make(core: &Core, replica: &Replica<'_>, index: &Index) -> Result<(), RepairError> {
    let body = json!({"uid": replica.node_uid, "primaryKey": index.record.primary_key}).to_string();
    let task = send(core, replica.node, Method::POST, "/indexes", body.into()).await;
    replica.wait_for(task.map_err(|reason| replica.failed(reason))?).await?;
    log::info("index_made_again", &[("node", replica.id()), ("index", &index.record.uid)]);
    Ok(())
}

/// Drops indexes whose names the gateway has given, and which it does not know.
///
/// # Errors
/// [`RepairError`].
pub async fn drop_unknown(core: &Core, node: NodeIndex) -> Result<(), RepairError> {
    let failed = |reason: String| RepairError::Node {
        node: core.shared.nodes.addresses[usize::from(node.0)].id.clone(),
        reason,
    };
    let request = NodeRequest::get("/indexes?limit=1000000");
    let answer = core.pools.ask(node, request, core.shared.config.node_timeout).await;
    let answer = answer.map_err(|error| failed(error.to_string()))?;
    let page: Value = serde_json::from_slice(&answer.body).map_err(|error| failed(error.to_string()))?;
    // Read after the node was asked, so that an index made since is not in the node's list.
    let orphans = core.shared.store.records(ORPHAN_INDEXES, None, usize::MAX).await?;
    let orphans = orphans.into_iter().map(|record| record.key).collect::<AHashSet<_>>();
    let snapshot = core.shared.snapshot();
    let held = page["results"].as_array().into_iter().flatten().filter_map(|index| index["uid"].as_str());
    for uid in held {
        if snapshot.on_nodes(uid).is_some() || orphans.contains(uid) || !orphan_indexes::is_given(uid) {
            continue;
        }
        let target = format!("/indexes/{uid}");
        send(core, node, Method::DELETE, &target, Bytes::new()).await.map_err(failed)?;
        log::info("unknown_index_dropped", &[("index", uid)]);
    }
    Ok(())
}
