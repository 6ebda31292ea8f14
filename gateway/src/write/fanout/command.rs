//! What is sent in a fan-out: the request, each node's part of it, and the placement by which it was cut.
//!
//! Invariant: a change that was cut for other nodes than those of now is refused, and its handler cuts it anew.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use router::{Placement, ShardSet};

use crate::{
    api::error::{ApiError, Code},
    state::{
        change::{Cut, NodePart},
        core::Core,
        snapshot::{Index, Snapshot},
    },
    write::quorum::Quorum,
};

/// Why a change is refused that was cut for nodes that are no longer the ones.
pub(crate) const CUT_FOR_OTHERS: &str = "cut_for_others";

/// The request that all nodes of a fan-out get, but for the body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NodeCommand<'a> {
    /// The index's name on the nodes.
    pub(crate) index: &'a str,
    pub(crate) method: &'a Method,
    pub(crate) target: &'a str,
    /// Whether one node is asked alone at first, so that what nodes refuse changes nothing anywhere.
    pub(crate) validated: bool,
    /// Whether doing it twice differs from doing it once.
    pub(crate) once: bool,
}

/// The same request for every node.
pub(crate) fn for_every_node(quorum: &Quorum<'_>, body: &Bytes) -> Vec<NodePart> {
    let nodes = quorum.topology.every_node().into_iter();
    let part = |node| NodePart {
        node,
        body: body.clone(),
        documents: 0,
        shards: quorum.placement.written_to(node).clone(),
    };
    nodes.map(part).collect()
}

/// The shards that parts concern.
pub(crate) fn shards_of(parts: &[NodePart]) -> ShardSet {
    parts.iter().fold(ShardSet::new(), |all, part| all.union(&part.shards))
}

/// Whether a change was cut for nodes that are still those to cut it for; if not it is cut anew.
pub(crate) fn is_current(cut_for: &Arc<Placement>, index: &Index) -> bool {
    Arc::ptr_eq(cut_for, &index.placement) || **cut_for == *index.placement
}

/// Whether a change was cut for the nodes of the copies that an index has now, its twin's too.
pub(crate) fn is_cut_for<Part>(cut_for: &Arc<Placement>, twin: Option<&Cut<Part>>, index: &Index) -> bool {
    let twin_is_current = match (twin, &index.twin) {
        (None, None) => true,
        (Some(cut), Some(twin)) => is_current(&cut.cut_for, twin),
        (None, Some(_)) | (Some(_), None) => false,
    };
    is_current(cut_for, index) && twin_is_current
}

/// What a change is refused with that was cut for other nodes; its handler cuts it anew.
pub(crate) fn cut_for_others() -> ApiError {
    ApiError::overloaded("Shards have just moved; try again shortly.").because(CUT_FOR_OTHERS)
}

pub(crate) fn no_quorum() -> ApiError {
    ApiError::new(
        Code::MiroirNoQuorum,
        "Too few of the nodes that must take this write are available; it was not acknowledged.",
    )
}

/// The quorum of writes to an index with this placement.
pub(crate) fn quorum<'a>(core: &Core, snapshot: &'a Snapshot, placement: &'a Placement) -> Quorum<'a> {
    Quorum { topology: &snapshot.topology, placement, quorum: core.shared.config.write_quorum }
}
