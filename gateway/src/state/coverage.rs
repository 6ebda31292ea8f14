//! Which shards have an owner that can serve them, and what each node is to the cluster.

use router::{NodeIndex, Placement, ShardSet, Standing, Topology};

use crate::{
    api::error::{ApiError, Code},
    nodes::health::NodeState,
    state::{
        shared::Shared,
        snapshot::{Index, Snapshot},
    },
};

/// How many nodes a refusal names.
const NAMED_NODES_MAX: usize = 8;

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

/// The refusal of a request because nobody answers for these shards of an index: it names the nodes that should.
pub(crate) fn unanswered(
    shared: &Shared,
    snapshot: &Snapshot,
    index: &Index,
    missing: &ShardSet,
) -> ApiError {
    let groups = snapshot.topology.groups().len();
    let mut owners = Vec::new();
    for shard in missing.iter() {
        let (part, first) = index.part_of(shard);
        let placement = &index.part(part).placement;
        for node in (0..groups).flat_map(|group| placement.owners(group, shard - first)) {
            if !owners.contains(node) {
                owners.push(*node);
            }
        }
    }
    owners.sort_unstable_by_key(|node| node.0);
    let (count, all) = (missing.len(), index.shards_in_all());
    let nodes = with_states(shared, owners);
    let message = format!("Nobody answers for {count} of {all} shards, whose documents are on {nodes}.");
    ApiError::new(Code::MiroirShardUnavailable, message)
}

/// The refusal of a request that any of these nodes could have answered.
pub(crate) fn no_node(shared: &Shared, nodes: Vec<NodeIndex>) -> ApiError {
    let nodes = with_states(shared, nodes);
    ApiError::new(Code::MiroirShardUnavailable, format!("No node is available: there is {nodes}."))
}

/// Lists nodes with their states, a bounded number of them.
fn with_states(shared: &Shared, nodes: Vec<NodeIndex>) -> String {
    let more = nodes.len().saturating_sub(NAMED_NODES_MAX);
    let named = nodes.into_iter().take(NAMED_NODES_MAX).map(|node| {
        let id = &shared.nodes.addresses[usize::from(node.0)].id;
        format!("`{id}` ({})", shared.nodes.health.state(node).as_str())
    });
    let named = named.collect::<Vec<_>>().join(", ");
    if more == 0 { named } else { format!("{named} and {more} more") }
}
