//! What all cores of one gateway process share: configuration, the snapshot, the store's handle.
//!
//! Invariant: nothing here is locked; what changes is atomic or swapped whole.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use arc_swap::{ArcSwap, ArcSwapOption};
use crossbeam::utils::CachePadded;
use metrics_exporter_prometheus::PrometheusHandle;
use store::{Store, Table};

use crate::{
    auth::KeyRing,
    config::{Config, EdgeConfig},
    health::Health,
    snapshot::Snapshot,
    tls::NodeTls,
};

/// Where keys are stored, by uid.
pub const KEYS: Table = Table::named("api_keys");

/// One per process, behind an `Arc`.
pub struct Shared {
    pub config: Config,
    /// What clients may do; the configuration's own until it is reloaded.
    pub edge: ArcSwap<EdgeConfig>,
    /// What clients are served with; replaced when the files are read again.
    pub tls: ArcSwapOption<rustls::ServerConfig>,
    pub snapshot: ArcSwap<Snapshot>,
    pub keys: ArcSwap<KeyRing>,
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
    /// `None`: plain HTTP.
    pub tls: Option<NodeTls>,
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
