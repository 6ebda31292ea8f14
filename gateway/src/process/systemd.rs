//! Tells the service manager how the gateway is, where one asks to be told: systemd's protocol, one datagram each.
//!
//! Invariant: nobody listening is no error; nothing here waits.

use std::os::{
    linux::net::SocketAddrExt,
    unix::net::{SocketAddr, UnixDatagram},
};

/// Where to tell, as the variable `NOTIFY_SOCKET` says.
#[derive(Debug)]
pub struct Notifier {
    socket: Option<(UnixDatagram, SocketAddr)>,
}

impl Notifier {
    /// `path` begins with `/`, or with `@` for an abstract name; anything else is nobody.
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

    /// Clients are served.
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    /// Options are read again; [`Notifier::ready`] follows.
    pub fn reloading(&self) {
        self.tell("RELOADING=1");
    }

    /// What is in flight ends, then the gateway.
    pub fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=draining");
    }

    fn tell(&self, state: &str) {
        if let Some((socket, address)) = &self.socket {
            // A manager that does not listen loses only this.
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
        let mut told = [0; 64];
        let mut next = || {
            let count = manager.recv(&mut told).unwrap();
            String::from_utf8(told[..count].to_vec()).unwrap()
        };
        assert_eq!(next(), "READY=1\nSTATUS=serving");
        assert_eq!(next(), "STOPPING=1\nSTATUS=draining");
        Notifier::new(None).ready("to nobody");
        Notifier::new(Some("relative")).ready("to nobody");
    }
}
