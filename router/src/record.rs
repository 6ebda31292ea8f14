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
}

#[derive(Serialize, Deserialize)]
pub(crate) struct PlacementRecord {
    pub(crate) shards: u32,
    /// Per group, the owners of shard 0, best first, then those of shard 1, and so on.
    pub(crate) owners: Vec<Vec<NodeIndex>>,
}
