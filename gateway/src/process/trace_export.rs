//! Hands finished traces to a collector, as OTLP over HTTP in JSON, on a thread of its own.
//!
//! Invariant: a collector that is slow or away costs traces, which are counted, and nothing else.

use std::{
    io,
    time::{Duration, Instant},
};

use crossbeam::channel::Receiver;

use crate::{
    config::limits,
    observe::{
        log,
        spans::{self, Finished, Tracer},
    },
};

/// Starts the thread that hands traces to the collector at `endpoint`.
///
/// # Errors
/// When the thread cannot start.
pub(crate) fn start(endpoint: &str, share: f64, pod: &str) -> io::Result<Tracer> {
    let (tracer, finished) = Tracer::new(share, limits::TRACES_WAITING_MAX, limits::SPANS_PER_TRACE_MAX);
    let (url, pod) = (format!("{endpoint}/v1/traces"), pod.to_owned());
    std::thread::Builder::new().name("traces".to_owned()).spawn(move || export(&url, &pod, &finished))?;
    Ok(tracer)
}

/// Sends traces until nobody makes any more.
fn export(url: &str, pod: &str, finished: &Receiver<Finished>) {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(limits::TRACES_SEND_TIMEOUT))
        .max_redirects(0)
        .proxy(None)
        .build()
        .into();
    let mut warned_at: Option<Instant> = None;
    while let Ok(first) = finished.recv() {
        let traces = gather(first, finished, limits::TRACES_WAIT);
        let count = traces.len();
        if let Err(error) = agent.post(url).send_json(spans::export(traces, pod)) {
            metrics::counter!("miroir_traces_dropped_total").increment(count as u64);
            if warned_at.is_none_or(|at| at.elapsed() >= limits::TRACES_WARNED_EVERY) {
                warned_at = Some(Instant::now());
                log::warn("traces_not_taken", &[("collector", url), ("reason", &error.to_string())]);
            }
        }
    }
}

/// The first trace and those that come within `wait`, up to as many as go together.
fn gather(first: Finished, finished: &Receiver<Finished>, wait: Duration) -> Vec<Finished> {
    let until = Instant::now() + wait;
    let mut traces = vec![first];
    while traces.len() < limits::TRACES_TOGETHER_MAX
        && let Ok(next) = finished.recv_deadline(until)
    {
        traces.push(next);
    }
    traces
}
