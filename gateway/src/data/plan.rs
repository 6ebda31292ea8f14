//! The third step of a read: which group, which nodes, which shards each answers for.
//!
//! Invariants: decided once per attempt from one snapshot and the health seen now; the legs of a
//! plan answer for every wanted shard at most once.

use router::{CoveringSet, NodeIndex, ShardSet, Topology, covering_set};

use super::Core;
use crate::{
    runtime::Runtime,
    snapshot::{Index, Snapshot},
};

/// A covering set over the shards in `wanted` (all when `None`), without the nodes in `avoided`.
///
/// Groups are taken in turn; the first that covers everything wins, else the one that covers most.
/// Nodes known to be down are used only where nothing else is left. Equal `turn`s choose alike.
pub(super) fn cover<R: Runtime>(
    core: &Core<R>,
    snapshot: &Snapshot,
    index: &Index,
    wanted: Option<&ShardSet>,
    avoided: &[NodeIndex],
    turn: usize,
) -> CoveringSet {
    let healthy_only = best_group(snapshot, index, wanted, turn, |node| {
        !avoided.contains(&node) && core.shared.health.state(node).serves_reads()
    });
    if healthy_only.uncovered.is_empty() {
        return healthy_only;
    }
    let any = best_group(snapshot, index, wanted, turn, |node| !avoided.contains(&node));
    if any.uncovered.len() < healthy_only.uncovered.len() { any } else { healthy_only }
}

/// Every node of the cluster.
pub fn every_node(topology: &Topology) -> Vec<NodeIndex> {
    topology.groups().iter().flatten().copied().collect()
}

fn best_group(
    snapshot: &Snapshot,
    index: &Index,
    wanted: Option<&ShardSet>,
    turn: usize,
    usable: impl Fn(NodeIndex) -> bool,
) -> CoveringSet {
    let topology = &snapshot.topology;
    let groups = topology.groups().len();
    let mut best: Option<CoveringSet> = None;
    for step in 0..groups {
        let group = turn.wrapping_add(step) % groups;
        let set = covering_set(&index.placement, topology, group, wanted, |node| {
            // Equal nodes take turns: the score only breaks ties between sets of equal size.
            usable(node)
                .then(|| f32::from(u8::try_from(turn.wrapping_add(usize::from(node.0)) % 16).unwrap_or(0)))
        });
        if set.uncovered.is_empty() {
            return set;
        }
        if best.as_ref().is_none_or(|known| set.uncovered.len() < known.uncovered.len()) {
            best = Some(set);
        }
    }
    best.expect("a topology has at least one group")
}
