//! The output of a comparison: a table per case for people, a JSON line per case for the history.

use std::io::Write;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::cases::Case;
use super::measure::Figures;
use super::{Measured, Options};

/// Median and range over the rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

/// The peers to which the others are compared.
const YARDSTICKS: [&str; 3] = ["haproxy", "scatter-hyper", "scatter-monoio"];

/// How this executable was compiled: SIMD is chosen at compile time and decides what a merge costs.
const BUILD: &str = if cfg!(debug_assertions) {
    "unoptimised"
} else if cfg!(target_feature = "avx2") {
    "optimised, with AVX2"
} else {
    "optimised, portable"
};

impl Spread {
    /// Of at least one value; all zero when there is none.
    pub fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_unstable_by(f64::total_cmp);
        let (Some(min), Some(max)) = (values.first(), values.last()) else {
            return Self { median: 0.0, min: 0.0, max: 0.0 };
        };
        let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        Self { median: (low + high) / 2.0, min: *min, max: *max }
    }
}

impl Measured {
    fn cpu(&self) -> Spread {
        Spread::of(self.closed.iter().map(|figures| figures.cpu_us_per_request))
    }
}

/// Prints what was measured on which machine.
pub(super) fn write_preface(options: &Options, output: &mut dyn Write) -> anyhow::Result<()> {
    let machine = machine();
    writeln!(output, "{} cores of {}, Linux {}", machine.cores, machine.processor, machine.kernel)?;
    writeln!(output, "yardsticks built {BUILD}; compare only with a gateway built the same way")?;
    let placing = if options.pinned {
        "process under test pinned to core 0; nodes and load pinned to core 1"
    } else {
        "nothing pinned"
    };
    writeln!(output, "{placing}; load average at start {}", machine.load_average)?;
    writeln!(
        output,
        "{} interleaved rounds, windows of {:?} after {:?}; median (min-max)\n",
        options.rounds, options.window, options.warm_up
    )?;
    Ok(())
}

/// Prints one case.
pub(super) fn write_table(
    case: &Case,
    rate: f64,
    measured: &[Measured],
    output: &mut dyn Write,
) -> anyhow::Result<()> {
    let shape = case.shape;
    writeln!(
        output,
        "{}: {} legs x {} hits x {} bytes, {} connections; open loop at {rate} requests/s",
        case.name, shape.legs, shape.hits, shape.document_bytes, case.connections
    )?;
    let mut header = ["", "CPU µs/request", "at open rate", "requests/s", "busy", "ctx/req", "sys/req"]
        .map(String::from)
        .to_vec();
    header.extend(
        ["closed p50 ms", "p99", "open p50 ms", "p99", "p99.9", "RSS idle MiB", "RSS"].map(String::from),
    );
    let yardsticks: Vec<&Measured> =
        YARDSTICKS.iter().filter_map(|name| measured.iter().find(|peer| peer.name == *name)).collect();
    header.extend(yardsticks.iter().map(|yardstick| format!("CPU / {}", yardstick.name)));
    let mut rows = vec![header];
    rows.extend(measured.iter().map(|peer| row(peer, &yardsticks)));
    write_aligned(&rows, output)?;
    for peer in measured {
        let unanswered: u64 = peer.open.iter().map(|figures| figures.unanswered).sum();
        if unanswered > 0 {
            writeln!(output, "  {}: {unanswered} open-loop requests were not answered in time", peer.name)?;
        }
    }
    let lateness = measured
        .iter()
        .flat_map(|peer| &peer.open)
        .map(|figures| figures.lateness_p99_us)
        .fold(0.0, f64::max);
    writeln!(
        output,
        "  the open-loop generator itself was at most {lateness:.0} µs late (p99 of the worst window)\n"
    )?;
    Ok(())
}

fn row(peer: &Measured, yardsticks: &[&Measured]) -> Vec<String> {
    let spread = |windows: &[Figures], value: fn(&Figures) -> f64| Spread::of(windows.iter().map(value));
    let range = |spread: Spread, digits: usize| {
        format!("{:.digits$} ({:.digits$}-{:.digits$})", spread.median, spread.min, spread.max)
    };
    let median = |windows: &[Figures], digits: usize, value: fn(&Figures) -> f64| {
        format!("{:.digits$}", spread(windows, value).median)
    };
    let mut cells = vec![
        peer.name.to_owned(),
        range(peer.cpu(), 1),
        median(&peer.open, 1, |figures| figures.cpu_us_per_request),
        range(spread(&peer.closed, |figures| figures.requests_per_second), 0),
        median(&peer.closed, 2, |figures| figures.busy),
        median(&peer.closed, 2, |figures| figures.context_switches_per_request),
        peer.syscalls_per_request.map_or("-".to_owned(), |count| format!("{count:.2}")),
        median(&peer.closed, 2, |figures| figures.latency.p50_us / 1000.0),
        median(&peer.closed, 2, |figures| figures.latency.p99_us / 1000.0),
        median(&peer.open, 2, |figures| figures.latency.p50_us / 1000.0),
        median(&peer.open, 2, |figures| figures.latency.p99_us / 1000.0),
        median(&peer.open, 2, |figures| figures.latency.p999_us / 1000.0),
        format!("{:.1}", peer.idle_resident_kib as f64 / 1024.0),
        median(&peer.closed, 1, |figures| figures.resident_kib as f64 / 1024.0),
    ];
    let own = peer.cpu().median;
    cells.extend(yardsticks.iter().map(|yardstick| format!("{:.2}", own / yardstick.cpu().median)));
    cells
}

/// Aligns names to the left and figures to the right.
fn write_aligned(rows: &[Vec<String>], output: &mut dyn Write) -> anyhow::Result<()> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let mut line = String::from(" ");
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            line.push_str(&if column == 0 {
                format!(" {cell:<width$}")
            } else {
                format!("  {cell:>width$}")
            });
        }
        writeln!(output, "{line}")?;
    }
    Ok(())
}

/// One case as one line of JSON, without a line end.
pub(super) fn history_line(
    case: &Case,
    rate: f64,
    measured: &[Measured],
    options: &Options,
) -> anyhow::Result<String> {
    let now = time::OffsetDateTime::now_utc().format(&time::format_description::well_known::Rfc3339)?;
    let peers: Map<String, Value> = measured
        .iter()
        .map(|peer| {
            let figures = json!({
                "idle_resident_kib": peer.idle_resident_kib,
                "syscalls_per_request": peer.syscalls_per_request,
                "closed": windows(&peer.closed),
                "open": windows(&peer.open),
            });
            (peer.name.to_owned(), figures)
        })
        .collect();
    let shape = case.shape;
    let line = json!({
        "time": now,
        "commit": commit(),
        "case": case.name,
        "legs": shape.legs, "hits": shape.hits, "document_bytes": shape.document_bytes,
        "connections": case.connections, "copies": case.copies, "gateway": case.gateway,
        "pinned": options.pinned, "rounds": options.rounds, "window_s": options.window.as_secs_f64(),
        "open_rate": rate,
        "build": BUILD,
        "machine": machine(),
        "peers": peers,
    });
    Ok(line.to_string())
}

fn windows(windows: &[Figures]) -> Value {
    let spread = |value: fn(&Figures) -> f64| Spread::of(windows.iter().map(value));
    json!({
        "cpu_us_per_request": spread(|figures| figures.cpu_us_per_request),
        "busy": spread(|figures| figures.busy),
        "requests_per_second": spread(|figures| figures.requests_per_second),
        "context_switches_per_request": spread(|figures| figures.context_switches_per_request),
        "resident_kib": spread(|figures| figures.resident_kib as f64),
        "p50_us": spread(|figures| figures.latency.p50_us),
        "p99_us": spread(|figures| figures.latency.p99_us),
        "p999_us": spread(|figures| figures.latency.p999_us),
        "max_us": spread(|figures| figures.latency.max_us),
        "lateness_p99_us": spread(|figures| figures.lateness_p99_us),
        "unanswered": windows.iter().map(|figures| figures.unanswered).sum::<u64>(),
    })
}

#[derive(Serialize)]
struct Machine {
    cores: usize,
    processor: String,
    kernel: String,
    /// Over one minute, including other processes' work.
    load_average: String,
}

fn machine() -> Machine {
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let processor = processors.lines().find(|line| line.starts_with("model name"));
    Machine {
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        processor: processor
            .and_then(|line| line.split_once(": "))
            .map_or("unknown", |(_, name)| name)
            .to_owned(),
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        load_average: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
    }
}

/// The commit checked out in the working folder, when there is one.
fn commit() -> Option<String> {
    let output = std::process::Command::new("git").args(["rev-parse", "--short", "HEAD"]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_take_the_middle() {
        for (values, median, min, max) in [
            (vec![], 0.0, 0.0, 0.0),
            (vec![3.0], 3.0, 3.0, 3.0),
            (vec![9.0, 1.0, 2.0], 2.0, 1.0, 9.0),
            (vec![4.0, 1.0, 2.0, 9.0], 3.0, 1.0, 9.0),
        ] {
            assert_eq!(Spread::of(values.into_iter()), Spread { median, min, max });
        }
    }
}
