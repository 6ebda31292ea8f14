//! The seam between Miroir and its executors: everything above speaks `Runtime`.
//!
//! Invariants: an executor owns one thread and everything spawned on it stays there; streams
//! speak monoio's rent-style traits, so one `h1` module serves every implementation; dropping a
//! read or connect in flight is safe, but such a connection is closed, never reused.
//! `unsafe` lives in this module only.

pub mod buffers;
pub(crate) mod cpu_pinning;
pub mod glommio;
pub mod monoio;

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    os::fd::{AsRawFd, BorrowedFd},
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use ::monoio::io::{AsyncReadRent, AsyncWriteRent};
use pin_project_lite::pin_project;
use rustix::{
    io::Errno,
    net::{RecvFlags, recv},
};

pub use crate::wire::runtime::cpu_pinning::pinned_cpus;

/// One io_uring executor per thread, statically dispatched.
pub trait Runtime: Copy + Send + 'static {
    /// Name as given to `--runtime`.
    const NAME: &'static str;
    /// A listening socket of one executor.
    type Listener: 'static;
    /// What is left of an executor with whoever started it.
    type Executor: 'static;
    /// A connected socket of one executor.
    type Stream: AsyncReadRent + AsyncWriteRent + 'static;

    /// Binds with `SO_REUSEPORT`, so that every core listens on the same address.
    fn listen(address: SocketAddr) -> io::Result<Self::Listener>;
    /// Waits for the next client, and gives its address; Nagle's algorithm is off on the stream returned.
    fn accept(listener: &Self::Listener) -> impl Future<Output = io::Result<(Self::Stream, IpAddr)>>;
    /// Connects; the caller bounds the time. Nagle's algorithm is off on the stream returned.
    fn connect(address: SocketAddr) -> impl Future<Output = io::Result<Self::Stream>>;
    /// Whether nothing waits to be received: no bytes, no end, no error. Costs one call that never waits.
    fn is_silent(stream: &Self::Stream) -> bool;
    /// Runs a future on this executor until it ends.
    fn spawn(future: impl Future<Output = ()> + 'static);
    /// Completes after `duration`.
    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static;
    /// The executor's clock.
    fn now() -> Instant;
    /// Starts a named executor, pinned to `cpu` when given, that runs `main`; on a thread of its own, where there are
    /// threads. Returns once the executor is up, or the reason why it cannot be.
    fn start<Main, Running>(
        name: String,
        cpu: Option<usize>,
        main: Main,
    ) -> Result<Self::Executor, StartError>
    where
        Main: FnOnce() -> Running + Send + 'static,
        Running: Future<Output = ()> + 'static;
}

/// Why an executor cannot run here.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The kernel or the container refuses io_uring.
    #[error(
        "--runtime {runtime}: io_uring is not available here; allowed: --runtime monoio, which falls back to epoll"
    )]
    NoUring {
        /// Runtime asked for.
        runtime: &'static str,
    },
    /// The limit on locked memory is too low for the rings.
    #[error(
        "--runtime {runtime}: the memlock limit is too low ({reason}); allow at least 512 KiB per core (ulimit -l, LimitMEMLOCK=)"
    )]
    LockedMemory {
        /// Runtime asked for.
        runtime: &'static str,
        /// What the runtime said.
        reason: String,
    },
    /// Anything else the operating system said.
    #[error("--runtime {runtime}: the executor `{name}` cannot start: {reason}")]
    Other {
        /// Runtime asked for.
        runtime: &'static str,
        /// Thread name.
        name: String,
        /// What was said.
        reason: String,
    },
}

impl StartError {
    /// Reads from what was said whether locked memory is what is missing.
    fn from_reason(runtime: &'static str, name: &str, reason: String) -> Self {
        // glommio names the limit; from the kernel the rings' own refusal is ENOMEM.
        match ["MemLockLimit", "os error 12"].iter().any(|mark| reason.contains(mark)) {
            true => Self::LockedMemory { runtime, reason },
            false => Self::Other { runtime, name: name.to_owned(), reason },
        }
    }
}

/// The deadline passed before the future was ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed;

/// Runs `future` for at most `limit`; a future that loses is dropped with what this gives.
pub fn timeout<R: Runtime, F: Future>(
    limit: Duration,
    future: F,
) -> impl Future<Output = Result<F::Output, Elapsed>> {
    Timeout { future, sleep: R::sleep(limit) }
}

pin_project! {
    /// Written out, since an `async fn` keeps room for what it is given twice: once as given, once pinned. Nested,
    /// that made the future of a search twenty times as large.
    struct Timeout<F, Sleep> {
        #[pin]
        future: F,
        #[pin]
        sleep: Sleep,
    }
}

impl<F: Future, Sleep: Future<Output = ()>> Future for Timeout<F, Sleep> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match this.future.poll(context) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => this.sleep.poll(context).map(|()| Err(Elapsed)),
        }
    }
}

#[allow(unsafe_code, reason = "streams of runtimes lend out raw descriptors only")]
fn is_silent(socket: &impl AsRawFd) -> bool {
    // SAFETY: the socket is borrowed, so that its descriptor stays open for as long as this function runs.
    let socket = unsafe { BorrowedFd::borrow_raw(socket.as_raw_fd()) };
    let peeked = recv(socket, &mut [0_u8; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT);
    peeked.is_err_and(|error| error == Errno::AGAIN)
}

/// Whether this kernel lets the process use io_uring.
#[must_use]
pub fn uring_available() -> bool {
    ::monoio::utils::detect_uring()
}
