//! The HTTP side of a node: listeners, runtime, start and stop.
//! Invariants: the data port serves only Meilisearch's API, the control port only fault switches. Both are bound before
//! the server counts as ready. Stopping ends the scheduler before it returns.

mod call;
mod connection;
mod control;
mod documents;
mod indexes;
mod misc;
mod multi_search;
mod payload;
mod routes;
mod search;
mod settings;
mod tasks;

use std::future::IntoFuture;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use crate::errors::ApiError;
use crate::node::{Node, NodeOptions};
use connection::{FaultyListener, Peer};

/// Threads that handle HTTP.
const HTTP_THREADS: usize = 2;
/// The most threads that search, read documents and wait for the disk.
const BLOCKING_THREADS_MAX: usize = 16;
/// How long open requests may take to finish when the server stops.
const DRAIN: Duration = Duration::from_secs(2);

/// Why a server could not start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The data directory could not be opened.
    #[error("cannot open the data directory: {0}")]
    Data(#[from] ApiError),
    /// An address could not be bound, or the runtime could not be built.
    #[error("cannot serve: {0}")]
    Io(#[from] std::io::Error),
}

/// A running node. Dropping it stops it.
pub struct Server {
    address: SocketAddr,
    control: Option<SocketAddr>,
    node: Arc<Node>,
    shutdown: watch::Sender<bool>,
    running: Option<(Runtime, tokio::task::JoinHandle<std::io::Result<()>>)>,
    scheduler: Option<JoinHandle<()>>,
}

impl Server {
    /// Opens the data directory, and serves the API on `listen` and, if given, fault switches on `control`. Port 0
    /// picks a free port.
    ///
    /// # Errors
    /// `Data`: the data directory cannot be opened. `Io`: an address cannot be bound, or the runtime cannot be built.
    pub fn start(
        options: &NodeOptions,
        listen: SocketAddr,
        control: Option<SocketAddr>,
    ) -> Result<Self, ServerError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(HTTP_THREADS)
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .thread_name("http")
            .enable_all()
            .build()?;
        let (data, address) = runtime.block_on(bind(listen))?;
        let switches = control.map(|control| runtime.block_on(bind(control))).transpose()?;
        let (node, scheduler) = Node::open(options)?;
        let shutdown = watch::Sender::new(false);
        let control = switches.as_ref().map(|(_, address)| *address);
        if let Some((listener, _)) = switches {
            let stopped = stopped(shutdown.subscribe());
            let service = control::router(Arc::clone(&node));
            runtime.spawn(axum::serve(listener, service).with_graceful_shutdown(stopped).into_future());
        }
        let listener = FaultyListener::new(data, Arc::clone(&node));
        let service = routes::router(Arc::clone(&node)).into_make_service_with_connect_info::<Peer>();
        let stopped = stopped(shutdown.subscribe());
        let serving =
            runtime.spawn(axum::serve(listener, service).with_graceful_shutdown(stopped).into_future());
        Ok(Self {
            address,
            control,
            node,
            shutdown,
            running: Some((runtime, serving)),
            scheduler: Some(scheduler),
        })
    }

    /// The address of the API.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of the fault switches.
    pub fn control(&self) -> Option<SocketAddr> {
        self.control
    }

    /// Gives open requests at most two seconds to finish, then stops. A running batch is abandoned and applied again at
    /// the next start.
    pub fn stop(mut self) {
        self.halt();
    }

    fn halt(&mut self) {
        self.shutdown.send_replace(true);
        self.node.faults.set(crate::Faults::default());
        self.node.registry.stop();
        if let Some(scheduler) = self.scheduler.take() {
            // The panic hook has already reported a panic of the scheduler.
            let _ = scheduler.join();
        }
        if let Some((runtime, serving)) = self.running.take() {
            // Requests that take longer are cut off.
            let _ = runtime.block_on(async { tokio::time::timeout(DRAIN, serving).await });
            runtime.shutdown_background();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.halt();
    }
}

async fn bind(address: SocketAddr) -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

async fn stopped(mut shutdown: watch::Receiver<bool>) {
    // An error means that the server is gone, which is a stop as well.
    let _ = shutdown.wait_for(|stop| *stop).await;
}
