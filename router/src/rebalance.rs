//! What a change of the cluster's shape comes to: the placement it ends in, the copies it needs, and the topologies
//! on the way there.
//!
//! Invariants: a plan moves the least it can and touches no group that it does not concern; nodes keep their
//! positions, removed ones too; on the way owners answer for all shards at any time, and who becomes or was an
//! owner is written to until nobody can plan with the other side any more.

use crate::node::{GROUPS_MAX, NODES_MAX, Node, NodeIndex, node_index};
use crate::placement::{Placement, place_group};
use crate::topology::{Standing, Topology, TopologyError};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A wish for another shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ShapeChange {
    /// A node, or the first of a new group.
    AddNode {
        node: Node,
    },
    /// Everything moves off it; it stays known, empty.
    DrainNode {
        id: String,
    },
    /// Everything moves off it and it is forgotten. `force`: it is dead, and nothing more is asked of it.
    RemoveNode {
        id: String,
        force: bool,
    },
    /// Another takes over its shards, and it is forgotten.
    ReplaceNode {
        id: String,
        by: Node,
        force: bool,
    },
    SetReplicationFactor {
        replication_factor: u16,
    },
    RemoveGroup {
        group: u16,
    },
    /// Nodes with less than their share draw from those with more.
    EvenOut,
}

/// Why a change is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PlanError {
    #[error("shards are moving already; the change can be made when they have arrived")]
    Moving,
    #[error("there is no node `{id}`")]
    UnknownNode { id: String },
    #[error("there is a node `{id}` already")]
    KnownNode { id: String },
    #[error(
        "node `{id}` has been removed; a node that comes back under its id must have its URL and its group"
    )]
    RemovedNode { id: String },
    #[error("`{url}` is the URL of node `{id}`")]
    KnownUrl { url: String, id: String },
    #[error("node `{id}` is drained already")]
    Drained { id: String },
    #[error("there is no group {group}")]
    UnknownGroup { group: u16 },
    #[error("group {group} is the last one that has all shards")]
    LastGroup { group: u16 },
    #[error(
        "group {group} would have {left} nodes for {replication_factor} copies of each shard; add a node to it or lower the replication factor first"
    )]
    TooFewNodes { group: u16, left: usize, replication_factor: u16 },
    #[error("the replication factor is {replication_factor} already")]
    SameReplicationFactor { replication_factor: u16 },
    #[error("shard {shard} has no other copy than that of node `{id}`")]
    LastCopy { shard: u32, id: String },
    #[error("{0}")]
    Topology(#[from] TopologyError),
}

/// A copy that a node gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// The shard count of the indexes concerned.
    pub shards: u32,
    pub group: u16,
    pub shard: u32,
    pub to: NodeIndex,
    /// The owners in the group that then own it no more.
    pub from: Vec<NodeIndex>,
}

/// A change that can be made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// As it is to be in the end, apart from its version.
    pub target: Topology,
    /// What nodes are when it has been given up.
    pub undone: Vec<Standing>,
    pub moves: Vec<Move>,
    /// Nodes that nothing more is asked of.
    pub lost: Vec<NodeIndex>,
}

/// The shape that is wanted, before shards are placed.
struct Shape {
    nodes: Vec<Node>,
    standings: Vec<Standing>,
    replication_factor: u16,
    lost: Vec<NodeIndex>,
    /// The second takes all that the first has.
    heir: Option<(NodeIndex, NodeIndex)>,
}

impl Topology {
    /// What a change comes to.
    ///
    /// # Errors
    /// [`PlanError`]: nothing can be done then.
    pub fn plan(&self, change: &ShapeChange) -> Result<Plan, PlanError> {
        if !self.is_settled() {
            return Err(PlanError::Moving);
        }
        let shape = self.shape(change)?;
        let mut undone = self.standings().to_vec();
        undone.resize(shape.nodes.len(), Standing::Removed);
        let wanted = Topology::from_parts(
            (self.version, shape.replication_factor),
            shape.nodes,
            shape.standings,
            Vec::new(),
        )?;
        let groups = wanted.placed_groups();
        self.check_groups(&wanted, &groups, change)?;
        let evens = matches!(change, ShapeChange::EvenOut);
        let placements = self.placements().iter().map(|placement| {
            let owners = (0..groups.len()).map(|group| match shape.heir {
                Some((old, new)) => inherit(placement, group, old, new),
                None => self.place(&wanted, placement, (group, &groups[group]), evens),
            });
            let owners = owners.collect();
            let factor = wanted.replication_factor;
            Arc::new(Placement::from_owners(wanted.nodes.len(), factor, placement.shards(), owners))
        });
        let placements = placements.collect::<Vec<_>>();
        let moves =
            self.placements().iter().zip(&placements).flat_map(|(old, new)| moves(old, new)).collect();
        for placement in self.placements() {
            check_copies(self, placement, &shape.lost)?;
        }
        let target = Topology::from_parts(
            (self.version, wanted.replication_factor),
            wanted.nodes.clone(),
            wanted.standings().to_vec(),
            placements,
        )?;
        Ok(Plan { target, undone, moves, lost: shape.lost })
    }

    fn shape(&self, change: &ShapeChange) -> Result<Shape, PlanError> {
        let mut shape = Shape {
            nodes: self.nodes.clone(),
            standings: self.standings().to_vec(),
            replication_factor: self.replication_factor,
            lost: Vec::new(),
            heir: None,
        };
        match change {
            ShapeChange::AddNode { node } => drop(self.admit(&mut shape, node)?),
            ShapeChange::DrainNode { id } => {
                let node = self.member(id)?;
                if self.standing(node) == Standing::Drained {
                    return Err(PlanError::Drained { id: id.clone() });
                }
                shape.standings[usize::from(node.0)] = Standing::Drained;
            }
            ShapeChange::RemoveNode { id, force } => {
                let node = self.member(id)?;
                shape.standings[usize::from(node.0)] = Standing::Removed;
                shape.lost.extend(force.then_some(node));
            }
            ShapeChange::ReplaceNode { id, by, force } => {
                let old = self.member(id)?;
                let by = Node { group: self.node(old).group, ..by.clone() };
                let new = self.admit(&mut shape, &by)?;
                shape.standings[usize::from(old.0)] = Standing::Removed;
                shape.lost.extend(force.then_some(old));
                shape.heir = Some((old, new));
            }
            ShapeChange::SetReplicationFactor { replication_factor } => {
                if *replication_factor == self.replication_factor {
                    let replication_factor = *replication_factor;
                    return Err(PlanError::SameReplicationFactor { replication_factor });
                }
                shape.replication_factor = *replication_factor;
            }
            ShapeChange::RemoveGroup { group } => {
                let members = self.groups().get(usize::from(*group)).filter(|members| !members.is_empty());
                for node in members.ok_or(PlanError::UnknownGroup { group: *group })? {
                    shape.standings[usize::from(node.0)] = Standing::Removed;
                }
            }
            ShapeChange::EvenOut => {}
        }
        Ok(shape)
    }

    fn member(&self, id: &str) -> Result<NodeIndex, PlanError> {
        self.index_of(id).ok_or_else(|| PlanError::UnknownNode { id: id.to_owned() })
    }

    /// Adds a node to a shape; one that was removed, or drained, gets its place back.
    fn admit(&self, shape: &mut Shape, node: &Node) -> Result<NodeIndex, PlanError> {
        let id = || node.id.clone();
        let same_url = |(at, known): &(usize, &Node)| {
            known.url == node.url && known.id != node.id && self.standings()[*at] != Standing::Removed
        };
        if let Some((_, known)) = self.nodes.iter().enumerate().find(same_url) {
            return Err(PlanError::KnownUrl { url: node.url.clone(), id: known.id.clone() });
        }
        if node.group >= GROUPS_MAX {
            return Err(TopologyError::GroupOutOfRange { id: id(), group: node.group }.into());
        }
        let Some(known) = self.position_of(&node.id) else {
            if shape.nodes.len() >= NODES_MAX {
                return Err(TopologyError::TooManyNodes { count: shape.nodes.len() + 1 }.into());
            }
            shape.nodes.push(node.clone());
            shape.standings.push(Standing::Active);
            return Ok(node_index(shape.nodes.len() - 1));
        };
        let before = self.node(known);
        match self.standing(known) {
            Standing::Active => return Err(PlanError::KnownNode { id: id() }),
            Standing::Drained | Standing::Removed => {}
        }
        if before.url != node.url || before.group != node.group {
            return Err(PlanError::RemovedNode { id: id() });
        }
        shape.nodes[usize::from(known.0)].capacity = node.capacity;
        shape.standings[usize::from(known.0)] = Standing::Active;
        Ok(known)
    }

    /// Refuses a shape in which a group loses its shards that is not to go.
    fn check_groups(
        &self,
        wanted: &Topology,
        groups: &[Vec<NodeIndex>],
        change: &ShapeChange,
    ) -> Result<(), PlanError> {
        let goes = |group: u16| matches!(change, ShapeChange::RemoveGroup { group: gone } if *gone == group);
        let empties = matches!(change, ShapeChange::RemoveNode { .. });
        let whole = self.group_numbers().collect::<Vec<_>>();
        for (group, members) in (0..GROUPS_MAX).zip(groups) {
            let was_whole = whole.contains(&usize::from(group));
            if !was_whole || !members.is_empty() || goes(group) {
                continue;
            }
            let active = wanted.groups()[usize::from(group)].iter();
            let left = active.filter(|node| wanted.standing(**node) == Standing::Active).count();
            let is_last = whole.len() == 1 && left == 0 && empties;
            return Err(match is_last {
                true => PlanError::LastGroup { group },
                false => {
                    PlanError::TooFewNodes { group, left, replication_factor: wanted.replication_factor }
                }
            });
        }
        if let ShapeChange::RemoveGroup { group } = change
            && whole == [usize::from(*group)]
        {
            return Err(PlanError::LastGroup { group: *group });
        }
        Ok(())
    }

    /// The owners of a group's shards, with the least movement.
    fn place(
        &self,
        wanted: &Topology,
        placement: &Placement,
        (group, members): (usize, &[NodeIndex]),
        evens: bool,
    ) -> Vec<NodeIndex> {
        let factor = usize::from(wanted.replication_factor);
        if members.is_empty() {
            return Vec::new();
        }
        let existed = placement.is_whole(group);
        let holds = |node: &NodeIndex| !placement.shards_of(*node).is_empty();
        let same_nodes = existed
            && wanted.replication_factor == placement.replication_factor()
            && members.iter().all(holds)
            && (0..placement.shards())
                .all(|shard| placement.owners(group, shard).iter().all(|owner| members.contains(owner)));
        if same_nodes && !evens {
            return placement.owner_lists()[group].clone();
        }
        let local = |node: &NodeIndex| members.iter().position(|member| member == node);
        let kept = (0..placement.shards()).map(|shard| {
            placement.owners(group, shard).iter().filter_map(local).take(factor).collect::<Vec<_>>()
        });
        let capacities = members.iter().map(|node| wanted.node(*node).capacity);
        let all = capacities.clone().sum::<f64>();
        let newcomers = members.iter().zip(capacities).map(|(node, capacity)| {
            let share = f64::from(placement.shards()) * factor as f64 * capacity / all;
            existed && (!holds(node) || evens && f64::from(placement.shards_of(*node).len()) + 1.0 <= share)
        });
        place_group(
            &wanted.nodes,
            members,
            wanted.replication_factor,
            kept.collect(),
            &newcomers.collect::<Vec<_>>(),
        )
    }

    /// The next version, in which those who are to own shards are members, and nobody takes it for granted any more that
    /// they hold nothing beyond what they own. Nodes that are to go get no new shards.
    ///
    /// # Errors
    /// [`TopologyError`], when the plan is not of this topology.
    pub fn with_moves_prepared(&self, plan: &Plan) -> Result<Topology, TopologyError> {
        let standing = |(at, wanted): (usize, &Standing)| match wanted {
            Standing::Active => Standing::Active,
            // One that was no member does not become one.
            Standing::Removed if self.standings().get(at) == Some(&Standing::Removed) => Standing::Removed,
            Standing::Drained | Standing::Removed => Standing::Drained,
        };
        let standings = plan.target.standings().iter().enumerate().map(standing).collect();
        let extras = |placement: &Placement| (Vec::new(), targets(plan, placement));
        let same = |placement: &Arc<Placement>| Some(Arc::clone(placement));
        self.next(self.replication_factor, plan.target.nodes.clone(), standings, same, extras)
    }

    /// The next version, in which those who are to own shards are written to.
    ///
    /// # Errors
    /// [`TopologyError`], when the plan is not of this topology.
    pub fn with_moves_begun(&self, plan: &Plan) -> Result<Topology, TopologyError> {
        let extras = |placement: &Placement| {
            let mine = plan.moves.iter().filter(|each| each.shards == placement.shards());
            (mine.map(|each| (each.shard, each.to)).collect(), targets(plan, placement))
        };
        let (nodes, standings) = (self.nodes.clone(), self.standings().to_vec());
        let same = |placement: &Arc<Placement>| Some(Arc::clone(placement));
        self.next(self.replication_factor, nodes, standings, same, extras)
    }

    /// The next version, in which the new owners answer; the old ones are still written to.
    ///
    /// # Errors
    /// [`TopologyError`], when the plan is not of this topology.
    pub fn with_moves_made(&self, plan: &Plan) -> Result<Topology, TopologyError> {
        let extras = |placement: &Placement| {
            let Some(before) = self.placement(placement.shards()) else { return (Vec::new(), Vec::new()) };
            let mut extras = Vec::new();
            for node in (0..self.nodes.len()).map(node_index).filter(|node| !plan.lost.contains(node)) {
                let left = before.shards_of(node).difference(placement.shards_of(node));
                extras.extend(left.iter().map(|shard| (shard, node)));
            }
            (extras, Vec::new())
        };
        let target = |placement: &Arc<Placement>| plan.target.placement(placement.shards()).cloned();
        let (nodes, standings) = (self.nodes.clone(), self.standings().to_vec());
        self.next(plan.target.replication_factor, nodes, standings, target, extras)
    }

    /// The next version, in which only owners are written to; the others are about to be swept.
    ///
    /// # Errors
    /// [`TopologyError`].
    pub fn with_owners_only(&self) -> Result<Topology, TopologyError> {
        let extras = |placement: &Placement| {
            let before = self.placement(placement.shards());
            let left = before.map(|before| before.extras().iter().map(|(_, node)| *node).collect());
            (Vec::new(), left.unwrap_or_default())
        };
        let (nodes, standings) = (self.nodes.clone(), self.standings().to_vec());
        let same = |placement: &Arc<Placement>| Some(Arc::clone(placement));
        self.next(self.replication_factor, nodes, standings, same, extras)
    }

    /// The next version, in which nodes hold what they own and nothing else, and are what the plan says: that it has
    /// been carried out, or, where `is_undone`, given up.
    ///
    /// # Errors
    /// [`TopologyError`].
    pub fn settled(&self, plan: &Plan, is_undone: bool) -> Result<Topology, TopologyError> {
        let standings = if is_undone { plan.undone.clone() } else { plan.target.standings().to_vec() };
        let same = |placement: &Arc<Placement>| Some(Arc::clone(placement));
        let none = |_: &Placement| (Vec::new(), Vec::new());
        self.next(self.replication_factor, self.nodes.clone(), standings, same, none)
    }

    fn next(
        &self,
        replication_factor: u16,
        nodes: Vec<Node>,
        standings: Vec<Standing>,
        owners: impl Fn(&Arc<Placement>) -> Option<Arc<Placement>>,
        extras: impl Fn(&Placement) -> (Vec<(u32, NodeIndex)>, Vec<NodeIndex>),
    ) -> Result<Topology, TopologyError> {
        let groups = usize::from(nodes.iter().map(|node| node.group).max().unwrap_or(0)) + 1;
        let placements = self.placements().iter().map(|placement| {
            let owners = owners(placement).unwrap_or_else(|| Arc::clone(placement));
            let (extras, unswept) = extras(&owners);
            Arc::new(owners.with_extras((nodes.len(), groups), extras, unswept))
        });
        let placements = placements.collect();
        Topology::from_parts((self.version + 1, replication_factor), nodes, standings, placements)
    }
}

fn targets(plan: &Plan, placement: &Placement) -> Vec<NodeIndex> {
    plan.moves.iter().filter(|each| each.shards == placement.shards()).map(|each| each.to).collect()
}

fn inherit(placement: &Placement, group: usize, old: NodeIndex, new: NodeIndex) -> Vec<NodeIndex> {
    let owners = placement.owner_lists().get(group).map(Vec::as_slice).unwrap_or_default();
    owners.iter().map(|owner| if *owner == old { new } else { *owner }).collect()
}

fn moves(old: &Placement, new: &Placement) -> Vec<Move> {
    let mut moves = Vec::new();
    for group in (0..GROUPS_MAX).take(new.groups()) {
        if !new.is_whole(usize::from(group)) {
            continue;
        }
        for shard in 0..new.shards() {
            let before = old.owners(usize::from(group), shard);
            let after = new.owners(usize::from(group), shard);
            let from = before.iter().copied().filter(|owner| !after.contains(owner)).collect::<Vec<_>>();
            let gained = after.iter().copied().filter(|owner| !before.contains(owner));
            moves.extend(gained.map(|to| Move {
                shards: new.shards(),
                group,
                shard,
                to,
                from: from.clone(),
            }));
        }
    }
    moves
}

/// Refuses to lose nodes that have the last copy of something.
fn check_copies(topology: &Topology, placement: &Placement, lost: &[NodeIndex]) -> Result<(), PlanError> {
    for lost_node in lost {
        for shard in placement.shards_of(*lost_node).iter() {
            let mut owners =
                (0..topology.groups().len()).flat_map(|group| placement.owners(group, shard).iter());
            if owners.all(|owner| lost.contains(owner)) {
                return Err(PlanError::LastCopy { shard, id: topology.node(*lost_node).id.clone() });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str, group: u16) -> Node {
        Node { id: id.to_owned(), url: format!("http://{id}:7700"), group, capacity: 1.0 }
    }

    fn topology(nodes: usize, replication_factor: u16) -> Topology {
        let nodes = (0..nodes).map(|number| node(&format!("n{number}"), 0)).collect();
        Topology::new(nodes, replication_factor).unwrap().with_placement_for(64)
    }

    fn stored(topology: &Topology) -> Topology {
        serde_json::from_value(serde_json::to_value(topology).unwrap()).unwrap()
    }

    /// Carries a change out, looks at every stage, and answers the end with the number of moves.
    fn carry_out(topology: &Topology, change: &ShapeChange) -> (Topology, usize) {
        let plan = topology.plan(change).unwrap();
        let plan: Plan = serde_json::from_value(serde_json::to_value(&plan).unwrap()).unwrap();
        let prepared = topology.with_moves_prepared(&plan).unwrap();
        let begun = prepared.with_moves_begun(&plan).unwrap();
        let made = begun.with_moves_made(&plan).unwrap();
        let alone = made.with_owners_only().unwrap();
        let settled = alone.settled(&plan, false).unwrap();
        for stage in [&prepared, &begun, &made, &alone, &settled] {
            assert_eq!(stored(stage), *stage);
            for placement in stage.placements() {
                assert!(stage.group_numbers().count() > 0);
                for group in stage.group_numbers() {
                    for shard in 0..placement.shards() {
                        let owners = placement.owners(group, shard);
                        assert_eq!(owners.len(), usize::from(stage.replication_factor));
                        assert!(owners.iter().all(|owner| placement.written_to(*owner).contains(shard)));
                    }
                }
            }
        }
        for placement in topology.placements() {
            let (begun, made) = (begun.placement(placement.shards()), made.placement(placement.shards()));
            let (begun, made) = (begun.unwrap(), made.unwrap());
            for node in (0..settled.nodes.len()).map(node_index) {
                assert_eq!(begun.shards_of(node), placement.shards_of(node), "owners answer as before");
                if !plan.lost.contains(&node) {
                    assert_eq!(begun.written_to(node), made.written_to(node), "both sides are written to");
                }
            }
        }
        assert!(settled.is_settled() && !begun.is_settled() || plan.moves.is_empty());
        assert_eq!(settled.version, topology.version + 5);
        (settled, plan.moves.len())
    }

    fn loads(topology: &Topology) -> Vec<u32> {
        let placement = topology.placement(64).unwrap();
        (0..topology.nodes.len()).map(|at| placement.shards_of(node_index(at)).len()).collect()
    }

    #[test]
    fn a_node_more_and_a_node_less_move_what_they_must() {
        let three = topology(3, 1);
        let (four, moved) = carry_out(&three, &ShapeChange::AddNode { node: node("n3", 0) });
        assert_eq!((moved, loads(&four)[3]), (16, 16), "{:?}", loads(&four));
        let held = loads(&four)[1] as usize;
        let (back, moved) = carry_out(&four, &ShapeChange::RemoveNode { id: "n1".to_owned(), force: false });
        assert_eq!((moved, loads(&back)[1]), (held, 0));
        assert_eq!((back.standing(NodeIndex(1)), back.index_of("n1")), (Standing::Removed, None));
        assert_eq!(back.every_node().len(), 3);
        // Its position is its own when it comes back.
        let (again, moved) = carry_out(&back, &ShapeChange::AddNode { node: node("n1", 0) });
        assert_eq!((again.index_of("n1"), moved), (Some(NodeIndex(1)), 16));
        let elsewhere = Node { url: "http://other:1".to_owned(), ..node("n1", 0) };
        let refused = back.plan(&ShapeChange::AddNode { node: elsewhere });
        assert_eq!(refused, Err(PlanError::RemovedNode { id: "n1".to_owned() }));
    }

    #[test]
    fn copies_become_more_and_fewer() {
        let one = topology(3, 1);
        let factor = |replication_factor| ShapeChange::SetReplicationFactor { replication_factor };
        let (two, moved) = carry_out(&one, &factor(2));
        assert_eq!((moved, two.replication_factor), (64, 2));
        let (back, moved) = carry_out(&two, &factor(1));
        assert_eq!((moved, back.replication_factor), (0, 1));
        assert_eq!(loads(&back).iter().sum::<u32>(), 64);
        let refused = PlanError::TooFewNodes { group: 0, left: 3, replication_factor: 4 };
        assert_eq!(one.plan(&factor(4)), Err(refused));
        assert!(one.plan(&factor(1)).is_err());
        assert_eq!(one.plan(&factor(0)), Err(TopologyError::ReplicationFactorZero.into()));
    }

    #[test]
    fn a_replacement_takes_just_what_it_replaces() {
        let before = topology(3, 2);
        let held = before.placement(64).unwrap().shards_of(NodeIndex(1)).clone();
        let change = ShapeChange::ReplaceNode { id: "n1".to_owned(), by: node("new", 7), force: true };
        let (after, moved) = carry_out(&before, &change);
        assert_eq!(moved, held.len() as usize);
        assert_eq!(after.placement(64).unwrap().shards_of(NodeIndex(3)), &held);
        assert_eq!((after.node(NodeIndex(3)).group, after.index_of("n1")), (0, None));
    }

    #[test]
    fn groups_come_and_go() {
        let one = topology(2, 2);
        let (half, moved) = carry_out(&one, &ShapeChange::AddNode { node: node("m0", 1) });
        assert_eq!(moved, 0, "one node is no group of two copies");
        assert_eq!(half.group_numbers().collect::<Vec<_>>(), [0]);
        let (both, moved) = carry_out(&half, &ShapeChange::AddNode { node: node("m1", 1) });
        assert_eq!((moved, both.group_numbers().count()), (128, 2));
        let (left, moved) = carry_out(&both, &ShapeChange::RemoveGroup { group: 0 });
        assert_eq!((moved, left.group_numbers().collect::<Vec<_>>()), (0, vec![1]));
        let last = left.plan(&ShapeChange::RemoveGroup { group: 1 });
        assert_eq!(last, Err(PlanError::LastGroup { group: 1 }));
        let unknown = left.plan(&ShapeChange::RemoveGroup { group: 5 });
        assert_eq!(unknown, Err(PlanError::UnknownGroup { group: 5 }));
    }

    #[test]
    fn what_cannot_be_done_is_refused_by_name() {
        let topology = topology(3, 1);
        let check = |change: ShapeChange, expected: &str| {
            assert_eq!(topology.plan(&change).unwrap_err().to_string(), expected);
        };
        let id = || "n1".to_owned();
        check(ShapeChange::AddNode { node: node("n1", 0) }, "there is a node `n1` already");
        let url = Node { url: "http://n2:7700".to_owned(), ..node("x", 0) };
        check(ShapeChange::AddNode { node: url }, "`http://n2:7700` is the URL of node `n2`");
        check(ShapeChange::DrainNode { id: "x".to_owned() }, "there is no node `x`");
        let lost = topology.plan(&ShapeChange::RemoveNode { id: id(), force: true });
        assert!(matches!(lost, Err(PlanError::LastCopy { .. })), "{lost:?}");
        let alone = self::topology(1, 1);
        let last = alone.plan(&ShapeChange::RemoveNode { id: "n0".to_owned(), force: false });
        assert_eq!(last, Err(PlanError::LastGroup { group: 0 }));
        let plan = topology.plan(&ShapeChange::DrainNode { id: id() }).unwrap();
        let moving = topology.with_moves_prepared(&plan).unwrap();
        assert_eq!(moving.plan(&ShapeChange::EvenOut), Err(PlanError::Moving));
    }

    #[test]
    fn a_change_that_is_given_up_leaves_what_was() {
        let before = topology(3, 1);
        let plan = before.plan(&ShapeChange::AddNode { node: node("n3", 0) }).unwrap();
        let begun = before.with_moves_prepared(&plan).unwrap().with_moves_begun(&plan).unwrap();
        let after = begun.with_owners_only().unwrap();
        assert_eq!(after.placement(64).unwrap().unswept(), [NodeIndex(3)]);
        let after = after.settled(&plan, true).unwrap();
        assert_eq!((after.index_of("n3"), after.every_node()), (None, before.every_node()));
        assert_eq!(loads(&after)[..3], loads(&before));
    }

    #[test]
    fn evening_out_moves_from_those_who_have_more() {
        let even = topology(4, 1);
        let (_, moved) = carry_out(&even, &ShapeChange::EvenOut);
        let (three, _) = carry_out(&even, &ShapeChange::DrainNode { id: "n0".to_owned() });
        let (full, _) = carry_out(&three, &ShapeChange::EvenOut);
        assert!(moved <= 16, "{moved}");
        let loads = loads(&full);
        assert!(loads[0] == 0 && loads[1..].iter().all(|load| (20..=22).contains(load)), "{loads:?}");
    }
}
