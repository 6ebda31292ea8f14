//! The cost of ten thousand connections, most of them idle at any moment, compared with the few that the load needs.
//!
//! Invariants: both windows of a round have the same rate, half of the peak, so they differ only in connections;
//! resident memory is read while all connections are open and after all have been used.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context as _;

use super::cases::{Case, crowd};
use super::measure::Figures;
use super::report::Spread;
use super::{Options, measure};
use crate::compare::processes::Fleet;
use crate::load::Report;

const FEW: usize = 64;
const MANY: usize = 10_000;

/// One row of the table.
type Figure = fn(&(Figures, Report)) -> f64;

/// Measures and prints. Tolerates refusals while a storm of connections lasts. Fails when something cannot be started.
pub fn run(options: &Options, output: &mut dyn Write) -> anyhow::Result<()> {
    let gateway: PathBuf = options.gateway.clone().context("a crowd needs the gateway")?;
    let (few, many) = (crowd(FEW), crowd(MANY));
    let fleet = Fleet::of_gateway(&few, options, &gateway)?;
    let peer = fleet.peers.first().context("no gateway")?;
    let peak = measure::window(peer, &few, options, None)?.requests_per_second;
    let rate = options.rate.unwrap_or((peak / 2.0).round());
    let window = |case: &Case| measure::observe(peer, case, options, Some(rate));
    let mut figures = [Vec::new(), Vec::new()];
    for _ in 0..options.rounds {
        figures[0].push(window(&few)?);
        figures[1].push(window(&many)?);
    }
    let lines: [(&str, Figure); 6] = [
        ("CPU us a search", |(figures, _)| figures.cpu_us_per_request),
        ("p50, ms", |(_, report)| report.answered.p50_us / 1000.0),
        ("p99, ms", |(_, report)| report.answered.p99_us / 1000.0),
        ("refused, per thousand", |(_, report)| {
            1000.0 * report.failures as f64 / (report.failures + report.requests) as f64
        }),
        ("lateness of the load, ms", |(figures, _)| figures.lateness_p99_us / 1000.0),
        ("resident, MiB", |(figures, _)| figures.resident_kib as f64 / 1024.0),
    ];
    writeln!(output, "{rate} searches a second over {FEW} and over {MANY} connections")?;
    writeln!(output, "resident before the first: {} MiB", peer.idle_resident_kib / 1024)?;
    for (name, figure) in lines {
        let [few, many] = [0, 1].map(|side: usize| Spread::of(figures[side].iter().map(figure)));
        writeln!(
            output,
            "{name:26} {:9.2} ({:.2} to {:.2}) {:9.2} ({:.2} to {:.2})",
            few.median, few.min, few.max, many.median, many.min, many.max
        )?;
    }
    Ok(())
}
