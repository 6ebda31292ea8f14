//! Repair: finding where the copies of a shard differ, and making them equal.
//!
//! `verify` compares fingerprints of whole shards, looks for the keys in the buckets that differ, and
//! has those mended (`mend`), where `decide` says which copy is right. Invariants: memory is bounded by
//! the buckets looked at together; nodes that are down or about to join are no copies, but for the
//! one that is to be brought level; what could not be compared is reported, never counted as equal.

mod decide;
mod digest;
pub mod drift;
mod evidence;
pub mod frozen;
pub mod manage;
mod mend;
pub mod pass;
mod reading;
pub mod reconcile;
mod settings;
pub mod tombstones;

use std::{cell::RefCell, sync::Arc};

use ahash::{AHashMap, AHashSet};
use futures_util::future::try_join_all;
use router::{NodeIndex, ShardSet, shard_filter};
use serde::{Deserialize, Serialize};
use store::StoreError;

pub use self::reading::Pace;
use self::{
    digest::{BUCKETS, Fingerprint},
    reading::Replica,
    tombstones::Graveyard,
};
use crate::{config::limits, data::Core, observe::log, runtime::Runtime, snapshot::Index};

/// What a verification is about.
#[derive(Debug, Clone, Copy)]
pub struct Scope {
    /// Only the shards of this node, which need not serve reads yet.
    pub target: Option<NodeIndex>,
    /// Whether what the target says may not win.
    pub distrust: bool,
    pub pace: Pace,
    /// Whether to find out only.
    pub dry_run: bool,
}

/// What a verification found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Report {
    /// Shards of which at least two copies were compared.
    pub shards: u64,
    /// Shards with one copy to be had.
    pub single: u64,
    /// Copies that were not to be had.
    pub missing: u64,
    /// Documents compared, each counted once per copy.
    pub compared: u64,
    /// Documents of which copies differed.
    pub differing: u64,
    /// Of those, how many were written again and how many deleted; without repair, how many would have been.
    pub rewritten: u64,
    pub deleted: u64,
    /// Those of which no copy could be trusted.
    pub undecided: u64,
    /// Documents that stood where they do not belong.
    pub strays: u64,
    /// Shards that could not be compared or mended.
    pub failed: u64,
    /// The shards with one copy to be had that have others elsewhere.
    #[serde(skip)]
    pub alone: Vec<u32>,
}

impl Report {
    /// Whether every shard asked about was compared and no difference is left.
    #[must_use]
    pub fn is_level(&self) -> bool {
        self.failed == 0 && self.undecided == 0
    }

    fn add(&mut self, other: &Report) {
        self.shards += other.shards;
        self.single += other.single;
        self.missing += other.missing;
        self.compared += other.compared;
        self.differing += other.differing;
        self.rewritten += other.rewritten;
        self.deleted += other.deleted;
        self.undecided += other.undecided;
        self.strays += other.strays;
        self.failed += other.failed;
        self.alone.extend(&other.alone);
    }
}

/// Why copies could not be compared or mended.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    #[error("node {node}: {reason}")]
    Node { node: String, reason: String },
    #[error("the index is gone")]
    IndexGone,
    #[error("the index or a node is busy")]
    Busy,
    #[error("store: {0}")]
    Store(#[from] StoreError),
}

/// One index while its copies are compared.
struct Verification<'a, R: Runtime> {
    core: &'a Core<R>,
    index: Arc<Index>,
    primary_key: &'a str,
    scope: Scope,
    graves: Graveyard,
    report: RefCell<Report>,
    /// Which nodes somebody else writes to, as far as looked at.
    foreign: RefCell<AHashMap<NodeIndex, bool>>,
}

/// Compares the copies of some shards of an index and makes them equal.
///
/// # Errors
/// [`RepairError`] when nothing could be compared; a shard that fails is in the report.
pub async fn verify<R: Runtime>(
    core: &Core<R>,
    index_uid: &str,
    shards: &ShardSet,
    scope: Scope,
) -> Result<Report, RepairError> {
    let index = core.shared.snapshot().indexes.get(index_uid).cloned().ok_or(RepairError::IndexGone)?;
    // Without a primary key there is no document yet.
    let Some(primary_key) = index.record.primary_key.clone() else { return Ok(Report::default()) };
    let graves = Graveyard::load(&core.shared.store, &index.record.node_uid).await?;
    let (report, foreign) = (RefCell::default(), RefCell::default());
    let verification =
        Verification { core, index, primary_key: &primary_key, scope, graves, report, foreign };
    for shard in shards.iter() {
        let found = verification.shard(shard).await;
        verification.note_failure(found, &format!("{shard}"))?;
    }
    let found = verification.strays(shards).await;
    verification.note_failure(found, "strays")?;
    Ok(verification.report.into_inner())
}

impl<R: Runtime> Verification<'_, R> {
    fn note_failure(&self, found: Result<(), RepairError>, what: &str) -> Result<(), RepairError> {
        match found {
            Ok(()) => Ok(()),
            Err(RepairError::IndexGone) => Err(RepairError::IndexGone),
            Err(error) => {
                let uid = &self.index.record.uid;
                log::warn(
                    "repair_failed",
                    &[("index", uid), ("shard", what), ("reason", &error.to_string())],
                );
                self.report.borrow_mut().failed += 1;
                Ok(())
            }
        }
    }

    /// Compares the copies of one shard.
    async fn shard(&self, shard: u32) -> Result<(), RepairError> {
        let nodes = self.copies(shard);
        if self.scope.target.is_some_and(|target| !nodes.contains(&target)) {
            return Ok(());
        }
        self.report.borrow_mut().missing += (self.owners(shard).count() - nodes.len()) as u64;
        if nodes.len() < 2 {
            let mut report = self.report.borrow_mut();
            report.single += 1;
            if self.owners(shard).count() > 1 {
                // There may be a copy again some time; till then a distrusted one stands for nothing.
                report.failed += u64::from(self.scope.distrust);
                report.alone.push(shard);
            }
            return Ok(());
        }
        let filter = filter_of(shard, self.index.record.shards);
        let replicas = nodes.iter().map(|node| self.replica(*node)).collect::<Vec<_>>();
        let prints = try_join_all(replicas.iter().map(|replica| replica.fingerprint(&filter))).await?;
        {
            let mut report = self.report.borrow_mut();
            report.shards += 1;
            report.compared += prints.iter().map(Fingerprint::documents).sum::<u64>();
        }
        for wanted in differing_buckets(&prints) {
            let keys = self.differing_keys(&replicas, &filter, &wanted).await?;
            for keys in keys.chunks(limits::REPAIR_KEYS_PER_HOLD) {
                self.mend(&nodes, keys).await?;
            }
        }
        Ok(())
    }

    async fn differing_keys(
        &self,
        replicas: &[Replica<'_, R>],
        filter: &str,
        wanted: &[bool; BUCKETS],
    ) -> Result<Vec<String>, RepairError> {
        let copies = try_join_all(replicas.iter().map(|replica| replica.contents(filter, wanted))).await?;
        let mut differing = AHashSet::new();
        for copy in &copies {
            let differs = |(key, content): &(&String, &u64)| {
                copies.iter().any(|other| other.get(*key) != Some(*content))
            };
            differing.extend(copy.iter().filter(differs).map(|(key, _)| key.clone()));
        }
        let mut keys = differing.into_iter().collect::<Vec<_>>();
        keys.sort_unstable();
        Ok(keys)
    }

    /// Looks for documents that stand on a node under a shard it does not hold, or under none.
    async fn strays(&self, shards: &ShardSet) -> Result<(), RepairError> {
        let nodes = crate::data::every_node(&self.core.shared.snapshot().topology);
        for node in nodes.into_iter().filter(|node| self.is_copy(*node)) {
            if self.scope.target.is_some_and(|target| target != node) {
                continue;
            }
            let replica = self.replica(node);
            let held = self.index.placement.shards_of(node);
            let filter = format!("NOT {}", shard_filter(held));
            let keys = replica.keys(&filter, limits::REPAIR_STRAYS_MAX).await?;
            let mut by_shard: AHashMap<u32, Vec<String>> = AHashMap::new();
            for key in keys {
                let shard = router::shard_of(&key, self.index.record.shards);
                if shards.contains(shard) {
                    by_shard.entry(shard).or_default().push(key);
                }
            }
            for (shard, keys) in by_shard {
                self.report.borrow_mut().strays += keys.len() as u64;
                for keys in keys.chunks(limits::REPAIR_KEYS_PER_HOLD) {
                    if held.contains(shard) {
                        self.mend(&self.copies(shard), keys).await?;
                    } else if !self.scope.dry_run {
                        let body = serde_json::json!(keys).to_string();
                        let task =
                            replica.change(http::Method::POST, "/documents/delete-batch", body).await?;
                        evidence::note(&replica, task).await?;
                        replica.wait_for(task).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The nodes whose copies of a shard are compared.
    fn copies(&self, shard: u32) -> Vec<NodeIndex> {
        self.owners(shard).filter(|node| self.is_copy(*node)).collect()
    }

    fn owners(&self, shard: u32) -> impl Iterator<Item = NodeIndex> {
        let groups = self.core.shared.snapshot().topology.groups().len();
        (0..groups).flat_map(move |group| self.index.placement.owners(group, shard).iter().copied())
    }

    fn is_copy(&self, node: NodeIndex) -> bool {
        let shared = &self.core.shared;
        // What waits for a node would come after what repair gives it.
        let is_level = shared.health.state(node).serves_reads() && shared.hints.lets_through(node);
        self.scope.target == Some(node) || is_level
    }

    fn trusts(&self, node: NodeIndex) -> bool {
        !(self.scope.distrust && self.scope.target == Some(node))
    }

    fn replica(&self, node: NodeIndex) -> Replica<'_, R> {
        let record = &self.index.record;
        Replica {
            core: self.core,
            node,
            node_uid: &record.node_uid,
            primary_key: self.primary_key,
            shards: record.shards,
            pace: self.scope.pace,
        }
    }

    /// The name may have come to mean another index since.
    fn check_index(&self) -> Result<(), RepairError> {
        let snapshot = self.core.shared.snapshot();
        let now = snapshot.indexes.get(&self.index.record.uid).map(|index| &index.record.node_uid);
        if now == Some(&self.index.record.node_uid) { Ok(()) } else { Err(RepairError::IndexGone) }
    }
}

fn filter_of(shard: u32, shards: u32) -> String {
    shard_filter(&pass::only(shard, shards))
}

/// The buckets in which copies differ, in portions of a bounded number of documents.
fn differing_buckets(prints: &[Fingerprint]) -> Vec<[bool; BUCKETS]> {
    let mut portions: Vec<(u64, [bool; BUCKETS])> = Vec::new();
    for bucket in 0..BUCKETS {
        if prints.windows(2).all(|pair| pair[0].buckets[bucket] == pair[1].buckets[bucket]) {
            continue;
        }
        let documents: u64 = prints.iter().map(|print| print.buckets[bucket].documents).sum();
        match portions.last_mut() {
            Some((total, portion)) if *total + documents <= limits::REPAIR_KEYS_LOOKED_AT => {
                *total += documents;
                portion[bucket] = true;
            }
            _ => {
                let mut portion = [false; BUCKETS];
                portion[bucket] = true;
                portions.push((documents, portion));
            }
        }
    }
    portions.into_iter().map(|(_, portion)| portion).collect()
}
