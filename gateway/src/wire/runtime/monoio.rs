//! The default runtime: monoio on io_uring, or on epoll where io_uring is refused.
//!
//! Invariants: the timer driver is on. The `sync` feature is on, since the store and the control executor wake tasks
//! from other threads.

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    sync::mpsc,
    thread::JoinHandle,
};

use ::monoio::{
    FusionDriver, FusionRuntime, IoUringDriver, LegacyDriver, RuntimeBuilder,
    net::{ListenerOpts, TcpListener, TcpStream},
    time::TimeDriver,
};

use crate::wire::runtime::{Runtime, StartError};

/// Entries of each core's submission ring.
const RING_ENTRIES: u32 = 4096;

pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind_with_config(address, &ListenerOpts::new().reuse_port(true).reuse_addr(true))
}

pub(super) async fn accept(listener: &TcpListener) -> io::Result<(TcpStream, IpAddr)> {
    let (stream, address) = listener.accept().await?;
    // Fails for a client that has gone already, which shows when it is read from.
    let _ = stream.set_nodelay(true);
    Ok((stream, address.ip()))
}

pub(super) async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_addr(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Starts an executor on a thread of its own; see [`Runtime::start`].
pub(super) fn start<Main, Running>(
    name: String,
    cpu: Option<usize>,
    main: Main,
) -> Result<JoinHandle<()>, StartError>
where
    Main: FnOnce() -> Running + Send + 'static,
    Running: Future<Output = ()> + 'static,
{
    let (ready, started) = mpsc::channel::<Result<(), String>>();
    let failed = |reason: String| StartError::from_reason(Runtime::Monoio.name(), &name, reason);
    let thread = std::thread::Builder::new().name(name.clone()).spawn(move || {
        if let Some(cpu) = cpu {
            // When the processor was taken away since the start, only the pinning is lost.
            let _ = ::monoio::utils::bind_to_cpu_set([cpu]);
        }
        let built = build();
        match built {
            Ok(mut runtime) => {
                let _ = ready.send(Ok(()));
                runtime.block_on(main());
            }
            Err(error) => {
                let _ = ready.send(Err(error.to_string()));
            }
        }
    });
    let thread = thread.map_err(|error| failed(error.to_string()))?;
    match started.recv() {
        Ok(Ok(())) => Ok(thread),
        Ok(Err(reason)) => Err(failed(reason)),
        Err(_) => Err(failed("its thread ended at once".to_owned())),
    }
}

/// An executor whose ring completes operations when it is entered, instead of interrupting the working core: a search
/// costs some 3 % less, and waits less. Linux has both flags since 6.0; older kernels go without.
fn build() -> io::Result<FusionRuntime<TimeDriver<IoUringDriver>, TimeDriver<LegacyDriver>>> {
    let builder = || RuntimeBuilder::<FusionDriver>::new().with_entries(RING_ENTRIES).enable_timer();
    let mut ring = io_uring::IoUring::builder();
    ring.setup_coop_taskrun().setup_single_issuer();
    match builder().uring_builder(ring).build() {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => builder().build(),
        built => built,
    }
}
