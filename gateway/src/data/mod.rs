//! The data plane: what every core does with clients' requests.
//!
//! Invariants: a core shares nothing mutable but atomics; it never blocks, locks or touches a
//! file; what must be durable goes to the store over a channel and is awaited.

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
mod plan;
pub mod pool;
mod rendering;
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
    sync::{Arc, atomic::AtomicUsize},
    thread::JoinHandle,
    time::{Duration, Instant},
};

pub use gather::learn_version;
pub use plan::every_node;

use self::{pool::NodePools, vitals::Vitals};
use crate::{
    config::limits,
    h1::ServerLimits,
    observe::{log, metrics::CoreMetrics},
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
            tasks_refreshed: Cell::new(None),
            shared,
        }
    }

    fn server_limits(&self) -> ServerLimits {
        ServerLimits {
            head_bytes_max: limits::HEAD_BYTES_MAX,
            body_bytes_max: usize::try_from(self.shared.config.body_bytes_max).unwrap_or(usize::MAX),
            idle_timeout: limits::IDLE_CLIENT_TIMEOUT,
            receive_timeout: limits::HEAD_TIMEOUT,
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

/// Starts data core `number` on its own thread.
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
    R::start(format!("core-{number}"), cpu, move || async move {
        let listener = match R::listen(address) {
            Ok(listener) => listener,
            Err(error) => {
                log::error(
                    "listen_failed",
                    &[("address", &address.to_string()), ("reason", &error.to_string())],
                );
                std::process::exit(2);
            }
        };
        let core = Rc::new(Core::<R>::new(shared, lanes, number));
        R::spawn(lanes::run(Rc::clone(&core), lane_inbox));
        accept_loop(core, listener).await;
    })
}

async fn accept_loop<R: Runtime>(core: Rc<Core<R>>, listener: R::Listener) {
    let open = Rc::new(Cell::new(0_usize));
    loop {
        match R::accept(&listener).await {
            // Over the bound the socket is closed at once: the client sees a refusal, not a hang.
            Ok(stream) if open.get() >= limits::CLIENT_CONNECTIONS_MAX => drop(stream),
            Ok(stream) => {
                let core = Rc::clone(&core);
                let open = Rc::clone(&open);
                open.set(open.get() + 1);
                R::spawn(async move {
                    connection::run(core, stream).await;
                    open.set(open.get() - 1);
                });
            }
            Err(error) => {
                // Out of descriptors, most likely: accepting again at once would spin.
                log::warn("accept_failed", &[("reason", &error.to_string())]);
                R::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}
