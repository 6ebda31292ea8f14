//! The listening ports: reserved at the start, and waited for while the kernel still takes them from a process that
//! was killed.

use std::{
    io::{Error, ErrorKind},
    net::{SocketAddr, TcpListener},
    thread,
};

use anyhow::anyhow;
use socket2::{Domain, Protocol, Socket, Type};

use crate::config::limits::{PORT_TRIES_MAX, PORT_WAIT};

/// Reserves a port for the data cores to share; finds out which one it is when port 0 was requested.
///
/// # Errors
/// The option, the address and what is wrong with it.
pub(super) fn reserve(option: &str, address: SocketAddr) -> anyhow::Result<(Socket, SocketAddr)> {
    // Fails when another process listens there without sharing the port, or another gateway does.
    let probe = bind(option, address)?;
    let address = probe.local_addr()?;
    drop(probe);
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_port(true)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into()).map_err(|error| cannot_listen(option, address, &error))?;
    Ok((socket, address))
}

/// Listens at an address.
///
/// # Errors
/// Those of [`reserve`].
pub(super) fn bind(option: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    let bound = once_free(|| TcpListener::bind(address), || thread::sleep(PORT_WAIT));
    bound.map_err(|error| cannot_listen(option, address, &error))
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
