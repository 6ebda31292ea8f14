//! The default runtime: monoio on io_uring, or on epoll where io_uring is refused.
//!
//! Invariants: where no ring is to be had, for whatever reason, executors run on epoll and nothing fails. The timer driver is on. The `sync` feature is on, since the store and the control executor wake tasks
//! from other threads.

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
};

use ::monoio::{
    FusionRuntime, IoUringDriver, LegacyDriver, RuntimeBuilder,
    net::{ListenerOpts, TcpListener, TcpStream},
    time::TimeDriver,
};

use crate::wire::runtime::{Runtime, StartError};

/// Entries of each core's submission ring.
const RING_ENTRIES: u32 = 4096;

/// Whether some executor of this process could not have its ring, so that those after it run on epoll as well.
static RINGS_REFUSED: AtomicBool = AtomicBool::new(false);

pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind_with_config(address, &ListenerOpts::new().reuse_port(true).reuse_addr(true))
}

pub(super) fn adopt(socket: std::net::TcpListener) -> io::Result<TcpListener> {
    // A ring waits for clients itself, and only for sockets that block.
    socket.set_nonblocking(!has_rings())?;
    TcpListener::from_std(socket)
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
    let thread = thread::Builder::new().name(name.clone()).spawn(move || {
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

/// Tries whether so many executors can have their rings at once, as they will be built; if not, all of them run on
/// epoll. Gives the kernel's reason for it.
pub(super) fn try_rings(executors: usize) -> Option<String> {
    let refused = match super::uring_available() {
        false => Some("the kernel or the container refuses it".to_owned()),
        true => {
            (0..executors).map(|_| try_ring()).collect::<io::Result<Vec<_>>>().err().map(|e| e.to_string())
        }
    };
    RINGS_REFUSED.store(refused.is_some(), Ordering::Relaxed);
    refused
}

/// Whether executors that start from now on have rings.
pub(super) fn has_rings() -> bool {
    super::uring_available() && !RINGS_REFUSED.load(Ordering::Relaxed)
}

fn try_ring() -> io::Result<io_uring::IoUring> {
    match ring().build(RING_ENTRIES) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => io_uring::IoUring::new(RING_ENTRIES),
        built => built,
    }
}

/// A ring that completes operations when it is entered, instead of interrupting the working core: a search costs some
/// 3 % less, and waits less. Linux has both flags since 6.0; older kernels go without.
fn ring() -> io_uring::Builder {
    let mut ring = io_uring::IoUring::builder();
    ring.setup_coop_taskrun().setup_single_issuer();
    ring
}

/// An executor on a ring, or on epoll where no ring is to be had.
fn build() -> io::Result<FusionRuntime<TimeDriver<IoUringDriver>, TimeDriver<LegacyDriver>>> {
    for _ in 0..super::RING_TRIES_MAX {
        if !has_rings() {
            break;
        }
        match build_on_ring() {
            Ok(runtime) => return Ok(FusionRuntime::Uring(runtime)),
            // The kernel gives back the memory of rings that are gone a little later: those of `try_rings`, or of the
            // process before this one.
            Err(error) if error.kind() == io::ErrorKind::OutOfMemory => thread::sleep(super::RING_PAUSE),
            Err(_) => break,
        }
    }
    RINGS_REFUSED.store(true, Ordering::Relaxed);
    let builder = RuntimeBuilder::<LegacyDriver>::new().with_entries(RING_ENTRIES).enable_timer();
    builder.build().map(FusionRuntime::Legacy)
}

fn build_on_ring() -> io::Result<::monoio::Runtime<TimeDriver<IoUringDriver>>> {
    let builder = || RuntimeBuilder::<IoUringDriver>::new().with_entries(RING_ENTRIES).enable_timer();
    match builder().uring_builder(ring()).build() {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => builder().build(),
        built => built,
    }
}
