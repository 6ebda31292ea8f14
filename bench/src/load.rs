//! The load generator: keep-alive HTTP/1.1 over a fixed number of connections, on threads of its own.
//!
//! Closed loop: every connection sends as soon as it has its answer; measures what a server can take.
//! Open loop: requests fall due at random moments of a given mean rate, whatever the server does, and
//! latency counts from the due moment, so a stall is felt by all requests it delays (no coordinated omission).

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::client;
use crate::load_worker::{self, Plan};

/// What to send, where, how often and for how long.
#[derive(Clone, Debug)]
pub struct Options {
    pub target: SocketAddr,
    pub path: String,
    /// JSON sent with POST.
    pub body: String,
    /// Bearer token.
    pub key: Option<String>,
    /// Over all threads; at least `threads`.
    pub connections: usize,
    pub threads: usize,
    /// Requests a second over all threads; `None` is the closed loop.
    pub rate: Option<f64>,
    /// The time at the start whose latencies are not recorded.
    pub warm_up: Duration,
    /// The recorded time after the warm-up.
    pub duration: Duration,
}

/// What came of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Answers of status 200 over the whole run, warm-up included.
    pub requests: u64,
    /// Other answers and broken connections over the whole run.
    pub failures: u64,
    /// What the first failure said.
    pub failure: Option<String>,
    /// Requests that fell due and were neither sent nor answered when the run was cut off; each is in the
    /// latencies with the time it had waited.
    pub unanswered: u64,
    /// Answers a second in the recorded time.
    pub requests_per_second: f64,
    pub latency: Latency,
    /// How late the generator itself sent requests for which a connection stood idle, 99th percentile, in
    /// microseconds; when it nears the latencies, these say more about the generator. Zero in closed loop.
    pub lateness_p99_us: f64,
}

/// Microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Latency {
    pub p50_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub max_us: f64,
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile: f64| histogram.value_at_quantile(quantile) as f64 / 1000.0;
        Self {
            p50_us: at(0.5),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: histogram.max() as f64 / 1000.0,
        }
    }
}

/// Runs the load and waits for its end. Fails when a connection cannot be made or the answers of the server
/// cannot be parsed; answers of a wrong status are counted instead.
pub fn run(options: &Options) -> anyhow::Result<Report> {
    if options.threads == 0 || options.connections < options.threads {
        bail!("{} connections do not fill {} threads", options.connections, options.threads);
    }
    if options.rate.is_some_and(|rate| !rate.is_finite() || rate <= 0.0) {
        bail!("the rate must be above zero");
    }
    let request = client::request_bytes("POST", &options.path, options.key.as_deref(), &options.body);
    let plans: Vec<Plan> = (0..options.threads)
        .map(|thread| Plan {
            target: options.target,
            request: request.clone().into_bytes(),
            connections: options.connections / options.threads
                + usize::from(thread < options.connections % options.threads),
            rate: options.rate.map(|rate| rate / options.threads as f64),
            seed: thread as u64,
            warm_up: options.warm_up,
            duration: options.duration,
        })
        .collect();
    let outcomes = std::thread::scope(|scope| {
        let threads: Vec<_> = plans.iter().map(|plan| scope.spawn(|| load_worker::run(plan))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().ok().context("a load thread panicked")?)
            .collect::<anyhow::Result<Vec<_>>>()
    })?;
    let (first, others) = outcomes.split_first().context("no load thread")?;
    let mut total = first.clone();
    for outcome in others {
        total.requests += outcome.requests;
        total.recorded += outcome.recorded;
        total.failures += outcome.failures;
        total.unanswered += outcome.unanswered;
        total.failure = total.failure.take().or_else(|| outcome.failure.clone());
        total.latency.add(&outcome.latency)?;
        total.lateness.add(&outcome.lateness)?;
    }
    Ok(Report {
        requests: total.requests,
        failures: total.failures,
        failure: total.failure,
        unanswered: total.unanswered,
        requests_per_second: total.recorded as f64 / options.duration.as_secs_f64(),
        latency: Latency::of(&total.latency),
        lateness_p99_us: Latency::of(&total.lateness).p99_us,
    })
}
