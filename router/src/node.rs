//! Nodes as a topology lists them, and their bounds.

use serde::{Deserialize, Serialize};

/// The most nodes in one topology.
pub const NODES_MAX: usize = 4_096;
/// The most replica groups; group numbers are below this.
pub const GROUPS_MAX: u16 = 64;
/// The least capacity weight of a node.
pub const CAPACITY_MIN: f64 = 0.001;
/// The greatest capacity weight of a node.
pub const CAPACITY_MAX: f64 = 1_000.0;

/// The position of a node in [`Topology::nodes`]; valid in one topology version only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeIndex(pub u16);

const _: () = assert!(NODES_MAX <= u16::MAX as usize);

/// One Meilisearch server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Stable for the node's life. Placement hashes the id, so another id is another node.
    pub id: String,
    pub url: String,
    /// The number of its replica group, below [`GROUPS_MAX`].
    pub group: u16,
    /// The weight of its share of the group's shards, [`CAPACITY_MIN`] to [`CAPACITY_MAX`].
    #[serde(default = "capacity_default")]
    pub capacity: f64,
}

pub(crate) fn node_index(position: usize) -> NodeIndex {
    NodeIndex(u16::try_from(position).expect("a topology has at most NODES_MAX nodes"))
}

fn capacity_default() -> f64 {
    1.0
}
