//! The stream of changes under load, to a webhook that goes away for some time: how late events are, how soon all of
//! them have arrived once it is back, and what the gateway's memory feels of it.
//!
//! Invariants: each write is one document that is written once, so its event is known by its key. A lag counts from the
//! moment at which a write was confirmed to the first arrival of its event. A confirmed write without one is an error.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::real_nodes::{Connection, Server, document};

/// The options of the measurement.
pub struct Options {
    pub gateway: PathBuf,
    /// The executable of a node: `miroir-node`, or a Meilisearch server.
    pub node: PathBuf,
    pub nodes: usize,
    /// Writes a second, of one document each.
    pub rate: f64,
    /// How long the webhook is there, then away, then there again.
    pub phase: Duration,
    /// Connections over which is written.
    pub connections: usize,
}

const ARRIVED_MAX: Duration = Duration::from_secs(3600);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// When the events of each document arrived first, and how many there were.
type Arrivals = Arc<Mutex<HashMap<u64, (Instant, u64)>>>;

/// A confirmed write: its document, when it was confirmed, and after how many milliseconds.
type Confirmed = (u64, Instant, f64);

/// Measures and prints.
///
/// # Errors
/// When something cannot be started, a write fails, or the event of a confirmed write does not arrive.
pub fn run(options: &Options, output: &mut dyn Write) -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("making a folder for data")?;
    let arrivals = Arrivals::default();
    let sink = Sink::open(([127, 0, 0, 1], 0).into(), &arrivals)?;
    let address = sink.address;
    let more = [
        "--cdc-sink".to_owned(),
        format!("webhook=http://{address}/changes"),
        "--allowed-ip-networks".to_owned(),
        "127.0.0.0/8".to_owned(),
    ];
    let programs = (&*options.gateway, &*options.node);
    let cluster = Server::cluster_with(options.nodes, 1, programs, folder.path(), &more)?;
    cluster.make_index()?;
    let idle_kib = cluster.counters()?.resident_kib;
    let (stop, next) = (AtomicBool::new(false), AtomicU64::new(0));
    let begun = Instant::now();
    let (writes, seen) = std::thread::scope(|scope| {
        let write = || write_until(&cluster, options.rate, begun, (&stop, &next));
        let writers = (0..options.connections).map(|_| scope.spawn(write)).collect::<Vec<_>>();
        let seen = phases(options, &cluster, sink, &arrivals, &next);
        stop.store(true, Ordering::Relaxed);
        let joined =
            writers.into_iter().map(|writer| writer.join().unwrap_or_else(|_| bail!("a writer panicked")));
        Ok::<_, anyhow::Error>((joined.collect::<anyhow::Result<Vec<_>>>()?.concat(), seen?))
    })?;
    await_all(&arrivals, writes.iter().map(|(number, ..)| *number).max().unwrap_or(0) + 1)?;
    report(options, (idle_kib, &seen), &writes, &arrivals, output)
}

/// What was seen of the phases.
struct Seen {
    /// The webhook went away.
    away: Instant,
    /// It was there again.
    back: Instant,
    /// All that was written before it was back has arrived.
    caught_up: Instant,
    /// The most memory in each phase, and while it caught up.
    peak_kib: [u64; 4],
    _sink: Sink,
}

fn phases(
    options: &Options,
    cluster: &Server,
    sink: Sink,
    arrivals: &Arrivals,
    next: &AtomicU64,
) -> anyhow::Result<Seen> {
    let address = sink.address;
    let there = peak_during(cluster, options.phase)?;
    sink.close();
    let away = Instant::now();
    let meanwhile = peak_during(cluster, options.phase)?;
    let sink = Sink::open(address, arrivals)?;
    let (back, written) = (Instant::now(), next.load(Ordering::Relaxed));
    let mut catching_up = 0;
    while count_below(arrivals, written) < written {
        catching_up = catching_up.max(cluster.counters()?.resident_kib);
        ensure!(back.elapsed() < ARRIVED_MAX, "{} of {written} events", count_below(arrivals, written));
        std::thread::sleep(LOOK_AGAIN);
    }
    let caught_up = Instant::now();
    let after = peak_during(cluster, options.phase)?;
    Ok(Seen { away, back, caught_up, peak_kib: [there, meanwhile, catching_up, after], _sink: sink })
}

fn peak_during(cluster: &Server, phase: Duration) -> anyhow::Result<u64> {
    let (begun, mut peak) = (Instant::now(), 0);
    while begun.elapsed() < phase {
        peak = peak.max(cluster.counters()?.resident_kib);
        std::thread::sleep(LOOK_AGAIN);
    }
    Ok(peak)
}

fn count_below(arrivals: &Arrivals, end: u64) -> u64 {
    let arrivals = arrivals.lock().unwrap_or_else(PoisonError::into_inner);
    arrivals.keys().filter(|number| **number < end).count() as u64
}

fn await_all(arrivals: &Arrivals, end: u64) -> anyhow::Result<()> {
    let begun = Instant::now();
    while count_below(arrivals, end) < end {
        ensure!(begun.elapsed() < ARRIVED_MAX, "{} of {end} events", count_below(arrivals, end));
        std::thread::sleep(LOOK_AGAIN);
    }
    Ok(())
}

/// Writes documents one after the other, each when it falls due, as one of those who share the numbers.
fn write_until(
    cluster: &Server,
    rate: f64,
    begun: Instant,
    (stop, next): (&AtomicBool, &AtomicU64),
) -> anyhow::Result<Vec<Confirmed>> {
    let mut connection = Connection::open(cluster.address())?;
    let mut confirmed = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let due = begun + Duration::from_secs_f64(number as f64 / rate);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        connection.write(&format!("[{}]", document(number)))?;
        let now = Instant::now();
        confirmed.push((number, now, (now - due).as_secs_f64() * 1000.0));
    }
    Ok(confirmed)
}

fn report(
    options: &Options,
    (idle_kib, seen): (u64, &Seen),
    writes: &[Confirmed],
    arrivals: &Arrivals,
    output: &mut dyn Write,
) -> anyhow::Result<()> {
    let arrivals = arrivals.lock().unwrap_or_else(PoisonError::into_inner);
    writeln!(
        output,
        "{} writes a second on {} nodes; the webhook is there, away and there again for {:.0} s each",
        options.rate,
        options.nodes,
        options.phase.as_secs_f64()
    )?;
    let megabytes = |kib: u64| kib as f64 / 1024.0;
    let part = |name: &str, from: Option<Instant>, to: Option<Instant>, peak_kib: u64| {
        let is_of = |at: Instant| from.is_none_or(|from| at >= from) && to.is_none_or(|to| at < to);
        let part = writes.iter().filter(|(_, at, _)| is_of(*at)).collect::<Vec<_>>();
        let lags = part.iter().filter_map(|(number, at, _)| Some((arrivals.get(number)?.0, *at)));
        let lags = lags.map(|(arrived, at)| arrived.saturating_duration_since(at).as_secs_f64() * 1000.0);
        let [lag, write] = [lags.collect(), part.iter().map(|(.., time)| *time).collect()].map(quantiles);
        format!(
            "{name:12} {:6} writes, p50 {:.1} ms, p95 {:.1}; events p50 {:.0} ms later, p95 {:.0}, at most {:.0}; {:.1} MB at most",
            part.len(),
            write[0],
            write[1],
            lag[0],
            lag[1],
            lag[2],
            megabytes(peak_kib)
        )
    };
    let [there, away, catching_up, after] = seen.peak_kib;
    writeln!(output, "{}", part("there", None, Some(seen.away), there))?;
    writeln!(output, "{}", part("away", Some(seen.away), Some(seen.back), away))?;
    writeln!(output, "{}", part("catching up", Some(seen.back), Some(seen.caught_up), catching_up))?;
    writeln!(output, "{}", part("there again", Some(seen.caught_up), None, after))?;
    let first = arrivals.values().filter(|(at, _)| *at >= seen.back).map(|(at, _)| *at).min();
    let first = first.context("no event after the webhook was back")?;
    let missing = writes.iter().filter(|(number, ..)| !arrivals.contains_key(number)).count();
    let repeated = arrivals.values().map(|(_, count)| count - 1).sum::<u64>();
    writeln!(
        output,
        "back         first event after {:.1} s, the last that waited after {:.1} s; gateway {:.1} MB before all",
        (first - seen.back).as_secs_f64(),
        (seen.caught_up - seen.back).as_secs_f64(),
        megabytes(idle_kib)
    )?;
    writeln!(output, "events       {} writes, {missing} missing, {repeated} repeated", writes.len())?;
    ensure!(missing == 0, "events are missing");
    Ok(())
}

/// The median, the 95th percentile and the most.
fn quantiles(mut times: Vec<f64>) -> [f64; 3] {
    times.sort_by(f64::total_cmp);
    let last = times.len().saturating_sub(1);
    [last / 2, last * 95 / 100, last].map(|at| times.get(at).copied().unwrap_or(f64::NAN))
}

/// A webhook that takes deliveries until it is closed.
struct Sink {
    address: SocketAddr,
    is_closed: Arc<AtomicBool>,
    accepting: Option<std::thread::JoinHandle<()>>,
}

impl Sink {
    fn open(address: SocketAddr, arrivals: &Arrivals) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address).context("opening the webhook")?;
        let address = listener.local_addr()?;
        let is_closed = Arc::new(AtomicBool::new(false));
        let (closed, arrivals) = (Arc::clone(&is_closed), Arc::clone(arrivals));
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if closed.load(Ordering::Relaxed) {
                    return;
                }
                let (closed, arrivals) = (Arc::clone(&closed), Arc::clone(&arrivals));
                std::thread::spawn(move || {
                    // A delivery that breaks off is repeated by who sent it.
                    let _ = stream
                        .map_err(anyhow::Error::from)
                        .and_then(|stream| take(stream, &closed, &arrivals));
                });
            }
        });
        Ok(Self { address, is_closed, accepting: Some(accepting) })
    }

    /// Closes it: connections end at their next delivery, without an answer, and new ones are refused.
    fn close(mut self) {
        self.is_closed.store(true, Ordering::Relaxed);
        // The thread that accepts looks once somebody comes.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

/// Takes the deliveries of a connection.
fn take(stream: TcpStream, is_closed: &AtomicBool, arrivals: &Arrivals) -> anyhow::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut length, mut line) = (0, String::new());
        while line != "\r\n" {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        if is_closed.load(Ordering::Relaxed) {
            return Ok(());
        }
        let now = Instant::now();
        let events: Vec<Value> = serde_json::from_slice(&body)?;
        let mut arrivals = arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        for key in events.iter().flat_map(|event| event["primaryKeys"].as_array().into_iter().flatten()) {
            let number =
                key.as_str().and_then(|key| key.parse().ok()).context("a key that was not written")?;
            arrivals.entry(number).or_insert((now, 0)).1 += 1;
        }
        drop(arrivals);
        reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_sorted_times() {
        assert_eq!(quantiles((0..=100).rev().map(f64::from).collect()), [50.0, 95.0, 100.0]);
        assert!(quantiles(Vec::new()).iter().all(|time| time.is_nan()));
    }

    #[test]
    fn a_closed_webhook_takes_nothing_and_an_opened_one_all() {
        let arrivals = Arrivals::default();
        let body = "[{\"primaryKeys\":[\"7\",\"8\"]},{\"primaryKeys\":[\"7\"]}]";
        let request = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let sink = Sink::open(([127, 0, 0, 1], 0).into(), &arrivals).expect("a free port");
        let address = sink.address;
        let mut kept = TcpStream::connect(address).expect("it listens");
        kept.write_all(request.as_bytes()).expect("it reads");
        let mut status = [0; 12];
        kept.read_exact(&mut status).expect("it answers");
        assert_eq!(&status, b"HTTP/1.1 200");
        assert_eq!(arrivals.lock().expect("no panic")[&7].1, 2);
        sink.close();
        assert!(TcpStream::connect(address).is_err());
        let _again = Sink::open(address, &arrivals).expect("the port is free again");
        assert!(TcpStream::connect(address).is_ok());
        assert_eq!((count_below(&arrivals, 8), count_below(&arrivals, 9)), (1, 2));
    }
}
