//! glommio behind the seam, with an adapter that gives its stream monoio's rent-style traits.
//!
//! Invariants: reads and writes borrow the buffer only inside one poll, since glommio receives without handing the
//! buffer to the kernel. The preempt timer is short, so that wakes from other threads are seen within milliseconds.
//! Some timers are always set (`pulse`).

use std::{
    future::{Future, poll_fn},
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::fd::{FromRawFd, IntoRawFd},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use ::glommio::{
    LocalExecutor, LocalExecutorBuilder, Placement,
    net::{TcpListener, TcpStream},
};
use ::monoio::{
    BufResult,
    buf::{IoBuf, IoBufMut, IoVecBuf, IoVecBufMut, IoVecWrapper, IoVecWrapperMut},
    io::{AsyncReadRent, AsyncWriteRent},
};
use futures_lite::io::{AsyncRead, AsyncWrite};
use futures_util::{StreamExt, stream::FuturesUnordered};

use crate::{
    observe::log,
    wire::runtime::{Runtime, StartError, buffers},
};

/// Memory registered with the ring; the default exceeds an ordinary user's memlock limit.
const IO_MEMORY_BYTES: usize = 64 << 10;
/// For how long a busy task may delay wakes from other threads.
const PREEMPT_TIMER: Duration = Duration::from_millis(2);

/// How often timers are set anew, and when the first of them is due.
const PULSE: Duration = Duration::from_millis(20);
/// The number of timers, each for twice as long as the one before: the last for 10 s.
const BEATS: u32 = 10;
/// For how long an executor may be silent at its start, which it can oversleep as well, before another one is
/// started.
const FIRST_TURN_MAX: Duration = Duration::from_secs(1);
const STARTS_MAX: usize = 8;

/// Keeps timers set, so that the executor never sleeps for good.
///
/// glommio 0.9.0 arms its preempt timer, then runs the tasks that are ready, and sleeps when none ran. When the
/// thread loses its processor in between for as long as that timer, the timer has fired: no task runs, though some
/// are ready, and the executor sleeps until another event. When all its tasks are ready there is no other event,
/// since what they waited for has come. A timer ends that sleep, but only one that is still set: those that came due
/// during the turn before are used up. So the sleep takes no longer than about the turn before it.
async fn pulse() {
    loop {
        let mut beats = (0..BEATS)
            .map(|beat| ::glommio::timer::sleep(PULSE * (1 << beat)))
            .collect::<FuturesUnordered<_>>();
        beats.next().await;
    }
}

/// A glommio stream with monoio's traits.
pub struct GlommioStream(TcpStream);

impl GlommioStream {
    /// The socket below.
    pub(super) fn socket(&self) -> &TcpStream {
        &self.0
    }
}

pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    Ok(TcpListener::bind(address)?)
}

#[expect(unsafe_code, reason = "glommio takes foreign sockets by number only")]
pub(super) fn adopt(socket: std::net::TcpListener) -> TcpListener {
    // SAFETY: the number is that of an open socket, which nobody else owns from here on.
    unsafe { TcpListener::from_raw_fd(socket.into_raw_fd()) }
}

pub(super) async fn accept(listener: &TcpListener) -> io::Result<(GlommioStream, IpAddr)> {
    // While clients wait, every accept is ready at once, and other tasks would wait until the last client is in.
    ::glommio::yield_if_needed().await;
    let stream = listener.accept().await?;
    // Both fail for a client that has gone already, which shows when it is read from.
    let _ = stream.set_nodelay(true);
    let address = stream.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |address| address.ip());
    Ok((GlommioStream(stream), address))
}

pub(super) async fn connect(address: SocketAddr) -> io::Result<GlommioStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(GlommioStream(stream))
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
    if !super::uring_available() {
        return Err(StartError::NoUring { runtime: Runtime::Glommio.name() });
    }
    let failed = |reason: String| StartError::from_reason(Runtime::Glommio.name(), &name, reason);
    let (ready, started) = mpsc::channel::<Result<usize, String>>();
    let main = Arc::new(Mutex::new(Some(main)));
    let mut threads = Vec::new();
    for attempt in 0..STARTS_MAX {
        let (main, ready) = (Arc::clone(&main), ready.clone());
        let thread = thread::Builder::new().name(name.clone()).spawn(move || {
            let executor = match make(cpu) {
                Ok(executor) => executor,
                Err(reason) => return drop(ready.send(Err(reason))),
            };
            executor.run(async move {
                // Only the first executor to start takes `main`.
                let main = main.lock().unwrap_or_else(PoisonError::into_inner).take();
                let Some(main) = main else { return };
                ::glommio::spawn_local(pulse()).detach();
                let _ = ready.send(Ok(attempt));
                main().await;
            });
        });
        threads.push(thread.map_err(|error| failed(error.to_string()))?);
        match started.recv_timeout(FIRST_TURN_MAX) {
            Ok(Ok(attempt)) => return Ok(threads.swap_remove(attempt)),
            Ok(Err(reason)) => return Err(failed(reason)),
            Err(_) => log::warn("executor_start_repeated", &[("executor", &name)]),
        }
    }
    Err(failed(format!("{STARTS_MAX} executors came to no turn within {FIRST_TURN_MAX:?} each")))
}

/// Tries whether so many executors can be had at once.
///
/// # Errors
/// Why not.
pub(super) fn try_executors(executors: usize) -> Result<(), StartError> {
    if !super::uring_available() {
        return Err(StartError::NoUring { runtime: Runtime::Glommio.name() });
    }
    let (made, outcomes) = mpsc::channel::<Result<(), String>>();
    // Each executor belongs to the thread that makes it, and is there until all are.
    let gate = Mutex::new(());
    let all_made = gate.lock().unwrap_or_else(PoisonError::into_inner);
    thread::scope(|scope| {
        for _ in 0..executors {
            let (made, gate) = (made.clone(), &gate);
            scope.spawn(move || {
                let executor = builder(None).make();
                let outcome = executor.as_ref().map(|_| ()).map_err(ToString::to_string);
                let _ = made.send(outcome);
                drop(made);
                drop(gate.lock());
            });
        }
        drop(made);
        let outcome = outcomes.iter().collect::<Result<(), _>>();
        drop(all_made);
        outcome.map_err(|reason| StartError::from_reason(Runtime::Glommio.name(), "trial", reason))
    })
}

/// Makes an executor. The kernel gives back the memory of rings that are gone a little later, so it is asked again.
fn make(cpu: Option<usize>) -> Result<LocalExecutor, String> {
    let mut refused = String::new();
    for _ in 0..super::RING_TRIES_MAX {
        match builder(cpu).make() {
            Ok(executor) => return Ok(executor),
            Err(error) => refused = error.to_string(),
        }
        if !refused.contains(super::NO_MEMORY) {
            break;
        }
        thread::sleep(super::RING_PAUSE);
    }
    Err(refused)
}

fn builder(cpu: Option<usize>) -> LocalExecutorBuilder {
    LocalExecutorBuilder::new(cpu.map_or(Placement::Unbound, Placement::Fixed))
        .io_memory(IO_MEMORY_BYTES)
        .preempt_timer(PREEMPT_TIMER)
}

impl AsyncReadRent for GlommioStream {
    #[allow(unsafe_code, reason = "monoio's buffer traits hand out raw memory")]
    async fn read<T: IoBufMut>(&mut self, mut buffer: T) -> BufResult<usize, T> {
        let (pointer, length) = (buffer.write_ptr(), buffer.bytes_total());
        let result = poll_fn(|context| {
            // SAFETY: `buffer` is owned by this future and alive across the poll; `IoBufMut`
            // promises `bytes_total` writable bytes at `write_ptr`, and glommio fills them within
            // this poll (a non-blocking receive), keeping no pointer afterwards.
            let target = unsafe { std::slice::from_raw_parts_mut(pointer, length) };
            Pin::new(&mut self.0).poll_read(context, target)
        })
        .await;
        if let Ok(count) = result {
            // SAFETY: glommio initialised the first `count` bytes.
            unsafe { buffer.set_init(count) };
        }
        (result, buffer)
    }

    #[allow(unsafe_code, reason = "monoio's buffer traits hand out raw memory")]
    async fn readv<T: IoVecBufMut>(&mut self, buffer: T) -> BufResult<usize, T> {
        let wrapper = match IoVecWrapperMut::new(buffer) {
            Ok(wrapper) => wrapper,
            Err(buffer) => return (Ok(0), buffer),
        };
        let (result, wrapper) = self.read(wrapper).await;
        let mut buffer = wrapper.into_inner();
        if let Ok(count) = result {
            // SAFETY: the read above initialised `count` bytes of the first slice.
            unsafe { buffer.set_init(count) };
        }
        (result, buffer)
    }
}

impl AsyncWriteRent for GlommioStream {
    async fn write<T: IoBuf>(&mut self, buffer: T) -> BufResult<usize, T> {
        let result =
            poll_fn(|context| Pin::new(&mut self.0).poll_write(context, buffers::bytes_of(&buffer))).await;
        (result, buffer)
    }

    async fn writev<T: IoVecBuf>(&mut self, buffer: T) -> BufResult<usize, T> {
        let wrapper = match IoVecWrapper::new(buffer) {
            Ok(wrapper) => wrapper,
            Err(buffer) => return (Ok(0), buffer),
        };
        let (result, wrapper) = self.write(wrapper).await;
        (result, wrapper.into_inner())
    }

    async fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        poll_fn(|context| Pin::new(&mut self.0).poll_close(context)).await
    }
}
