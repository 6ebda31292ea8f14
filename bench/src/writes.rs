//! Writes: one node alone compared with a gateway in front of nodes of the same kind, in one run.
//!
//! Invariants: counted documents have been indexed (every task succeeded) or, for single documents, acknowledged. Both
//! sides get the same documents over equally many kept connections, in turns, each with a data folder of its own.

use std::io::{Read as _, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::client::{Client, answer_frame, request_bytes};
use crate::process::Guard;

/// The options of the measurement.
pub struct Options {
    pub gateway: PathBuf,
    /// The executable of a Meilisearch server.
    pub node: PathBuf,
    pub nodes: usize,
    pub replication_factor: usize,
    pub rounds: usize,
    /// Length of one window of single-document writes.
    pub window: Duration,
    /// Batches of 1000 documents per round.
    pub batches: usize,
    pub connections: usize,
}

const BATCH: u64 = 1000;
const DOCUMENT_TEXT_BYTES: usize = 150;
const START_MAX: Duration = Duration::from_secs(30);
const INDEXED_MAX: Duration = Duration::from_secs(300);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
const INDEX: &str = "writes";

/// One side of the comparison.
struct Side {
    name: &'static str,
    address: SocketAddr,
    _processes: Vec<Guard>,
}

/// Figures of one side, one entry per round.
#[derive(Default)]
struct Figures {
    indexed_per_second: Vec<f64>,
    answered_per_second: Vec<f64>,
    answer_p50_ms: Vec<f64>,
}

/// Measures and prints.
///
/// # Errors
/// When something cannot be started, or a write fails.
pub fn run(options: &Options, output: &mut dyn Write) -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("making a folder for data")?;
    let sides = [single(options, folder.path())?, cluster(options, folder.path())?];
    let mut figures = [Figures::default(), Figures::default()];
    let mut next = 0;
    for side in &sides {
        make_index(side)?;
    }
    for _ in 0..options.rounds {
        for (side, figures) in sides.iter().zip(&mut figures) {
            figures.indexed_per_second.push(batches(side, options, next)?);
            let (rate, p50) = singles(side, options, next)?;
            figures.answered_per_second.push(rate);
            figures.answer_p50_ms.push(p50);
        }
        next += 1_000_000;
    }
    writeln!(
        output,
        "{} nodes, {} copies; {} rounds in turns; medians",
        options.nodes, options.replication_factor, options.rounds
    )?;
    let mut medians = Vec::new();
    for (side, figures) in sides.iter().zip(figures) {
        let row =
            [figures.indexed_per_second, figures.answered_per_second, figures.answer_p50_ms].map(median);
        writeln!(
            output,
            "{:8} {:8.0} documents/s indexed in batches of {BATCH}, {:6.0} single documents/s answered over {} connections (p50 {:.1} ms)",
            side.name, row[0], row[1], options.connections, row[2]
        )?;
        medians.push(row);
    }
    writeln!(
        output,
        "ratio    {:8.2} and {:.2}",
        medians[1][0] / medians[0][0],
        medians[1][1] / medians[0][1]
    )?;
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn start_node(options: &Options, folder: &Path, name: &str) -> anyhow::Result<(Guard, SocketAddr)> {
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let data = folder.join(name);
    std::fs::create_dir(&data)?;
    let of_data = |part: &str| data.join(part).display().to_string();
    let arguments = [
        "--no-analytics".to_owned(),
        "--http-addr".to_owned(),
        address.to_string(),
        "--db-path".to_owned(),
        of_data("data"),
        "--dump-dir".to_owned(),
        of_data("dumps"),
        "--snapshot-dir".to_owned(),
        of_data("snapshots"),
    ];
    let process = Guard::start(name, None, &options.node, &arguments, &data.join("log"))?;
    await_health(address)?;
    Ok((process, address))
}

fn single(options: &Options, folder: &Path) -> anyhow::Result<Side> {
    let (process, address) = start_node(options, folder, "alone")?;
    Ok(Side { name: "one node", address, _processes: vec![process] })
}

fn cluster(options: &Options, folder: &Path) -> anyhow::Result<Side> {
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mut arguments =
        ["--listen", &address.to_string(), "--metrics-listen", "127.0.0.1:0"].map(String::from).to_vec();
    arguments.extend(["--store".to_owned(), format!("sled:{}", folder.join("gateway").display())]);
    arguments.extend(["--replication-factor".to_owned(), options.replication_factor.to_string()]);
    let mut processes = Vec::new();
    for number in 0..options.nodes {
        let (process, node) = start_node(options, folder, &format!("node-{number}"))?;
        arguments.extend(["--node".to_owned(), format!("n{number}=http://{node},group=0")]);
        processes.push(process);
    }
    processes.push(Guard::start("gateway", None, &options.gateway, &arguments, &folder.join("gateway.log"))?);
    await_health(address)?;
    Ok(Side { name: "gateway", address, _processes: processes })
}

fn await_health(address: SocketAddr) -> anyhow::Result<()> {
    let deadline = Instant::now() + START_MAX;
    let client = Client::new(address, None);
    while client.expect(200, "GET", "/health", "").is_err() {
        if Instant::now() >= deadline {
            bail!("nobody serves at {address}");
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    Ok(())
}

fn make_index(side: &Side) -> anyhow::Result<()> {
    let client = Client::new(side.address, None);
    let body = format!("{{\"uid\":\"{INDEX}\",\"primaryKey\":\"id\"}}");
    client.expect(202, "POST", "/indexes", &body)?;
    await_tasks(side)
}

/// Waits until no task is enqueued or processing. Fails when a task has failed.
fn await_tasks(side: &Side) -> anyhow::Result<()> {
    let client = Client::new(side.address, None);
    let deadline = Instant::now() + INDEXED_MAX;
    loop {
        let open = client.expect(200, "GET", "/tasks?limit=1&statuses=enqueued,processing", "")?;
        if open["total"] == 0 {
            break;
        }
        if Instant::now() >= deadline {
            bail!("{}: tasks do not end: {open}", side.name);
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    let failed = client.expect(200, "GET", "/tasks?limit=1&statuses=failed", "")?;
    if failed["total"] != 0 {
        bail!("{}: a task has failed: {failed}", side.name);
    }
    Ok(())
}

fn document(id: u64) -> String {
    let mut text = String::with_capacity(DOCUMENT_TEXT_BYTES + 8);
    let mut random = fastrand::Rng::with_seed(id);
    while text.len() < DOCUMENT_TEXT_BYTES {
        text.extend((0..random.usize(3..9)).map(|_| random.lowercase()));
        text.push(' ');
    }
    format!("{{\"id\":{id},\"text\":\"{text}\",\"number\":{}}}", random.u32(..1000))
}

/// Documents a second, from the first request to the end of the last task.
fn batches(side: &Side, options: &Options, first: u64) -> anyhow::Result<f64> {
    let count = BATCH * options.batches as u64;
    let bodies = (first..first + count).step_by(usize::try_from(BATCH)?).map(|from| {
        let documents: Vec<String> = (from..from + BATCH).map(document).collect();
        format!("[{}]", documents.join(","))
    });
    let bodies: Vec<String> = bodies.collect();
    let started = Instant::now();
    let mut connection = Connection::open(side.address)?;
    for body in &bodies {
        connection.write(body)?;
    }
    await_tasks(side)?;
    Ok(count as f64 / started.elapsed().as_secs_f64())
}

/// Acknowledged documents a second, each in a request of its own, and the median latency in milliseconds.
fn singles(side: &Side, options: &Options, first: u64) -> anyhow::Result<(f64, f64)> {
    let next = AtomicU64::new(first + 500_000);
    let started = Instant::now();
    let times = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..options.connections)
            .map(|_| {
                scope.spawn(|| -> anyhow::Result<Vec<f64>> {
                    let mut connection = Connection::open(side.address)?;
                    let mut times = Vec::new();
                    while started.elapsed() < options.window {
                        let body = format!("[{}]", document(next.fetch_add(1, Ordering::Relaxed)));
                        let sent = Instant::now();
                        connection.write(&body)?;
                        times.push(sent.elapsed().as_secs_f64() * 1000.0);
                    }
                    Ok(times)
                })
            })
            .collect();
        let joined =
            writers.into_iter().map(|writer| writer.join().unwrap_or_else(|_| bail!("a writer panicked")));
        joined.collect::<anyhow::Result<Vec<Vec<f64>>>>()
    })?;
    let elapsed = started.elapsed().as_secs_f64();
    let times = times.concat();
    await_tasks(side)?;
    Ok((times.len() as f64 / elapsed, median(times)))
}

/// A kept connection that adds documents.
struct Connection(TcpStream);

impl Connection {
    fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).context("connecting")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(START_MAX))?;
        Ok(Self(stream))
    }

    fn write(&mut self, body: &str) -> anyhow::Result<()> {
        let target = format!("/indexes/{INDEX}/documents");
        self.0.write_all(request_bytes("POST", &target, None, body).as_bytes())?;
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
            if frame.status != 202 {
                let body: Value = serde_json::from_slice(&answer[frame.head_bytes..]).unwrap_or_default();
                bail!("a write was answered {}: {body}", frame.status);
            }
            return Ok(());
        }
    }
}
