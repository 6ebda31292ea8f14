//! What all cores of one gateway process share: configuration, snapshot, the store's handle and more.
//!
//! Invariant: nothing here is locked; what changes is atomic or swapped as a whole.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use arc_swap::{ArcSwap, ArcSwapOption};
use crossbeam::utils::CachePadded;
use metrics_exporter_prometheus::PrometheusHandle;
use router::Topology;
use serde_json::{Map, Value};
use store::{Change, Store, StoreError, Table, Versioned};

use crate::{
    api::{canary::Canary, search::rules::Rules, tenant::Tenants, webhook::Webhooks},
    auth::{KeyRing, PageTokens},
    clock::Clock,
    config::{Config, EdgeConfig},
    console::Console,
    nodes::table::Nodes,
    observe::spans::Tracer,
    state::{
        cdc::ChangeStream,
        heard::Capture,
        heartbeats::Heartbeats,
        leadership::{Coordinator, Term},
        sessions::Sessions,
        shadows::Shadows,
        snapshot::Snapshot,
        wakeups::Wakeups,
        write_block::WriteBlocks,
    },
};

/// Experimental features by name, each on or off.
pub type Features = Map<String, Value>;
/// The table with one record of the experimental features that clients have switched.
pub const FEATURES: Table = Table::named("features");
pub const FEATURES_KEY: &str = "switched";

/// The table of keys, by uid.
pub const KEYS: Table = Table::named("api_keys");
/// The table with what the task of an export must know and no client may see, by the task's uid.
pub const EXPORTS: Table = Table::named("exports");
/// The table of webhooks, all in one record.
pub const WEBHOOKS: Table = Table::named("webhooks");
pub const WEBHOOKS_KEY: &str = "all";
/// The uid up to which webhooks were told of ended tasks; the record exists while there are webhooks.
pub const WEBHOOKS_TOLD_KEY: &str = "told";

/// Canaries by name, each with the revision of its stored record.
pub type Canaries = BTreeMap<String, Arc<Versioned<Canary>>>;

/// One per process, behind an `Arc`.
pub struct Shared {
    pub config: Config,
    /// The limits for clients: those of the configuration until it is reloaded.
    pub edge: ArcSwap<EdgeConfig>,
    /// The TLS configuration towards clients; replaced when the files are read again.
    pub tls: ArcSwapOption<rustls::ServerConfig>,
    pub snapshot: ArcSwap<Snapshot>,
    /// Topologies that were replaced; some request may still go by them.
    pub retired: ArcSwap<Vec<Weak<Topology>>>,
    pub keys: ArcSwap<KeyRing>,
    /// What signs the tokens of search pages.
    pub page_tokens: ArcSwap<Versioned<PageTokens>>,
    pub webhooks: ArcSwap<Versioned<Webhooks>>,
    /// Dynamic search rules as clients give them.
    pub rules: ArcSwap<Rules>,
    /// The HTTP client for addresses that clients name and the operator allows.
    pub outbound: ureq::Agent,
    /// The experimental features as clients have switched them.
    pub features: ArcSwap<Versioned<Features>>,
    /// The groups of tenants, and the tenants of keys.
    pub tenants: ArcSwap<Versioned<Tenants>>,
    pub canaries: ArcSwap<Canaries>,
    /// The searches of clients that are to become canaries.
    pub capture: ArcSwapOption<Capture>,
    pub shadows: Shadows,
    pub store: Store,
    pub coordinator: Coordinator,
    pub nodes: Arc<Nodes>,
    pub wakeups: Wakeups,
    pub write_blocks: WriteBlocks,
    /// The stream of changes.
    pub cdc: ChangeStream,
    pub sessions: Sessions,
    /// How many tasks have ended, as far as clients may know.
    pub tasks_ended: AtomicU64,
    /// How many tasks had not ended when that was last counted.
    pub tasks_unfinished: AtomicU64,
    /// The clock that stamps every write.
    pub clock: Clock,
    pub console: Console,
    pub prometheus: PrometheusHandle,
    /// Where traces of requests go, if there is a collector.
    pub tracer: Option<Tracer>,
    /// Set once the process is asked to end: connections close after their current answer.
    pub draining: AtomicBool,
    /// Set once another process takes the port over.
    pub handing_over: AtomicBool,
    /// Open connections of clients, by core.
    pub connections: Vec<CachePadded<AtomicUsize>>,
    pub heartbeats: Arc<Heartbeats>,
    /// Requests being served, by core; each counter has a cache line of its own.
    pub in_flight: Vec<CachePadded<AtomicUsize>>,
}

impl Shared {
    /// The current snapshot; taken once per request.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// How many tasks have ended, as far as clients of this process can know.
    #[must_use]
    pub fn tasks_ended(&self) -> u64 {
        self.tasks_ended.load(Ordering::Acquire)
    }

    /// Counts the end of a task just before a client can learn of it.
    pub fn note_task_end(&self) {
        self.tasks_ended.fetch_add(1, Ordering::Release);
    }

    /// Commits under a term; fails as `Fenced`, with nothing done, when another pod leads by now.
    ///
    /// # Errors
    /// The store's error.
    pub async fn commit_by(&self, term: &Term, changes: Vec<Change>) -> Result<Vec<u64>, StoreError> {
        let fence = term.fence();
        let skipped = usize::from(fence.is_some());
        let revisions = self.store.commit(fence.into_iter().chain(changes).collect()).await?;
        Ok(revisions.into_iter().skip(skipped).collect())
    }

    #[must_use]
    pub fn is_handing_over(&self) -> bool {
        self.handing_over.load(Ordering::Relaxed)
    }

    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}
