//! Which shards have an owner that can serve them.

use router::Placement;

use crate::{
    nodes::health::NodeState,
    state::{shared::Shared, snapshot::Snapshot},
};

/// How many shards of new indexes have no healthy owner in any group.
pub fn uncovered_shards(shared: &Shared, snapshot: &Snapshot) -> usize {
    let Some(placement) = snapshot.topology.placement(shared.config.shards) else { return 0 };
    let groups = snapshot.topology.groups().len();
    let covered = |shard: u32, placement: &Placement| {
        (0..groups).any(|group| {
            let owners = placement.owners(group, shard).iter();
            owners.into_iter().any(|node| {
                matches!(shared.nodes.health.state(*node), NodeState::Healthy | NodeState::Suspect)
            })
        })
    };
    (0..placement.shards()).filter(|shard| !covered(*shard, placement)).count()
}
