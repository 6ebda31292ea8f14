//! The fourth step of a read: ask the legs of a plan all at once and collect their answers.
//!
//! Invariants: a failed leg's shards are asked of other owners, then of other groups, within the
//! request's deadline; a refusal (4xx) of any leg is the answer; the legs' order is by node; where
//! the legs' hits do not suffice all are asked again, deeper.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use http::StatusCode;
use merge::MergeError;
use router::{Leg, NodeIndex, ShardSet};

use super::{Core, plan, pool::NodeRequest};
use crate::{
    api::error::{ApiError, Code},
    config::{UnavailableShardPolicy, limits},
    h1::{NodeAnswer, Response},
    observe::log,
    runtime::Runtime,
    snapshot::{Index, Snapshot},
};

/// How much legs are asked for: more each time what they gave did not suffice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Reach {
    /// Times the legs were not asked deep enough.
    pub(super) depth: u32,
    /// Whether legs are to leave out nothing that is not distinct.
    pub(super) plain: bool,
}

/// One scatter over an index; `Body` writes the request body of a leg.
pub(super) struct Scatter<'a, R: Runtime, Body: Fn(&Leg, Reach) -> Bytes> {
    core: &'a Core<R>,
    snapshot: &'a Snapshot,
    index: &'a Index,
    target: &'a str,
    body: Body,
    deadline: Instant,
    missing: Option<ShardSet>,
    failed: Vec<NodeIndex>,
    answers: Vec<(Leg, Bytes)>,
    attempts: usize,
    turn: usize,
    reach: Reach,
}

/// What a merge gets to see of a scatter.
pub(super) struct Gathered<'g> {
    /// The answers in leg order.
    pub(super) bodies: &'g [&'g [u8]],
    /// Whether a single one of them covers every shard.
    pub(super) whole: bool,
    /// The reach the legs were asked with.
    pub(super) reach: Reach,
}

/// A merged answer and the shards it lacks.
pub(super) struct Merged {
    pub(super) body: Vec<u8>,
    pub(super) missing: ShardSet,
}

impl Merged {
    /// An answer made of several: it lacks what any of them lacks.
    pub(super) fn of_parts<'m>(body: Vec<u8>, parts: impl IntoIterator<Item = &'m Self>) -> Self {
        let missing = parts.into_iter().map(|part| &part.missing);
        Self { body, missing: missing.fold(ShardSet::default(), |all, missing| all.union(missing)) }
    }

    /// An answer with the header that says which shards are missing from it.
    pub(super) fn into_response(self) -> Response {
        let response = Response::json(StatusCode::OK, self.body);
        if self.missing.is_empty() {
            return response;
        }
        response.with_header("x-miroir-degraded", format!("shards={}", list(&self.missing)))
    }
}

impl<'a, R: Runtime, Body: Fn(&Leg, Reach) -> Bytes> Scatter<'a, R, Body> {
    /// Nothing is asked yet. Requests with an equal `turn` ask the same nodes while these are healthy,
    /// so that the pages of one query break ties alike.
    pub(super) fn new(
        core: &'a Core<R>,
        snapshot: &'a Snapshot,
        index: &'a Index,
        turn: usize,
        target: &'a str,
        body: Body,
    ) -> Self {
        let deadline = R::now() + core.shared.config.request_timeout;
        Self {
            core,
            snapshot,
            index,
            target,
            body,
            deadline,
            missing: None,
            failed: Vec::new(),
            answers: Vec::new(),
            attempts: 0,
            turn,
            reach: Reach::default(),
        }
    }

    /// Asks until every shard has answered or nobody is left to ask.
    ///
    /// # Errors
    /// The refusal of a node, or 503 when shards are unavailable and the policy says `error`.
    async fn run(&mut self) -> Result<(), ApiError> {
        while self.missing.as_ref().is_none_or(|missing| !missing.is_empty()) {
            let set = plan::cover(
                self.core,
                self.snapshot,
                self.index,
                self.missing.as_ref(),
                &self.failed,
                self.turn,
            );
            let left = self.deadline.saturating_duration_since(R::now());
            if set.legs.is_empty() || self.attempts >= limits::SCATTER_ATTEMPTS_MAX || left.is_zero() {
                break;
            }
            if self.attempts > 0 {
                self.core.metrics.scatter_retries.increment(1);
            }
            self.attempts += 1;
            self.missing = Some(set.uncovered);
            self.ask(set.legs, left.min(self.core.shared.config.node_timeout)).await?;
        }
        self.answers.sort_by_key(|(leg, _)| leg.node.0);
        self.check_coverage()
    }

    /// Asks and merges. An answer that cannot be merged is a failed leg: somebody else is asked.
    ///
    /// # Errors
    /// Those of [`Scatter::run`], or 503 when no answers that can be merged are to be had.
    pub(super) async fn answer(
        mut self,
        mut merge: impl FnMut(&Gathered<'_>, &mut Vec<u8>) -> Result<(), MergeError>,
    ) -> Result<Merged, ApiError> {
        let mut body = Vec::new();
        for _ in 0..limits::SCATTER_ATTEMPTS_MAX + limits::SCATTER_REACH_MAX as usize + 1 {
            self.run().await?;
            let whole = self.answers.iter().any(|(leg, _)| self.covers_all(leg));
            let bodies = self.answers.iter().map(|(_, body)| body.as_ref()).collect::<Vec<&[u8]>>();
            body.clear();
            body.reserve(bodies.iter().map(|body| body.len()).sum::<usize>().min(1 << 20));
            match merge(&Gathered { bodies: &bodies, whole, reach: self.reach }, &mut body) {
                Ok(()) => return Ok(Merged { body, missing: self.missing.unwrap_or_default() }),
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
                    let (leg, _) = self.answers.remove(leg);
                    self.fail(&leg, &reason);
                }
            }
        }
        Err(ApiError::new(Code::MiroirShardUnavailable, "The nodes gave no answer that can be merged."))
    }

    fn covers_all(&self, leg: &Leg) -> bool {
        leg.shards.len() == self.index.record.shards
    }

    /// Forgets all answers: every shard is to be asked again.
    fn ask_again(&mut self) {
        self.answers.clear();
        self.missing = None;
        self.attempts = 0;
    }

    async fn ask(&mut self, legs: Vec<Leg>, limit: Duration) -> Result<(), ApiError> {
        #[allow(clippy::cast_precision_loss, reason = "a fan-out is a small number")]
        self.core.metrics.fan_out.record(legs.len() as f64);
        let asked = legs.iter().map(|leg| {
            let request = NodeRequest::post_json(self.target, (self.body)(leg, self.reach));
            self.core.pools.ask(leg.node, request, limit)
        });
        let results = join_all(asked).await;
        for (leg, result) in legs.into_iter().zip(results) {
            match result {
                Ok(answer) if answer.status.is_success() => self.answers.push((leg, answer.body)),
                Ok(answer) if is_refusal(&answer) => {
                    return Err(ApiError::from_node(answer.status, &answer.body));
                }
                Ok(answer) => self.fail(&leg, &format!("status {}", answer.status.as_u16())),
                Err(error) => self.fail(&leg, &error.to_string()),
            }
        }
        Ok(())
    }

    fn fail(&mut self, leg: &Leg, reason: &str) {
        let node = &self.core.shared.nodes[usize::from(leg.node.0)].id;
        log::warn("leg_failed", &[("node", node), ("reason", reason)]);
        metrics::counter!("miroir_node_errors_total", "node" => node.clone()).increment(1);
        self.failed.push(leg.node);
        match &mut self.missing {
            Some(missing) => *missing = missing.union(&leg.shards),
            None => self.missing = Some(leg.shards.clone()),
        }
    }

    fn check_coverage(&self) -> Result<(), ApiError> {
        let Some(missing) = self.missing.as_ref().filter(|missing| !missing.is_empty()) else {
            return Ok(());
        };
        self.core.metrics.degraded_shards.increment(missing.len() as u64);
        let policy = self.core.shared.config.unavailable_shard_policy;
        if policy == UnavailableShardPolicy::Error || self.answers.is_empty() {
            return Err(ApiError::new(
                Code::MiroirShardUnavailable,
                format!("No node answers for the shards {}.", list(missing)),
            ));
        }
        self.core.metrics.partial_responses.increment(1);
        Ok(())
    }
}

/// Whether an answer refuses the client's request, rather than failing to serve it. What a node
/// says about the gateway's own key is not the client's business.
pub(super) fn is_refusal(answer: &NodeAnswer) -> bool {
    let status = answer.status;
    let gateway_at_fault = [
        StatusCode::UNAUTHORIZED,
        StatusCode::FORBIDDEN,
        StatusCode::REQUEST_TIMEOUT,
        StatusCode::TOO_MANY_REQUESTS,
    ];
    status.is_client_error() && !gateway_at_fault.contains(&status)
}

fn list(shards: &ShardSet) -> String {
    shards.iter().map(|shard| shard.to_string()).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_shards_of_all_parts_are_named() {
        let part = |shards: &[u32]| Merged { body: Vec::new(), missing: shards.iter().copied().collect() };
        let headers = |parts: &[Merged]| Merged::of_parts(Vec::new(), parts).into_response().headers;
        assert!(headers(&[part(&[]), part(&[])]).is_empty());
        let expected = vec![("x-miroir-degraded", "shards=2,3,10".to_owned())];
        assert_eq!(headers(&[part(&[3, 10]), part(&[]), part(&[2, 3])]), expected);
    }
}
