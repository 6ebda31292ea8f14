//! Compares the copies of an index: fingerprints of whole shards, then the keys in the buckets that differ.
//!
//! Shards that the same nodes have copies of are compared together, so that nodes are waited for once for all of them.
//!
//! Invariants: memory is bounded by the buckets that are compared together. Nodes that are down or joining do not
//! count as copies, but for the one that is to catch up. What could not be compared is reported, never counted as
//! equal.

use std::{cell::RefCell, collections::BTreeMap};

use ahash::AHashSet;
use futures_util::{StreamExt, TryStreamExt, stream};
use router::{NodeIndex, ShardSet, shard_filter};

use crate::{
    config::limits,
    observe::log,
    repair::{
        comparison::Comparison,
        copied_anew,
        digest::{BUCKETS, Fingerprint},
        foreign_tasks,
        replica::Replica,
        report::{RepairError, Report, Scope},
        watch::{Throttle, Watch},
    },
    state::core::Core,
    write::{lane, tombstones::Tombstones},
};

/// Compares the copies of some shards of an index, or of a twin, and makes them equal. `node_uid` is their name on the
/// nodes.
///
/// # Errors
/// [`RepairError`] when nothing could be compared; a shard that fails is in the report.
pub async fn compare_copies(
    core: &Core,
    node_uid: &str,
    shards: &ShardSet,
    scope: Scope,
) -> Result<Report, RepairError> {
    let throttle = Throttle::new(0);
    compare_watched(core, node_uid, shards, scope, &Watch::new(&throttle)).await
}

/// Like [`compare_copies`], for somebody who looks on.
///
/// # Errors
/// Those of [`compare_copies`], and [`RepairError::Unwanted`] once it is not wanted any more.
pub(crate) async fn compare_watched(
    core: &Core,
    node_uid: &str,
    shards: &ShardSet,
    scope: Scope,
    watch: &Watch<'_>,
) -> Result<Report, RepairError> {
    let index = core.shared.snapshot().on_nodes(node_uid).cloned().ok_or(RepairError::IndexGone)?;
    // Without a primary key the index has no documents yet.
    let Some(primary_key) = index.record.primary_key.clone() else { return Ok(Report::default()) };
    let tombstones = Tombstones::load(&core.shared.store, &index.record.node_uid).await?;
    let copied_anew = if scope.mark_suspect { copied_anew::under_way(core).await? } else { Vec::new() };
    let (report, foreign) = (RefCell::default(), RefCell::default());
    let comparison = Comparison {
        core,
        index,
        primary_key: &primary_key,
        scope,
        tombstones,
        report,
        watch,
        copied_anew,
        foreign,
    };
    comparison.tell_of_lost(shards);
    // A copy that is filled gets from several others at once, so that its node has enough to do.
    let at_once = if scope.mark_suspect { limits::PARTS_FILLED_TOGETHER_MAX } else { 1 };
    let parts = comparison.parts(shards);
    let compared = parts.iter().map(async |(nodes, part)| {
        let found = comparison.part(nodes, part).await;
        comparison.note_failure(found, &listed(part.iter()), u64::from(part.len()))
    });
    stream::iter(compared).buffer_unordered(at_once).try_collect::<()>().await?;
    let found = comparison.strays(shards).await;
    comparison.note_failure(found, "strays", 1)?;
    Ok(comparison.report.into_inner())
}

impl Comparison<'_> {
    /// Says which shards have no copy that has not been lost.
    fn tell_of_lost(&self, shards: &ShardSet) {
        let is_lost = |shard: &u32| {
            let owners = self.owners(*shard).collect::<Vec<_>>();
            self.scope.target.is_some_and(|target| owners.contains(&target))
                && self.are_without_source(&owners)
        };
        let lost = listed(shards.iter().filter(is_lost));
        if !lost.is_empty() {
            let consequence = "all nodes that had a copy of them have lost data; what they have left is kept";
            let fields =
                [("index", &*self.index.record.uid), ("shards", &*lost), ("consequence", consequence)];
            log::error("copies_without_source", &fields);
        }
    }

    /// `shards` is how many of them could not be compared.
    fn note_failure(
        &self,
        found: Result<(), RepairError>,
        what: &str,
        shards: u64,
    ) -> Result<(), RepairError> {
        match found {
            Ok(()) => Ok(()),
            Err(error @ (RepairError::IndexGone | RepairError::Unwanted)) => Err(error),
            Err(error) => {
                let uid = &self.index.record.uid;
                log::warn(
                    "repair_failed",
                    &[("index", uid), ("shards", what), ("reason", &error.to_string())],
                );
                self.report.borrow_mut().failed += shards;
                Ok(())
            }
        }
    }

    /// The shards by the nodes that have copies of them.
    fn parts(&self, shards: &ShardSet) -> Vec<(Vec<NodeIndex>, ShardSet)> {
        let mut parts: Vec<(Vec<NodeIndex>, ShardSet)> = Vec::new();
        for shard in shards.iter() {
            let nodes = self.copies(shard);
            if self.scope.target.is_some_and(|target| !nodes.contains(&target)) {
                continue;
            }
            self.note_missing(shard, &nodes);
            if nodes.len() < 2 {
                continue;
            }
            let has_room = |part: &ShardSet| part.len() < limits::SHARDS_COMPARED_TOGETHER_MAX;
            match parts.iter_mut().find(|(others, part)| *others == nodes && has_room(part)) {
                Some((_, part)) => drop(part.insert(shard)),
                None => parts.push((nodes, [shard].into_iter().collect())),
            }
        }
        parts
    }

    /// Reports the copies of a shard that are not available.
    fn note_missing(&self, shard: u32, nodes: &[NodeIndex]) {
        let owners = self.owners(shard).count();
        let mut report = self.report.borrow_mut();
        report.missing += (owners - nodes.len()) as u64;
        if nodes.len() < 2 {
            report.single += 1;
            if owners > 1 {
                // There may be a second copy later; until then an untrusted one proves nothing.
                report.failed += u64::from(self.scope.mark_suspect);
                report.alone.push(shard);
            }
        }
    }

    /// Compares these nodes' copies of some shards.
    async fn part(&self, nodes: &[NodeIndex], shards: &ShardSet) -> Result<(), RepairError> {
        let filter = shard_filter(shards);
        let replicas = nodes.iter().map(|node| self.replica(*node)).collect::<Vec<_>>();
        self.check_wish()?;
        self.copy_to_the_empty(&replicas, &filter).await?;
        let prints = self.of_each(&replicas, |replica| replica.fingerprint(&filter)).await?;
        {
            let mut report = self.report.borrow_mut();
            report.shards += u64::from(shards.len());
            report.compared += prints.iter().map(Fingerprint::documents).sum::<u64>();
        }
        for wanted in differing_buckets(&prints) {
            let keys = self.differing_keys(&replicas, &filter, &wanted).await?;
            for keys in keys.chunks(limits::REPAIR_KEYS_PER_HOLD) {
                self.check_wish()?;
                self.repair(nodes, keys).await?;
            }
        }
        Ok(())
    }

    /// Reads something of each copy, of a bounded number of them at the same time; in the order of the copies.
    pub(crate) async fn of_each<'r, T, R: Future<Output = Result<T, RepairError>>>(
        &self,
        replicas: &'r [Replica<'_>],
        read: impl FnMut(&'r Replica<'_>) -> R,
    ) -> Result<Vec<T>, RepairError> {
        let reads_max = self.core.shared.config.passes.reads_max;
        stream::iter(replicas.iter().map(read)).buffered(reads_max).try_collect().await
    }

    async fn differing_keys(
        &self,
        replicas: &[Replica<'_>],
        filter: &str,
        wanted: &[bool; BUCKETS],
    ) -> Result<Vec<String>, RepairError> {
        let copies = self.of_each(replicas, |replica| replica.contents(filter, wanted)).await?;
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

    /// Finds documents that a node has under a shard that it does not hold, or under none, and repairs or deletes
    /// them.
    async fn strays(&self, shards: &ShardSet) -> Result<(), RepairError> {
        let nodes = self.core.shared.snapshot().topology.every_node();
        for node in nodes.into_iter().filter(|node| self.is_copy(*node)) {
            if self.scope.target.is_some_and(|target| target != node) {
                continue;
            }
            let replica = self.replica(node);
            let held = self.index.placement.written_to(node);
            let filter = format!("NOT {}", shard_filter(held));
            let keys = replica.keys(&filter, limits::REPAIR_STRAYS_MAX).await?;
            let mut by_shard: BTreeMap<u32, Vec<String>> = BTreeMap::new();
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
                        self.repair(&self.copies(shard), keys).await?;
                    } else if !self.scope.dry_run {
                        let task = self.delete_strays(&replica, keys).await?;
                        foreign_tasks::note(&replica, task).await?;
                        replica.wait_for(task).await?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Comparison<'_> {
    /// Deletes what stands where it does not belong, unless it belongs there by now.
    async fn delete_strays(&self, replica: &Replica<'_>, keys: &[String]) -> Result<u32, RepairError> {
        let hold = lane::lock(self.core, vec![&self.index.record.uid]).await;
        let _hold = hold.map_err(|_| RepairError::Busy)?;
        self.check_index()?;
        let body = serde_json::json!(keys).to_string();
        replica.change(http::Method::POST, "/documents/delete-batch", body).await
    }
}

/// Numbers as a log event lists them.
fn listed(shards: impl Iterator<Item = u32>) -> String {
    shards.map(|shard| shard.to_string()).collect::<Vec<_>>().join(",")
}

/// The buckets in which copies differ, in portions of a bounded number of documents.
pub(crate) fn differing_buckets(prints: &[Fingerprint]) -> Vec<[bool; BUCKETS]> {
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
