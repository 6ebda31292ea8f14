//! Writes: one node alone compared with a gateway in front of nodes of the same kind, in one run.
//!
//! Invariants: counted documents have been indexed (every task succeeded) or, for single documents, acknowledged. Both
//! sides get the same documents over equally many kept connections, in turns, each with a data folder of its own.

use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::real_nodes::{BATCH, Connection, Server, batches_of, document};

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
    let alone = Server::node("one node", &options.node, folder.path())?;
    let sides = [
        alone,
        Server::cluster(
            options.nodes,
            options.replication_factor,
            (&options.gateway, &options.node),
            folder.path(),
        )?,
    ];
    let mut figures = [Figures::default(), Figures::default()];
    let mut next = 0;
    for side in &sides {
        side.make_index()?;
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
            side.name(),
            row[0],
            row[1],
            options.connections,
            row[2]
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

/// Documents a second, from the first request to the end of the last task.
fn batches(side: &Server, options: &Options, first: u64) -> anyhow::Result<f64> {
    let count = BATCH * options.batches as u64;
    let bodies = batches_of(first, count).collect::<Vec<_>>();
    let started = Instant::now();
    let mut connection = Connection::open(side.address())?;
    for body in &bodies {
        connection.write(body)?;
    }
    side.await_tasks()?;
    Ok(count as f64 / started.elapsed().as_secs_f64())
}

/// Acknowledged documents a second, each in a request of its own, and the median latency in milliseconds.
fn singles(side: &Server, options: &Options, first: u64) -> anyhow::Result<(f64, f64)> {
    let next = AtomicU64::new(first + 500_000);
    let started = Instant::now();
    let times = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..options.connections)
            .map(|_| {
                scope.spawn(|| -> anyhow::Result<Vec<f64>> {
                    let mut connection = Connection::open(side.address())?;
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
    side.await_tasks()?;
    Ok((times.len() as f64 / elapsed, median(times)))
}
