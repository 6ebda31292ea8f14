//! The load generator: keep-alive HTTP/1.1 over a fixed number of connections, on threads of its own.
//!
//! Closed loop: every connection sends as soon as it has its answer; this measures a server's capacity. Open loop:
//! requests fall due at random moments with a given mean rate, whatever the server does. Latency counts from the due
//! moment, so a stall delays all requests due in it (no coordinated omission).

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::client;
use crate::load_worker::{self, Plan};
use crate::wire::Trust;

/// What to send, to which server, how often and for how long.
#[derive(Clone, Debug)]
pub struct Options {
    pub target: SocketAddr,
    /// Speaks TLS and trusts only servers with this certificate.
    pub trust: Option<Trust>,
    pub path: String,
    /// The JSON body of the POST requests.
    pub body: String,
    /// Bearer token.
    pub key: Option<String>,
    /// Connections over all threads; at least `threads`.
    pub connections: usize,
    pub threads: usize,
    /// Requests a second over all threads; `None` is the closed loop.
    pub rate: Option<f64>,
    /// Time at the start without recorded latencies.
    pub warm_up: Duration,
    /// Recorded time after the warm-up.
    pub duration: Duration,
}

/// The result of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Answers with status 200 or 202 over the whole run, including the warm-up.
    pub requests: u64,
    /// Other answers and broken connections over the whole run.
    pub failures: u64,
    /// The description of the first failure.
    pub failure: Option<String>,
    /// Requests that fell due but were not sent or not answered when the run ended. The latencies include each with the
    /// time it had waited.
    pub unanswered: u64,
    /// Answers a second in the recorded time.
    pub requests_per_second: f64,
    pub latency: Latency,
    /// Only of answers with status 200 or 202.
    pub answered: Latency,
    /// How late the generator itself sent requests for which a connection was idle: 99th percentile, in microseconds.
    /// When it nears the latencies, these say more about the generator. Zero in closed loop.
    pub lateness_p99_us: f64,
}

/// Percentiles in microseconds.
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

/// Runs the load and waits for its end. Fails when a connection cannot be made or the server's answers cannot be
/// parsed. Answers with a wrong status are counted instead.
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
            trust: options.trust.clone(),
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
        total.answered.add(&outcome.answered)?;
        total.lateness.add(&outcome.lateness)?;
    }
    Ok(Report {
        requests: total.requests,
        failures: total.failures,
        failure: total.failure,
        unanswered: total.unanswered,
        requests_per_second: total.recorded as f64 / options.duration.as_secs_f64(),
        latency: Latency::of(&total.latency),
        answered: Latency::of(&total.answered),
        lateness_p99_us: Latency::of(&total.lateness).p99_us,
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    /// A server that answers every receive with `answer`. It lives until the test process ends.
    fn server(answer: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                std::thread::spawn(move || {
                    let mut request = [0; 4096];
                    while stream.read(&mut request).is_ok_and(|received| received > 0) {
                        if stream.write_all(answer).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        address
    }

    fn check(answer: &'static [u8], rate: Option<f64>, expected: impl Fn(&Report) -> bool) {
        let report = run(&Options {
            target: server(answer),
            trust: None,
            path: "/".to_owned(),
            body: "{}".to_owned(),
            key: None,
            connections: 3,
            threads: 2,
            rate,
            warm_up: Duration::ZERO,
            duration: Duration::from_millis(200),
        })
        .expect("the load runs");
        assert!(expected(&report), "{report:?}");
    }

    const GOOD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

    #[test]
    fn both_loops_count_good_answers() {
        let good =
            |report: &Report| report.requests > 0 && report.failures == 0 && report.latency.p50_us > 0.0;
        check(GOOD, None, good);
        check(GOOD, Some(500.0), good);
    }

    #[test]
    fn other_answers_are_failures_with_their_text() {
        let bad = b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy";
        let expected = |report: &Report| {
            report.requests == 0
                && report.failures > 0
                && report.failure.as_deref().is_some_and(|text| text.contains("503") && text.contains("busy"))
        };
        check(bad, Some(200.0), expected);
    }

    #[test]
    fn a_stalled_server_is_felt_by_every_due_request() {
        // Three connections can carry three requests, but about a hundred fall due. A generator that waits for its
        // answers would record three. Every request has waited for at least the two seconds of the drain.
        let expected = |report: &Report| {
            report.requests == 0 && report.unanswered > 50 && report.latency.p50_us >= 2_000_000.0
        };
        check(b"", Some(500.0), expected);
    }
}
