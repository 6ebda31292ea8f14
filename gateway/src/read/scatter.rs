//! The fourth step of a read: ask the legs of a plan (`legs`) and have their answers merged.
//!
//! Invariants: a failed or late leg's shards are asked of other owners, then of other groups, within the
//! request's deadline; a refusal (4xx) of any leg is the answer; the legs' order is by node; where
//! the legs' hits do not suffice all are asked again, deeper; what only joining nodes say counts as missing.

use std::time::Instant;

use bytes::Bytes;
use merge::MergeError;
use router::{Leg, NodeIndex, ShardSet};

pub(crate) use crate::nodes::pool::is_refusal;
use crate::{
    api::error::{ApiError, Code},
    config::{UnavailableShardPolicy, limits},
    nodes::pool::NodeRequest,
    read::{
        plan,
        race::{self, Placed, ShardedQuery},
    },
    state::{
        core::Core,
        merged_answer::{MergedAnswer, named},
        snapshot::{Index, Snapshot},
    },
    wire::runtime,
};

/// How much legs are asked for: more each time what they gave did not suffice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FetchDepth {
    /// Times the legs were not asked deep enough.
    pub(crate) depth: u32,
    /// Whether legs are to leave out nothing that is not distinct.
    pub(crate) plain: bool,
}

/// One scatter over an index; `Body` writes the request body of a leg.
pub(crate) struct Scatter<'a, Body: Fn(&Leg, FetchDepth) -> Bytes> {
    core: &'a Core,
    snapshot: &'a Snapshot,
    index: &'a Index,
    target: &'a str,
    body: Body,
    deadline: Instant,
    /// The shards asked about; `None` is all.
    wanted: Option<ShardSet>,
    /// Shards nobody who serves reads has answered for.
    missing: Option<ShardSet>,
    failed: Vec<NodeIndex>,
    answers: Vec<(Leg, Bytes)>,
    /// What nodes that join say of missing shards.
    stood_in: Vec<(Leg, Bytes)>,
    turn: usize,
    reach: FetchDepth,
}

/// What a merge gets to see of a scatter.
pub(crate) struct Gathered<'g> {
    /// The answers in leg order.
    pub(crate) bodies: &'g [&'g [u8]],
    /// Whether a single one of them covers every shard.
    pub(crate) whole: bool,
    /// The reach the legs were asked with.
    pub(crate) reach: FetchDepth,
}

impl<'a, Body: Fn(&Leg, FetchDepth) -> Bytes> Scatter<'a, Body> {
    /// Nothing is asked yet. Requests with an equal `turn` ask the same nodes while these are healthy,
    /// so that the pages of one query break ties alike.
    pub(crate) fn new(
        core: &'a Core,
        snapshot: &'a Snapshot,
        index: &'a Index,
        turn: usize,
        target: &'a str,
        body: Body,
    ) -> Self {
        let deadline = runtime::now() + core.shared.config.request_timeout;
        Self {
            core,
            snapshot,
            index,
            target,
            body,
            deadline,
            wanted: None,
            missing: None,
            failed: Vec::new(),
            answers: Vec::new(),
            stood_in: Vec::new(),
            turn,
            reach: FetchDepth::default(),
        }
    }

    /// Asks about these shards only, where others can have nothing to say.
    pub(crate) fn about(self, wanted: Option<ShardSet>) -> Self {
        Self { missing: wanted.clone(), wanted, ..self }
    }

    /// Asks until every shard has answered or nobody is left to ask.
    ///
    /// # Errors
    /// The refusal of a node, or 503 when shards are unavailable and the policy says `error`.
    async fn run(&mut self) -> Result<(), ApiError> {
        if self.missing.as_ref().is_none_or(|missing| !missing.is_empty()) {
            let asked =
                race::ask(self.core, &*self, self.missing.as_ref(), &self.failed, self.deadline).await;
            let outcome = asked.map_err(|answer| ApiError::from_node(answer.status, &answer.body))?;
            self.answers.extend(outcome.answers.into_iter().map(|(leg, answer)| (leg, answer.body)));
            self.missing = Some(outcome.missing);
        }
        self.answers.sort_by_key(|(leg, _)| leg.node.0);
        self.have_others_stand_in().await;
        #[expect(clippy::cast_precision_loss, reason = "a fan-out is a small number")]
        self.core.metrics.fan_out.record(self.answers.len() as f64);
        self.check_coverage()
    }

    /// Asks nodes that join for what is missing: an answer that may be old is more than none, and says that it is.
    async fn have_others_stand_in(&mut self) {
        self.stood_in.clear();
        let Some(missing) = self.missing.as_ref().filter(|missing| !missing.is_empty()) else { return };
        if self.core.shared.config.unavailable_shard_policy == UnavailableShardPolicy::Error {
            return;
        }
        let question = StandIns(&*self);
        let asked = race::ask(self.core, &question, Some(missing), &self.failed, self.deadline).await;
        // What such a node refuses another might not.
        let answers = asked.map(|outcome| outcome.answers).unwrap_or_default();
        self.stood_in = answers.into_iter().map(|(leg, answer)| (leg, answer.body)).collect();
    }

    /// Asks and merges. An answer that cannot be merged is a failed leg: somebody else is asked.
    ///
    /// # Errors
    /// Those of [`Scatter::run`], or 503 when no answers that can be merged are to be had.
    pub(crate) async fn answer(
        mut self,
        mut merge: impl FnMut(&Gathered<'_>, &mut Vec<u8>) -> Result<(), MergeError>,
    ) -> Result<MergedAnswer, ApiError> {
        let mut body = Vec::new();
        for _ in 0..limits::SCATTER_ATTEMPTS_MAX + limits::SCATTER_REACH_MAX as usize + 1 {
            self.run().await?;
            let answers = self.answers.iter().chain(&self.stood_in);
            let whole = answers.clone().any(|(leg, _)| self.covers_all(leg));
            let bodies = answers.map(|(_, body)| body.as_ref()).collect::<Vec<&[u8]>>();
            body.clear();
            body.reserve(bodies.iter().map(|body| body.len()).sum::<usize>().min(1 << 20));
            match merge(&Gathered { bodies: &bodies, whole, reach: self.reach }, &mut body) {
                Ok(()) => {
                    return Ok(MergedAnswer { body: body.into(), missing: self.missing.unwrap_or_default() });
                }
                Err(MergeError::Short) if self.reach.depth < limits::SCATTER_REACH_MAX => {
                    self.reach.depth += 1;
                    self.ask_again();
                }
                Err(MergeError::Entangled) if !self.reach.plain => {
                    self.reach.plain = true;
                    self.ask_again();
                }
                Err(MergeError::Short | MergeError::Entangled) => break,
                Err(MergeError::Leg { leg, reason }) => {
                    let (leg, _) = match leg.checked_sub(self.answers.len()) {
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

    fn covers_all(&self, leg: &Leg) -> bool {
        let wanted = self.wanted.as_ref().map_or(self.index.record.shards, ShardSet::len);
        leg.shards.len() == wanted
    }

    /// Forgets all answers: every shard is to be asked again.
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
            return Err(ApiError::new(
                Code::MiroirShardUnavailable,
                format!("No node answers for the shards {}.", named(missing)),
            ));
        }
        self.core.metrics.partial_responses.increment(1);
        Ok(())
    }
}

impl<Body: Fn(&Leg, FetchDepth) -> Bytes> ShardedQuery for Scatter<'_, Body> {
    fn place(&self, wanted: Option<&ShardSet>, avoided: &[NodeIndex]) -> Placed {
        let cover = |wanted: Option<&ShardSet>| {
            plan::cover(self.core, self.snapshot, self.index, wanted, avoided, self.turn)
        };
        let first = cover(wanted);
        let mut placed = Placed { legs: first.legs, uncovered: first.uncovered };
        // What one group lacks another may have.
        while !placed.uncovered.is_empty() {
            let more = cover(Some(&placed.uncovered));
            if more.legs.is_empty() {
                break;
            }
            placed.legs.extend(more.legs);
            placed.uncovered = more.uncovered;
        }
        placed
    }

    fn request(&self, leg: &Leg) -> NodeRequest<'_> {
        NodeRequest::post_json(self.target, (self.body)(leg, self.reach))
    }
}

/// The same question, to nodes that join.
struct StandIns<'s, 'a, Body: Fn(&Leg, FetchDepth) -> Bytes>(&'s Scatter<'a, Body>);

impl<Body: Fn(&Leg, FetchDepth) -> Bytes> ShardedQuery for StandIns<'_, '_, Body> {
    fn place(&self, wanted: Option<&ShardSet>, avoided: &[NodeIndex]) -> Placed {
        let Some(wanted) = wanted else { return Placed::default() };
        let Scatter { core, snapshot, index, .. } = self.0;
        let set = plan::fall_back_to_joining(core, snapshot, index, wanted, avoided);
        Placed { legs: set.legs, uncovered: set.uncovered }
    }

    fn request(&self, leg: &Leg) -> NodeRequest<'_> {
        self.0.request(leg)
    }
}
