//! A node is added to a cluster that is searched and written to: how fast its shards are copied, against how fast such
//! a node takes documents by itself; what clients and the gateway's memory feel of it.
//!
//! Invariants: both rates are of the same run, documents and kind of server. Latencies count from the moment at which a
//! request fell due, at the same rate before the change and during it.

use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use crate::real_nodes::{Connection, Server, batches_of, document};

/// The options of the measurement.
pub struct Options {
    pub gateway: PathBuf,
    /// The executable of a node: `miroir-node`, or a Meilisearch server.
    pub node: PathBuf,
    /// Nodes before one is added.
    pub nodes: usize,
    /// Documents that are there before, a multiple of 1000.
    pub documents: u64,
    /// Searches and writes a second, each.
    pub rate: f64,
    /// How long the load is measured before the change.
    pub before: Duration,
}

const CHANGE_MAX: Duration = Duration::from_secs(3600);
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// The first number of the documents that are written meanwhile; those after it are written over and over.
const LIVE_FIRST: u64 = 1 << 40;
const LIVE_DOCUMENTS: u64 = 1000;

/// Latencies in milliseconds of requests that fell due at some moment.
type Times = Vec<(Instant, f64)>;

/// What was seen of a change.
struct Change {
    began: Instant,
    /// When the newcomer had everything; what follows is the cutover, and the sweeping of the others.
    filled: Instant,
    ended: Instant,
    copied: f64,
    peak_kib: u64,
}

/// Measures and prints.
///
/// # Errors
/// When something cannot be started, a request fails, or the change does not succeed.
pub fn run(options: &Options, output: &mut dyn Write) -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("making a folder for data")?;
    let programs = (&*options.gateway, &*options.node);
    let cluster = Server::cluster(options.nodes, 1, programs, folder.path())?;
    fill(&cluster, options.documents)?;
    let share = options.documents / (options.nodes as u64 + 1) / 1000 * 1000;
    let alone = Server::node("alone", &options.node, folder.path())?;
    let own = fill(&alone, share.max(1000))?;
    drop(alone);
    let newcomer = Server::node("newcomer", &options.node, folder.path())?;
    let (stop, idle_kib) = (AtomicBool::new(false), cluster.counters()?.resident_kib);
    let (searches, writes, change) = std::thread::scope(|scope| {
        let searcher = scope.spawn(|| {
            paced(&cluster, options.rate, &stop, |connection, number| {
                let mut random = fastrand::Rng::with_seed(number);
                connection.search(&(0..3).map(|_| random.lowercase()).collect::<String>())
            })
        });
        let writer = scope.spawn(|| {
            paced(&cluster, options.rate, &stop, |connection, number| {
                connection.write(&format!("[{}]", document(LIVE_FIRST + number % LIVE_DOCUMENTS)))
            })
        });
        std::thread::sleep(options.before);
        let change = add(&cluster, &newcomer);
        stop.store(true, Ordering::Relaxed);
        let joined =
            [searcher, writer].map(|thread| thread.join().unwrap_or_else(|_| bail!("a client panicked")));
        let [searches, writes] = joined;
        Ok::<_, anyhow::Error>((searches?, writes?, change?))
    })?;
    report(options, (own, idle_kib), &change, [&searches, &writes], output)
}

/// Prints what was seen; `own` is the rate at which one node takes documents by itself.
fn report(
    options: &Options,
    (own, idle_kib): (f64, u64),
    change: &Change,
    [searches, writes]: [&Times; 2],
    output: &mut dyn Write,
) -> anyhow::Result<()> {
    let seconds = (change.ended - change.began).as_secs_f64();
    let least = options.documents as f64 / (options.nodes as f64 + 1.0);
    let filling = (change.filled - change.began).as_secs_f64();
    let rate = change.copied / filling;
    writeln!(
        output,
        "{} documents on {} nodes, one added, {} searches and {} writes a second",
        options.documents, options.nodes, options.rate, options.rate
    )?;
    writeln!(
        output,
        "copied       {:8.0} in {filling:.1} s, cut over and swept after {seconds:.1} s; {:.2} of an even share",
        change.copied,
        change.copied / least
    )?;
    writeln!(
        output,
        "documents/s  {rate:8.0}, {:.2} of the {own:.0} that such a node takes by itself",
        rate / own
    )?;
    for (name, times) in [("searches", searches), ("writes", writes)] {
        let [before, during] = [true, false].map(|before| {
            let part = times.iter().filter(|(due, _)| {
                if before { *due < change.began } else { (change.began..change.ended).contains(due) }
            });
            quantiles(part.map(|(_, time)| *time).collect())
        });
        writeln!(
            output,
            "{name:12} p50 {:6.1} ms before, {:6.1} during ({:.2}); p95 {:6.1} before, {:6.1} during ({:.2})",
            before[0],
            during[0],
            during[0] / before[0],
            before[1],
            during[1],
            during[1] / before[1]
        )?;
    }
    writeln!(
        output,
        "gateway      {:8.1} MB before, {:.1} MB at most during the change",
        idle_kib as f64 / 1024.0,
        change.peak_kib as f64 / 1024.0
    )?;
    Ok(())
}

/// Adds documents; gives how many a second, from the first request to the end of the last task.
fn fill(server: &Server, documents: u64) -> anyhow::Result<f64> {
    server.make_index()?;
    let started = Instant::now();
    let mut connection = Connection::open(server.address())?;
    for body in batches_of(0, documents) {
        connection.write(&body)?;
    }
    server.await_tasks()?;
    Ok(documents as f64 / started.elapsed().as_secs_f64())
}

/// Sends requests one after the other, each when it falls due.
fn paced(
    server: &Server,
    rate: f64,
    stop: &AtomicBool,
    act: impl Fn(&mut Connection, u64) -> anyhow::Result<()>,
) -> anyhow::Result<Times> {
    let (mut connection, number) = (Connection::open(server.address())?, AtomicU64::new(0));
    let (begun, mut times) = (Instant::now(), Times::new());
    while !stop.load(Ordering::Relaxed) {
        let number = number.fetch_add(1, Ordering::Relaxed);
        let due = begun + Duration::from_secs_f64(number as f64 / rate);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        act(&mut connection, number)?;
        times.push((due, due.elapsed().as_secs_f64() * 1000.0));
    }
    Ok(times)
}

/// Has the cluster take the newcomer in, and waits until the change is complete.
fn add(cluster: &Server, newcomer: &Server) -> anyhow::Result<Change> {
    let client = cluster.client();
    let node = json!({"id": "newcomer", "url": format!("http://{}", newcomer.address())}).to_string();
    let began = Instant::now();
    let accepted = client.expect(202, "POST", "/_miroir/nodes", &node)?;
    let target = format!("/_miroir/operations/{}", accepted["operation"]);
    let (mut peak_kib, mut filled) = (0, None);
    loop {
        peak_kib = peak_kib.max(cluster.counters()?.resident_kib);
        let operation = client.expect(200, "GET", &target, "")?;
        let is_filling =
            ["ComputingAssignments", "DualWrite"].iter().any(|phase| operation["phase"] == *phase);
        if !is_filling {
            filled.get_or_insert_with(Instant::now);
        }
        if operation["finishedAt"] != Value::Null {
            ensure!(operation["status"] == "succeeded", "{operation}");
            let copied = operation["progress"]["documentsMoved"].as_f64().context("no documentsMoved")?;
            let ended = Instant::now();
            return Ok(Change { began, filled: filled.unwrap_or(ended), ended, copied, peak_kib });
        }
        if began.elapsed() > CHANGE_MAX {
            bail!("the change does not end: {operation}");
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// The median and the 95th percentile.
fn quantiles(mut times: Vec<f64>) -> [f64; 2] {
    times.sort_by(f64::total_cmp);
    let last = times.len().saturating_sub(1);
    [last / 2, last * 95 / 100].map(|at| times.get(at).copied().unwrap_or(f64::NAN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_sorted_times() {
        assert_eq!(quantiles((0..=100).rev().map(f64::from).collect()), [50.0, 95.0]);
        assert!(quantiles(Vec::new()).iter().all(|time| time.is_nan()));
    }
}
