//! The listening ports: reserved at the start, and waited for while the kernel still takes them from a process that
//! was killed.
//!
//! Invariant: a port that another process holds is refused, unless that process is about to hand it over.

use std::{
    io::{Error, ErrorKind},
    net::{Shutdown, SocketAddr, TcpListener},
    thread,
};

use anyhow::anyhow;
use socket2::{Domain, Protocol, Socket, Type};

use crate::config::limits::{LISTEN_QUEUE_MAX, PORT_TRIES_MAX, PORT_WAIT};

/// Sockets that share one port, so that the kernel spreads clients over them.
pub(super) struct Port {
    pub(super) address: SocketAddr,
    sockets: Vec<Socket>,
}

impl Port {
    /// Reserves a port for so many sockets; finds out which one it is when port 0 was requested. `is_shared`: another
    /// gateway serves the port now and is about to leave it.
    ///
    /// # Errors
    /// The option, the address and what is wrong with it.
    pub(super) fn reserve(
        option: &str,
        address: SocketAddr,
        sockets: usize,
        is_shared: bool,
    ) -> anyhow::Result<Self> {
        let address = match is_shared {
            true => address,
            // Fails when another process listens there without sharing the port, or another gateway does.
            false => bind(option, address)?.local_addr()?,
        };
        let sockets = (0..sockets).map(|_| shared_socket(address)).collect::<Result<_, _>>();
        let sockets = sockets.map_err(|error| cannot_listen(option, address, &error))?;
        Ok(Self { address, sockets })
    }

    /// Listens with every socket: from now on clients wait in its queue until somebody accepts them.
    ///
    /// # Errors
    /// Those of the operating system.
    pub(super) fn listen(&self) -> Result<Vec<TcpListener>, Error> {
        self.sockets
            .iter()
            .map(|socket| {
                socket.listen(LISTEN_QUEUE_MAX)?;
                Ok(socket.try_clone()?.into())
            })
            .collect()
    }

    /// Stops listening, for whoever has a copy of a socket as well. With `net.ipv4.tcp_migrate_req` the kernel gives
    /// clients that wait in a queue to another process on the port; without, it resets them.
    pub(super) fn leave(&self) {
        for socket in &self.sockets {
            // It can only fail where the socket has left already.
            let _ = socket.shutdown(Shutdown::Read);
        }
    }
}

/// Listens at an address.
///
/// # Errors
/// The option, the address and what is wrong with it.
fn bind(option: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    let bound = once_free(|| TcpListener::bind(address), || thread::sleep(PORT_WAIT));
    bound.map_err(|error| cannot_listen(option, address, &error))
}

fn shared_socket(address: SocketAddr) -> Result<Socket, Error> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_port(true)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Tries again, with a pause before, while the port is in use: a gateway that was killed lets go of it a little later.
fn once_free<T>(mut bind: impl FnMut() -> Result<T, Error>, mut pause: impl FnMut()) -> Result<T, Error> {
    for _ in 1..PORT_TRIES_MAX {
        match bind() {
            Err(error) if error.kind() == ErrorKind::AddrInUse => pause(),
            other => return other,
        }
    }
    bind()
}

fn cannot_listen(option: &str, address: SocketAddr, error: &Error) -> anyhow::Error {
    if error.kind() == ErrorKind::AddrInUse {
        return anyhow!("{option} {address}: the port is in use; allowed: a free port, or 0 for any");
    }
    anyhow!("{option} {address}: {error}; allowed: an address of this machine")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::ErrorKind::ConnectionRefused, net::TcpStream};

    #[test]
    fn a_port_is_shared_with_a_successor_and_left_to_it() {
        let old = Port::reserve("--listen", ([127, 0, 0, 1], 0).into(), 2, false).unwrap();
        assert_eq!(
            TcpStream::connect(old.address).unwrap_err().kind(),
            ConnectionRefused,
            "nobody listens yet"
        );
        let cores = old.listen().unwrap();
        TcpStream::connect(old.address).unwrap();
        let new = Port::reserve("--listen", old.address, 1, true).unwrap();
        let successor = new.listen().unwrap().remove(0);
        old.leave();
        cores.iter().for_each(|core| assert!(core.accept().is_err(), "this core has left the port"));
        let client = TcpStream::connect(old.address).unwrap();
        assert_eq!(successor.accept().unwrap().1, client.local_addr().unwrap());
    }

    #[test]
    fn a_port_that_becomes_free_is_waited_for() {
        let mut holder = Some(TcpListener::bind("127.0.0.1:0").unwrap());
        let address = holder.as_ref().unwrap().local_addr().unwrap();
        let mut pauses = 0;
        let bound = once_free(
            || TcpListener::bind(address),
            || {
                pauses += 1;
                if pauses == 3 {
                    drop(holder.take());
                }
            },
        );
        assert_eq!(bound.unwrap().local_addr().unwrap(), address);
        assert_eq!(pauses, 3);
    }

    #[test]
    fn a_port_that_stays_in_use_is_refused_in_the_end() {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = holder.local_addr().unwrap();
        let mut pauses = 0;
        let error = once_free(|| TcpListener::bind(address), || pauses += 1).unwrap_err();
        assert_eq!(pauses, PORT_TRIES_MAX - 1);
        let message = cannot_listen("--listen", address, &error).to_string();
        assert!(message.contains("the port is in use"), "{message}");
    }

    #[test]
    fn another_error_is_not_waited_for() {
        let error = once_free::<()>(|| Err(ErrorKind::PermissionDenied.into()), || panic!("paused"));
        assert_eq!(error.unwrap_err().kind(), ErrorKind::PermissionDenied);
    }
}
