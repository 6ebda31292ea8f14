//! Placement: which nodes own which shards of indexes with a given shard count.
//!
//! Invariants: in every group that has nodes, each shard has exactly `replication_factor` distinct owners, all in that
//! group; no node exceeds the load bound; a group's placement depends on that group's nodes only.

use crate::node::{Node, NodeIndex, node_index};
use crate::rendezvous::{Member, assign};
use crate::shard::{SHARDS_MAX, ShardSet};

/// The owners of every shard in every group.
///
/// Owners are the best by weighted rendezvous score of (shard, node id), under a load bound: a node holds at most 1.25
/// times its fair share, `shards x replication factor x capacity / capacities of the group`. Where whole numbers make
/// that impossible (4 shards over 3 nodes), the factor grows to the least one with room for every copy. A node can hold
/// a shard only once, so a fair share is at most all shards, and the others share the rest by their capacities.
/// left is shared among the others by their capacities.
///
/// Scores as in D. Thaler and C. Ravishankar, "Using name-based mappings to increase hit rates" (1998), weighted by the
/// logarithm method of J. Schindelhauer and G. Schomaker (2005); the bound after V. Mirrokni, M. Thorup and
/// M. Zadimoghaddam, "Consistent hashing with bounded loads" (2018).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    shards: u32,
    replication_factor: u16,
    /// Per group, `replication_factor` owners of each shard in turn; empty for a group that is not whole.
    owners: Vec<Vec<NodeIndex>>,
    /// The shards that each node owns.
    held: Vec<ShardSet>,
    /// Sorted, without owners.
    extras: Vec<(u32, NodeIndex)>,
    /// Per node: what it owns and its extra copies.
    written: Vec<ShardSet>,
    /// Sorted.
    unswept: Vec<NodeIndex>,
    /// What a node holds that came after this placement.
    nothing: ShardSet,
}

impl Placement {
    #[must_use]
    pub fn shards(&self) -> u32 {
        self.shards
    }

    /// The owners of a shard in a group, best first; empty when the group has no nodes.
    ///
    /// # Panics
    /// When `shard` is not below [`Placement::shards`] in a group with nodes.
    #[must_use]
    pub fn owners(&self, group: usize, shard: u32) -> &[NodeIndex] {
        let Some(owners) = self.owners.get(group).filter(|owners| !owners.is_empty()) else { return &[] };
        let per_shard = usize::from(self.replication_factor);
        &owners[shard as usize * per_shard..][..per_shard]
    }

    /// Whether a group has owners: one that is being filled has none yet.
    #[must_use]
    pub fn is_whole(&self, group: usize) -> bool {
        self.owners.get(group).is_some_and(|owners| !owners.is_empty())
    }

    /// The shards that a node owns.
    ///
    /// # Panics
    /// When `node` comes from a topology with more nodes.
    #[must_use]
    pub fn shards_of(&self, node: NodeIndex) -> &ShardSet {
        self.held.get(usize::from(node.0)).unwrap_or(&self.nothing)
    }

    /// The shards whose writes a node gets: those it owns, and those it has an extra copy of.
    #[must_use]
    pub fn written_to(&self, node: NodeIndex) -> &ShardSet {
        self.written.get(usize::from(node.0)).unwrap_or(&self.nothing)
    }

    /// The copies that are written to beside the owners' and not read, by shard.
    #[must_use]
    pub fn extras(&self) -> &[(u32, NodeIndex)] {
        &self.extras
    }

    /// Whether a node may have documents of shards that it does not own, so that it must be told which are asked for.
    #[must_use]
    pub fn may_hold_more(&self, node: NodeIndex) -> bool {
        self.unswept.contains(&node) || self.written_to(node).len() != self.shards_of(node).len()
    }

    /// The nodes that may hold documents of shards that are no longer theirs.
    #[must_use]
    pub fn unswept(&self) -> &[NodeIndex] {
        &self.unswept
    }

    #[must_use]
    pub fn replication_factor(&self) -> u16 {
        self.replication_factor
    }

    pub(crate) fn groups(&self) -> usize {
        self.owners.len()
    }

    /// The same owners with other extra copies and nodes to be swept, over `nodes` nodes and `groups` groups.
    pub(crate) fn with_extras(
        &self,
        (nodes, groups): (usize, usize),
        extras: Vec<(u32, NodeIndex)>,
        unswept: Vec<NodeIndex>,
    ) -> Placement {
        let mut owners = self.owners.clone();
        owners.resize(groups.max(owners.len()), Vec::new());
        let mut placement = Placement::from_owners(nodes, self.replication_factor, self.shards, owners);
        for (shard, node) in extras {
            if !placement.held[usize::from(node.0)].contains(shard) {
                placement.written[usize::from(node.0)].insert(shard);
                placement.extras.push((shard, node));
            }
        }
        placement.extras.sort_unstable();
        placement.extras.dedup();
        placement.unswept = unswept;
        placement.unswept.sort_unstable();
        placement.unswept.dedup();
        placement
    }

    pub(crate) fn owner_lists(&self) -> &[Vec<NodeIndex>] {
        &self.owners
    }

    pub(crate) fn fresh(
        nodes: &[Node],
        groups: &[Vec<NodeIndex>],
        replication_factor: u16,
        shards: u32,
    ) -> Placement {
        let owners = groups
            .iter()
            .map(|members| {
                let newcomers = vec![false; members.len()];
                let kept = vec![Vec::new(); shards as usize];
                place_group(nodes, members, replication_factor, kept, &newcomers)
            })
            .collect();
        Placement::from_owners(nodes.len(), replication_factor, shards, owners)
    }

    /// The placement after a change of nodes. `renumbered` has the new index of each old node, `None` if it left its
    /// group. `unchanged` says which groups have the same nodes with the same capacities as before.
    pub(crate) fn moved(
        &self,
        nodes: &[Node],
        groups: &[Vec<NodeIndex>],
        renumbered: &[Option<NodeIndex>],
        unchanged: &[bool],
    ) -> Placement {
        let owners = groups
            .iter()
            .enumerate()
            .map(|(group, members)| {
                let now = |old: &NodeIndex| renumbered[usize::from(old.0)];
                if unchanged[group] {
                    return self.owners[group].iter().filter_map(now).collect();
                }
                let local = |new: NodeIndex| members.iter().position(|&member| member == new);
                let kept: Vec<Vec<usize>> = (0..self.shards)
                    .map(|shard| self.owners(group, shard).iter().filter_map(now).filter_map(local).collect())
                    .collect();
                let stayed: Vec<NodeIndex> = renumbered.iter().flatten().copied().collect();
                // A group that did not exist has no newcomers: its first placement is a fresh one.
                let existed = self.owners.get(group).is_some_and(|owners| !owners.is_empty());
                let newcomers: Vec<bool> =
                    members.iter().map(|member| existed && !stayed.contains(member)).collect();
                place_group(nodes, members, self.replication_factor, kept, &newcomers)
            })
            .collect();
        Placement::from_owners(nodes.len(), self.replication_factor, self.shards, owners)
    }

    /// A placement read back from storage, or what is wrong with it. The load bound is not verified: a stored placement
    /// above it is unbalanced but still routes every document to its owner.
    pub(crate) fn checked(
        nodes: &[Node],
        groups: &[Vec<NodeIndex>],
        replication_factor: u16,
        shards: u32,
        owners: Vec<Vec<NodeIndex>>,
    ) -> Result<Placement, &'static str> {
        if !(1..=SHARDS_MAX).contains(&shards) {
            return Err("its shard count is out of range");
        }
        if owners.len() != groups.len() {
            return Err("it has another number of groups");
        }
        let per_shard = usize::from(replication_factor);
        for (members, owners) in groups.iter().zip(&owners) {
            // A group that is being filled, or emptied, has none.
            if !owners.is_empty() && owners.len() != shards as usize * per_shard {
                return Err("a group has another number of owners");
            }
            if !owners.iter().all(|owner| members.contains(owner)) {
                return Err("an owner is outside its group");
            }
            let repeats = |owners: &[NodeIndex]| {
                owners.iter().enumerate().any(|(position, owner)| owners[..position].contains(owner))
            };
            if owners.chunks_exact(per_shard).any(repeats) {
                return Err("a shard has the same owner twice");
            }
        }
        if owners.iter().all(Vec::is_empty) {
            return Err("no group has owners");
        }
        Ok(Placement::from_owners(nodes.len(), replication_factor, shards, owners))
    }

    pub(crate) fn from_owners(
        nodes: usize,
        replication_factor: u16,
        shards: u32,
        owners: Vec<Vec<NodeIndex>>,
    ) -> Placement {
        let mut held = vec![ShardSet::new(); nodes];
        for group in &owners {
            for (shard, owners) in (0..shards).zip(group.chunks_exact(usize::from(replication_factor))) {
                for owner in owners {
                    held[usize::from(owner.0)].insert(shard);
                }
            }
        }
        let (written, nothing) = (held.clone(), ShardSet::new());
        let (extras, unswept) = (Vec::new(), Vec::new());
        Placement { shards, replication_factor, owners, held, extras, written, unswept, nothing }
    }
}

pub(crate) fn place_group(
    nodes: &[Node],
    members: &[NodeIndex],
    replication_factor: u16,
    kept: Vec<Vec<usize>>,
    newcomers: &[bool],
) -> Vec<NodeIndex> {
    if members.is_empty() {
        return Vec::new();
    }
    let described: Vec<Member<'_>> = members
        .iter()
        .zip(newcomers)
        .map(|(&member, &newcomer)| {
            let node = &nodes[usize::from(member.0)];
            Member { id: &node.id, capacity: node.capacity, newcomer }
        })
        .collect();
    let assigned = assign(&described, usize::from(replication_factor), kept);
    assigned.into_iter().flatten().map(|local| node_index(usize::from(members[local].0))).collect()
}
