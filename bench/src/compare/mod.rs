//! The comparison: canned nodes, the gateway and its peers, measured in interleaved rounds.
//!
//! Invariants: every peer gives the right answer before its case is measured. In each round every peer is measured
//! once, and a different one comes first. A failed request fails the comparison, because figures of wrong answers mean
//! nothing. All child processes have ended when it returns.

pub(crate) mod cases;
pub mod crowd;
pub mod ingest;
pub(crate) mod measure;
pub mod overload;
pub(crate) mod processes;
pub(crate) mod report;
pub mod scale;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::compare::processes::{Fleet, Peer};
pub use cases::{CASES, Case};
use measure::Figures;
pub use report::Spread;

/// The options of a comparison.
#[derive(Clone, Debug)]
pub struct Options {
    /// The gateway's executable; `None` omits it.
    pub gateway: Option<PathBuf>,
    /// Measured rounds per case; at least 1.
    pub rounds: usize,
    /// Length of one window. Each round has a closed-loop and an open-loop window per peer.
    pub window: Duration,
    /// Unrecorded time before each window.
    pub warm_up: Duration,
    /// Only cases whose name contains one of these; empty means all.
    pub cases: Vec<String>,
    /// The JSON-lines file to append to; `None` for no history.
    pub history: Option<PathBuf>,
    /// Whether to run the process under test on core 0 and everything else on core 1.
    pub pinned: bool,
    /// Requests a second of the open loop; by default half of the slowest peer's peak.
    pub rate: Option<f64>,
}

impl Options {
    /// The core of the process under test.
    fn core_tested(&self) -> Option<usize> {
        self.pinned.then_some(0)
    }

    /// The core of the nodes and the load.
    fn core_others(&self) -> Option<usize> {
        self.pinned.then_some(1)
    }
}

/// All figures of one peer in one case.
pub struct Measured {
    pub name: &'static str,
    /// Resident memory after the start and before the first request, in KiB.
    pub idle_resident_kib: u64,
    /// One entry per round.
    pub closed: Vec<Figures>,
    /// One entry per round.
    pub open: Vec<Figures>,
    /// Measured in a window of its own, because counting slows the process down.
    pub syscalls_per_request: Option<f64>,
}

/// Runs the chosen cases, prints a table for each and appends them to the history.
pub fn run(options: &Options, output: &mut dyn std::io::Write) -> anyhow::Result<()> {
    let chosen: Vec<&Case> = CASES.iter().filter(|case| case.is_chosen(&options.cases)).collect();
    if chosen.is_empty() {
        bail!("no case is called so; there are: {}", CASES.map(|case| case.name).join(", "));
    }
    if options.rounds == 0 {
        bail!("at least one round is needed");
    }
    let cores = std::thread::available_parallelism()?.get();
    if options.pinned && cores < 2 {
        bail!("pinning needs two cores and there is one: measure with --unpinned");
    }
    report::write_preface(options, output)?;
    for case in chosen {
        let (rate, measured) = run_case(case, options).with_context(|| format!("case {}", case.name))?;
        report::write_table(case, rate, &measured, output)?;
        if let Some(history) = &options.history {
            let line = report::history_line(case, rate, &measured, options)?;
            let mut file = OpenOptions::new().create(true).append(true).open(history);
            let file =
                file.as_mut().map_err(|problem| anyhow::anyhow!("{}: {problem}", history.display()))?;
            writeln!(file, "{line}")?;
        }
    }
    Ok(())
}

/// Starts a case's processes, checks them, and measures them. Returns the open loop's rate and the figures.
fn run_case(case: &Case, options: &Options) -> anyhow::Result<(f64, Vec<Measured>)> {
    let fleet = Fleet::start(case, options)?;
    for peer in &fleet.peers {
        peer.check(case).with_context(|| format!("checking the answer of {}", peer.name))?;
    }
    // The first, unrecorded round warms every peer up and finds a rate that all of them can sustain.
    let mut slowest = f64::INFINITY;
    for peer in &fleet.peers {
        slowest = slowest.min(measure::window(peer, case, options, None)?.requests_per_second);
    }
    let rate = options.rate.unwrap_or((slowest / 2.0).max(1.0).round());
    let mut measured: Vec<Measured> = fleet
        .peers
        .iter()
        .map(|peer| Measured {
            name: peer.name,
            idle_resident_kib: peer.idle_resident_kib,
            closed: Vec::new(),
            open: Vec::new(),
            syscalls_per_request: None,
        })
        .collect();
    let count = fleet.peers.len();
    for round in 0..options.rounds {
        for turn in 0..count {
            let index = (round + turn) % count;
            let peer: &Peer = &fleet.peers[index];
            measured[index].closed.push(measure::window(peer, case, options, None)?);
            measured[index].open.push(measure::window(peer, case, options, Some(rate))?);
        }
    }
    for (peer, measured) in fleet.peers.iter().zip(&mut measured) {
        measured.syscalls_per_request = measure::syscalls_per_request(peer, case, options)?;
    }
    Ok((rate, measured))
}
