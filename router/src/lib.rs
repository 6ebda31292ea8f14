//! Pure routing: hashing, shards, placement, topology snapshots and covering sets.
//!
//! Invariants: no IO, no clock, no async, no randomness. The same input gives the same output in every process, in
//! whatever order the nodes are listed (apart from `NodeIndex`, which is the position in that list). Stored documents
//! contain the results of `shard_of` and of the encodings in `reserved`, so these never change.

pub(crate) mod covering;
pub(crate) mod node;
pub(crate) mod placement;
pub mod rebalance;
pub(crate) mod record;
pub(crate) mod rendezvous;
pub mod reserved;
pub(crate) mod shard;
pub(crate) mod topology;

pub use covering::{CoveringSet, Leg, covering_set};
pub use node::{CAPACITY_MAX, CAPACITY_MIN, GROUPS_MAX, NODES_MAX, Node, NodeIndex};
pub use placement::Placement;
pub use shard::{SHARDS_DEFAULT, SHARDS_MAX, ShardSet, ShardSetError, shard_filter, shard_of};
pub use topology::{Standing, Topology, TopologyError};
