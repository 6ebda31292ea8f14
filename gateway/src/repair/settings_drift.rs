//! Two-phase changes of settings, and the detection of changes behind the gateway's back.
//!
//! Invariants: a change of settings is pending from when nodes take it until all serving nodes have been read back
//! and agree. Only then its version is committed durably, together with what nodes have. Where that cannot be
//! reached, the index takes no writes and says so. A settings task that failed contributes nothing to what is
//! committed.

use std::{sync::Arc, time::Instant};

use ahash::AHashMap;
use router::NodeIndex;
use store::{Change, IndexRecord};

use crate::{
    clock,
    config::limits,
    observe::log,
    repair::{
        node_settings::{Committed, Copies, Hashes},
        report::RepairError,
    },
    state::{
        core::Core,
        leadership::Term,
        snapshot::{Index, publish, settings_after},
    },
    wire::runtime,
    write::{
        lane,
        tasks::status::{self, registry_end::LaneState},
    },
};

/// When to try pending changes again, and how often that failed, by the index's name on the nodes.
#[derive(Default)]
pub struct Attempts {
    of: AHashMap<String, (u32, Instant)>,
}

/// Commits settings on which nodes agree, and repairs the nodes where they do not; all under the term.
pub async fn commit_pending(core: &Core, attempts: &mut Attempts, term: &Term) {
    let pending = core.shared.snapshot();
    let pending = pending.in_order().into_iter().filter(|index| index.record.settings_pending);
    for index in pending {
        let uid = &index.record.node_uid;
        if attempts.of.get(uid).is_some_and(|(_, due)| runtime::now() < *due) {
            continue;
        }
        match try_commit(core, index, term).await {
            Ok(true) => {
                attempts.of.remove(uid);
                core.shared.write_blocks.unblock(uid);
            }
            Ok(false) => note_failure(core, attempts, index),
            // Nodes still work on it, which is no failure.
            Err(RepairError::Busy) => {}
            // A node that cannot be asked will be found to be down, and is not asked then.
            Err(error) => {
                let reason = error.to_string();
                log::warn("settings_not_committed", &[("index", &index.record.uid), ("reason", &reason)]);
                let entry = attempts.of.entry(uid.clone()).or_insert((0, runtime::now()));
                entry.1 = runtime::now() + limits::SETTINGS_BACKOFF_MIN;
            }
        }
    }
}

fn note_failure(core: &Core, attempts: &mut Attempts, index: &Index) {
    let record = &index.record;
    let (count, due) = attempts.of.entry(record.node_uid.clone()).or_insert((0, runtime::now()));
    *count += 1;
    *due = runtime::now() + limits::SETTINGS_BACKOFF_MIN * 2_u32.pow((*count).min(6));
    metrics::counter!("miroir_settings_hash_mismatch_total").increment(1);
    log::warn("settings_differ", &[("index", &record.uid), ("tries", &count.to_string())]);
    if *count >= limits::SETTINGS_ATTEMPTS_MAX && core.shared.write_blocks.block(&record.node_uid) {
        log::error(
            "index_frozen",
            &[("index", &record.uid), ("reason", "its settings cannot be made equal")],
        );
    }
}

/// The second phase of a change: `Ok(true)` when it is committed, `Ok(false)` when nodes were sent the settings
/// again, `Busy` while nodes still work on it.
async fn try_commit(core: &Core, index: &Arc<Index>, term: &Term) -> Result<bool, RepairError> {
    let copies = Copies::new(core, Arc::clone(index), serving(core));
    if copies.are_changing().await? {
        return Err(RepairError::Busy);
    }
    let _guard = lane::lock(core, vec![&index.record.uid]).await.map_err(|_| RepairError::Busy)?;
    // The lane may have changed the index before it was locked.
    let Some(index) = serving_now(core, index) else { return Ok(true) };
    let copies = Copies::new(core, Arc::clone(&index), serving(core));
    if copies.are_changing().await? {
        return Err(RepairError::Busy);
    }
    end_changes(core, &index).await?;
    let Some(index) = serving_now(core, &index) else { return Ok(true) };
    let copies = Copies::new(core, Arc::clone(&index), serving(core));
    let mut found = copies.read().await?;
    if !agree(&found) {
        for node in copies.drifted(&found, None) {
            copies.send_whole(node).await?;
        }
        found = copies.read().await?;
        if !agree(&found) {
            return Ok(false);
        }
        metrics::counter!("miroir_settings_hash_mismatch_total").increment(1);
    }
    let record = next_version(&index);
    let committed = Committed {
        version: record.settings_version,
        settings: record.settings.clone(),
        primary_key: record.primary_key.clone(),
        hashes: found.into_iter().collect(),
    };
    commit(core, &copies, committed, record, term).await
}

/// The next version of an index's settings.
fn next_version(index: &Index) -> IndexRecord {
    let mut record = index.record.clone();
    // The remaining changes are of tasks that recovery has dropped after it sent them to every node again.
    let dropped = std::mem::take(&mut record.settings_ahead);
    record.settings = settings_after(&record.settings, &dropped);
    record.settings_pending = false;
    record.settings_version += 1;
    record.updated_at = clock::utc();
    record
}

async fn commit(
    core: &Core,
    copies: &Copies<'_>,
    committed: Committed,
    mut record: IndexRecord,
    term: &Term,
) -> Result<bool, RepairError> {
    // The revision is the one that was read, so a concurrent change makes the commit fail.
    let expected_revision = Some(record.revision);
    let put = Change::PutIndex { record: Box::new(record.clone()), expected_revision };
    let changes = vec![put, copies.commit(&committed).await?];
    record.revision = core.shared.commit_by(term, changes).await?[0];
    #[allow(clippy::cast_precision_loss, reason = "a version is a small count")]
    metrics::gauge!("miroir_settings_version", "index" => record.uid.clone()).set(committed.version as f64);
    let placement = Arc::clone(&copies.index.placement);
    let changed = Arc::new(Index::new(record, placement));
    publish(&core.shared.snapshot, |snapshot| snapshot.with_changed(Arc::clone(&changed)));
    Ok(true)
}

/// Ends the changes of settings that the index waits for.
async fn end_changes(core: &Core, index: &Index) -> Result<(), RepairError> {
    for ahead in &index.record.settings_ahead {
        // A change that recovery has dropped ends with the next one, or with the commit when it is the last.
        let Some(task) = core.shared.store.task(ahead.task).await? else { continue };
        if !status::refresh_within(core, task, LaneState::Held).await.status.is_finished() {
            return Err(RepairError::Busy);
        }
    }
    Ok(())
}

/// Checks that nodes have the committed settings, and sends them again to those that do not. The live pods divide the
/// indexes. Where two pods take themselves for the owner, the compare-and-swap of the record decides which is first.
pub async fn check(core: &Core) {
    let snapshot = core.shared.snapshot();
    for index in &snapshot.with_twins() {
        if index.record.settings_pending {
            continue;
        }
        if !core.shared.coordinator.owns(&format!("drift/{}", index.record.node_uid)) {
            continue;
        }
        if let Err(error) = check_index(core, index).await {
            let reason = error.to_string();
            log::warn("settings_not_checked", &[("index", &index.record.uid), ("reason", &reason)]);
        }
    }
}

/// The ids of serving nodes that do not have the committed settings of an index; nothing is repaired.
///
/// # Errors
/// A node that cannot be asked, or the store's error.
pub(crate) async fn drifted(core: &Core, index: &Arc<Index>) -> Result<Vec<String>, RepairError> {
    let copies = Copies::new(core, Arc::clone(index), serving(core));
    let expected = copies.committed().await?;
    let found = copies.read().await?;
    let known = expected.as_ref().filter(|known| known.version == index.record.settings_version);
    let drifted = copies.drifted(&found, known);
    Ok(drifted.iter().map(|node| core.shared.nodes.addresses[usize::from(node.0)].id.clone()).collect())
}

async fn check_index(core: &Core, index: &Arc<Index>) -> Result<(), RepairError> {
    let copies = Copies::new(core, Arc::clone(index), serving(core));
    let is_settled = |index: &Index, known: &Committed| {
        known.version == index.record.settings_version && known.primary_key == index.record.primary_key
    };
    let expected = copies.committed().await?;
    let found = copies.read().await?;
    let known = expected.as_ref().filter(|known| is_settled(index, known));
    if known.is_some() && copies.drifted(&found, known).is_empty() {
        return Ok(());
    }
    let _guard = lane::lock(core, vec![&index.record.uid]).await.map_err(|_| RepairError::Busy)?;
    let Some(index) = current(core, index).filter(|index| !index.record.settings_pending) else {
        return Ok(());
    };
    let copies = Copies::new(core, Arc::clone(&index), serving(core));
    if copies.are_changing().await? {
        return Err(RepairError::Busy);
    }
    let mut found = copies.read().await?;
    let known = expected.filter(|known| is_settled(&index, known));
    let drifted = copies.drifted(&found, known.as_ref());
    for node in &drifted {
        copies.send_whole(*node).await?;
        metrics::counter!("miroir_settings_drift_repair_total").increment(1);
        let node = &core.shared.nodes.addresses[usize::from(node.0)].id;
        log::warn("settings_repaired", &[("index", &index.record.uid), ("node", node)]);
    }
    if !drifted.is_empty() {
        found = copies.read().await?;
    }
    // For a node version that was not there at the commit, this is expected from now on.
    let mut committed = known.unwrap_or_else(|| Committed {
        version: index.record.settings_version,
        settings: index.record.settings.clone(),
        primary_key: index.record.primary_key.clone(),
        ..Committed::default()
    });
    if agree(&found) {
        committed.hashes.extend(found);
        core.shared.store.commit(vec![copies.commit(&committed).await?]).await?;
    }
    Ok(())
}

/// Whether nodes of one version have the same hash.
fn agree(found: &Hashes) -> bool {
    let expected = found.iter().cloned().collect::<AHashMap<_, _>>();
    found.iter().all(|(version, hash)| expected[version] == *hash)
}

/// The index as it is now, while these copies of it serve: what is kept from before a cutover has no record of its own.
fn serving_now(core: &Core, index: &Index) -> Option<Arc<Index>> {
    let now = core.shared.snapshot().indexes.get(&index.record.uid).cloned();
    now.filter(|now| now.record.node_uid == index.record.node_uid)
}

/// The index as it is now, or its twin, unless its name means another index by now.
fn current(core: &Core, index: &Index) -> Option<Arc<Index>> {
    let now = core.shared.snapshot().on_nodes(&index.record.node_uid).cloned();
    now.filter(|now| now.record.uid == index.record.uid)
}

fn serving(core: &Core) -> Vec<NodeIndex> {
    let mut nodes = core.shared.snapshot().topology.every_node();
    let shared = &core.shared;
    nodes.retain(|node| {
        shared.nodes.health.state(*node).serves_reads() && shared.nodes.hints.lets_through(*node)
    });
    nodes
}
