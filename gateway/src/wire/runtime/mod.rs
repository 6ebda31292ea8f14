//! The seam between Miroir and its executors: everything above calls the functions of this module.
//!
//! Invariants: an executor owns one thread, and everything spawned on it stays there. Streams have monoio's
//! rent-style traits, so one `h1` module serves every implementation. Dropping a read or connect in flight is safe,
//! but such a connection is closed, never reused. `unsafe` is in this module only.

mod buffers;
pub(crate) mod cpu_pinning;
mod glommio;
mod monoio;
mod world;

use std::{
    cell::Cell,
    future::Future,
    io,
    net::{IpAddr, SocketAddr, TcpListener},
    os::fd::{AsRawFd, BorrowedFd},
    pin::Pin,
    task::{Context, Poll},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use ::monoio::{
    BufResult,
    buf::{IoBuf, IoBufMut, IoVecBuf, IoVecBufMut, IoVecWrapper},
    io::{AsyncReadRent, AsyncWriteRent},
};
use pin_project_lite::pin_project;
use rustix::{
    io::Errno,
    net::{RecvFlags, recv},
};

pub use cpu_pinning::pinned_cpus;
pub use world::{LocalFuture, World, WorldListener, WorldStream};

use self::glommio::GlommioStream;

/// How often an executor asks for its rings while the kernel has no memory for them, and the pause in between.
const RING_TRIES_MAX: u32 = 50;
const RING_PAUSE: Duration = Duration::from_millis(10);
/// How an error tells that the kernel has no memory: ENOMEM, as text.
const NO_MEMORY: &str = "os error 12";

/// The executors that a thread can run: two on io_uring, and those of a simulated world.
///
/// [`Runtime::start`] sets once which one a thread runs. The functions of this module read it, so that no code above
/// is generic over it: one branch, always taken the same way, in place of a second and a third copy of the whole
/// gateway in the binary.
#[derive(Clone, Copy)]
pub enum Runtime {
    Monoio,
    Glommio,
    Simulated(&'static dyn World),
}

thread_local! {
    static CURRENT: Cell<Runtime> = const { Cell::new(Runtime::Monoio) };
}

/// The executor of this thread; monoio on threads that run none, where only [`now`] may be called.
fn current() -> Runtime {
    CURRENT.get()
}

/// A connected socket of one executor.
pub enum Stream {
    Monoio(::monoio::net::TcpStream),
    Glommio(GlommioStream),
    Simulated(Box<dyn WorldStream>),
}

/// A listening socket of one executor.
pub enum Listener {
    Monoio(::monoio::net::TcpListener),
    Glommio(::glommio::net::TcpListener),
    Simulated(Box<dyn WorldListener>),
}

pin_project! {
    /// Completes when its time has come.
    #[project = SleepProjected]
    pub enum Sleep {
        Monoio { #[pin] timer: ::monoio::time::Sleep },
        Glommio { #[pin] timer: ::glommio::timer::Timer },
        Simulated { timer: LocalFuture<'static, ()> },
    }
}

impl Runtime {
    /// Makes this the executor of the calling thread, which runs one already that [`Runtime::start`] did not begin.
    pub fn enter(self) {
        CURRENT.set(self);
    }

    /// The name in `--runtime`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Monoio => "monoio",
            Self::Glommio => "glommio",
            Self::Simulated(_) => "simulated",
        }
    }

    /// Tries what this many executors need of the kernel, all at once. Gives the reason why they will run on epoll and
    /// not on `io_uring`, if they will.
    ///
    /// # Errors
    /// The reason why so many executors cannot run here at all.
    pub fn try_out(self, executors: usize) -> Result<Option<String>, StartError> {
        match self {
            Self::Monoio => Ok(monoio::try_rings(executors)),
            Self::Glommio => glommio::try_executors(executors).map(|()| None),
            Self::Simulated(_) => Ok(None),
        }
    }

    /// What the executors that start now wait on: `io_uring` or `epoll`.
    #[must_use]
    pub fn driver(self) -> &'static str {
        match self {
            Self::Monoio if monoio::has_rings() => "io_uring",
            Self::Monoio => "epoll",
            Self::Glommio => "io_uring",
            Self::Simulated(_) => "none",
        }
    }

    /// Starts a named executor that runs `main`, pinned to `cpu` when given: on a thread of its own where there are
    /// threads, which is returned. Returns once the executor is up.
    ///
    /// # Errors
    /// The reason why the executor cannot run here.
    pub fn start<Main, Running>(
        self,
        name: String,
        cpu: Option<usize>,
        main: Main,
    ) -> Result<Option<JoinHandle<()>>, StartError>
    where
        Main: FnOnce() -> Running + Send + 'static,
        Running: Future<Output = ()> + 'static,
    {
        let main = move || {
            self.enter();
            main()
        };
        match self {
            Self::Monoio => monoio::start(name, cpu, main).map(Some),
            Self::Glommio => glommio::start(name, cpu, main).map(Some),
            Self::Simulated(world) => {
                world.start(Box::pin(main()));
                Ok(None)
            }
        }
    }
}

/// The name of this thread's executor, as in `--runtime`.
#[must_use]
pub fn name() -> &'static str {
    current().name()
}

/// Binds with `SO_REUSEPORT`, so that every core listens on the same address.
///
/// # Errors
/// The operating system's error.
pub fn listen(address: SocketAddr) -> io::Result<Listener> {
    match current() {
        Runtime::Monoio => monoio::listen(address).map(Listener::Monoio),
        Runtime::Glommio => glommio::listen(address).map(Listener::Glommio),
        Runtime::Simulated(world) => world.listen(address).map(Listener::Simulated),
    }
}

/// Listens with a socket that listens already.
///
/// # Errors
/// The operating system's error.
pub fn adopt(socket: TcpListener) -> io::Result<Listener> {
    match current() {
        Runtime::Monoio => monoio::adopt(socket).map(Listener::Monoio),
        Runtime::Glommio => Ok(Listener::Glommio(glommio::adopt(socket))),
        Runtime::Simulated(_) => Err(io::Error::other("a simulated world has no sockets")),
    }
}

/// Waits for the next client and gives its address; Nagle's algorithm is off on the returned stream.
///
/// # Errors
/// The operating system's error about this client or the listener.
pub async fn accept(listener: &Listener) -> io::Result<(Stream, IpAddr)> {
    match listener {
        Listener::Monoio(listener) => {
            let (stream, address) = monoio::accept(listener).await?;
            Ok((Stream::Monoio(stream), address))
        }
        Listener::Glommio(listener) => {
            let (stream, address) = glommio::accept(listener).await?;
            Ok((Stream::Glommio(stream), address))
        }
        Listener::Simulated(listener) => {
            let (stream, address) = listener.accept().await?;
            Ok((Stream::Simulated(stream), address))
        }
    }
}

/// Connects; the caller bounds the time. Nagle's algorithm is off on the returned stream.
///
/// # Errors
/// The operating system's error.
pub async fn connect(address: SocketAddr) -> io::Result<Stream> {
    match current() {
        Runtime::Monoio => monoio::connect(address).await.map(Stream::Monoio),
        Runtime::Glommio => glommio::connect(address).await.map(Stream::Glommio),
        Runtime::Simulated(world) => world.connect(address).await.map(Stream::Simulated),
    }
}

/// Runs a future on this executor until it ends.
pub fn spawn(future: impl Future<Output = ()> + 'static) {
    match current() {
        Runtime::Monoio => drop(::monoio::spawn(future)), // Dropping the handle leaves the task running.
        Runtime::Glommio => drop(::glommio::spawn_local(future).detach()),
        Runtime::Simulated(world) => world.spawn(Box::pin(future)),
    }
}

/// Completes after `duration`.
#[must_use]
pub fn sleep(duration: Duration) -> Sleep {
    match current() {
        Runtime::Monoio => Sleep::Monoio { timer: ::monoio::time::sleep(duration) },
        Runtime::Glommio => Sleep::Glommio { timer: ::glommio::timer::Timer::new(duration) },
        Runtime::Simulated(world) => Sleep::Simulated { timer: world.sleep(duration) },
    }
}

/// The executor's clock.
#[must_use]
pub fn now() -> Instant {
    match current() {
        Runtime::Monoio | Runtime::Glommio => Instant::now(),
        Runtime::Simulated(world) => world.now(),
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match self.project() {
            SleepProjected::Monoio { timer } => timer.poll(context),
            SleepProjected::Glommio { timer } => timer.poll(context).map(|_| ()),
            SleepProjected::Simulated { timer } => timer.as_mut().poll(context),
        }
    }
}

impl Stream {
    /// Whether nothing waits to be received: no bytes, no end, no error. Costs one system call that never waits.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        match self {
            Self::Monoio(stream) => is_silent(stream),
            Self::Glommio(stream) => is_silent(stream.socket()),
            Self::Simulated(stream) => stream.is_silent(),
        }
    }
}

impl AsyncReadRent for Stream {
    async fn read<T: IoBufMut>(&mut self, mut buffer: T) -> BufResult<usize, T> {
        match self {
            Self::Monoio(stream) => stream.read(buffer).await,
            Self::Glommio(stream) => stream.read(buffer).await,
            Self::Simulated(stream) => match stream.receive(buffer.bytes_total()).await {
                Ok(bytes) => (Ok(buffers::fill(&mut buffer, &bytes)), buffer),
                Err(error) => (Err(error), buffer),
            },
        }
    }

    async fn readv<T: IoVecBufMut>(&mut self, buffer: T) -> BufResult<usize, T> {
        match self {
            Self::Monoio(stream) => stream.readv(buffer).await,
            Self::Glommio(stream) => stream.readv(buffer).await,
            // The gateway never uses vectored reads.
            Self::Simulated(_) => (Err(io::ErrorKind::Unsupported.into()), buffer),
        }
    }
}

impl AsyncWriteRent for Stream {
    async fn write<T: IoBuf>(&mut self, buffer: T) -> BufResult<usize, T> {
        match self {
            Self::Monoio(stream) => stream.write(buffer).await,
            Self::Glommio(stream) => stream.write(buffer).await,
            Self::Simulated(stream) => (stream.send_some(buffers::bytes_of(&buffer)).await, buffer),
        }
    }

    async fn writev<T: IoVecBuf>(&mut self, buffer: T) -> BufResult<usize, T> {
        match self {
            Self::Monoio(stream) => stream.writev(buffer).await,
            Self::Glommio(stream) => stream.writev(buffer).await,
            Self::Simulated(stream) => match IoVecWrapper::new(buffer) {
                Ok(wrapper) => {
                    let sent = stream.send_some(buffers::bytes_of(&wrapper)).await;
                    (sent, wrapper.into_inner())
                }
                Err(buffer) => (Ok(0), buffer),
            },
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Monoio(stream) => stream.flush().await,
            Self::Glommio(stream) => stream.flush().await,
            Self::Simulated(_) => Ok(()),
        }
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Self::Monoio(stream) => stream.shutdown().await,
            Self::Glommio(stream) => stream.shutdown().await,
            Self::Simulated(stream) => {
                stream.finish();
                Ok(())
            }
        }
    }
}

/// Why an executor cannot run here.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The kernel or the container refuses io_uring.
    #[error(
        "--runtime {runtime}: io_uring is not available here; allowed: --runtime monoio, which falls back to epoll"
    )]
    NoUring {
        /// The runtime that was chosen.
        runtime: &'static str,
    },
    /// The limit on locked memory is too low for the rings.
    #[error(
        "--runtime {runtime}: the memlock limit is too low ({reason}); allowed: 1 MiB and 128 KiB more for each core (ulimit -l, LimitMEMLOCK=), or --runtime monoio, which falls back to epoll"
    )]
    LockedMemory {
        /// The runtime that was chosen.
        runtime: &'static str,
        /// The runtime's error.
        reason: String,
    },
    /// Any other error of the operating system.
    #[error("--runtime {runtime}: the executor `{name}` cannot start: {reason}")]
    Other {
        /// Runtime asked for.
        runtime: &'static str,
        /// The name of the thread.
        name: String,
        /// The error.
        reason: String,
    },
}

impl StartError {
    /// Tells from the error whether locked memory is what is missing.
    fn from_reason(runtime: &'static str, name: &str, reason: String) -> Self {
        // glommio names the limit; the kernel refuses the rings with ENOMEM.
        match ["MemLockLimit", "memlock", NO_MEMORY].iter().any(|mark| reason.contains(mark)) {
            true => Self::LockedMemory { runtime, reason },
            false => Self::Other { runtime, name: name.to_owned(), reason },
        }
    }
}

/// The deadline passed before the future was ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed;

/// Runs `future` for at most `limit`; a future that does not end in time is dropped.
pub fn timeout<F: Future>(limit: Duration, future: F) -> impl Future<Output = Result<F::Output, Elapsed>> {
    Timeout { future, sleep: sleep(limit) }
}

pin_project! {
    /// Written by hand, since an `async fn` has room for its argument twice: as given, and pinned. Nested, that made
    /// the future of a search twenty times as large.
    struct Timeout<F> {
        #[pin]
        future: F,
        #[pin]
        sleep: Sleep,
    }
}

impl<F: Future> Future for Timeout<F> {
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

/// Whether the kernel lets this process use io_uring.
fn uring_available() -> bool {
    ::monoio::utils::detect_uring()
}
