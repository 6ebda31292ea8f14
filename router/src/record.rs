//! The serialised form of a topology; `topology` turns one into the other.
//!
//! Invariant: this is the stored format. A field may be added with a default; none may change its meaning.

use crate::node::{Node, NodeIndex};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
pub(crate) struct TopologyRecord {
    pub(crate) version: u64,
    pub(crate) replication_factor: u16,
    pub(crate) nodes: Vec<Node>,
    pub(crate) placements: Vec<PlacementRecord>,
    /// Nodes that get no shards of their own any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) drained: Vec<NodeIndex>,
    /// Nodes that are no members any more; their positions are never used again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) removed: Vec<NodeIndex>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct PlacementRecord {
    pub(crate) shards: u32,
    /// Per group, the owners of shard 0, best first, then those of shard 1, and so on.
    pub(crate) owners: Vec<Vec<NodeIndex>>,
    /// Shards and nodes beside their owners that are written to and not read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) extras: Vec<(u32, NodeIndex)>,
    /// Nodes that may hold documents of shards that are no longer theirs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) unswept: Vec<NodeIndex>,
}
