//! The two sets of copies of an index: where each is, and whether the nodes that have them can be relied on.
//!
//! Invariant: nothing is asked of nodes and nothing is changed here.

use std::{collections::BTreeMap, sync::Arc};

use router::{NodeIndex, ShardSet};

use crate::{
    membership::rebalance::work::{Trouble, Work},
    nodes::health::NodeState,
    repair::{replica::Replica, report::Pace},
    state::{core::Core, snapshot::Index},
};

/// The index of an operation, under whatever name clients know it now; `None` once it is deleted.
pub(super) fn index(work: &Work<'_>) -> Option<Arc<Index>> {
    let known = &work.operation.copies;
    let snapshot = work.core.shared.snapshot();
    let serves = |index: &&Arc<Index>| {
        let node_uid = &index.record.node_uid;
        *node_uid == known.serving || *node_uid == known.twin
    };
    snapshot.indexes.values().find(serves).cloned()
}

/// The copies that are to serve.
pub(super) fn twin(work: &Work<'_>, index: &Index) -> Result<Arc<Index>, Trouble> {
    let wanted = &work.operation.copies.twin;
    let twin = index.twin.as_ref().filter(|twin| twin.record.node_uid == *wanted);
    twin.cloned()
        .ok_or_else(|| Trouble::new(format!("index `{}` has lost its further copies", index.record.uid)))
}

/// The name on the nodes of the copies that are kept from before a reshard.
pub(crate) fn kept(index: &Index) -> Option<&str> {
    let twin = index.record.twin.as_ref().filter(|twin| twin.kept_until.is_some());
    twin.map(|twin| twin.node_uid.as_str())
}

pub(super) fn busy(index: &Index) -> Trouble {
    Trouble::new(format!("index `{}` is busy", index.record.uid))
}

/// Whether a node has all that it was given, and answers.
pub(crate) fn is_whole(core: &Core, node: NodeIndex) -> bool {
    let nodes = &core.shared.nodes;
    let answers = matches!(nodes.health.state(node), NodeState::Healthy | NodeState::Suspect);
    answers && nodes.hints.lets_through(node)
}

/// Refuses to go on while a node lacks something.
pub(super) fn check_nodes(core: &Core) -> Result<(), Trouble> {
    let nodes = core.shared.snapshot().topology.every_node();
    match nodes.into_iter().find(|node| !is_whole(core, *node)) {
        None => Ok(()),
        Some(node) => {
            let id = &core.shared.nodes.addresses[usize::from(node.0)].id;
            Err(Trouble::new(format!("node {id} is away, or has missed writes")))
        }
    }
}

/// Refuses to go on while a change of the index's settings or of its primary key is under way. Whether nodes have been
/// read back since is another matter: the cutover compares both sets of settings itself.
pub(super) fn check_settings(index: &Index) -> Result<(), Trouble> {
    let record = &index.record;
    match !record.settings_ahead.is_empty() || !record.key_tasks.is_empty() {
        true => Err(Trouble::new(format!("settings of index `{}` are being changed", record.uid))),
        false => Ok(()),
    }
}

/// The nodes to be asked for all documents, each once.
///
/// # Errors
/// When a shard has no owner that can be relied on.
pub(crate) fn readers(core: &Core, index: &Index) -> Result<BTreeMap<NodeIndex, ShardSet>, Trouble> {
    let mut readers: BTreeMap<NodeIndex, ShardSet> = BTreeMap::new();
    for shard in 0..index.record.shards {
        let Some(node) = owners(core, index, shard).into_iter().find(|node| is_whole(core, *node)) else {
            return Err(Trouble::new(format!("shard {shard} has no owner that has all writes")));
        };
        readers.entry(node).or_default().insert(shard);
    }
    Ok(readers)
}

/// The owners of a shard in all groups.
pub(super) fn owners(core: &Core, index: &Index, shard: u32) -> Vec<NodeIndex> {
    let groups = core.shared.snapshot().topology.groups().len();
    (0..groups).flat_map(|group| index.placement.owners(group, shard).iter().copied()).collect()
}

pub(super) fn replica<'a>(core: &'a Core, index: &'a Index, node: NodeIndex) -> Replica<'a> {
    Replica {
        core,
        node,
        node_uid: &index.record.node_uid,
        primary_key: index.record.primary_key.as_deref().unwrap_or_default(),
        shards: index.record.shards,
        pace: Pace::Full,
        compares_marks: false,
    }
}
