//! Nodes as child processes, for tests and development clusters.
//! Invariants: a spawned child is ready. It dies with its handle. A killed parent leaves no embedded node behind (they
//! watch their stdin). The caller chooses the data directory.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

/// How long a node may take until it is ready.
const READY_MAX: Duration = Duration::from_secs(60);
/// The pause between two polls of a starting Meilisearch.
const HEALTH_PAUSE: Duration = Duration::from_millis(20);
/// How long a node may take to stop after it was asked to.
const STOP_MAX: Duration = Duration::from_secs(10);

/// The kind of program that a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// The embedded node, alone (`miroir-node`) or as a part of another binary (see `roles`).
    Embedded,
    /// A real Meilisearch.
    Meilisearch,
}

/// The options of a node.
#[derive(Debug, Clone, Default)]
pub struct SpawnOptions {
    /// The key that every request must carry.
    pub master_key: Option<String>,
    /// Whether to open a control port (embedded nodes only).
    pub control: bool,
    /// Whether not to wait for the disk (embedded nodes only).
    pub no_sync: bool,
    /// Arguments before the node's own, for a binary that plays several parts.
    pub leading_arguments: Vec<String>,
    /// The port to listen on, so that a restarted node keeps its address; 0 picks a free port.
    pub port: u16,
}

/// A running child process.
#[derive(Debug)]
pub struct NodeProcess {
    child: Child,
    address: SocketAddr,
    control: Option<SocketAddr>,
}

impl NodeProcess {
    /// Starts `binary` on the data directory `data` and waits until it answers.
    pub fn spawn(kind: NodeKind, binary: &Path, data: &Path, options: &SpawnOptions) -> anyhow::Result<Self> {
        std::fs::create_dir_all(data).with_context(|| format!("cannot create {}", data.display()))?;
        match kind {
            NodeKind::Embedded => Self::spawn_embedded(binary, data, options),
            NodeKind::Meilisearch => Self::spawn_meilisearch(binary, data, options),
        }
    }

    /// The base URL of the API, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address of the API.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base URL of the fault switches.
    pub fn control(&self) -> Option<String> {
        self.control.map(|control| format!("http://{control}"))
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills the process with SIGKILL, so it flushes nothing.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Pauses the process with SIGSTOP; its connections stay open.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.signal("-STOP")
    }

    /// Resumes the process with SIGCONT.
    pub fn resume(&self) -> anyhow::Result<()> {
        self.signal("-CONT")
    }

    /// Uses the `kill` command, which every Unix has, instead of a library.
    fn signal(&self, signal: &str) -> anyhow::Result<()> {
        let status = Command::new("kill").arg(signal).arg(self.child.id().to_string()).status()?;
        ensure!(status.success(), "cannot signal process {}", self.child.id());
        Ok(())
    }

    /// Stops the node cleanly: an embedded one by closing its stdin, a real one with SIGTERM.
    pub fn stop(mut self) -> anyhow::Result<()> {
        if self.child.stdin.take().is_none() {
            self.signal("-TERM")?;
        }
        let deadline = Instant::now() + STOP_MAX;
        while self.child.try_wait()?.is_none() {
            ensure!(Instant::now() < deadline, "node {} did not end when asked to", self.child.id());
            std::thread::sleep(HEALTH_PAUSE);
        }
        Ok(())
    }

    fn spawn_embedded(binary: &Path, data: &Path, options: &SpawnOptions) -> anyhow::Result<Self> {
        let mut command = Command::new(binary);
        command.args(&options.leading_arguments);
        command.arg("--listen").arg(format!("127.0.0.1:{}", options.port)).arg("--data").arg(data);
        command.arg("--exit-with-parent");
        if let Some(key) = &options.master_key {
            command.arg("--master-key").arg(key);
        }
        if options.control {
            command.arg("--control").arg("127.0.0.1:0");
        }
        if options.no_sync {
            command.arg("--no-sync");
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let stdout = child.stdout.take().context("the child's stdout is piped")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let ready: Value = match serde_json::from_str(&line) {
            Ok(ready) => ready,
            Err(_) => bail!("{} ended before it was ready: {}", binary.display(), child.wait()?),
        };
        let address = ready["address"].as_str().context("the ready line names no address")?.parse()?;
        let control = ready["control"].as_str().map(str::parse).transpose()?;
        Ok(Self { child, address, control })
    }

    fn spawn_meilisearch(binary: &Path, data: &Path, options: &SpawnOptions) -> anyhow::Result<Self> {
        let port = match options.port {
            0 => TcpListener::bind("127.0.0.1:0")?.local_addr()?.port(),
            port => port,
        };
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut command = Command::new(binary);
        command.arg("--http-addr").arg(address.to_string()).arg("--no-analytics");
        command.arg("--db-path").arg(data.join("data.ms"));
        command.arg("--dump-dir").arg(data.join("dumps")).arg("--snapshot-dir").arg(data.join("snapshots"));
        if let Some(key) = &options.master_key {
            command.arg("--master-key").arg(key);
        }
        let child = command
            .env_clear()
            .current_dir(data)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let mut node = Self { child, address, control: None };
        let deadline = Instant::now() + READY_MAX;
        while !is_healthy(address) {
            if let Some(status) = node.child.try_wait()? {
                bail!("{} ended before it was ready: {status}", binary.display());
            }
            ensure!(Instant::now() < deadline, "{} is not ready after {READY_MAX:?}", binary.display());
            std::thread::sleep(HEALTH_PAUSE);
        }
        Ok(node)
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        // Both fail only when the child has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether `GET /health` is answered with 200.
fn is_healthy(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&address, HEALTH_PAUSE * 10)?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        Ok(head.to_vec())
    };
    ask().is_ok_and(|head| head.starts_with(b"HTTP/1.") && head.ends_with(b" 200"))
}
