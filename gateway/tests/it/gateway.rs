//! A gateway as a child process, in front of nodes that need not exist. Invariants: it is ready when it is handed
//! out. It ends with its handle.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    process::{Child, Command, ExitStatus, Stdio},
};

use serde_json::Value;

use crate::wire::Wire;

/// The key that its clients send.
pub(crate) const MASTER_KEY: &str = "a-key-for-conformance";

/// A running gateway.
#[derive(Debug)]
pub(crate) struct Gateway {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) metrics: SocketAddr,
    data: tempfile::TempDir,
}

impl Gateway {
    /// Starts a gateway on `runtime` with one core and further `arguments`; its only node does not exist.
    pub(crate) fn start(runtime: &str, arguments: &[&str]) -> Self {
        // Nobody listens on this port.
        let node = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        Self::start_with_node(runtime, &format!("http://{node}"), arguments)
    }

    /// The same with a node at an address.
    pub(crate) fn start_with_node(runtime: &str, node: &str, arguments: &[&str]) -> Self {
        let data = tempfile::Builder::new().tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_miroir"))
            .args(["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--cores", "1"])
            .args(["--runtime", runtime, "--master-key", MASTER_KEY])
            .args(["--node", &format!("a={node}")])
            .args(["--store", &format!("sled:{}", data.path().join("store").display())])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(data.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).expect("the gateway says where it listens");
        let address = |name: &str| ready[name].as_str().unwrap().parse().unwrap();
        Self { address: address("listen"), metrics: address("metrics"), child, data }
    }

    /// The value of a counter or gauge, found by the start of its line; `None` if there is none.
    pub(crate) fn metric(&self, name: &str) -> Option<f64> {
        let mut wire = Wire::connect(self.metrics);
        wire.send(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", usize::MAX);
        let text = wire.read_answer(false).unwrap().body;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map(|value| value.parse().unwrap())
    }

    /// Its log so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.data.path().join("log")).unwrap()
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.pid().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits until it ends.
    pub(crate) fn wait(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Both fail only when the child has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
