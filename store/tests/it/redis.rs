//! A Redis server for the tests, on a free port, with its data in a directory of its own, stopped with the test. The
//! tests use no other Redis: every address is that of a child process started here.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use store::{RedisOptions, open_redis};
use tempfile::TempDir;

use crate::support::{FORKING, Subject};

const START_TIME_MAX: Duration = Duration::from_secs(20);

pub(crate) struct Server {
    port: u16,
    directory: TempDir,
    options: Vec<String>,
    child: Child,
    stores: AtomicU32,
}

impl Server {
    pub(crate) fn start(options: &[&str]) -> Server {
        let directory = TempDir::new().unwrap();
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        for _ in 0..10 {
            let port = free_port();
            if let Some(child) = spawn(port, &directory, &options) {
                return Server { port, directory, options, child, stores: AtomicU32::new(0) };
            }
        }
        panic!("redis-server does not start");
    }

    /// Starts a server on the port of one that has ended.
    pub(crate) fn start_on(port: u16, options: &[&str]) -> Server {
        let directory = TempDir::new().unwrap();
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        let child = spawn(port, &directory, &options).expect("the port is free again");
        Server { port, directory, options, child, stores: AtomicU32::new(0) }
    }

    /// Starts a Sentinel with this configuration file, which it will write to.
    pub(crate) fn start_sentinel(file: &Path) -> Server {
        for _ in 0..10 {
            let (port, directory) = (free_port(), TempDir::new().unwrap());
            let mut command = Command::new("redis-server");
            command.arg(file).args([
                "--sentinel",
                "--bind",
                "127.0.0.1",
                "--port",
                &port.to_string(),
                "--dir",
            ]);
            if let Some(child) = ready(&mut command, port, &directory, &[]) {
                return Server { port, directory, options: Vec::new(), child, stores: AtomicU32::new(0) };
            }
        }
        panic!("the Sentinel does not start");
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a store that nothing else uses.
    pub(crate) fn url(&self) -> String {
        let number = self.stores.fetch_add(1, Ordering::Relaxed);
        format!("redis://127.0.0.1:{}?miroir_prefix=test-{number}", self.port)
    }

    pub(crate) fn subject(&self) -> Subject {
        let url = self.url();
        Subject::new(move |clock| {
            let options = RedisOptions { url: url.clone(), clock: Some(clock) };
            open_redis(options).unwrap_or_else(|error| panic!("{error}"))
        })
    }

    pub(crate) fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Kills the server as a crash would, and starts it again on the same port.
    pub(crate) fn restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = spawn(self.port, &self.directory, &self.options).expect("the port is still free");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A proxy between a pod and Redis: forwards bytes, except while it is cut.
pub(crate) struct Wire {
    port: u16,
    is_cut: Arc<AtomicBool>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Wire {
    pub(crate) fn to(server: &Server) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, target) = (listener.local_addr().unwrap().port(), server.port);
        let (is_cut, streams) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (cut, kept) = (Arc::clone(&is_cut), Arc::clone(&streams));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if cut.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(server) = TcpStream::connect(("127.0.0.1", target)) else { continue };
                for (mut from, mut to) in [
                    (client.try_clone().unwrap(), server.try_clone().unwrap()),
                    (server.try_clone().unwrap(), client.try_clone().unwrap()),
                ] {
                    thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
                kept.lock().unwrap().extend([client, server]);
            }
        });
        Wire { port, is_cut, streams }
    }

    /// The URL of the same store through this proxy.
    pub(crate) fn url(&self, url: &str) -> String {
        let (_, store) = url.split_once('?').unwrap();
        format!("redis://127.0.0.1:{}?{store}", self.port)
    }

    pub(crate) fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
        for stream in self.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub(crate) fn heal(&self) {
        self.is_cut.store(false, Ordering::SeqCst);
    }
}

/// A port that no process uses at the moment.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// `None` when another process has the port.
fn spawn(port: u16, directory: &TempDir, options: &[String]) -> Option<Child> {
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"]);
    ready(&mut command, port, directory, options)
}

/// Waits until the server answers.
fn ready(command: &mut Command, port: u16, directory: &TempDir, options: &[String]) -> Option<Child> {
    command.arg(directory.path()).args(options).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = {
        let _no_fork = FORKING.lock();
        command.spawn().expect("redis-server is installed")
    };
    let deadline = Instant::now() + START_TIME_MAX;
    loop {
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        if is_process(port, child.id()) {
            return Some(child);
        }
        assert!(Instant::now() < deadline, "redis-server does not answer");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Whether the Redis on this port is the process `id`, and ready.
fn is_process(port: u16, id: u32) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let _ = stream.write_all(b"AUTH sesame\r\nPING\r\nINFO server\r\nQUIT\r\n");
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer.contains("+PONG") && answer.contains(&format!("process_id:{id}\r"))
}
