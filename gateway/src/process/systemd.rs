//! Tells the service manager the gateway's state, in systemd's protocol: one datagram per state.
//!
//! Invariant: a missing listener is no error, and nothing here waits.

use std::os::{
    linux::net::SocketAddrExt,
    unix::net::{SocketAddr, UnixDatagram},
};

/// The socket that the variable `NOTIFY_SOCKET` names.
#[derive(Debug)]
pub struct Notifier {
    socket: Option<(UnixDatagram, SocketAddr)>,
}

impl Notifier {
    /// `path` begins with `/`, or with `@` for an abstract name; anything else means that nobody is told.
    #[must_use]
    pub fn new(path: Option<&str>) -> Self {
        let address = path.and_then(|path| match path.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name).ok(),
            None if path.starts_with('/') => SocketAddr::from_pathname(path).ok(),
            None => None,
        });
        let socket = address.and_then(|address| {
            let socket = UnixDatagram::unbound().ok()?;
            socket.set_nonblocking(true).ok()?;
            Some((socket, address))
        });
        Self { socket }
    }

    /// Tells that clients are served.
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    /// Tells that options are being read again; [`Notifier::ready`] follows.
    pub fn reloading(&self) {
        self.tell("RELOADING=1");
    }

    /// Tells that every executor still takes its turns.
    pub fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    /// Tells that this process is the service's main one from now on, in place of the one that hands over.
    pub fn is_main(&self) {
        self.tell(&format!("MAINPID={}", std::process::id()));
    }

    /// Tells that the gateway drains and then ends.
    pub fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=draining");
    }

    fn tell(&self, state: &str) {
        if let Some((socket, address)) = &self.socket {
            // A manager that does not listen misses only this message.
            let _ = socket.send_to_addr(state.as_bytes(), address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manager_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::new(path.to_str());
        notifier.ready("serving");
        notifier.stopping();
        notifier.alive();
        notifier.is_main();
        let mut datagram = [0; 64];
        let mut next = || {
            let count = manager.recv(&mut datagram).unwrap();
            String::from_utf8(datagram[..count].to_vec()).unwrap()
        };
        assert_eq!(next(), "READY=1\nSTATUS=serving");
        assert_eq!(next(), "STOPPING=1\nSTATUS=draining");
        assert_eq!(next(), "WATCHDOG=1");
        assert_eq!(next(), format!("MAINPID={}", std::process::id()));
        Notifier::new(None).ready("to nobody");
        Notifier::new(Some("relative")).ready("to nobody");
    }
}
