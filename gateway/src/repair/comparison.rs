//! One index while its copies are compared and repaired: which nodes hold copies, and what was found.

use std::{cell::RefCell, sync::Arc};

use ahash::AHashMap;
use router::NodeIndex;

use crate::{
    repair::{
        replica::Replica,
        report::{RepairError, Report, Scope},
        watch::Watch,
    },
    state::{core::Core, snapshot::Index},
    write::{fanout, tombstones::Tombstones},
};

/// One index while its copies are compared.
pub(crate) struct Comparison<'a> {
    pub(crate) core: &'a Core,
    pub(crate) index: Arc<Index>,
    pub(crate) primary_key: &'a str,
    pub(crate) scope: Scope,
    pub(crate) tombstones: Tombstones,
    pub(crate) report: RefCell<Report>,
    /// What the one who wants it sees while it runs.
    pub(crate) watch: &'a Watch<'a>,
    /// The nodes that are being copied anew, where the target is one of them.
    pub(crate) copied_anew: Vec<NodeIndex>,
    /// Whether anybody but the gateway writes to a node, for the nodes that were checked.
    pub(crate) foreign: RefCell<AHashMap<NodeIndex, bool>>,
}

impl Comparison<'_> {
    /// The nodes whose copies of a shard are compared.
    pub(crate) fn copies(&self, shard: u32) -> Vec<NodeIndex> {
        let owners = self.owners(shard).collect::<Vec<_>>();
        match self.are_without_source(&owners) {
            true => owners,
            false => owners.into_iter().filter(|node| self.is_copy(*node)).collect(),
        }
    }

    /// Whether these nodes are each the other's only source: all of them are being copied anew, so that what any of
    /// them has left is the best there is.
    pub(crate) fn are_without_source(&self, owners: &[NodeIndex]) -> bool {
        owners.len() > 1 && owners.iter().all(|node| self.copied_anew.contains(node))
    }

    /// The owners of a shard, and the target where it gets an extra copy of it.
    pub(crate) fn owners(&self, shard: u32) -> impl Iterator<Item = NodeIndex> {
        let placement = &self.index.placement;
        let groups = self.core.shared.snapshot().topology.groups().len();
        let extra = self.scope.target.filter(|node| placement.extras().contains(&(shard, *node)));
        (0..groups).flat_map(move |group| placement.owners(group, shard).iter().copied()).chain(extra)
    }

    pub(crate) fn is_copy(&self, node: NodeIndex) -> bool {
        let shared = &self.core.shared;
        // Hints that wait for a node would come after what repair sends it.
        let is_caught_up =
            shared.nodes.health.state(node).serves_reads() && shared.nodes.hints.lets_through(node);
        self.scope.target == Some(node) || is_caught_up
    }

    /// Which of the copies on these nodes may win over the others.
    pub(crate) fn trusted(&self, nodes: &[NodeIndex]) -> Vec<bool> {
        let all = self.are_without_source(nodes);
        let is_suspect = |node: NodeIndex| self.scope.mark_suspect && self.scope.target == Some(node);
        nodes.iter().map(|node| all || !is_suspect(*node)).collect()
    }

    pub(crate) fn replica(&self, node: NodeIndex) -> Replica<'_> {
        let record = &self.index.record;
        Replica {
            core: self.core,
            node,
            node_uid: &record.node_uid,
            primary_key: self.primary_key,
            shards: record.shards,
            pace: self.scope.pace,
            compares_marks: true,
        }
    }

    /// Checks that somebody still wants the comparison.
    pub(crate) fn check_wish(&self) -> Result<(), RepairError> {
        if self.watch.is_over() { Err(RepairError::Unwanted) } else { Ok(()) }
    }

    /// Checks that the lane of this name still is that of these copies.
    pub(crate) fn check_index(&self) -> Result<(), RepairError> {
        let snapshot = self.core.shared.snapshot();
        let now = snapshot.on_nodes(&self.index.record.node_uid);
        match now.filter(|index| index.record.uid == self.index.record.uid) {
            None => Err(RepairError::IndexGone),
            Some(index) if !fanout::is_current(&self.index.placement, index) => Err(RepairError::Busy),
            Some(_) => Ok(()),
        }
    }
}
