//! The third implementation of the gateway's runtime seam: executors of one simulated world.
//!
//! Invariant: the gateway meets nothing here that the seam does not promise.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use gateway::wire::runtime::{Runtime, StartError, buffers};
use monoio::BufResult;
use monoio::buf::{IoBuf, IoBufMut, IoVecBuf, IoVecBufMut, IoVecWrapper, IoVecWrapperMut};
use monoio::io::{AsyncReadRent, AsyncWriteRent};

use super::kernel::{self, kernel};
use super::network::{self, Listener, Stream};

/// Executors that are tasks of the one simulated thread.
#[derive(Clone, Copy)]
pub(super) struct Simulated;

impl Runtime for Simulated {
    const NAME: &'static str = "simulated";
    type Executor = ();
    type Listener = Listener;
    type Stream = Stream;

    fn listen(address: SocketAddr) -> io::Result<Listener> {
        network::listen(address)
    }

    async fn accept(listener: &Listener) -> io::Result<(Stream, IpAddr)> {
        Ok(listener.accept().await)
    }

    async fn connect(address: SocketAddr) -> io::Result<Stream> {
        network::connect(address).await
    }

    fn is_silent(stream: &Stream) -> bool {
        stream.is_silent()
    }

    fn spawn(future: impl Future<Output = ()> + 'static) {
        kernel().spawn(future);
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        kernel::sleep(duration)
    }

    fn now() -> Instant {
        kernel().instant()
    }

    fn start<Main, Running>(_name: String, _cpu: Option<usize>, main: Main) -> Result<(), StartError>
    where
        Main: FnOnce() -> Running + Send + 'static,
        Running: Future<Output = ()> + 'static,
    {
        kernel().start(main());
        Ok(())
    }
}

impl AsyncReadRent for Stream {
    async fn read<T: IoBufMut>(&mut self, mut buffer: T) -> BufResult<usize, T> {
        match self.receive(buffer.bytes_total()).await {
            Ok(bytes) => {
                let count = buffers::fill(&mut buffer, &bytes);
                (Ok(count), buffer)
            }
            Err(error) => (Err(error), buffer),
        }
    }

    async fn readv<T: IoVecBufMut>(&mut self, buffer: T) -> BufResult<usize, T> {
        // Nothing in the gateway scatters what it reads.
        let refused = io::Error::from(io::ErrorKind::Unsupported);
        match IoVecWrapperMut::new(buffer) {
            Ok(wrapper) => (Err(refused), wrapper.into_inner()),
            Err(buffer) => (Ok(0), buffer),
        }
    }
}

impl AsyncWriteRent for Stream {
    async fn write<T: IoBuf>(&mut self, buffer: T) -> BufResult<usize, T> {
        let result = self.send_some(buffers::bytes_of(&buffer)).await;
        (result, buffer)
    }

    async fn writev<T: IoVecBuf>(&mut self, buffer: T) -> BufResult<usize, T> {
        match IoVecWrapper::new(buffer) {
            Ok(wrapper) => {
                let (result, wrapper) = self.write(wrapper).await;
                (result, wrapper.into_inner())
            }
            Err(buffer) => (Ok(0), buffer),
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        self.finish();
        Ok(())
    }
}
