//! A gateway as a child process, in front of nodes that need not be there.
//! Invariants: it is ready when it is handed out; it dies with its handle.

use std::{
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
};

use serde_json::Value;

/// The key its clients send.
pub(crate) const MASTER_KEY: &str = "a-key-for-conformance";

/// A running gateway.
#[derive(Debug)]
pub(crate) struct Gateway {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) metrics: SocketAddr,
    _data: tempfile::TempDir,
}

impl Gateway {
    /// Starts one on `runtime` with one core and further `arguments`; its only node is not there.
    pub(crate) fn start(runtime: &str, arguments: &[&str]) -> Self {
        // A port that nobody listens on.
        let node = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        Self::start_with_node(runtime, &format!("http://{node}"), arguments)
    }

    /// The same with a node somewhere.
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
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).expect("the gateway says where it listens");
        let address = |name: &str| ready[name].as_str().unwrap().parse().unwrap();
        Self { address: address("listen"), metrics: address("metrics"), child, _data: data }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Both fail only when the child has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
