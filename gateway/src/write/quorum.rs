//! Decides whether enough owners took a write.
//!
//! Invariants: pure. With `strict` a group accepts a shard when `floor(RF / 2) + 1` of its owners took it; with
//! `hinted` one is enough, since the others have a durable hint. A write is accepted when one group accepts every
//! shard that it concerns.

use std::collections::BTreeSet;

use router::{NodeIndex, Placement, ShardSet, Topology};

use crate::config::WriteQuorum;

/// The rule by which a write is accepted.
pub struct Quorum<'a> {
    pub topology: &'a Topology,
    pub placement: &'a Placement,
    pub quorum: WriteQuorum,
}

/// The groups and shards of which some owner missed a write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Degraded {
    pub groups: BTreeSet<usize>,
    pub shards: ShardSet,
}

impl Quorum<'_> {
    /// Whether a write to `shards` is accepted when the nodes of `took` have taken it.
    pub fn is_reached(&self, shards: &ShardSet, took: impl Fn(NodeIndex) -> bool) -> bool {
        let least = match self.quorum {
            WriteQuorum::Hinted => 1,
            WriteQuorum::Strict => usize::from(self.topology.replication_factor / 2) + 1,
        };
        self.topology.group_numbers().any(|group| {
            shards.iter().all(|shard| {
                let owners = self.placement.owners(group, shard).iter();
                owners.filter(|node| took(**node)).count() >= least
            })
        })
    }

    /// The groups and shards of a write that some owner missed.
    pub fn missed(&self, shards: &ShardSet, took: impl Fn(NodeIndex) -> bool) -> Degraded {
        let mut degraded = Degraded::default();
        for group in self.topology.group_numbers() {
            for shard in shards.iter() {
                if !self.placement.owners(group, shard).iter().all(|node| took(*node)) {
                    degraded.groups.insert(group);
                    degraded.shards.insert(shard);
                }
            }
        }
        degraded
    }
}

impl Degraded {
    /// Adds what another part of the same write missed.
    pub fn add(&mut self, other: Self) {
        self.groups.extend(other.groups);
        self.shards = self.shards.union(&other.shards);
    }

    /// The value of `X-Miroir-Degraded`, when anything was missed.
    #[must_use]
    pub fn header(&self) -> Option<String> {
        if self.groups.is_empty() {
            return None;
        }
        let shards = self.shards.iter().map(|shard| shard.to_string()).collect::<Vec<_>>();
        Some(format!("groups={};shards={}", self.groups.len(), shards.join(",")))
    }
}

#[cfg(test)]
mod tests {
    use router::Node;

    use super::*;

    fn topology(nodes: u16, groups: u16, replication_factor: u16) -> Topology {
        let node = |number: u16| Node {
            id: format!("n{number}"),
            url: format!("http://n{number}"),
            group: number % groups,
            capacity: 1.0,
        };
        let topology = Topology::new((0..nodes).map(node).collect(), replication_factor).unwrap();
        topology.with_placement_for(8)
    }

    #[test]
    fn one_group_that_took_every_shard_is_enough() {
        let check = |(nodes, groups, copies), away: &[u16], hinted, strict| {
            let topology = topology(nodes, groups, copies);
            let placement = topology.placement(8).unwrap();
            let quorum = |quorum| Quorum { topology: &topology, placement, quorum };
            let took = |node: NodeIndex| !away.contains(&node.0);
            let all = ShardSet::all(8);
            assert_eq!(quorum(WriteQuorum::Hinted).is_reached(&all, took), hinted, "hinted {away:?}");
            assert_eq!(quorum(WriteQuorum::Strict).is_reached(&all, took), strict, "strict {away:?}");
        };
        check((3, 1, 1), &[], true, true);
        check((3, 1, 1), &[1], false, false);
        check((3, 1, 2), &[1], true, false);
        check((3, 1, 3), &[1], true, true);
        check((3, 1, 3), &[1, 2], true, false);
        check((3, 1, 3), &[0, 1, 2], false, false);
        // Two groups: one of them may be gone whole, but the shards of two halves are no whole.
        check((4, 2, 1), &[1, 3], true, true);
        check((4, 2, 1), &[0, 1], false, false);
    }

    #[test]
    fn what_was_missed_is_named() {
        let topology = topology(4, 2, 1);
        let placement = topology.placement(8).unwrap();
        let quorum = Quorum { topology: &topology, placement, quorum: WriteQuorum::Hinted };
        assert_eq!(quorum.missed(&ShardSet::all(8), |_| true).header(), None);
        let degraded = quorum.missed(&ShardSet::all(8), |node| node.0 != 1);
        let held = placement.shards_of(NodeIndex(1));
        assert_eq!((degraded.groups.len(), &degraded.shards), (1, held));
        let list = held.iter().map(|shard| shard.to_string()).collect::<Vec<_>>().join(",");
        assert_eq!(degraded.header(), Some(format!("groups=1;shards={list}")));
    }
}
