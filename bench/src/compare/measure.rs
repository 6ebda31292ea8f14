//! One window: load from a process of its own, and the kernel's counters of the process under test before and after.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::Serialize;

use super::cases::Case;
use crate::compare::processes::Peer;
use crate::compare::{Options, processes};
use crate::load::{Latency, Report};
use crate::process::{Guard, find_program};

/// The figures of one peer in one window.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Figures {
    /// User and system time of the process under test divided by answers, both including the warm-up.
    pub cpu_us_per_request: f64,
    /// The share of one core that the process under test used, 0 to 1 (above 1 with several threads).
    pub busy: f64,
    pub requests_per_second: f64,
    pub latency: Latency,
    pub context_switches_per_request: f64,
    /// At the end of the window, in KiB.
    pub resident_kib: u64,
    /// See `load::Report`.
    pub unanswered: u64,
    pub lateness_p99_us: f64,
}

/// Runs one window against `peer`: closed loop, or open loop at `rate` requests a second.
/// Fails when any request failed.
pub(super) fn window(
    peer: &Peer,
    case: &Case,
    options: &Options,
    rate: Option<f64>,
) -> anyhow::Result<Figures> {
    let (figures, report) = observe(peer, case, options, rate)?;
    check(&report, peer)?;
    Ok(figures)
}

/// Like `window`, but accepts any answers; also returns the load's own report.
pub(super) fn observe(
    peer: &Peer,
    case: &Case,
    options: &Options,
    rate: Option<f64>,
) -> anyhow::Result<(Figures, Report)> {
    let before = peer.process.counters()?;
    let report = load(peer, case, options, rate)?;
    let after = peer.process.counters()?;
    let requests = report.requests as f64;
    let cpu = (after.cpu - before.cpu).as_secs_f64();
    // A thread that ended in between no longer counts its switches.
    let switches = after.context_switches.saturating_sub(before.context_switches);
    let figures = Figures {
        cpu_us_per_request: cpu * 1e6 / requests,
        busy: cpu / (options.warm_up + options.window).as_secs_f64(),
        requests_per_second: report.requests_per_second,
        latency: report.latency,
        context_switches_per_request: switches as f64 / requests,
        resident_kib: after.resident_kib,
        unanswered: report.unanswered,
        lateness_p99_us: report.lateness_p99_us,
    };
    Ok((figures, report))
}

/// The load of one window, whatever the answers are.
pub(super) fn load(peer: &Peer, case: &Case, options: &Options, rate: Option<f64>) -> anyhow::Result<Report> {
    let (program, arguments) = load_command(peer, case, options, rate)?;
    let errors = peer.folder.join("load.log");
    let load = Guard::start("load", options.core_others(), &program, &arguments, &errors)?;
    finish(load, &errors)
}

/// System calls per answer, counted by `perf` in one closed-loop window. `None` where perf is missing or may not count.
pub(super) fn syscalls_per_request(
    peer: &Peer,
    case: &Case,
    options: &Options,
) -> anyhow::Result<Option<f64>> {
    let Some(perf) = find_program("perf") else { return Ok(None) };
    let (program, load_arguments) = load_command(peer, case, options, None)?;
    let counted = peer.folder.join("perf.csv");
    let process = peer.process.id().to_string();
    let fixed = ["stat", "-x", ",", "-e", "raw_syscalls:sys_enter", "-p", &process, "-o"];
    let mut arguments: Vec<String> = fixed.iter().map(ToString::to_string).collect();
    arguments.extend([counted.display().to_string(), "--".to_owned(), program.display().to_string()]);
    arguments.extend(load_arguments);
    let errors = peer.folder.join("perf.log");
    let load = Guard::start("perf", options.core_others(), &perf, &arguments, &errors)?;
    let Ok(report) = finish(load, &errors) else { return Ok(None) };
    check(&report, peer)?;
    let text = std::fs::read_to_string(&counted).unwrap_or_default();
    let count = text.lines().find(|line| line.contains("sys_enter")).and_then(|line| line.split(',').next());
    let count: Option<f64> = count.and_then(|count| count.parse().ok());
    Ok(count.map(|count| count / report.requests as f64))
}

fn load_command(
    peer: &Peer,
    case: &Case,
    options: &Options,
    rate: Option<f64>,
) -> anyhow::Result<(PathBuf, Vec<String>)> {
    let program = std::env::current_exe().context("finding the running executable")?;
    // The body of a large write is too long for an argument, so it goes into a file.
    let body = peer.folder.join("body.json");
    std::fs::write(&body, processes::body(case)).context("writing the request's body")?;
    let mut arguments: Vec<String> = [
        "load",
        "--target",
        &peer.address.to_string(),
        "--path",
        processes::path(case),
        "--body",
        &format!("@{}", body.display()),
        "--connections",
        &case.connections.to_string(),
        "--seconds",
        &options.window.as_secs_f64().to_string(),
        "--warm-up",
        &options.warm_up.as_secs_f64().to_string(),
    ]
    .map(ToOwned::to_owned)
    .into();
    if case.tls {
        arguments.extend(["--trust".to_owned(), processes::certificate(&peer.folder).display().to_string()]);
    }
    if let Some(key) = peer.key {
        arguments.extend(["--key".to_owned(), key.to_owned()]);
    }
    if let Some(rate) = rate {
        arguments.extend(["--rate".to_owned(), rate.to_string()]);
    }
    Ok((program, arguments))
}

fn finish(load: Guard, errors: &Path) -> anyhow::Result<Report> {
    let (status, text) = load.output()?;
    if !status.success() {
        bail!("the load ended with {status}: {}", std::fs::read_to_string(errors).unwrap_or_default());
    }
    serde_json::from_str(&text).with_context(|| format!("the load reported {text:?}"))
}

fn check(report: &Report, peer: &Peer) -> anyhow::Result<()> {
    if report.failures > 0 {
        let what = report.failure.as_deref().unwrap_or("without a reason");
        bail!("{} of {} requests to {} failed: {what}", report.failures, report.requests, peer.name);
    }
    if report.requests == 0 {
        bail!("{} answered nothing", peer.name);
    }
    Ok(())
}
