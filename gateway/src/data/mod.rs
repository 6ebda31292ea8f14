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
pub mod change;
pub mod changes;
mod coalesce;
mod connection;
pub mod core;
mod distinct;
mod documents;
pub mod dumps;
mod fanout;
pub mod features;
mod federated;
mod fields;
mod flights;
mod foreign;
pub mod gather;
mod hybrid;
pub(crate) mod idempotency;
mod indexes;
mod ingress;
mod keys;
pub mod lanes;
pub mod leftovers;
mod legs;
mod list;
mod merged;
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
pub mod rule_copies;
mod rules;
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
pub(crate) mod turns;
mod unserved;
mod versions;
mod vitals;
mod webhooks;
mod writes;

use std::{
    net::SocketAddr,
    rc::Rc,
    sync::{Arc, mpsc},
};

use self::{
    change::{LaneInbox, LaneSender},
    core::Core,
};
use crate::{
    observe,
    runtime::{Runtime, StartError},
    shared::Shared,
};

/// Starts data core `number` on an executor of its own; it listens when this returns.
///
/// # Errors
/// When the executor cannot start here.
pub fn start_core<R: Runtime>(
    number: usize,
    cpu: Option<usize>,
    address: SocketAddr,
    shared: Arc<Shared>,
    lanes: Arc<[LaneSender]>,
    lane_inbox: LaneInbox,
) -> Result<R::Executor, StartError> {
    let (listening, heard) = mpsc::channel::<std::io::Result<()>>();
    let name = format!("core-{number}");
    let thread = R::start(name.clone(), cpu, move || async move {
        let listener = match R::listen(address) {
            Ok(listener) => listener,
            Err(error) => return drop(listening.send(Err(error))),
        };
        let _ = listening.send(Ok(()));
        observe::store::count_here();
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
