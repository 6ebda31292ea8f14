//! Races the legs of a read: sends all at once, and asks another node where one fails, is late or is overloaded.
//!
//! Invariants: every shard is answered for once, whichever answers come first. One timer serves all legs of a read,
//! and a leg waits for a node no longer than until another could answer. Retries and hedges are within the core's
//! budgets. Legs still in flight at the end are dropped with their connections.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use futures_util::{
    StreamExt,
    future::{Either, select},
    stream::FuturesUnordered,
};
use http::StatusCode;
use router::{Leg, NodeIndex, ShardSet};

use crate::{
    config::limits,
    nodes::{
        health::{NodeState, Seen},
        pool::{NodeError, NodeRequest, is_refusal},
    },
    observe::log,
    read::trace::Trace,
    state::core::Core,
    wire::{h1::NodeAnswer, runtime},
};

/// A read over shards, as the race sees it.
pub(crate) trait ShardedQuery {
    /// Places these shards (all, when `None`) on nodes that can answer for them, without the nodes in `avoided`;
    /// names the shards that no node can answer for.
    fn place(&self, wanted: Option<&ShardSet>, avoided: &[NodeIndex]) -> Placed;

    /// The request that one leg sends.
    fn request(&self, leg: &Leg) -> NodeRequest<'_>;

    /// The trace of the legs, when an explanation was requested.
    fn trace(&self) -> Option<&Trace> {
        None
    }
}

/// Legs, and the shards that no node can answer for.
#[derive(Default)]
pub(crate) struct Placed {
    pub(crate) legs: Vec<Leg>,
    pub(crate) uncovered: ShardSet,
}

/// What a race has gathered.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) answers: Vec<(Leg, NodeAnswer)>,
    /// Shards that no node answered for.
    pub(crate) missing: ShardSet,
}

/// Asks until every shard is answered for or no node is left to ask, at most until `deadline`.
///
/// # Errors
/// The answer of a node that refuses the client's request.
pub(crate) async fn ask<Q: ShardedQuery>(
    core: &Core,
    question: &Q,
    wanted: Option<&ShardSet>,
    avoided: &[NodeIndex],
    deadline: Instant,
) -> Result<Outcome, NodeAnswer> {
    let now = runtime::now();
    let mut race = Race { core, question, parts: Vec::new(), failed: avoided.to_vec(), hedges: 0 };
    let mut outcome = Outcome::default();
    let placed = question.place(wanted, avoided);
    outcome.missing = placed.uncovered;
    core.load_stats.deposit(placed.legs.len());
    let requests = placed.legs.into_iter().map(|leg| race.open(leg, 1, now)).collect::<Vec<_>>();
    let mut flight = requests.into_iter().map(|request| race.send(request)).collect::<FuturesUnordered<_>>();
    let mut timer = pin!(runtime::sleep(race.first_check().min(deadline.saturating_duration_since(now))));
    while race.parts.iter().any(|part| !part.done) {
        let more = match select(flight.next(), timer.as_mut()).await {
            Either::Left((Some(response), _)) => race.on_response(response, &mut outcome)?,
            // Nothing is in flight, so every part is done.
            Either::Left((None, _)) => break,
            Either::Right(((), _)) => {
                let now = runtime::now();
                if now >= deadline {
                    race.give_up(&mut outcome);
                    break;
                }
                timer.set(runtime::sleep(
                    limits::LEG_CHECK_INTERVAL.min(deadline.saturating_duration_since(now)),
                ));
                race.check(now, &mut outcome)
            }
        };
        flight.extend(more.into_iter().map(|request| race.send(request)));
    }
    Ok(outcome)
}

/// The parts of one read and their progress.
struct Race<'a, Q: ShardedQuery> {
    core: &'a Core,
    question: &'a Q,
    parts: Vec<Part>,
    /// Nodes that gave no usable answer.
    failed: Vec<NodeIndex>,
    hedges: usize,
}

/// Some shards, and the attempts to have them answered for.
struct Part {
    shards: ShardSet,
    /// Which attempt at these shards this part's first one is, counted from 1.
    tries: usize,
    /// Each attempt asks for all the shards.
    attempts: Vec<Attempt>,
    done: bool,
}

struct Attempt {
    legs: Vec<(Leg, Option<NodeAnswer>)>,
    sent_at: Instant,
    failed: bool,
}

/// One leg to send, and its position in the race.
struct LegRequest {
    part: usize,
    attempt: usize,
    position: usize,
    leg: Leg,
}

/// The outcome of one leg.
struct LegResponse {
    request: LegRequest,
    sent_at: Instant,
    result: Result<NodeAnswer, NodeError>,
}

impl Part {
    /// The nodes that have not answered yet, and when they were asked.
    fn waits_for(&self) -> impl Iterator<Item = (NodeIndex, Instant)> {
        let open = self.attempts.iter().filter(|attempt| !attempt.failed);
        open.flat_map(|attempt| {
            let silent = attempt.legs.iter().filter(|(_, answer)| answer.is_none());
            silent.map(|(leg, _)| (leg.node, attempt.sent_at))
        })
    }
}

impl<'a, Q: ShardedQuery> Race<'a, Q> {
    fn open(&mut self, leg: Leg, tries: usize, now: Instant) -> LegRequest {
        self.parts.push(Part { shards: leg.shards.clone(), tries, attempts: Vec::new(), done: false });
        let part = self.parts.len() - 1;
        self.attempt(part, vec![leg], now).remove(0)
    }

    fn attempt(&mut self, part: usize, legs: Vec<Leg>, now: Instant) -> Vec<LegRequest> {
        let attempts = &mut self.parts[part].attempts;
        let attempt = attempts.len();
        let requests = legs.iter().cloned().enumerate();
        let requests = requests.map(|(position, leg)| LegRequest { part, attempt, position, leg }).collect();
        let legs = legs.into_iter().map(|leg| (leg, None)).collect();
        attempts.push(Attempt { legs, sent_at: now, failed: false });
        requests
    }

    /// Sends one leg and waits for its outcome for as long as the future is polled.
    fn send(&self, request: LegRequest) -> impl Future<Output = LegResponse> + use<'a, Q> {
        let (core, question) = (self.core, self.question);
        async move {
            let sent_at = runtime::now();
            let in_flight = core.load_stats.sends(request.leg.node, sent_at);
            let result = core.pools.ask_patiently(request.leg.node, question.request(&request.leg)).await;
            drop(in_flight);
            LegResponse { request, sent_at, result }
        }
    }

    /// How long until the legs are first checked: until the first hedge is due, where hedging is on.
    fn first_check(&self) -> Duration {
        let load_stats = &self.core.load_stats;
        let waits = self.parts.iter().flat_map(Part::waits_for).map(|(node, _)| {
            let hedge_after = load_stats.hedge_after(node).filter(|_| self.core.shared.config.hedging);
            hedge_after.unwrap_or_else(|| load_stats.patience(node))
        });
        waits.min().unwrap_or(limits::PATIENCE_MIN)
    }

    /// Handles the outcome of a leg; gives the legs to send because of it.
    ///
    /// # Errors
    /// A node's refusal.
    fn on_response(
        &mut self,
        response: LegResponse,
        outcome: &mut Outcome,
    ) -> Result<Vec<LegRequest>, NodeAnswer> {
        let LegResponse { request, sent_at, result } = response;
        let (node, now) = (request.leg.node, runtime::now());
        if let Some(trace) = self.question.trace() {
            let status = result.as_ref().ok().map(|answer| answer.status.as_u16());
            trace.heard(&request.leg, status, now.saturating_duration_since(sent_at));
        }
        let reason = match result {
            Ok(answer) if answer.status.is_success() => {
                if !self.parts[request.part].done {
                    let latency = now.saturating_duration_since(sent_at);
                    self.core.load_stats.answered(node, latency, now);
                    self.accept_response(request, answer, now, outcome);
                }
                return Ok(Vec::new());
            }
            Ok(answer) if is_refusal(&answer) => return Err(answer),
            Ok(answer) if is_overloaded(&answer) => {
                self.core.load_stats.overloaded(node, answer.retry_after, now);
                "it is overloaded".to_owned()
            }
            Ok(answer) => format!("status {}", answer.status.as_u16()),
            Err(error) => error.to_string(),
        };
        note_failure(self.core, node, sent_at, &reason);
        self.failed.push(node);
        if self.parts[request.part].done {
            return Ok(Vec::new());
        }
        self.parts[request.part].attempts[request.attempt].failed = true;
        Ok(self.fail_over(request.part, now, outcome))
    }

    /// Keeps an answer; an attempt with all its answers ends its part.
    fn accept_response(
        &mut self,
        request: LegRequest,
        answer: NodeAnswer,
        now: Instant,
        outcome: &mut Outcome,
    ) {
        let part = &mut self.parts[request.part];
        let attempt = &mut part.attempts[request.attempt];
        attempt.legs[request.position].1 = Some(answer);
        if attempt.failed || attempt.legs.iter().any(|(_, answer)| answer.is_none()) {
            return;
        }
        part.done = true;
        let won = part.attempts.swap_remove(request.attempt);
        for (node, sent_at) in part.waits_for().filter(|(_, sent_at)| *sent_at < won.sent_at) {
            self.core.load_stats.overtaken(node, sent_at, now);
        }
        let answers = won.legs.into_iter().filter_map(|(leg, answer)| Some((leg, answer?)));
        outcome.answers.extend(answers);
    }

    /// Asks other nodes for a part whose attempt has failed, unless another attempt is under way.
    fn fail_over(&mut self, part: usize, now: Instant, outcome: &mut Outcome) -> Vec<LegRequest> {
        if self.parts[part].attempts.iter().any(|attempt| !attempt.failed) {
            return Vec::new();
        }
        self.parts[part].done = true;
        let tries = self.parts[part].tries + self.parts[part].attempts.len();
        let wanted = std::mem::take(&mut self.parts[part].shards);
        let placed = self.question.place(Some(&wanted), &self.failed);
        let count = placed.legs.len();
        let within = tries <= limits::SCATTER_ATTEMPTS_MAX;
        if count == 0 || !within || !self.core.load_stats.may_retry(count, now) {
            outcome.missing = outcome.missing.union(&wanted);
            return Vec::new();
        }
        self.core.metrics.scatter_retries.increment(count as u64);
        self.question.trace().inspect(|trace| trace.asked_again(count, false));
        outcome.missing = outcome.missing.union(&placed.uncovered);
        placed.legs.into_iter().map(|leg| self.open(leg, tries, now)).collect()
    }

    /// Checks the parts that are not done; gives the legs to send because of it.
    fn check(&mut self, now: Instant, outcome: &mut Outcome) -> Vec<LegRequest> {
        let mut requests = Vec::new();
        for part in 0..self.parts.len() {
            if !self.parts[part].done {
                requests.extend(self.ask_others(part, now));
                requests.extend(self.end_late(part, now, outcome));
            }
        }
        requests
    }

    /// Asks further nodes for a part that is late, or whose node is down or ejected.
    fn ask_others(&mut self, part: usize, now: Instant) -> Vec<LegRequest> {
        let (core, load_stats) = (self.core, &self.core.load_stats);
        let waits_for = self.parts[part].waits_for().collect::<Vec<_>>();
        // The nodes asked last get as much time as those before them had.
        let waited = waits_for.iter().map(|(_, sent_at)| now.saturating_duration_since(*sent_at)).min();
        let waited = waited.unwrap_or_default();
        let any = |is: &dyn Fn(NodeIndex) -> bool| waits_for.iter().any(|(node, _)| is(*node));
        let hopeless = any(&|node| {
            let down = core.shared.nodes.health.state(node) == NodeState::Down;
            down || load_stats.is_ejected(node, now) || waited >= load_stats.patience(node)
        });
        // A session's group has what the session wrote, and another node may not: it is asked where the group fails,
        // not where it is a little late.
        let is_pinned = core.read_preference.get().session.is_some();
        let hedged = !hopeless
            && !is_pinned
            && core.shared.config.hedging
            && self.hedges < limits::HEDGES_PER_QUERY_MAX
            && any(&|node| load_stats.hedge_after(node).is_some_and(|after| waited >= after));
        let within = self.parts[part].tries + self.parts[part].attempts.len() <= limits::SCATTER_ATTEMPTS_MAX;
        if !(hopeless || hedged) || !within {
            return Vec::new();
        }
        let avoided = self.failed.iter().copied().chain(waits_for.iter().map(|(node, _)| *node));
        let avoided = avoided.collect::<Vec<_>>();
        let placed = self.question.place(Some(&self.parts[part].shards), &avoided);
        let count = placed.legs.len();
        if count == 0 || !placed.uncovered.is_empty() {
            return Vec::new();
        }
        let (affordable, metric) = match hedged {
            true => (load_stats.may_hedge(count, now), &core.metrics.hedges),
            false => (load_stats.may_retry(count, now), &core.metrics.scatter_retries),
        };
        if !affordable {
            return Vec::new();
        }
        metric.increment(count as u64);
        self.question.trace().inspect(|trace| trace.asked_again(count, hedged));
        self.hedges += usize::from(hedged);
        self.attempt(part, placed.legs, now)
    }

    /// Fails attempts that have used up a node's time, or that wait for a node that is down.
    fn end_late(&mut self, part: usize, now: Instant, outcome: &mut Outcome) -> Vec<LegRequest> {
        let core = self.core;
        let whole = core.shared.config.node_timeout;
        let most = |node| match core.shared.nodes.health.state(node) == NodeState::Down {
            true => limits::PATIENCE_MIN.min(whole),
            false => whole,
        };
        let mut late = Vec::new();
        for attempt in self.parts[part].attempts.iter_mut().filter(|attempt| !attempt.failed) {
            let waited = now.saturating_duration_since(attempt.sent_at);
            let silent = attempt.legs.iter().filter(|(_, answer)| answer.is_none());
            let silent = silent.map(|(leg, _)| leg.node).filter(|node| waited >= most(*node));
            let silent = silent.collect::<Vec<_>>();
            attempt.failed = !silent.is_empty();
            late.extend(silent.into_iter().map(|node| (node, attempt.sent_at)));
        }
        for (node, sent_at) in &late {
            core.shared.nodes.saw(*node, Seen::Failed, now, || "no answer in time".to_owned());
            note_failure(core, *node, *sent_at, "no answer in time");
            self.failed.push(*node);
        }
        if late.is_empty() { Vec::new() } else { self.fail_over(part, now, outcome) }
    }

    /// Counts what has not answered by the deadline as missing.
    fn give_up(&self, outcome: &mut Outcome) {
        for part in self.parts.iter().filter(|part| !part.done) {
            outcome.missing = outcome.missing.union(&part.shards);
        }
        for (node, sent_at) in self.parts.iter().filter(|part| !part.done).flat_map(Part::waits_for) {
            note_failure(self.core, node, sent_at, "no answer within the request's time");
            let late = || "no answer within a request's time".to_owned();
            self.core.shared.nodes.saw(node, Seen::Failed, runtime::now(), late);
        }
    }
}

/// Records that a node gave no usable answer to a read.
pub(crate) fn note_failure(core: &Core, node: NodeIndex, sent_at: Instant, reason: &str) {
    if core.load_stats.failed(node, sent_at, runtime::now()) {
        let node = &core.shared.nodes.addresses[usize::from(node.0)].id;
        log::warn("leg_failed", &[("node", node), ("reason", reason)]);
    }
}

/// Whether a node says that it is overloaded.
fn is_overloaded(answer: &NodeAnswer) -> bool {
    [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&answer.status)
}
