//! Topology: the nodes, their groups, the replication factor and every stored placement, as one immutable snapshot.
//!
//! Invariants: node ids are unique; every group that has nodes has at least `replication_factor` of them; there is one
//! placement per shard count; a change makes a new `Topology` with the next version and leaves the old one unchanged.

use crate::SHARDS_MAX;
use crate::node::{CAPACITY_MAX, CAPACITY_MIN, GROUPS_MAX, NODES_MAX, Node, NodeIndex, node_index};
use crate::placement::Placement;
use crate::record::{PlacementRecord, TopologyRecord};
use ahash::AHashMap;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// An immutable snapshot. Its serialised form includes the stored placements; reading it back validates them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "TopologyRecord", try_from = "TopologyRecord")]
pub struct Topology {
    pub version: u64,
    pub replication_factor: u16,
    /// Removed ones keep their positions.
    pub nodes: Vec<Node>,
    /// Per node.
    standings: Vec<Standing>,
    /// Members only.
    groups: Vec<Vec<NodeIndex>>,
    /// Sorted by shard count.
    placements: Vec<Arc<Placement>>,
}

/// What a node is to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Standing {
    /// It has shards of its own, or gets them.
    Active,
    /// It is a member and gets no shards; what it has moves away.
    Drained,
    /// It is no member any more; its position and its id stay taken.
    Removed,
}

/// Why a set of nodes is not a valid topology. Bounds are in the messages.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TopologyError {
    #[error("the topology has the last version there is, so that it could not change any more")]
    LastVersion,
    #[error("a topology needs at least one node")]
    NoNodes,
    #[error("{count} nodes are too many: at most {NODES_MAX} are allowed")]
    TooManyNodes { count: usize },
    #[error("a node has an empty id")]
    EmptyId,
    #[error("node id `{id}` is used twice")]
    DuplicateId { id: String },
    #[error("node `{id}` is in group {group}: group numbers are below {GROUPS_MAX}")]
    GroupOutOfRange { id: String, group: u16 },
    #[error("node `{id}` has capacity {capacity}: allowed is {CAPACITY_MIN} to {CAPACITY_MAX}")]
    BadCapacity { id: String, capacity: f64 },
    #[error("the stored topology speaks of a node at position {position}, where there is none")]
    UnknownNode { position: u16 },
    #[error("the replication factor must be at least 1")]
    ReplicationFactorZero,
    #[error("group {group} has {size} nodes, fewer than the replication factor {replication_factor}")]
    GroupTooSmall { group: u16, size: usize, replication_factor: u16 },
    #[error("the stored placement for {shards} shards is damaged: {reason}")]
    DamagedPlacement { shards: u32, reason: &'static str },
}

impl Topology {
    /// The first version (1) of a topology, without placements.
    ///
    /// # Errors
    /// See [`TopologyError`]; it names the first problem found.
    pub fn new(nodes: Vec<Node>, replication_factor: u16) -> Result<Topology, TopologyError> {
        let standings = vec![Standing::Active; nodes.len()];
        let groups = validated_groups(&nodes, &standings, replication_factor)?;
        check_sizes(&groups, replication_factor)?;
        Ok(Topology { version: 1, replication_factor, nodes, standings, groups, placements: Vec::new() })
    }

    /// The nodes of every group, indexed by group number and sorted by node id. A number without nodes has an empty
    /// list: groups keep their numbers when another group is removed.
    #[must_use]
    pub fn groups(&self) -> &[Vec<NodeIndex>] {
        &self.groups
    }

    /// Every member, group by group.
    #[must_use]
    pub fn every_node(&self) -> Vec<NodeIndex> {
        self.groups.iter().flatten().copied().collect()
    }

    /// The numbers of the groups that have all shards, ascending.
    pub fn group_numbers(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.groups.len()).filter(|&group| match self.placements.first() {
            Some(placement) => placement.is_whole(group),
            None => !self.groups[group].is_empty(),
        })
    }

    /// # Panics
    /// When the index comes from a topology with more nodes.
    #[must_use]
    pub fn standing(&self, node: NodeIndex) -> Standing {
        self.standings[usize::from(node.0)]
    }

    /// Whether no shard is on its way from one node to another, and none has been left behind.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.placements
            .iter()
            .all(|placement| placement.extras().is_empty() && placement.unswept().is_empty())
    }

    /// The node with this index.
    ///
    /// # Panics
    /// When the index comes from a topology with more nodes.
    #[must_use]
    pub fn node(&self, index: NodeIndex) -> &Node {
        &self.nodes[usize::from(index.0)]
    }

    /// The position of the node with this id in this version.
    #[must_use]
    pub fn index_of(&self, id: &str) -> Option<NodeIndex> {
        self.position_of(id).filter(|node| self.standing(*node) != Standing::Removed)
    }

    /// Where the node with this id stands or stood.
    #[must_use]
    pub fn position_of(&self, id: &str) -> Option<NodeIndex> {
        let position = self.nodes.iter().position(|node| node.id == id)?;
        Some(node_index(position))
    }

    /// The stored placement of indexes of `shards` shards.
    #[must_use]
    pub fn placement(&self, shards: u32) -> Option<&Arc<Placement>> {
        let position = self.placements.binary_search_by_key(&shards, |placement| placement.shards()).ok()?;
        Some(&self.placements[position])
    }

    /// All stored placements, by ascending shard count.
    #[must_use]
    pub fn placements(&self) -> &[Arc<Placement>] {
        &self.placements
    }

    /// The next version, with a placement for indexes of `shards` shards. A stored placement stays unchanged.
    ///
    /// # Panics
    /// When `shards` is 0 or over [`SHARDS_MAX`].
    #[must_use]
    pub fn with_placement_for(&self, shards: u32) -> Topology {
        assert!((1..=SHARDS_MAX).contains(&shards), "an index has 1 to {SHARDS_MAX} shards");
        let mut next = self.clone();
        next.version += 1;
        if let Err(position) = next.placements.binary_search_by_key(&shards, |placement| placement.shards()) {
            let placement =
                Placement::fresh(&next.nodes, &next.placed_groups(), self.replication_factor, shards);
            next.placements.insert(position, Arc::new(placement));
        }
        next
    }

    /// The next version, with other nodes. Nodes are matched by id and group, and every stored placement changes by the
    /// least movement: a newcomer draws up to its fair share, the others get a leaver's copies, and further copies move
    /// only where the load bound (see [`Placement`]) would be exceeded otherwise. Groups whose nodes do not change keep
    /// their placement exactly.
    ///
    /// # Errors
    /// See [`TopologyError`]. This topology stays valid.
    pub fn with_nodes(&self, nodes: Vec<Node>) -> Result<Topology, TopologyError> {
        let standings = vec![Standing::Active; nodes.len()];
        let groups = validated_groups(&nodes, &standings, self.replication_factor)?;
        check_sizes(&groups, self.replication_factor)?;
        let mut next = Topology {
            version: self.version + 1,
            replication_factor: self.replication_factor,
            nodes,
            standings,
            groups,
            placements: Vec::new(),
        };
        let now_at: AHashMap<(&str, u16), NodeIndex> = next
            .nodes
            .iter()
            .enumerate()
            .map(|(at, node)| ((&*node.id, node.group), node_index(at)))
            .collect();
        let renumbered: Vec<Option<NodeIndex>> =
            self.nodes.iter().map(|node| now_at.get(&(&*node.id, node.group)).copied()).collect();
        let unchanged: Vec<bool> =
            (0..next.groups.len()).map(|group| self.same_group(&next, group)).collect();
        next.placements = self
            .placements
            .iter()
            .map(|placement| Arc::new(placement.moved(&next.nodes, &next.groups, &renumbered, &unchanged)))
            .collect();
        Ok(next)
    }

    /// Over other nodes and placements.
    pub(crate) fn from_parts(
        (version, replication_factor): (u64, u16),
        nodes: Vec<Node>,
        standings: Vec<Standing>,
        placements: Vec<Arc<Placement>>,
    ) -> Result<Topology, TopologyError> {
        let groups = validated_groups(&nodes, &standings, replication_factor)?;
        Ok(Topology { version, replication_factor, nodes, standings, groups, placements })
    }

    pub(crate) fn standings(&self) -> &[Standing] {
        &self.standings
    }

    /// The nodes of each group that get shards; none where they are too few.
    pub(crate) fn placed_groups(&self) -> Vec<Vec<NodeIndex>> {
        let active = |group: &Vec<NodeIndex>| {
            let members = group.iter().copied().filter(|node| self.standing(*node) == Standing::Active);
            let members = members.collect::<Vec<_>>();
            if members.len() < usize::from(self.replication_factor) { Vec::new() } else { members }
        };
        self.groups.iter().map(active).collect()
    }

    /// Whether the group has the same nodes with the same capacities in both topologies.
    fn same_group(&self, other: &Topology, group: usize) -> bool {
        let Some(members) = self.groups.get(group) else { return false };
        let theirs = &other.groups[group];
        members.len() == theirs.len()
            && members.iter().zip(theirs).all(|(&mine, &theirs)| {
                let (mine, theirs) = (self.node(mine), other.node(theirs));
                mine.id == theirs.id && mine.capacity.total_cmp(&theirs.capacity).is_eq()
            })
    }
}

impl From<Topology> for TopologyRecord {
    fn from(topology: Topology) -> TopologyRecord {
        let placements = topology
            .placements()
            .iter()
            .map(|placement| PlacementRecord {
                shards: placement.shards(),
                owners: placement.owner_lists().to_vec(),
                extras: placement.extras().to_vec(),
                unswept: placement.unswept().to_vec(),
            })
            .collect();
        let with = |wanted| {
            let all = topology.standings.iter().enumerate();
            all.filter(|(_, standing)| **standing == wanted).map(|(at, _)| node_index(at)).collect()
        };
        TopologyRecord {
            drained: with(Standing::Drained),
            removed: with(Standing::Removed),
            version: topology.version,
            replication_factor: topology.replication_factor,
            nodes: topology.nodes,
            placements,
        }
    }
}

/// Validates like a new topology. Also refuses a placement that names a node outside its group, names one twice or has
/// the wrong length, so a damaged store cannot route documents to the wrong nodes.
impl TryFrom<TopologyRecord> for Topology {
    type Error = TopologyError;

    fn try_from(record: TopologyRecord) -> Result<Topology, TopologyError> {
        let TopologyRecord { version, replication_factor, nodes, placements, drained, removed } = record;
        if version == u64::MAX {
            return Err(TopologyError::LastVersion);
        }
        let mut standings = vec![Standing::Active; nodes.len()];
        for (named, standing) in [(drained, Standing::Drained), (removed, Standing::Removed)] {
            for node in named {
                let known = standings.get_mut(usize::from(node.0));
                *known.ok_or(TopologyError::UnknownNode { position: node.0 })? = standing;
            }
        }
        let groups = validated_groups(&nodes, &standings, replication_factor)?;
        if placements.is_empty() {
            check_sizes(&groups, replication_factor)?;
        }
        let mut checked = Vec::with_capacity(placements.len());
        for PlacementRecord { shards, owners, extras, unswept } in placements {
            let damaged = |reason| TopologyError::DamagedPlacement { shards, reason };
            let placement = Placement::checked(&nodes, &groups, replication_factor, shards, owners);
            let placement = placement.map_err(damaged)?;
            let is_known = |node: &NodeIndex| usize::from(node.0) < nodes.len();
            if !extras.iter().all(|(shard, node)| *shard < shards && is_known(node))
                || !unswept.iter().all(is_known)
            {
                return Err(damaged("an extra copy is of no shard or on no node"));
            }
            checked.push(Arc::new(placement.with_extras((nodes.len(), groups.len()), extras, unswept)));
        }
        checked.sort_by_key(|placement: &Arc<Placement>| placement.shards());
        if let Some(twice) = checked.windows(2).find(|pair| pair[0].shards() == pair[1].shards()) {
            let shards = twice[0].shards();
            return Err(TopologyError::DamagedPlacement { shards, reason: "it is stored twice" });
        }
        Topology::from_parts((version, replication_factor), nodes, standings, checked)
    }
}

fn validated_groups(
    nodes: &[Node],
    standings: &[Standing],
    replication_factor: u16,
) -> Result<Vec<Vec<NodeIndex>>, TopologyError> {
    if nodes.is_empty() {
        return Err(TopologyError::NoNodes);
    }
    if nodes.len() > NODES_MAX {
        return Err(TopologyError::TooManyNodes { count: nodes.len() });
    }
    if replication_factor == 0 {
        return Err(TopologyError::ReplicationFactorZero);
    }
    let mut seen = ahash::AHashSet::with_capacity(nodes.len());
    let mut groups: Vec<Vec<NodeIndex>> = Vec::new();
    for (position, node) in nodes.iter().enumerate() {
        let id = || node.id.clone();
        if node.id.is_empty() {
            return Err(TopologyError::EmptyId);
        }
        if !seen.insert(&*node.id) {
            return Err(TopologyError::DuplicateId { id: id() });
        }
        if node.group >= GROUPS_MAX {
            return Err(TopologyError::GroupOutOfRange { id: id(), group: node.group });
        }
        if !(CAPACITY_MIN..=CAPACITY_MAX).contains(&node.capacity) {
            return Err(TopologyError::BadCapacity { id: id(), capacity: node.capacity });
        }
        let group = usize::from(node.group);
        if group >= groups.len() {
            groups.resize(group + 1, Vec::new());
        }
        if standings[position] != Standing::Removed {
            groups[group].push(node_index(position));
        }
    }
    for members in &mut groups {
        members.sort_unstable_by(|one, two| nodes[usize::from(one.0)].id.cmp(&nodes[usize::from(two.0)].id));
    }
    Ok(groups)
}

/// What is no topology to begin with; a stored one may have groups that wait for more nodes.
fn check_sizes(groups: &[Vec<NodeIndex>], replication_factor: u16) -> Result<(), TopologyError> {
    for (group, members) in (0..GROUPS_MAX).zip(groups) {
        if (1..usize::from(replication_factor)).contains(&members.len()) {
            return Err(TopologyError::GroupTooSmall { group, size: members.len(), replication_factor });
        }
    }
    Ok(())
}
