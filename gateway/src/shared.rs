//! What all cores of one gateway process share: configuration, the snapshot, the store's handle.
//!
//! Invariant: nothing here is locked; what changes is atomic or swapped whole.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering},
    },
};

use arc_swap::ArcSwap;
use crossbeam::utils::CachePadded;
use metrics_exporter_prometheus::PrometheusHandle;
use router::NodeIndex;
use store::Store;

use crate::{config::Config, data::lanes::LaneSender, snapshot::Snapshot};

/// One per process, behind an `Arc`.
pub struct Shared {
    pub config: Config,
    pub snapshot: ArcSwap<Snapshot>,
    pub store: Store,
    pub nodes: Vec<NodeAddress>,
    pub health: Health,
    /// The lanes of every data core, by core number.
    pub lanes: Vec<LaneSender>,
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
}

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
        Self { states: (0..count).map(|_| AtomicU8::new(0)).collect() }
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
