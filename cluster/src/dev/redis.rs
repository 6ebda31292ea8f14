//! A Redis server for the pods of a development cluster.
//!
//! Invariants: it listens on the loopback interface, keeps its data below the directory that it is given, and ends
//! with its parent: the process that starts it waits for the end of its own standard input.

use std::{
    ffi::OsString,
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};

/// How long Redis may take to listen.
const READY_MAX: Duration = Duration::from_secs(20);
const READY_PAUSE: Duration = Duration::from_millis(10);

/// A running Redis.
#[derive(Debug)]
pub struct Redis {
    keeper: Child,
    address: SocketAddr,
}

impl Redis {
    /// Starts a Redis with its data in `data`; `program` plays the part that keeps it.
    ///
    /// # Errors
    /// `redis-server` is not installed, or does not listen in time.
    pub fn start(program: &Path, data: &Path) -> anyhow::Result<Self> {
        let installed = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
        installed.context("--pods needs redis-server: install it (apt-get install redis-server)")?;
        let folder = data.join("redis");
        std::fs::create_dir_all(&folder)?;
        // The port is free again when this is dropped.
        let address = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
        let keeper = Command::new(program)
            .args(["role-redis", &address.port().to_string()])
            .arg(&folder)
            .stdin(Stdio::piped())
            .spawn()
            .context("the keeper of Redis cannot start")?;
        let redis = Self { keeper, address };
        let deadline = Instant::now() + READY_MAX;
        while TcpStream::connect(address).is_err() {
            ensure!(Instant::now() < deadline, "redis-server does not listen after {READY_MAX:?}");
            std::thread::sleep(READY_PAUSE);
        }
        Ok(redis)
    }

    /// As the gateway's `--store` names it.
    pub fn store(&self) -> String {
        format!("redis://{}", self.address)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // The keeper ends Redis when its standard input ends.
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// Plays the keeper: starts Redis on the port, and ends it at the end of standard input.
pub fn keep(arguments: &[String]) -> ExitCode {
    let [port, folder] = arguments else { return ExitCode::from(2) };
    let options: [OsString; 12] = [
        "--bind".into(),
        "127.0.0.1".into(),
        "--port".into(),
        port.into(),
        "--dir".into(),
        folder.into(),
        "--appendonly".into(),
        "yes".into(),
        "--appendfsync".into(),
        "always".into(),
        "--loglevel".into(),
        "warning".into(),
    ];
    let started =
        Command::new("redis-server").args(options).stdin(Stdio::null()).stdout(Stdio::null()).spawn();
    let Ok(mut redis) = started else { return ExitCode::from(2) };
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
    // It fails only when Redis has ended already.
    let _ = redis.kill();
    let _ = redis.wait();
    ExitCode::SUCCESS
}
