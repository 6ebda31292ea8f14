//! What this pod has seen of every node: its state and its version.
//!
//! Invariants: nothing here is locked; a node that was not reachable serves no reads before the
//! control executor has let it join again (`control::rejoin`), for it may have missed writes; only
//! `rejoin` makes a node healthy.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use router::NodeIndex;

/// States and versions of all nodes, by position in the topology.
pub struct Health {
    states: Vec<AtomicU8>,
    /// Versions, packed; 0 while unknown.
    versions: Vec<AtomicU32>,
}

/// A node's version: major and minor number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeVersion(pub u16, pub u16);

/// State of one node as this pod sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum NodeState {
    /// Not yet probed.
    Unknown,
    Healthy,
    /// It failed lately, not often enough to be given up.
    Suspect,
    /// It is not asked, but for probes.
    Down,
    /// It answers again and is brought level.
    Joining,
    /// It is about to leave: it serves until others have what it holds.
    Draining,
}

impl NodeState {
    const ALL: [Self; 6] =
        [Self::Unknown, Self::Healthy, Self::Suspect, Self::Down, Self::Joining, Self::Draining];

    /// Whether reads may be asked of it while others are to be had as well.
    #[must_use]
    pub fn serves_reads(self) -> bool {
        matches!(self, Self::Unknown | Self::Healthy | Self::Suspect | Self::Draining)
    }

    /// Whether a write may be sent to it, where none waits for it.
    #[must_use]
    pub fn takes_writes(self) -> bool {
        self != Self::Down
    }

    /// As the management API and logs say it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Suspect => "suspect",
            Self::Down => "down",
            Self::Joining => "joining",
            Self::Draining => "draining",
        }
    }
}

impl Health {
    /// `count` nodes nobody has probed yet.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self {
            states: (0..count).map(|_| AtomicU8::new(NodeState::Unknown as u8)).collect(),
            versions: (0..count).map(|_| AtomicU32::new(0)).collect(),
        }
    }

    /// The lowest version among the nodes whose version is known.
    #[must_use]
    pub fn lowest_version(&self) -> Option<NodeVersion> {
        let known = self.versions.iter().map(|version| version.load(Ordering::Relaxed));
        known.filter(|packed| *packed != 0).min().map(NodeVersion::unpack)
    }

    /// Whether a node's version is known.
    #[must_use]
    pub fn knows_version(&self, node: NodeIndex) -> bool {
        self.versions[usize::from(node.0)].load(Ordering::Relaxed) != 0
    }

    /// Records a node's version.
    pub fn set_version(&self, node: NodeIndex, version: NodeVersion) {
        self.versions[usize::from(node.0)].store(version.pack(), Ordering::Relaxed);
    }

    #[must_use]
    pub fn state(&self, node: NodeIndex) -> NodeState {
        let state = self.states[usize::from(node.0)].load(Ordering::Acquire);
        NodeState::ALL[usize::from(state)]
    }

    /// A node could not be reached; returns whether that is news.
    pub fn is_down(&self, node: NodeIndex) -> bool {
        let before = self.states[usize::from(node.0)].swap(NodeState::Down as u8, Ordering::AcqRel);
        before != NodeState::Down as u8
    }

    /// A node that was down, or is new to this pod, answers; returns whether it begins to join.
    pub fn answers(&self, node: NodeIndex) -> bool {
        let begins = |before: NodeState| self.change(node, before, NodeState::Joining);
        begins(NodeState::Down) || begins(NodeState::Unknown)
    }

    /// A joining node is level with its peers; returns whether it is healthy now: it may have gone down.
    pub fn has_joined(&self, node: NodeIndex) -> bool {
        self.change(node, NodeState::Joining, NodeState::Healthy)
    }

    fn change(&self, node: NodeIndex, before: NodeState, after: NodeState) -> bool {
        let state = &self.states[usize::from(node.0)];
        state.compare_exchange(before as u8, after as u8, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

impl NodeVersion {
    /// Reads `1.50.0`; what follows the minor number does not matter.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split('.');
        Some(Self(numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    }

    fn pack(self) -> u32 {
        u32::from(self.0) << 16 | u32::from(self.1)
    }

    fn unpack(packed: u32) -> Self {
        let low = |number: u32| u16::try_from(number & 0xffff).unwrap_or(u16::MAX);
        Self(low(packed >> 16), low(packed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_version_of_a_fleet_is_known() {
        let health = Health::new(3);
        assert_eq!(health.lowest_version(), None);
        for (node, text) in [(0, "1.50.0"), (2, "1.15.1-rc.1")] {
            health.set_version(NodeIndex(node), NodeVersion::parse(text).unwrap());
        }
        assert_eq!(health.lowest_version(), Some(NodeVersion(1, 15)));
        assert!(health.knows_version(NodeIndex(0)) && !health.knows_version(NodeIndex(1)));
        assert!(NodeVersion::parse("one").is_none());
    }

    #[test]
    fn a_node_joins_before_it_serves() {
        let health = Health::new(1);
        let node = NodeIndex(0);
        assert!(health.state(node).serves_reads() && health.answers(node));
        assert!(!health.state(node).serves_reads() && health.state(node).takes_writes());
        assert!(health.has_joined(node) && health.state(node) == NodeState::Healthy);
        assert!(!health.answers(node), "it is healthy already");
        assert!(health.is_down(node) && !health.is_down(node), "news once");
        assert!(
            health.answers(node) && health.is_down(node) && !health.has_joined(node),
            "down while it joined"
        );
    }
}
