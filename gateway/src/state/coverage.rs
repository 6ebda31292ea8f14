//! Which shards have an owner that can serve them, and what each node is to the cluster.

use router::{NodeIndex, Placement, Standing, Topology};

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

/// What a node is to the cluster where that says more than how it is.
#[must_use]
pub fn node_state(shared: &Shared, topology: &Topology, node: NodeIndex) -> &'static str {
    let state = shared.nodes.health.state(node);
    match topology.standing(node) {
        Standing::Removed => "removed",
        Standing::Drained if state == NodeState::Healthy => NodeState::Draining.as_str(),
        Standing::Active | Standing::Drained => state.as_str(),
    }
}
