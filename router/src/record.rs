//! The serialised form of a topology.
//!
//! Invariants: what is read back is checked like a new topology, and a placement that names a node outside its
//! group, names one twice or has the wrong length is refused, so a damaged store cannot route documents astray.

use crate::placement::Placement;
use crate::topology::{Node, NodeIndex, Topology, TopologyError, validated_groups};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Serialize, Deserialize)]
pub(crate) struct TopologyRecord {
    version: u64,
    replication_factor: u16,
    nodes: Vec<Node>,
    placements: Vec<PlacementRecord>,
}

#[derive(Serialize, Deserialize)]
struct PlacementRecord {
    shards: u32,
    /// Per group, the owners of shard 0, best first, then those of shard 1, and so on.
    owners: Vec<Vec<NodeIndex>>,
}

impl From<Topology> for TopologyRecord {
    fn from(topology: Topology) -> TopologyRecord {
        let placements = topology
            .placements()
            .iter()
            .map(|placement| PlacementRecord {
                shards: placement.shards(),
                owners: placement.owner_lists().to_vec(),
            })
            .collect();
        TopologyRecord {
            version: topology.version,
            replication_factor: topology.replication_factor,
            nodes: topology.nodes,
            placements,
        }
    }
}

impl TryFrom<TopologyRecord> for Topology {
    type Error = TopologyError;

    fn try_from(record: TopologyRecord) -> Result<Topology, TopologyError> {
        let TopologyRecord { version, replication_factor, nodes, placements } = record;
        let groups = validated_groups(&nodes, replication_factor)?;
        let mut checked = Vec::with_capacity(placements.len());
        for PlacementRecord { shards, owners } in placements {
            let placement = Placement::checked(&nodes, &groups, replication_factor, shards, owners)
                .map_err(|reason| TopologyError::DamagedPlacement { shards, reason })?;
            checked.push(Arc::new(placement));
        }
        checked.sort_by_key(|placement: &Arc<Placement>| placement.shards());
        if let Some(twice) = checked.windows(2).find(|pair| pair[0].shards() == pair[1].shards()) {
            let shards = twice[0].shards();
            return Err(TopologyError::DamagedPlacement { shards, reason: "it is stored twice" });
        }
        Topology::from_parts(version, replication_factor, nodes, checked)
    }
}
