//! Asks the legs of a plan (`race`) and has their answers merged.
//!
//! Invariants: a failed or late leg's shards are asked of other owners, then of other groups, within the request's
//! deadline. A refusal (4xx) of any leg is the answer. The legs are ordered by node. Where the legs' hits do not
//! suffice, all are asked again, deeper. Shards that only joining nodes answer for count as missing.

use std::{borrow::Cow, cell::Cell, time::Instant};

use bytes::Bytes;
use merge::MergeError;
use router::{Leg, NodeIndex, ShardSet};

pub(crate) use crate::nodes::pool::is_refusal;
use crate::{
    api::error::{ApiError, Code},
    config::{UnavailableShardPolicy, limits},
    nodes::pool::NodeRequest,
    read::{
        expiry, plan,
        race::{self, Placed, ShardedQuery},
        trace::Trace,
    },
    state::{
        core::Core,
        coverage,
        merged_answer::MergedAnswer,
        snapshot::{Index, Snapshot},
    },
    wire::runtime,
};

/// How much legs are asked for; it grows each time their answers did not suffice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FetchDepth {
    /// Rounds in which the legs were not asked deep enough.
    pub(crate) rounds: u32,
    /// Whether legs are to leave out no duplicates under `distinct`.
    pub(crate) plain: bool,
    /// Whether legs are to give the whole page, since one of them ran dry.
    pub(crate) whole_page: bool,
}

/// What a leg is asked.
pub(crate) struct LegQuestion<'l> {
    pub(crate) leg: &'l Leg,
    /// The index that it is asked about: one of the targets, for an alias of several.
    pub(crate) index: &'l Index,
    /// A filter beside the client's: it selects the leg's shards, where the node holds others as well.
    pub(crate) filter: Option<&'l str>,
}

/// One scatter over an index; `body` writes the request body of a leg.
pub(crate) struct Scatter<'a, Body: Fn(&LegQuestion<'_>, FetchDepth) -> Bytes> {
    core: &'a Core,
    snapshot: &'a Snapshot,
    index: &'a Index,
    /// The nodes' path, for each part of the index.
    targets: Vec<String>,
    body: Body,
    deadline: Instant,
    /// The plan that was made beforehand, until it is run.
    planned: Cell<Option<Placed>>,
    /// The filter that hides expired documents, for each part; empty where none expire.
    not_ended: Vec<Option<String>>,
    trace: Option<&'a Trace>,
    /// The shards asked about; `None` is all.
    wanted: Option<ShardSet>,
    /// Shards that no node that serves reads has answered for.
    missing: Option<ShardSet>,
    failed: Vec<NodeIndex>,
    answers: Vec<(Leg, Bytes, FetchDepth)>,
    /// The answers of joining nodes for missing shards.
    stood_in: Vec<(Leg, Bytes, FetchDepth)>,
    turn: usize,
    fetch_depth: FetchDepth,
}

/// A scatter as a merge sees it.
pub(crate) struct Gathered<'g> {
    /// The answers in leg order.
    pub(crate) bodies: &'g [&'g [u8]],
    /// The shards of each leg, and how deep it was asked, in leg order.
    pub(crate) legs: &'g [(&'g Leg, FetchDepth)],
    /// Whether a single one of them covers every shard.
    pub(crate) whole: bool,
    /// The depth that the legs were asked with.
    pub(crate) fetch_depth: FetchDepth,
}

impl<'a, Body: Fn(&LegQuestion<'_>, FetchDepth) -> Bytes> Scatter<'a, Body> {
    /// Prepares a scatter; it asks nothing yet. Scatters with an equal `turn` ask the same nodes while these are
    /// healthy, so that the pages of one query break ties alike. `route` is the nodes' path below the index.
    pub(crate) fn new(
        core: &'a Core,
        snapshot: &'a Snapshot,
        index: &'a Index,
        turn: usize,
        route: &str,
        body: Body,
    ) -> Self {
        let target = |part| format!("/indexes/{}/{route}", index.part(part).record.node_uid);
        let targets = (0..index.parts()).map(target).collect();
        let ends = (0..index.parts()).any(|part| expiry::applies(core, index.part(part)));
        let not_ended = match ends {
            true => (0..index.parts()).map(|part| expiry::filter_of(core, index.part(part))).collect(),
            false => Vec::new(),
        };
        let deadline = runtime::now() + core.shared.config.request_timeout;
        Self {
            core,
            snapshot,
            index,
            targets,
            body,
            deadline,
            planned: Cell::default(),
            not_ended,
            trace: None,
            wanted: None,
            missing: None,
            failed: Vec::new(),
            answers: Vec::new(),
            stood_in: Vec::new(),
            turn,
            fetch_depth: FetchDepth::default(),
        }
    }

    /// Restricts the scatter to these shards, when no other shard can contribute.
    pub(crate) fn about(self, wanted: Option<ShardSet>) -> Self {
        Self { missing: wanted.clone(), wanted, ..self }
    }

    /// Asks for all parts on one path; the body names the index of each.
    pub(crate) fn at(self, target: &str) -> Self {
        Self { targets: vec![target.to_owned(); self.index.parts()], ..self }
    }

    /// Uses a plan that [`plan::place`] has made for this scatter.
    pub(crate) fn planned(self, placed: Placed) -> Self {
        self.planned.set(Some(placed));
        self
    }

    /// Asks about expired documents as well.
    pub(crate) fn with_ended(self) -> Self {
        Self { not_ended: Vec::new(), ..self }
    }

    /// Records the legs in a trace.
    pub(crate) fn traced(self, trace: Option<&'a Trace>) -> Self {
        Self { trace, ..self }
    }

    /// Asks until every shard has answered or nobody is left to ask.
    ///
    /// # Errors
    /// A node's refusal, or 503 when shards are unavailable and the policy says `error`.
    async fn ask_legs(&mut self) -> Result<(), ApiError> {
        if self.missing.as_ref().is_none_or(|missing| !missing.is_empty()) {
            let outcome =
                race::ask(self.core, &*self, self.missing.as_ref(), &self.failed, self.deadline).await;
            let outcome = outcome.map_err(|answer| ApiError::from_node(answer.status, &answer.body))?;
            let fetch_depth = self.fetch_depth;
            let answers = outcome.answers.into_iter().map(|(leg, answer)| (leg, answer.body, fetch_depth));
            self.answers.extend(answers);
            self.missing = Some(outcome.missing);
        }
        let part = |leg: &Leg| leg.shards.iter().next().map_or(0, |shard| self.index.part_of(shard).0);
        self.answers.sort_by_key(|(leg, ..)| (part(leg), leg.node.0));
        self.have_others_stand_in().await;
        #[expect(clippy::cast_precision_loss, reason = "a fan-out is a small number")]
        self.core.metrics.fan_out.record(self.answers.len() as f64);
        self.check_coverage()
    }

    /// Asks joining nodes for the missing shards: an answer that may be old, and says so, is better than none.
    async fn have_others_stand_in(&mut self) {
        self.stood_in.clear();
        let Some(missing) = self.missing.as_ref().filter(|missing| !missing.is_empty()) else { return };
        if self.core.shared.config.unavailable_shard_policy == UnavailableShardPolicy::Error {
            return;
        }
        let question = StandIns(&*self);
        let outcome = race::ask(self.core, &question, Some(missing), &self.failed, self.deadline).await;
        // A joining node's refusal is ignored, since a node that serves might not refuse.
        let answers = outcome.map(|outcome| outcome.answers).unwrap_or_default();
        let fetch_depth = self.fetch_depth;
        self.stood_in = answers.into_iter().map(|(leg, answer)| (leg, answer.body, fetch_depth)).collect();
    }

    /// Asks the legs and merges. An answer that cannot be merged is a failed leg: another node is asked.
    ///
    /// # Errors
    /// Those of [`Scatter::ask_legs`], or 503 when no answers that can be merged are to be had.
    pub(crate) async fn ask_and_merge(
        mut self,
        mut merge: impl FnMut(&Gathered<'_>, &mut Vec<u8>) -> Result<(), MergeError>,
    ) -> Result<MergedAnswer, ApiError> {
        let mut body = Vec::new();
        let attempts =
            limits::SCATTER_ATTEMPTS_MAX + limits::SCATTER_REACH_MAX as usize + limits::LEG_REFILLS_MAX + 1;
        for _ in 0..attempts {
            self.ask_legs().await?;
            let answers = self.answers.iter().chain(&self.stood_in);
            let whole = answers.clone().any(|(leg, ..)| self.covers_all(leg));
            let legs = answers.clone().map(|(leg, _, depth)| (leg, *depth)).collect::<Vec<_>>();
            let bodies = answers.map(|(_, body, _)| body.as_ref()).collect::<Vec<&[u8]>>();
            body.clear();
            body.reserve(bodies.iter().map(|body| body.len()).sum::<usize>().min(1 << 20));
            let gathered = Gathered { bodies: &bodies, legs: &legs, whole, fetch_depth: self.fetch_depth };
            match merge(&gathered, &mut body) {
                Ok(()) => {
                    return Ok(MergedAnswer { body: body.into(), missing: self.missing.unwrap_or_default() });
                }
                Err(MergeError::Dry { leg }) => self.refill(leg),
                Err(MergeError::Short) if self.fetch_depth.rounds < limits::SCATTER_REACH_MAX => {
                    self.fetch_depth.rounds += 1;
                    self.ask_again();
                }
                Err(MergeError::Entangled) if !self.fetch_depth.plain => {
                    self.fetch_depth.plain = true;
                    self.ask_again();
                }
                Err(MergeError::Short | MergeError::Entangled) => break,
                Err(MergeError::Leg { leg, reason }) => {
                    let (leg, ..) = match leg.checked_sub(self.answers.len()) {
                        Some(stood_in) => self.stood_in.remove(stood_in),
                        None => self.answers.remove(leg),
                    };
                    race::note_failure(self.core, leg.node, runtime::now(), &reason);
                    self.failed.push(leg.node);
                    let missing = self.missing.take().unwrap_or_default();
                    self.missing = Some(missing.union(&leg.shards));
                }
            }
        }
        Err(ApiError::new(Code::MiroirShardUnavailable, "The nodes gave no answer that can be merged."))
    }

    /// Lets a leg that ran dry be asked for the whole page; with a second one, every leg that was asked for less.
    fn refill(&mut self, dry: usize) {
        let again = self.fetch_depth.whole_page;
        self.fetch_depth.whole_page = true;
        let mut missing = self.missing.take().unwrap_or_default();
        let mut position = 0;
        self.answers.retain(|(leg, _, depth)| {
            let refilled = position == dry || (again && !depth.whole_page);
            position += 1;
            if refilled {
                missing = missing.union(&leg.shards);
            }
            !refilled
        });
        self.missing = Some(missing);
        self.core.metrics.leg_refills.increment(1);
    }

    fn covers_all(&self, leg: &Leg) -> bool {
        let wanted = self.wanted.as_ref().map_or_else(|| self.index.shards_in_all(), ShardSet::len);
        leg.shards.len() == wanted
    }

    /// Forgets all answers, so that every shard is asked again.
    fn ask_again(&mut self) {
        self.answers.clear();
        self.missing = self.wanted.clone();
    }

    fn check_coverage(&self) -> Result<(), ApiError> {
        let Some(missing) = self.missing.as_ref().filter(|missing| !missing.is_empty()) else {
            return Ok(());
        };
        self.core.metrics.degraded_shards.increment(missing.len() as u64);
        let policy = self.core.shared.config.unavailable_shard_policy;
        let nobody = self.answers.is_empty() && self.stood_in.is_empty();
        if policy == UnavailableShardPolicy::Error || nobody {
            return Err(coverage::unanswered(&self.core.shared, self.snapshot, self.index, missing));
        }
        self.core.metrics.partial_responses.increment(1);
        Ok(())
    }
}

impl<Body: Fn(&LegQuestion<'_>, FetchDepth) -> Bytes> ShardedQuery for Scatter<'_, Body> {
    fn place(&self, wanted: Option<&ShardSet>, avoided: &[NodeIndex]) -> Placed {
        let placed = match self.planned.take() {
            Some(planned) => planned,
            None => plan::place(self.core, self.snapshot, self.index, wanted, avoided, self.turn),
        };
        if avoided.is_empty() {
            plan::count_tenant_failover(self.core, self.snapshot, &placed.legs);
        }
        placed
    }

    fn request(&self, leg: &Leg) -> NodeRequest<'_> {
        let (part, first) = match self.index.targets.is_empty() {
            true => (0, 0),
            false => leg.shards.iter().next().map_or((0, 0), |shard| self.index.part_of(shard)),
        };
        let index = self.index.part(part);
        let shards = match first {
            0 => Cow::Borrowed(&leg.shards),
            first => Cow::Owned(plan::numbered_from_zero(&leg.shards, first, index.record.shards)),
        };
        let in_shards = (!leg.whole_node).then(|| router::shard_filter(&shards));
        let filter = match (in_shards, self.not_ended.get(part).and_then(Option::as_ref)) {
            (Some(in_shards), Some(not_ended)) => Some(format!("{in_shards} AND {not_ended}")),
            (in_shards, not_ended) => in_shards.or_else(|| not_ended.cloned()),
        };
        let question = LegQuestion { leg, index, filter: filter.as_deref() };
        NodeRequest::post_json(&self.targets[part], (self.body)(&question, self.fetch_depth))
    }

    fn trace(&self) -> Option<&Trace> {
        self.trace
    }
}

/// The same question, for joining nodes.
struct StandIns<'s, 'a, Body: Fn(&LegQuestion<'_>, FetchDepth) -> Bytes>(&'s Scatter<'a, Body>);

impl<Body: Fn(&LegQuestion<'_>, FetchDepth) -> Bytes> ShardedQuery for StandIns<'_, '_, Body> {
    fn place(&self, wanted: Option<&ShardSet>, avoided: &[NodeIndex]) -> Placed {
        let Some(wanted) = wanted else { return Placed::default() };
        let Scatter { core, snapshot, index, .. } = self.0;
        plan::fall_back_to_joining(core, snapshot, index, wanted, avoided)
    }

    fn request(&self, leg: &Leg) -> NodeRequest<'_> {
        self.0.request(leg)
    }
}
