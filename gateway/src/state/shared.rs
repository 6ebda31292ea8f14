//! What all cores of one gateway process share: configuration, the snapshot, the store's handle.
//!
//! Invariant: nothing here is locked; what changes is atomic or swapped whole.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use arc_swap::{ArcSwap, ArcSwapOption};
use crossbeam::utils::CachePadded;
use metrics_exporter_prometheus::PrometheusHandle;
use store::{Change, Store, StoreError, Table, Versioned};

use crate::{
    api::{search::rules::Rules, webhook::Webhooks},
    auth::KeyRing,
    clock::Clock,
    config::{Config, EdgeConfig},
    nodes::table::Nodes,
    state::{
        leadership::{Coordinator, Term},
        sessions::Sessions,
        snapshot::Snapshot,
        wakeups::Wakeups,
        write_block::WriteBlocks,
    },
};

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
    /// What clients may do; the configuration's own until it is reloaded.
    pub edge: ArcSwap<EdgeConfig>,
    /// What clients are served with; replaced when the files are read again.
    pub tls: ArcSwapOption<rustls::ServerConfig>,
    pub snapshot: ArcSwap<Snapshot>,
    pub keys: ArcSwap<KeyRing>,
    pub webhooks: ArcSwap<Versioned<Webhooks>>,
    /// Dynamic search rules as clients give them.
    pub rules: ArcSwap<Rules>,
    /// Reaches what clients name and the operator allows.
    pub outbound: ureq::Agent,
    pub store: Store,
    pub coordinator: Coordinator,
    pub nodes: Arc<Nodes>,
    pub wakeups: Wakeups,
    pub write_blocks: WriteBlocks,
    pub sessions: Sessions,
    /// Counts the ends of tasks that clients may know of.
    pub tasks_ended: AtomicU64,
    /// Stamps every write.
    pub clock: Clock,
    pub prometheus: PrometheusHandle,
    /// Set once the process is asked to end: connections close after their current answer.
    pub draining: AtomicBool,
    /// Requests being served, by core; each counter has a cache line of its own.
    pub in_flight: Vec<CachePadded<AtomicUsize>>,
}

impl Shared {
    /// The current snapshot; taken once per request.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// How many tasks have ended as far as clients of this process can know.
    #[must_use]
    pub fn tasks_ended(&self) -> u64 {
        self.tasks_ended.load(Ordering::Acquire)
    }

    /// A task's end is about to be told.
    pub fn note_task_end(&self) {
        self.tasks_ended.fetch_add(1, Ordering::Release);
    }

    /// Commits by right of a term: `Fenced`, and nothing done, when another pod leads by now.
    ///
    /// # Errors
    /// What the store says.
    pub async fn commit_by(&self, term: &Term, changes: Vec<Change>) -> Result<Vec<u64>, StoreError> {
        let fence = term.fence();
        let skipped = usize::from(fence.is_some());
        let revisions = self.store.commit(fence.into_iter().chain(changes).collect()).await?;
        Ok(revisions.into_iter().skip(skipped).collect())
    }

    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}
