//! Real servers for measurements: single nodes, and a gateway in front of some; what is written to them.
//!
//! Invariants: each server has a data folder of its own and ends with its guard. Documents are made from their numbers
//! alone, so that every side gets the same ones.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::client::{Client, answer_frame, request_bytes};
use crate::process::{Counters, Guard};

/// Documents of one body.
pub(crate) const BATCH: u64 = 1000;
const DOCUMENT_TEXT_BYTES: usize = 150;
const START_MAX: Duration = Duration::from_secs(30);
const INDEXED_MAX: Duration = Duration::from_secs(1800);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
pub(crate) const INDEX: &str = "writes";

/// A node, or a gateway with its nodes.
pub(crate) struct Server {
    name: String,
    address: SocketAddr,
    /// The last one answers at the address.
    processes: Vec<Guard>,
}

impl Server {
    /// Starts one node in a folder of its own: `miroir-node`, or a Meilisearch server.
    ///
    /// # Errors
    /// When it does not come to serve.
    pub(crate) fn node(name: &str, program: &Path, folder: &Path) -> anyhow::Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let data = folder.join(name.replace(' ', "-"));
        std::fs::create_dir(&data)?;
        let of_data = |part: &str| data.join(part).display().to_string();
        let is_embedded = program.file_name().is_some_and(|file| file == "miroir-node");
        let arguments = match is_embedded {
            true => vec!["--listen".to_owned(), address.to_string(), "--data".to_owned(), of_data("data")],
            false => vec![
                "--no-analytics".to_owned(),
                "--http-addr".to_owned(),
                address.to_string(),
                "--db-path".to_owned(),
                of_data("data"),
                "--dump-dir".to_owned(),
                of_data("dumps"),
                "--snapshot-dir".to_owned(),
                of_data("snapshots"),
            ],
        };
        let process = Guard::start(name, None, program, &arguments, &data.join("log"))?;
        let server = Self { name: name.to_owned(), address, processes: vec![process] };
        server.await_health()?;
        Ok(server)
    }

    /// Starts a gateway in front of some nodes.
    ///
    /// # Errors
    /// When one does not come to serve.
    pub(crate) fn cluster(
        nodes: usize,
        replication_factor: usize,
        programs: (&Path, &Path),
        folder: &Path,
    ) -> anyhow::Result<Self> {
        Self::cluster_with(nodes, replication_factor, programs, folder, &[])
    }

    /// The same with more arguments for the gateway.
    ///
    /// # Errors
    /// When one does not come to serve.
    pub(crate) fn cluster_with(
        nodes: usize,
        replication_factor: usize,
        (gateway, node): (&Path, &Path),
        folder: &Path,
        more: &[String],
    ) -> anyhow::Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut arguments =
            ["--listen", &address.to_string(), "--metrics-listen", "127.0.0.1:0"].map(String::from).to_vec();
        arguments.extend(["--store".to_owned(), format!("sled:{}", folder.join("gateway").display())]);
        arguments.extend(["--replication-factor".to_owned(), replication_factor.to_string()]);
        arguments.extend_from_slice(more);
        let mut processes = Vec::new();
        for number in 0..nodes {
            let started = Self::node(&format!("n{number}"), node, folder)?;
            arguments.extend(["--node".to_owned(), format!("n{number}=http://{},group=0", started.address)]);
            processes.extend(started.processes);
        }
        processes.push(Guard::start("gateway", None, gateway, &arguments, &folder.join("gateway.log"))?);
        let server = Self { name: "gateway".to_owned(), address, processes };
        server.await_health()?;
        Ok(server)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.address, None)
    }

    /// The counters of the process that answers.
    pub(crate) fn counters(&self) -> anyhow::Result<Counters> {
        self.processes.last().context("no process")?.counters()
    }

    fn await_health(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_MAX;
        while self.client().expect(200, "GET", "/health", "").is_err() {
            if Instant::now() >= deadline {
                bail!("nobody serves at {}", self.address);
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }

    pub(crate) fn make_index(&self) -> anyhow::Result<()> {
        let body = format!("{{\"uid\":\"{INDEX}\",\"primaryKey\":\"id\"}}");
        self.client().expect(202, "POST", "/indexes", &body)?;
        self.await_tasks()
    }

    /// Waits until no task is enqueued or processing. Fails when a task has failed.
    pub(crate) fn await_tasks(&self) -> anyhow::Result<()> {
        let client = self.client();
        let deadline = Instant::now() + INDEXED_MAX;
        loop {
            let open = client.expect(200, "GET", "/tasks?limit=1&statuses=enqueued,processing", "")?;
            if open["total"] == 0 {
                break;
            }
            if Instant::now() >= deadline {
                bail!("{}: tasks do not end: {open}", self.name);
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        let failed = client.expect(200, "GET", "/tasks?limit=1&statuses=failed", "")?;
        if failed["total"] != 0 {
            bail!("{}: a task has failed: {failed}", self.name);
        }
        Ok(())
    }
}

/// The document of a number.
pub(crate) fn document(id: u64) -> String {
    let mut text = String::with_capacity(DOCUMENT_TEXT_BYTES + 8);
    let mut random = fastrand::Rng::with_seed(id);
    while text.len() < DOCUMENT_TEXT_BYTES {
        text.extend((0..random.usize(3..9)).map(|_| random.lowercase()));
        text.push(' ');
    }
    format!("{{\"id\":{id},\"text\":\"{text}\",\"number\":{}}}", random.u32(..1000))
}

/// Bodies of [`BATCH`] documents each, from a number on.
pub(crate) fn batches_of(first: u64, count: u64) -> impl Iterator<Item = String> {
    let step = usize::try_from(BATCH).unwrap_or(usize::MAX);
    (first..first + count).step_by(step).map(|from| {
        let documents: Vec<String> = (from..from + BATCH).map(document).collect();
        format!("[{}]", documents.join(","))
    })
}

/// A kept connection that adds documents and searches.
pub(crate) struct Connection(TcpStream);

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).context("connecting")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(START_MAX))?;
        Ok(Self(stream))
    }

    /// Adds the documents of a body.
    pub(crate) fn write(&mut self, body: &str) -> anyhow::Result<()> {
        self.send(&format!("/indexes/{INDEX}/documents"), body, 202)
    }

    /// Searches for a word.
    pub(crate) fn search(&mut self, word: &str) -> anyhow::Result<()> {
        self.send(&format!("/indexes/{INDEX}/search"), &format!("{{\"q\":\"{word}\"}}"), 200)
    }

    fn send(&mut self, target: &str, body: &str, expected: u16) -> anyhow::Result<()> {
        self.0.write_all(request_bytes("POST", target, None, body).as_bytes())?;
        let mut answer = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            let received = self.0.read(&mut chunk).context("awaiting an answer")?;
            if received == 0 {
                bail!("the connection closed inside an answer");
            }
            answer.extend_from_slice(&chunk[..received]);
            let Some(frame) = answer_frame(&answer)? else { continue };
            if answer.len() < frame.head_bytes + frame.body_bytes {
                continue;
            }
            if frame.status != expected {
                let body: Value = serde_json::from_slice(&answer[frame.head_bytes..]).unwrap_or_default();
                bail!("POST {target} was answered {}: {body}", frame.status);
            }
            return Ok(());
        }
    }
}
