//! Commands on where documents are: nodes, groups, shards, and what changes them.

pub(super) mod group;
pub(super) mod node;
pub(super) mod rebalance;
pub(super) mod reshard;
pub(super) mod routing;
pub(super) mod shards;

use super::Action;
