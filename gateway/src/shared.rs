//! What all cores of one gateway process share: configuration, the snapshot, the store's handle.
//!
//! Invariant: nothing here is locked; what changes is atomic or swapped whole.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicUsize, Ordering},
    },
};

use arc_swap::ArcSwap;
use crossbeam::utils::CachePadded;
use metrics_exporter_prometheus::PrometheusHandle;
use router::NodeIndex;
use store::{Store, Table, Versioned};

use crate::{api::webhook::Webhooks, auth::KeyRing, config::Config, snapshot::Snapshot};

/// Where keys are stored, by uid.
pub const KEYS: Table = Table::named("api_keys");
/// Where webhooks are stored, all in one record.
pub const WEBHOOKS: Table = Table::named("webhooks");
pub const WEBHOOKS_KEY: &str = "all";
/// The uid up to which webhooks have been told of all tasks that have ended; there while there are webhooks.
pub const WEBHOOKS_TOLD_KEY: &str = "told";

/// One per process, behind an `Arc`.
pub struct Shared {
    pub config: Config,
    pub snapshot: ArcSwap<Snapshot>,
    pub keys: ArcSwap<KeyRing>,
    pub webhooks: ArcSwap<Versioned<Webhooks>>,
    /// Reaches what clients name and the operator allows.
    pub outbound: ureq::Agent,
    pub store: Store,
    pub nodes: Vec<NodeAddress>,
    pub health: Health,
    pub prometheus: PrometheusHandle,
    /// Set once the process is asked to end: connections close after their current answer.
    pub draining: AtomicBool,
    /// Requests being served, by core; each counter has a cache line of its own.
    pub in_flight: Vec<CachePadded<AtomicUsize>>,
}

/// Where a node is reached; position as in the topology.
#[derive(Debug, Clone)]
pub struct NodeAddress {
    pub id: String,
    pub address: SocketAddr,
    /// Value of the `Host` header.
    pub host: String,
}

/// What probes and requests have seen of every node.
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
pub enum NodeState {
    /// Not yet probed.
    Unknown,
    Healthy,
    Down,
}

impl Health {
    /// `count` nodes nobody has probed yet.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self {
            states: (0..count).map(|_| AtomicU8::new(0)).collect(),
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
        match self.states[usize::from(node.0)].load(Ordering::Relaxed) {
            1 => NodeState::Healthy,
            2 => NodeState::Down,
            _ => NodeState::Unknown,
        }
    }

    /// Records what was seen; returns whether that changed the state.
    pub fn set(&self, node: NodeIndex, healthy: bool) -> bool {
        let state = if healthy { 1 } else { 2 };
        self.states[usize::from(node.0)].swap(state, Ordering::Relaxed) != state
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

impl Shared {
    /// The current snapshot; taken once per request.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
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
}
