//! Asking nodes for the parts of a read: all at once, and somebody else where one fails, is late or is
//! overloaded.
//!
//! Invariants: whichever answers come first, every shard is answered for once; one timer serves all legs
//! of a read, and nothing waits for a node longer than until another could answer; what is asked beyond
//! what the client asked for is within the core's budgets; whatever is still in flight at the end is
//! dropped with its connection.

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
    state::core::Core,
    wire::{h1::NodeAnswer, runtime},
};

/// What a read asks of nodes.
pub(crate) trait ShardedQuery {
    /// Who can answer for which of these shards (all, when `None`), without the nodes in `avoided`; the
    /// shards that nobody can answer for.
    fn place(&self, wanted: Option<&ShardSet>, avoided: &[NodeIndex]) -> Placed;

    /// What one leg asks.
    fn request(&self, leg: &Leg) -> NodeRequest<'_>;
}

/// Legs, and the shards that nobody can answer for.
#[derive(Default)]
pub(crate) struct Placed {
    pub(crate) legs: Vec<Leg>,
    pub(crate) uncovered: ShardSet,
}

/// What came of it.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) answers: Vec<(Leg, NodeAnswer)>,
    /// Shards nobody answered for.
    pub(crate) missing: ShardSet,
}

/// Asks until every shard has answered or nobody is left to ask, at most until `deadline`.
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
    let asked = placed.legs.into_iter().map(|leg| race.open(leg, 1, now)).collect::<Vec<_>>();
    let mut flight = asked.into_iter().map(|asked| race.send(asked)).collect::<FuturesUnordered<_>>();
    let mut timer = pin!(runtime::sleep(race.first_check().min(deadline.saturating_duration_since(now))));
    while race.parts.iter().any(|part| !part.done) {
        let more = match select(flight.next(), timer.as_mut()).await {
            Either::Left((Some(heard), _)) => race.hear(heard, &mut outcome)?,
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
        flight.extend(more.into_iter().map(|asked| race.send(asked)));
    }
    Ok(outcome)
}

/// The legs of one read and how far they are.
struct Race<'a, Q: ShardedQuery> {
    core: &'a Core,
    question: &'a Q,
    parts: Vec<Part>,
    /// Nodes that gave no usable answer.
    failed: Vec<NodeIndex>,
    hedges: usize,
}

/// Some shards, and whom they were asked of.
struct Part {
    shards: ShardSet,
    /// How many nodes these shards were asked of, one after the other.
    tries: usize,
    /// Each of them answers for all the shards.
    attempts: Vec<Attempt>,
    done: bool,
}

struct Attempt {
    legs: Vec<(Leg, Option<NodeAnswer>)>,
    sent_at: Instant,
    failed: bool,
}

/// One leg to be sent: where it stands, and what it asks of whom.
struct LegRequest {
    part: usize,
    attempt: usize,
    position: usize,
    leg: Leg,
}

/// What came of a leg.
struct LegResponse {
    asked: LegRequest,
    sent_at: Instant,
    result: Result<NodeAnswer, NodeError>,
}

impl Part {
    /// The nodes that have not answered yet.
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
        let asked = legs.iter().cloned().enumerate();
        let asked = asked.map(|(position, leg)| LegRequest { part, attempt, position, leg }).collect();
        let legs = legs.into_iter().map(|leg| (leg, None)).collect();
        attempts.push(Attempt { legs, sent_at: now, failed: false });
        asked
    }

    /// Sends one leg and waits for as long as this is polled.
    fn send(&self, asked: LegRequest) -> impl Future<Output = LegResponse> + use<'a, Q> {
        let (core, question) = (self.core, self.question);
        async move {
            let sent_at = runtime::now();
            let in_flight = core.load_stats.sends(asked.leg.node, sent_at);
            let result = core.pools.ask_patiently(asked.leg.node, question.request(&asked.leg)).await;
            drop(in_flight);
            LegResponse { asked, sent_at, result }
        }
    }

    /// When the legs are looked at first: a hedge's time, where hedges are on.
    fn first_check(&self) -> Duration {
        let load_stats = &self.core.load_stats;
        let waits = self.parts.iter().flat_map(Part::waits_for).map(|(node, _)| {
            let hedge_after = load_stats.hedge_after(node).filter(|_| self.core.shared.config.hedging);
            hedge_after.unwrap_or_else(|| load_stats.patience(node))
        });
        waits.min().unwrap_or(limits::PATIENCE_MIN)
    }

    /// Takes in what came of a leg; gives the legs to send because of it.
    ///
    /// # Errors
    /// A refusal.
    fn hear(&mut self, heard: LegResponse, outcome: &mut Outcome) -> Result<Vec<LegRequest>, NodeAnswer> {
        let LegResponse { asked, sent_at, result } = heard;
        let (node, now) = (asked.leg.node, runtime::now());
        let reason = match result {
            Ok(answer) if answer.status.is_success() => {
                if !self.parts[asked.part].done {
                    let latency = now.saturating_duration_since(sent_at);
                    self.core.load_stats.answered(node, latency, now);
                    self.take(asked, answer, now, outcome);
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
        if self.parts[asked.part].done {
            return Ok(Vec::new());
        }
        self.parts[asked.part].attempts[asked.attempt].failed = true;
        Ok(self.fail_over(asked.part, now, outcome))
    }

    /// Keeps an answer; an attempt that has them all ends its part.
    fn take(&mut self, asked: LegRequest, answer: NodeAnswer, now: Instant, outcome: &mut Outcome) {
        let part = &mut self.parts[asked.part];
        let attempt = &mut part.attempts[asked.attempt];
        attempt.legs[asked.position].1 = Some(answer);
        if attempt.failed || attempt.legs.iter().any(|(_, answer)| answer.is_none()) {
            return;
        }
        part.done = true;
        let won = part.attempts.swap_remove(asked.attempt);
        for (node, sent_at) in part.waits_for().filter(|(_, sent_at)| *sent_at < won.sent_at) {
            self.core.load_stats.overtaken(node, sent_at, now);
        }
        let answers = won.legs.into_iter().filter_map(|(leg, answer)| Some((leg, answer?)));
        outcome.answers.extend(answers);
    }

    /// Asks others for a part of which an attempt has failed, unless another attempt is under way.
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
        outcome.missing = outcome.missing.union(&placed.uncovered);
        placed.legs.into_iter().map(|leg| self.open(leg, tries, now)).collect()
    }

    /// Looks at what has not answered yet; gives the legs to send because of it.
    fn check(&mut self, now: Instant, outcome: &mut Outcome) -> Vec<LegRequest> {
        let mut asked = Vec::new();
        for part in 0..self.parts.len() {
            if !self.parts[part].done {
                asked.extend(self.ask_others(part, now));
                asked.extend(self.end_late(part, now, outcome));
            }
        }
        asked
    }

    /// Asks others as well for a part that is late, or whose node is known to be in trouble.
    fn ask_others(&mut self, part: usize, now: Instant) -> Vec<LegRequest> {
        let (core, load_stats) = (self.core, &self.core.load_stats);
        let waits_for = self.parts[part].waits_for().collect::<Vec<_>>();
        // Those asked last get as much time as those before them had.
        let waited = waits_for.iter().map(|(_, sent_at)| now.saturating_duration_since(*sent_at)).min();
        let waited = waited.unwrap_or_default();
        let any = |is: &dyn Fn(NodeIndex) -> bool| waits_for.iter().any(|(node, _)| is(*node));
        let hopeless = any(&|node| {
            let down = core.shared.nodes.health.state(node) == NodeState::Down;
            down || load_stats.is_ejected(node, now) || waited >= load_stats.patience(node)
        });
        let hedged = !hopeless
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
        self.hedges += usize::from(hedged);
        self.attempt(part, placed.legs, now)
    }

    /// Ends attempts that have taken a node's whole time, or wait for a node that is down.
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
            core.shared.nodes.saw(*node, Seen::Failed, now);
            note_failure(core, *node, *sent_at, "no answer in time");
            self.failed.push(*node);
        }
        if late.is_empty() { Vec::new() } else { self.fail_over(part, now, outcome) }
    }

    /// The deadline has come: what has not answered is missing.
    fn give_up(&self, outcome: &mut Outcome) {
        for part in self.parts.iter().filter(|part| !part.done) {
            outcome.missing = outcome.missing.union(&part.shards);
        }
        for (node, sent_at) in self.parts.iter().filter(|part| !part.done).flat_map(Part::waits_for) {
            note_failure(self.core, node, sent_at, "no answer within the request's time");
            self.core.shared.nodes.saw(node, Seen::Failed, runtime::now());
        }
    }
}

/// A node gave no usable answer to a read.
pub(crate) fn note_failure(core: &Core, node: NodeIndex, sent_at: Instant, reason: &str) {
    if core.load_stats.failed(node, sent_at, runtime::now()) {
        let node = &core.shared.nodes.addresses[usize::from(node.0)].id;
        log::warn("leg_failed", &[("node", node), ("reason", reason)]);
    }
}

/// Whether a node says that it has too much to do now.
fn is_overloaded(answer: &NodeAnswer) -> bool {
    [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&answer.status)
}
