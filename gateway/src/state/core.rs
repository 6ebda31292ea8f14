//! A data core (one thread, one executor): its node pools, its counters, and what it has seen of nodes.
//!
//! Invariant: cores share nothing mutable but atomics; whatever several cores need is in `Shared`.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    rc::Rc,
    sync::{Arc, atomic::AtomicUsize},
    time::Instant,
};

use ahash::AHashMap;
use arc_swap::Guard;
use router::NodeIndex;

use crate::{
    config::{EdgeConfig, limits},
    nodes::{load_stats::LoadStats, pool::NodePools},
    observe::{metrics::CoreMetrics, spans::Trace},
    state::{
        change::LaneSender,
        concurrency_limit::{self, ConcurrencyLimit},
        read_preference::ReadPreference,
        refused_addresses::RefusedAddresses,
        shared::Shared,
        single_flight::Searches,
    },
    wire::{
        h1::{HeadLimits, Response, ServerLimits},
        runtime,
    },
};

/// What one data core owns.
pub struct Core {
    pub shared: Arc<Shared>,
    pub pools: NodePools,
    pub metrics: CoreMetrics,
    /// What this core has seen of the nodes it reads from.
    pub(crate) load_stats: LoadStats,
    /// The replica group that the request being polled reads first, when its session or its tenant asks for one.
    pub(crate) read_preference: Cell<ReadPreference>,
    /// The lanes of every data core, by core number.
    pub(crate) lanes: Arc<[LaneSender]>,
    /// Since when too few nodes take writes; `None` while enough do.
    pub(crate) short_of_owners: Cell<Option<Instant>>,
    /// This core's slot in the process-wide counters.
    pub(crate) number: usize,
    /// Counts up, so that groups and equal nodes take turns and load spreads.
    pub(crate) rotation: Cell<usize>,
    /// Searches under way that others may join.
    pub(crate) searches: Searches,
    /// Limits how many requests this core works on at once.
    pub(crate) concurrency_limit: ConcurrencyLimit,
    /// The response to requests for which there is no room.
    pub(crate) overloaded_response: Response,
    /// Addresses that search pages refuse for a while.
    pub(crate) refused_addresses: RefusedAddresses,
    /// When this core last asked nodes about all unfinished tasks.
    pub(crate) tasks_refreshed: Cell<Option<Instant>>,
    /// Which nodes know a field, by the nodes' name of the index and the field.
    pub(crate) known_fields: RefCell<AHashMap<(String, String), KnownField>>,
}

/// What a core has seen of one field of an index.
pub(crate) struct KnownField {
    /// The nodes that know it.
    pub(crate) nodes: Vec<NodeIndex>,
    pub(crate) at: Instant,
    /// How many tasks had ended by then.
    pub(crate) tasks_ended: u64,
}

impl Core {
    /// Makes a core's state; called on the core's own thread.
    #[must_use]
    pub fn new(shared: Arc<Shared>, lanes: Arc<[LaneSender]>, number: usize) -> Self {
        Self {
            pools: NodePools::new(&shared.nodes, shared.config.node_master_key.as_ref()),
            metrics: CoreMetrics::new(),
            load_stats: LoadStats::new(&shared.nodes, shared.config.adaptive_selection, runtime::now()),
            read_preference: Cell::default(),
            lanes,
            short_of_owners: Cell::new(None),
            number,
            rotation: Cell::new(0),
            searches: Searches::default(),
            concurrency_limit: ConcurrencyLimit::new(),
            overloaded_response: concurrency_limit::refusal().into(),
            refused_addresses: RefusedAddresses::default(),
            tasks_refreshed: Cell::new(None),
            known_fields: RefCell::default(),
            shared,
        }
    }

    /// The limits that now hold for clients.
    pub(crate) fn edge(&self) -> Guard<Arc<EdgeConfig>> {
        self.shared.edge.load()
    }

    pub(crate) fn server_limits(&self) -> ServerLimits {
        let edge = self.edge();
        ServerLimits {
            head: HeadLimits {
                start_line_bytes_max: edge.request_line_bytes_max,
                head_bytes_max: edge.head_bytes_max,
                fields_max: edge.headers_max,
            },
            body_bytes_max: edge.body_bytes_max,
            first_byte_timeout: edge.first_byte_timeout,
            idle_timeout: edge.idle_timeout,
            head_timeout: edge.head_timeout,
            gap_timeout: edge.body_gap_timeout,
            body_timeout: edge.body_timeout,
            close_timeout: limits::CLOSE_TIMEOUT,
            requests_max: edge.requests_per_connection_max,
        }
    }

    /// The open connections of clients to this core.
    pub(crate) fn open_connections(&self) -> &AtomicUsize {
        &self.shared.connections[self.number]
    }

    /// Requests in flight on this core: only this core writes it, and the drain of the process reads it.
    pub(crate) fn in_flight(&self) -> &AtomicUsize {
        &self.shared.in_flight[self.number]
    }

    /// Runs `serving`, the requests to nodes of which belong to the trace.
    pub(crate) async fn within<F: Future>(&self, trace: &Rc<Trace>, serving: F) -> F::Output {
        /// Takes the trace back when it is dropped, also after a panic: what is polled next has its own, or none.
        struct Reset<'c>(&'c RefCell<Option<Rc<Trace>>>);
        impl Drop for Reset<'_> {
            fn drop(&mut self) {
                self.0.replace(None);
            }
        }
        let mut serving = Box::pin(serving);
        poll_fn(|context| {
            let traced = self.pools.traced();
            traced.replace(Some(Rc::clone(trace)));
            let _reset = Reset(traced);
            serving.as_mut().poll(context)
        })
        .await
    }

    /// The trace of what is being polled, if it has one.
    pub(crate) fn trace(&self) -> Option<Rc<Trace>> {
        self.pools.traced().borrow().clone()
    }

    /// The next number of the rotation; wraps.
    pub(crate) fn turn(&self) -> usize {
        let turn = self.rotation.get();
        self.rotation.set(turn.wrapping_add(1));
        turn
    }
}
