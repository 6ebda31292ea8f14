//! A real `nats-server` with JetStream as a child process, which tests kill and start again.
//!
//! Invariants: it listens on the loopback interface and keeps its data in a folder of its own. It ends with the value.

use std::collections::BTreeSet;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const LONGEST: Duration = Duration::from_secs(60);

/// A user that the server may know, with the password that every user has.
pub(crate) const GATEWAY: &str = "gateway";
pub(crate) const WATCHER: &str = "watcher";
/// Its second letter needs an escape in a URL.
pub(crate) const PASSWORD: &str = "p@ss";

pub(crate) struct NatsServer {
    child: Option<Child>,
    address: SocketAddr,
    folder: TempDir,
    users: BTreeSet<&'static str>,
}

impl NatsServer {
    /// Starts a server that knows both users.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        // The port is free again when the listener is dropped.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let mut server = Self { child: None, address, folder, users: BTreeSet::from([GATEWAY, WATCHER]) };
        server.start_again();
        server
    }

    /// A URL of the server for a user.
    pub(crate) fn url(&self, user: &str) -> String {
        format!("nats://{user}:p%40ss@{}", self.address)
    }

    /// Ends it with SIGKILL.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("the server runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Starts it on its port and its data.
    pub(crate) fn start_again(&mut self) {
        self.configure();
        // Servers are where only root's shell looks.
        let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
        let child = Command::new("nats-server")
            .env("PATH", path)
            .arg("--config")
            .arg(self.folder.path().join("server.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.expect("the tests need nats-server (apt-get install nats-server)"));
        let deadline = Instant::now() + LONGEST;
        while !self.greets() {
            assert!(Instant::now() < deadline, "nats-server does not listen on {}", self.address);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Lets it know these users only, at once: a connection of another user is cut.
    pub(crate) fn let_in(&mut self, users: &[&'static str]) {
        self.users = users.iter().copied().collect();
        let Some(child) = &self.child else { return };
        self.configure();
        let told = Command::new("kill").arg("-HUP").arg(child.id().to_string()).status().unwrap();
        assert!(told.success());
    }

    fn configure(&self) {
        let users = self.users.iter().map(|user| format!("{{user: \"{user}\", password: \"{PASSWORD}\"}}"));
        let text = format!(
            "listen: \"{}\"\njetstream {{ store_dir: \"{}\" }}\nauthorization {{ users: [{}] }}\n",
            self.address,
            self.folder.path().display(),
            users.collect::<Vec<_>>().join(", ")
        );
        std::fs::write(self.folder.path().join("server.conf"), text).unwrap();
    }

    /// Whether it says its first word to a connection.
    fn greets(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(self.address) else { return false };
        let mut word = [0; 4];
        stream.read_exact(&mut word).is_ok() && &word == b"INFO"
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}
