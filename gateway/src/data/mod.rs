//! The data plane: what every core does with clients' requests.
//!
//! Invariants: a core shares nothing mutable but atomics; it never blocks, locks or touches a
//! file; what must be durable goes to the store over a channel and is awaited.

mod accept;
mod access;
mod additions;
mod admit;
mod backups;
mod budget;
mod cancel;
mod changes;
mod connection;
mod distinct;
mod documents;
pub mod dumps;
mod fanout;
pub mod features;
mod federated;
mod fields;
mod foreign;
mod gather;
mod hybrid;
mod indexes;
mod ingress;
mod keys;
pub mod lanes;
pub mod leftovers;
mod legs;
mod list;
pub mod moves;
mod multi_search;
mod network;
mod overload;
mod plan;
pub mod pool;
mod rendering;
mod request_log;
#[cfg(test)]
mod route_table;
mod routes;
pub mod rules;
mod scatter;
mod search;
mod serve;
mod session;
mod settings;
pub mod settle;
mod similar;
mod spelling;
mod stats;
mod tasks;
mod unserved;
mod versions;
mod vitals;
mod webhooks;
mod writes;

use std::{
    cell::Cell,
    net::SocketAddr,
    rc::Rc,
    sync::{Arc, atomic::AtomicUsize, mpsc},
    thread::JoinHandle,
    time::Instant,
};

use arc_swap::Guard;
pub use gather::learn_version;
pub use plan::every_node;

use self::{pool::NodePools, vitals::Vitals};
use crate::{
    config::{EdgeConfig, limits},
    h1::{HeadLimits, ServerLimits},
    observe::metrics::CoreMetrics,
    runtime::{Runtime, StartError},
    shared::Shared,
};

/// What one data core owns.
pub struct Core<R: Runtime> {
    pub shared: Arc<Shared>,
    pub pools: NodePools<R>,
    pub metrics: CoreMetrics,
    /// What this core has seen of the nodes it reads from.
    vitals: Vitals,
    /// The replica group that the request being polled reads first, where its session says so.
    pinned_group: Cell<Option<usize>>,
    /// The lanes of every data core, by core number.
    lanes: Arc<[lanes::LaneSender]>,
    /// Since when writes find too few nodes to take them.
    short_of_owners: Cell<Option<Instant>>,
    /// Which slot of the process-wide counters is this core's.
    number: usize,
    /// Turns over groups and equal nodes, so that load spreads.
    rotation: Cell<usize>,
    /// How many requests this core can work on at once.
    overload: overload::Overload,
    /// When this core last asked nodes about all unfinished tasks.
    tasks_refreshed: Cell<Option<Instant>>,
}

impl<R: Runtime> Core<R> {
    /// A core's state, made on its own thread.
    #[must_use]
    pub fn new(shared: Arc<Shared>, lanes: Arc<[lanes::LaneSender]>, number: usize) -> Self {
        Self {
            pools: NodePools::new(&shared),
            metrics: CoreMetrics::new(),
            vitals: Vitals::new(&shared.nodes, shared.config.adaptive_selection, R::now()),
            pinned_group: Cell::new(None),
            lanes,
            short_of_owners: Cell::new(None),
            number,
            rotation: Cell::new(0),
            overload: overload::Overload::new(),
            tasks_refreshed: Cell::new(None),
            shared,
        }
    }

    /// What clients may do from now on.
    fn edge(&self) -> Guard<Arc<EdgeConfig>> {
        self.shared.edge.load()
    }

    fn server_limits(&self) -> ServerLimits {
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

    /// Requests in flight on this core: written by it alone, read by whoever drains the process.
    fn in_flight(&self) -> &AtomicUsize {
        &self.shared.in_flight[self.number]
    }

    /// The next number of a turn; wraps.
    fn turn(&self) -> usize {
        let turn = self.rotation.get();
        self.rotation.set(turn.wrapping_add(1));
        turn
    }
}

/// Starts data core `number` on its own thread; it listens when this returns.
///
/// # Errors
/// When the executor cannot start here.
pub fn start_core<R: Runtime>(
    number: usize,
    cpu: Option<usize>,
    address: SocketAddr,
    shared: Arc<Shared>,
    lanes: Arc<[lanes::LaneSender]>,
    lane_inbox: lanes::LaneInbox,
) -> Result<JoinHandle<()>, StartError> {
    let (listening, heard) = mpsc::channel::<std::io::Result<()>>();
    let name = format!("core-{number}");
    let thread = R::start(name.clone(), cpu, move || async move {
        let listener = match R::listen(address) {
            Ok(listener) => listener,
            Err(error) => return drop(listening.send(Err(error))),
        };
        let _ = listening.send(Ok(()));
        let core = Rc::new(Core::<R>::new(shared, lanes, number));
        R::spawn(lanes::run(Rc::clone(&core), lane_inbox));
        R::spawn(admit::watch(Rc::clone(&core)));
        accept::run(core, listener).await;
    })?;
    // Nobody is told where clients are served before they are.
    match heard.recv() {
        Ok(Ok(())) => Ok(thread),
        Ok(Err(error)) => Err(StartError::Other {
            runtime: R::NAME,
            name,
            reason: format!("listening on {address}: {error}"),
        }),
        Err(_) => Err(StartError::Other { runtime: R::NAME, name, reason: "it ended at once".to_owned() }),
    }
}
