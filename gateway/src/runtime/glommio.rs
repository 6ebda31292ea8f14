//! glommio behind the seam, with an adapter that gives its stream monoio's rent-style traits.
//!
//! Invariants: reads and writes poll with the buffer borrowed only inside one poll, since glommio
//! receives without handing the buffer to the kernel; the preempt timer is short, so that wakes
//! from other threads are seen within milliseconds.

use std::{
    future::{Future, poll_fn},
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::mpsc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use ::glommio::{
    LocalExecutorBuilder, Placement,
    net::{TcpListener, TcpStream},
};
use ::monoio::{
    BufResult,
    buf::{IoBuf, IoBufMut, IoVecBuf, IoVecBufMut, IoVecWrapper, IoVecWrapperMut},
    io::{AsyncReadRent, AsyncWriteRent},
};
use futures_lite::io::{AsyncRead, AsyncWrite};

use super::{Runtime, StartError};
use crate::observe::log;

/// Memory registered with the ring; the default exceeds an ordinary user's memlock limit.
const IO_MEMORY_BYTES: usize = 64 << 10;
/// How long a busy task may keep wakes from other threads waiting.
const PREEMPT_TIMER: Duration = Duration::from_millis(2);

/// How often an executor turns whatever happens.
const PULSE: Duration = Duration::from_millis(50);

/// Under load a socket's poll was seen to stay in an executor's queue while it slept, and a request on an idle
/// connection to wait for the connection's idle timer: 75 s. Each turn submits what is queued, so nothing waits longer
/// than a pulse.
async fn pulse() {
    loop {
        ::glommio::timer::sleep(PULSE).await;
    }
}

/// glommio behind the seam.
#[derive(Clone, Copy)]
pub struct Glommio;

/// A glommio stream that speaks monoio's traits.
pub struct GlommioStream(TcpStream);

impl Runtime for Glommio {
    const NAME: &'static str = "glommio";
    type Listener = TcpListener;
    type Stream = GlommioStream;

    fn listen(address: SocketAddr) -> io::Result<TcpListener> {
        Ok(TcpListener::bind(address)?)
    }

    async fn accept(listener: &TcpListener) -> io::Result<(GlommioStream, IpAddr)> {
        let stream = listener.accept().await?;
        // Both fail for a client that has gone already, which is seen when it is read from.
        let _ = stream.set_nodelay(true);
        let address = stream.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |address| address.ip());
        Ok((GlommioStream(stream), address))
    }

    async fn connect(address: SocketAddr) -> io::Result<GlommioStream> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(GlommioStream(stream))
    }

    fn spawn(future: impl Future<Output = ()> + 'static) {
        ::glommio::spawn_local(future).detach();
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        ::glommio::timer::sleep(duration)
    }

    fn now() -> Instant {
        Instant::now()
    }

    fn start<Main, Running>(
        name: String,
        cpu: Option<usize>,
        main: Main,
    ) -> Result<JoinHandle<()>, StartError>
    where
        Main: FnOnce() -> Running + Send + 'static,
        Running: Future<Output = ()> + 'static,
    {
        if !super::uring_available() {
            return Err(StartError::NoUring { runtime: Self::NAME });
        }
        let failed = |reason: String| StartError::from_reason(Self::NAME, &name, reason);
        let (ready, started) = mpsc::channel::<()>();
        let executor = LocalExecutorBuilder::new(cpu.map_or(Placement::Unbound, Placement::Fixed))
            .name(&name)
            .io_memory(IO_MEMORY_BYTES)
            .preempt_timer(PREEMPT_TIMER)
            .spawn(move || async move {
                ::glommio::spawn_local(pulse()).detach();
                let _ = ready.send(());
                main().await;
            })
            .map_err(|error| failed(error.to_string()))?;
        if started.recv().is_err() {
            // The executor could not be made on its thread; its handle knows why.
            let reason = executor.join().err().map_or_else(String::new, |error| error.to_string());
            return Err(failed(reason));
        }
        // glommio hands out its own join handle: a thin thread turns it into the standard one.
        std::thread::Builder::new()
            .name(format!("{name}-join"))
            .spawn(move || {
                if let Err(error) = executor.join() {
                    log::error("executor_failed", &[("reason", &error.to_string())]);
                }
            })
            .map_err(|error| failed(error.to_string()))
    }
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
    #[allow(unsafe_code, reason = "monoio's buffer traits hand out raw memory")]
    async fn write<T: IoBuf>(&mut self, buffer: T) -> BufResult<usize, T> {
        let (pointer, length) = (buffer.read_ptr(), buffer.bytes_init());
        let result = poll_fn(|context| {
            // SAFETY: `buffer` is owned by this future and alive across the poll; `IoBuf` promises
            // `bytes_init` readable bytes at `read_ptr`.
            let source = unsafe { std::slice::from_raw_parts(pointer, length) };
            Pin::new(&mut self.0).poll_write(context, source)
        })
        .await;
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
