//! One thread of the load generator: an epoll loop over its own connections.
//!
//! Invariants: at most one request is in flight per connection; requests are sent in due order on the connection that
//! has been idle longest; every due request ends as answered, failed or unanswered.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;
use rustix::net::RecvFlags;

use crate::client::answer_frame;
use crate::wire::{Trust, Wire};

/// How long the worker waits for answers after the last request fell due.
const DRAIN_MAX: Duration = Duration::from_secs(2);
const LATENCY_MAX: Duration = Duration::from_secs(60);
const RECEIVE_BYTES: usize = 64 << 10;
const EVENTS_MAX: usize = 256;

/// One thread's share of the load.
pub(crate) struct Plan {
    pub(crate) target: SocketAddr,
    /// For TLS: the trusted certificate.
    pub(crate) trust: Option<Trust>,
    pub(crate) request: Vec<u8>,
    pub(crate) connections: usize,
    pub(crate) rate: Option<f64>,
    pub(crate) seed: u64,
    pub(crate) warm_up: Duration,
    pub(crate) duration: Duration,
}

/// One thread's share of the report. Histograms are in nanoseconds.
#[derive(Clone)]
pub(crate) struct Outcome {
    pub(crate) requests: u64,
    /// Answers that arrived in the recorded time.
    pub(crate) recorded: u64,
    pub(crate) failures: u64,
    pub(crate) failure: Option<String>,
    pub(crate) unanswered: u64,
    pub(crate) latency: Histogram<u64>,
    /// Only of answers that are no failures.
    pub(crate) answered: Histogram<u64>,
    pub(crate) lateness: Histogram<u64>,
}

/// Sends the plan's requests. Returns when the last is answered or given up.
pub(crate) fn run(plan: &Plan) -> anyhow::Result<Outcome> {
    // By default the kernel may wake sleepers 50 µs late, which open-loop latencies would show.
    rustix::thread::set_current_timer_slack(NonZeroU64::new(1)).context("setting the timer slack")?;
    Worker::connect(plan)?.run()
}

struct Worker<'a> {
    plan: &'a Plan,
    epoll: OwnedFd,
    connections: Vec<Connection>,
    idle: VecDeque<usize>,
    schedule: Schedule,
    record_from: Instant,
    record_until: Instant,
    outcome: Outcome,
    scratch: Vec<u8>,
}

struct Connection {
    wire: Wire,
    /// The moment from which the latency of the request in flight counts.
    due: Option<Instant>,
    received: Vec<u8>,
}

/// When the next request falls due.
struct Schedule {
    /// `None` is the closed loop: due as soon as a connection is idle.
    rate: Option<f64>,
    next: Instant,
    /// Since when the next request could have been sent: a connection became idle, or it fell due. Measures the
    /// generator's own lateness.
    idle_since: Instant,
    random: fastrand::Rng,
}

impl Schedule {
    /// Advances by an exponentially distributed pause: independent clients make a Poisson process.
    fn advance(&mut self, rate: f64) {
        let pause = -(1.0 - self.random.f64()).ln() / rate;
        self.next += Duration::from_secs_f64(pause);
    }
}

impl<'a> Worker<'a> {
    fn connect(plan: &'a Plan) -> anyhow::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut connections = Vec::with_capacity(plan.connections);
        for index in 0..plan.connections {
            connections.push(connect(plan, &epoll, index)?);
        }
        let start = Instant::now();
        let histogram = || Histogram::new_with_bounds(1, nanoseconds(LATENCY_MAX), 3);
        let mut schedule = Schedule {
            rate: plan.rate,
            next: start,
            idle_since: start,
            random: fastrand::Rng::with_seed(plan.seed),
        };
        if let Some(rate) = plan.rate {
            schedule.advance(rate);
        }
        Ok(Self {
            plan,
            epoll,
            idle: (0..connections.len()).collect(),
            connections,
            schedule,
            record_from: start + plan.warm_up,
            record_until: start + plan.warm_up + plan.duration,
            outcome: Outcome {
                requests: 0,
                recorded: 0,
                failures: 0,
                failure: None,
                unanswered: 0,
                latency: histogram()?,
                answered: histogram()?,
                lateness: histogram()?,
            },
            scratch: vec![0; RECEIVE_BYTES],
        })
    }

    fn run(mut self) -> anyhow::Result<Outcome> {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        let give_up = self.record_until + DRAIN_MAX;
        loop {
            let now = Instant::now();
            self.send_due(now)?;
            let all_sent = self.schedule_ended(now);
            if now >= give_up || (all_sent && self.idle.len() == self.connections.len()) {
                break;
            }
            let wake =
                if all_sent || self.idle.is_empty() { give_up } else { self.schedule.next.min(give_up) };
            let timeout = Timespec::try_from(wake.saturating_duration_since(Instant::now()))?;
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&timeout)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(problem) => return Err(problem).context("waiting for answers"),
            }
            for event in events.drain(..) {
                let index = usize::try_from(event.data.u64())?;
                self.receive(index)?;
            }
        }
        self.count_unanswered();
        Ok(self.outcome)
    }

    /// Whether no further request will fall due.
    fn schedule_ended(&self, now: Instant) -> bool {
        match self.schedule.rate {
            None => now >= self.record_until,
            Some(_) => self.schedule.next >= self.record_until,
        }
    }

    /// Sends due requests while there are idle connections.
    fn send_due(&mut self, now: Instant) -> anyhow::Result<()> {
        while !self.idle.is_empty() && !self.schedule_ended(now) {
            let due = match self.schedule.rate {
                None => Instant::now(),
                Some(_) if self.schedule.next > now => return Ok(()),
                Some(rate) => {
                    let due = self.schedule.next;
                    self.schedule.advance(rate);
                    let possible_from = due.max(self.schedule.idle_since);
                    let lateness = Instant::now().saturating_duration_since(possible_from);
                    self.outcome.lateness.saturating_record(nanoseconds(lateness));
                    due
                }
            };
            let Some(index) = self.idle.pop_front() else { return Ok(()) };
            let connection = &mut self.connections[index];
            connection.due = Some(due);
            if let Err(problem) = connection.wire.send(&self.plan.request) {
                self.fail(index, format!("sending: {problem}"))?;
            }
        }
        Ok(())
    }

    /// Reads what has arrived on one connection, and finishes its request when the answer is complete.
    fn receive(&mut self, index: usize) -> anyhow::Result<()> {
        let connection = &mut self.connections[index];
        match connection.wire.receive(&mut self.scratch, &mut connection.received, RecvFlags::DONTWAIT) {
            Ok(0) => return self.fail(index, "the server closed the connection".to_owned()),
            Ok(_) => {}
            Err(problem) if matches!(problem.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Ok(());
            }
            Err(problem) => return self.fail(index, format!("receiving: {problem}")),
        }
        let Some(frame) = answer_frame(&connection.received)? else { return Ok(()) };
        let length = frame.head_bytes + frame.body_bytes;
        if connection.received.len() < length {
            return Ok(());
        }
        let body = &connection.received[frame.head_bytes..];
        let failure = (!matches!(frame.status, 200 | 202))
            .then(|| format!("status {}: {}", frame.status, String::from_utf8_lossy(body)));
        connection.received.clear();
        let now = Instant::now();
        if let Some(due) = connection.due.take() {
            self.finish(due, now, failure);
        }
        if self.idle.is_empty() {
            self.schedule.idle_since = now;
        }
        self.idle.push_back(index);
        Ok(())
    }

    fn finish(&mut self, due: Instant, now: Instant, failure: Option<String>) {
        if failure.is_some() {
            self.outcome.failures += 1;
            self.outcome.failure = self.outcome.failure.take().or(failure);
        } else {
            self.outcome.requests += 1;
            self.outcome.recorded += u64::from(now >= self.record_from && now < self.record_until);
            if due >= self.record_from {
                let latency = now.saturating_duration_since(due);
                self.outcome.answered.saturating_record(nanoseconds(latency));
            }
        }
        self.record(due, now);
    }

    fn record(&mut self, due: Instant, now: Instant) {
        if due >= self.record_from {
            let latency = now.saturating_duration_since(due);
            self.outcome.latency.saturating_record(nanoseconds(latency));
        }
    }

    /// Records a failure and replaces the connection.
    fn fail(&mut self, index: usize, problem: String) -> anyhow::Result<()> {
        if let Some(due) = self.connections[index].due.take() {
            self.finish(due, Instant::now(), Some(problem));
            self.idle.push_back(index);
        }
        self.connections[index] = connect(self.plan, &self.epoll, index)?;
        Ok(())
    }

    /// Records what is still in flight or unsent, with the time it has waited so far.
    fn count_unanswered(&mut self) {
        let now = Instant::now();
        let in_flight: Vec<Instant> =
            self.connections.iter().filter_map(|connection| connection.due).collect();
        for due in in_flight {
            self.outcome.unanswered += 1;
            self.record(due, now);
        }
        let Some(rate) = self.schedule.rate else { return };
        while self.schedule.next < self.record_until {
            self.outcome.unanswered += 1;
            self.record(self.schedule.next, now);
            self.schedule.advance(rate);
        }
    }
}

fn connect(plan: &Plan, epoll: &OwnedFd, index: usize) -> anyhow::Result<Connection> {
    let stream = TcpStream::connect(plan.target).with_context(|| format!("connecting to {}", plan.target))?;
    stream.set_nodelay(true)?;
    let wire = Wire::new(stream, plan.target, plan.trust.as_ref())?;
    epoll::add(epoll, &wire.socket, epoll::EventData::new_u64(index as u64), epoll::EventFlags::IN)?;
    Ok(Connection { wire, due: None, received: Vec::with_capacity(RECEIVE_BYTES) })
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
