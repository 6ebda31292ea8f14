//! Load above the gateway's capacity: how much of it is answered, and how fast.
//!
//! Invariants: a round first finds the peak in closed loop, then offers a multiple of it in open loop, over enough
//! connections that only the server decides what waits. Latencies of answers that are not refusals count from the
//! moment the request fell due.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context as _;

use super::cases::{Case, overload};
use super::report::Spread;
use super::{Options, measure};
use crate::compare::processes::Fleet;
use crate::load::Report;

/// The offered load, in multiples of the peak.
const TIMES_PEAK: f64 = 3.0;
/// The number of connections that reach the peak.
const CONNECTIONS_AT_PEAK: usize = 64;
/// The number of connections for the load above the peak.
const CONNECTIONS_ABOVE: usize = 2048;

/// The figures of one round.
struct Round {
    peak: f64,
    goodput: f64,
    refused: f64,
    refused_at_peak: f64,
    p99_ms_at_peak: f64,
    p99_ms_above: f64,
    lateness_p99_ms: f64,
}

/// One row of the table.
type Figure = fn(&Round) -> f64;

/// Measures and prints. Fails when something cannot be started.
pub fn run(options: &Options, output: &mut dyn Write) -> anyhow::Result<()> {
    let gateway: PathBuf = options.gateway.clone().context("overload needs the gateway")?;
    let peak = overload(CONNECTIONS_AT_PEAK);
    let above = overload(CONNECTIONS_ABOVE);
    let fleet = Fleet::of_gateway(&peak, options, &gateway)?;
    let rounds: Vec<Round> = (0..options.rounds)
        .map(|_| round(&fleet, [&peak, &above], options))
        .collect::<anyhow::Result<_>>()?;
    let lines: [(&str, Figure); 8] = [
        ("peak, answers/s", |round| round.peak),
        ("goodput, answers/s", |round| round.goodput),
        ("goodput / peak", |round| round.goodput / round.peak),
        ("refused share", |round| round.refused),
        ("refused share at the peak", |round| round.refused_at_peak),
        ("p99 at the peak, ms", |round| round.p99_ms_at_peak),
        ("p99 of the admitted, ms", |round| round.p99_ms_above),
        ("lateness of the load, ms", |round| round.lateness_p99_ms),
    ];
    writeln!(
        output,
        "{TIMES_PEAK} x the peak offered over {CONNECTIONS_ABOVE} connections, {} rounds",
        rounds.len()
    )?;
    for (name, figure) in lines {
        let Spread { median, min, max } = Spread::of(rounds.iter().map(figure));
        writeln!(output, "{name:26} {median:9.2}  ({min:.2} to {max:.2})")?;
    }
    Ok(())
}

fn round(fleet: &Fleet, [peak, above]: [&Case; 2], options: &Options) -> anyhow::Result<Round> {
    let peer = fleet.peers.first().context("no gateway")?;
    let at_peak = measure::load(peer, peak, options, None)?;
    let rate = at_peak.requests_per_second * TIMES_PEAK;
    let report = measure::load(peer, above, options, Some(rate))?;
    Ok(Round {
        peak: at_peak.requests_per_second,
        goodput: report.requests_per_second,
        refused: share_refused(&report),
        refused_at_peak: share_refused(&at_peak),
        p99_ms_at_peak: at_peak.answered.p99_us / 1000.0,
        p99_ms_above: report.answered.p99_us / 1000.0,
        lateness_p99_ms: report.lateness_p99_us / 1000.0,
    })
}

fn share_refused(report: &Report) -> f64 {
    report.failures as f64 / (report.failures + report.requests).max(1) as f64
}
