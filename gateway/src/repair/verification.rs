//! One index while its copies are compared and mended: which nodes hold copies, and what was found.

use std::{cell::RefCell, sync::Arc};

use ahash::AHashMap;
use router::NodeIndex;

use super::{
    reading::Replica,
    report::{RepairError, Report, Scope},
    tombstones::Graveyard,
};
use crate::{data::core::Core, runtime::Runtime, snapshot::Index};

/// One index while its copies are compared.
pub(super) struct Verification<'a, R: Runtime> {
    pub(super) core: &'a Core<R>,
    pub(super) index: Arc<Index>,
    pub(super) primary_key: &'a str,
    pub(super) scope: Scope,
    pub(super) graves: Graveyard,
    pub(super) report: RefCell<Report>,
    /// Which nodes somebody else writes to, as far as looked at.
    pub(super) foreign: RefCell<AHashMap<NodeIndex, bool>>,
}

impl<R: Runtime> Verification<'_, R> {
    /// The nodes whose copies of a shard are compared.
    pub(super) fn copies(&self, shard: u32) -> Vec<NodeIndex> {
        self.owners(shard).filter(|node| self.is_copy(*node)).collect()
    }

    pub(super) fn owners(&self, shard: u32) -> impl Iterator<Item = NodeIndex> {
        let groups = self.core.shared.snapshot().topology.groups().len();
        (0..groups).flat_map(move |group| self.index.placement.owners(group, shard).iter().copied())
    }

    pub(super) fn is_copy(&self, node: NodeIndex) -> bool {
        let shared = &self.core.shared;
        // What waits for a node would come after what repair gives it.
        let is_level = shared.health.state(node).serves_reads() && shared.hints.lets_through(node);
        self.scope.target == Some(node) || is_level
    }

    pub(super) fn trusts(&self, node: NodeIndex) -> bool {
        !(self.scope.distrust && self.scope.target == Some(node))
    }

    pub(super) fn replica(&self, node: NodeIndex) -> Replica<'_, R> {
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
    pub(super) fn check_index(&self) -> Result<(), RepairError> {
        let snapshot = self.core.shared.snapshot();
        let now = snapshot.indexes.get(&self.index.record.uid).map(|index| &index.record.node_uid);
        if now == Some(&self.index.record.node_uid) { Ok(()) } else { Err(RepairError::IndexGone) }
    }
}
