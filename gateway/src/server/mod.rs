//! The client side of a data core: connections, admission, and the pipeline of a request.
//!
//! Invariants: a core shares nothing mutable but atomics. It never blocks, locks or touches a file; what must be
//! durable goes to the store over a channel and is awaited.

use std::thread::JoinHandle;

use crate::wire::runtime::Runtime;

pub(crate) mod access;
pub(crate) mod admission;
pub(crate) mod compression;
pub(crate) mod connection;
pub(crate) mod cors;
pub(crate) mod emit;
pub(crate) mod event_stream;
pub(crate) mod listener;
pub(crate) mod management;
pub(crate) mod operator_session;
pub(crate) mod pipeline;
pub(crate) mod placement_age;
pub(crate) mod preference;
pub(crate) mod read_your_writes;
pub(crate) mod request_log;
pub(crate) mod routes;
#[cfg(test)]
mod routes_test;
pub(crate) mod settings_version;
pub(crate) mod tenant_affinity;
pub(crate) mod tracing;
pub(crate) mod upload;

use std::{
    net::{SocketAddr, TcpListener},
    rc::Rc,
    sync::{Arc, mpsc},
};

use crate::{
    handlers::data::imports,
    observe,
    state::{
        change::{LaneInbox, LaneSender},
        core::Core,
        heartbeats,
        shared::Shared,
    },
    wire::runtime::{self, StartError},
};

/// Where a data core meets its clients.
pub enum Door {
    /// It listens here itself.
    Address(SocketAddr),
    /// This socket listens already.
    Socket(TcpListener),
}

impl Door {
    fn open(self) -> std::io::Result<runtime::Listener> {
        match self {
            Self::Address(address) => runtime::listen(address),
            Self::Socket(socket) => runtime::adopt(socket),
        }
    }
}

/// Starts data core `number` on an executor of its own; the core listens when this returns.
///
/// # Errors
/// When the executor cannot start.
pub fn start_core(
    runtime: Runtime,
    number: usize,
    cpu: Option<usize>,
    door: Door,
    shared: Arc<Shared>,
    lanes: Arc<[LaneSender]>,
    lane_inbox: LaneInbox,
) -> Result<Option<JoinHandle<()>>, StartError> {
    let (listening, outcome) = mpsc::channel::<std::io::Result<()>>();
    let name = format!("core-{number}");
    let thread = runtime.start(name.clone(), cpu, move || async move {
        let listener = match door.open() {
            Ok(listener) => listener,
            Err(error) => return drop(listening.send(Err(error))),
        };
        let _ = listening.send(Ok(()));
        observe::store_counts::count_here();
        let core = Rc::new(Core::new(shared, lanes, number));
        runtime::spawn(crate::write::lane::run(Rc::clone(&core), lane_inbox));
        runtime::spawn(admission::watch(Rc::clone(&core)));
        runtime::spawn(heartbeats::beat(Arc::clone(&core.shared.heartbeats), number));
        if number == 0 {
            runtime::spawn(imports::watch(Rc::clone(&core)));
        }
        listener::run(core, listener).await;
    })?;
    // The caller learns of the core only once it serves clients.
    match outcome.recv() {
        Ok(Ok(())) => Ok(thread),
        Ok(Err(error)) => {
            Err(StartError::Other { runtime: runtime.name(), name, reason: format!("listening: {error}") })
        }
        Err(_) => {
            Err(StartError::Other { runtime: runtime.name(), name, reason: "it ended at once".to_owned() })
        }
    }
}
