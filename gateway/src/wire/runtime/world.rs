//! A simulated world as a runtime: a simulation's stand-ins for threads, sockets and clocks.
//!
//! Invariant: it promises what the two real runtimes promise, and everything runs on the world's thread.

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    time::{Duration, Instant},
};

/// A future that stays on its thread.
pub type LocalFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Executors, sockets and a clock that are not the machine's.
pub trait World: Sync {
    /// The world's clock.
    fn now(&self) -> Instant;
    /// Completes after `duration` of the world's time.
    fn sleep(&self, duration: Duration) -> LocalFuture<'static, ()>;
    /// Runs a future until it ends.
    fn spawn(&self, future: LocalFuture<'static, ()>);
    /// Runs a future as an executor of its own would; its first poll is at once.
    fn start(&self, main: LocalFuture<'static, ()>);
    /// Listens at an address of the world.
    ///
    /// # Errors
    /// The address is not one of the site that asks.
    fn listen(&self, address: SocketAddr) -> io::Result<Box<dyn WorldListener>>;
    /// Connects to an address of the world.
    fn connect(&self, address: SocketAddr) -> LocalFuture<'static, io::Result<Box<dyn WorldStream>>>;
}

/// A listening socket of a world.
pub trait WorldListener {
    /// Waits for the next client, and gives its address.
    fn accept(&self) -> LocalFuture<'_, io::Result<(Box<dyn WorldStream>, IpAddr)>>;
}

/// A connected socket of a world.
pub trait WorldStream {
    /// Receives up to `bytes_max` bytes; none means that the peer has ended.
    fn receive(&mut self, bytes_max: usize) -> LocalFuture<'_, io::Result<Vec<u8>>>;
    /// Sends some of these bytes; gives how many.
    fn send_some<'a>(&'a mut self, bytes: &'a [u8]) -> LocalFuture<'a, io::Result<usize>>;
    /// Tells the peer that nothing more will come.
    fn finish(&self);
    /// Whether nothing waits to be received: no bytes, no end, no error.
    fn is_silent(&self) -> bool;
}
