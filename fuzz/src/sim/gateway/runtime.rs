//! The third implementation of the gateway's runtime seam: executors of one simulated world.
//!
//! Invariant: it behaves only as the seam's contract permits.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use gateway::wire::runtime::{LocalFuture, Runtime, World, WorldListener, WorldStream};

use super::kernel::{self, kernel};
use super::network::{self, Listener, Stream};

/// Executors that are tasks of the one simulated thread.
pub(super) const SIMULATED: Runtime = Runtime::Simulated(&Simulated);

struct Simulated;

/// The world's clock.
pub(super) fn now() -> Instant {
    kernel().instant()
}

impl World for Simulated {
    fn now(&self) -> Instant {
        now()
    }

    fn sleep(&self, duration: Duration) -> LocalFuture<'static, ()> {
        Box::pin(kernel::sleep(duration))
    }

    fn spawn(&self, future: LocalFuture<'static, ()>) {
        kernel().spawn(future);
    }

    fn start(&self, main: LocalFuture<'static, ()>) {
        kernel().start(main);
    }

    fn listen(&self, address: SocketAddr) -> io::Result<Box<dyn WorldListener>> {
        Ok(Box::new(network::listen(address)?))
    }

    fn connect(&self, address: SocketAddr) -> LocalFuture<'static, io::Result<Box<dyn WorldStream>>> {
        Box::pin(async move {
            let stream: Box<dyn WorldStream> = Box::new(network::connect(address).await?);
            Ok(stream)
        })
    }
}

impl WorldListener for Listener {
    fn accept(&self) -> LocalFuture<'_, io::Result<(Box<dyn WorldStream>, IpAddr)>> {
        Box::pin(async {
            let (stream, address) = self.accept().await;
            let stream: Box<dyn WorldStream> = Box::new(stream);
            Ok((stream, address))
        })
    }
}

impl WorldStream for Stream {
    fn receive(&mut self, bytes_max: usize) -> LocalFuture<'_, io::Result<Vec<u8>>> {
        Box::pin(self.receive(bytes_max))
    }

    fn send_some<'a>(&'a mut self, bytes: &'a [u8]) -> LocalFuture<'a, io::Result<usize>> {
        Box::pin(self.send_some(bytes))
    }

    fn finish(&self) {
        self.finish();
    }

    fn is_silent(&self) -> bool {
        self.is_silent()
    }
}
