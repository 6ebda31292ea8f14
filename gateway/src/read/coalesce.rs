//! Identical searches at one time share one scatter: a search that arrives while an identical one is under way gets
//! that one's answer.
//!
//! Invariant: searches are identical when nodes cannot tell them apart: the same index at the same revision, the same
//! body, the same tenant's rules, the same group of a tenant.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    read::expiry,
    state::{
        core::Core,
        single_flight::{Outcome, Question, Role},
        snapshot::Index,
    },
    wire::runtime,
};

/// Whether a search may share the scatter of another one. A session's read prefers the group that took its write,
/// which the others need not. Where documents expire, a search that was planned earlier may show documents that have
/// expired since.
pub(crate) fn applies(core: &Core, index: &Index) -> bool {
    let ends = (0..index.parts()).any(|part| expiry::applies(core, index.part(part)));
    core.shared.config.query_coalescing && core.read_preference.get().session.is_none() && !ends
}

/// Gives the answer of an identical search under way, else that of `scatter`.
pub(crate) async fn join_or_run(
    core: &Core,
    index: &Arc<Index>,
    body: &Bytes,
    rules: Option<String>,
    scatter: impl Future<Output = Outcome>,
) -> Outcome {
    if !applies(core, index) {
        return scatter.await;
    }
    let tenant = core.read_preference.get().tenant;
    let question = Question { index: Arc::clone(index), body: body.clone(), rules, tenant };
    match core.searches.join_or_lead(question, runtime::now(), core.shared.tasks_ended()) {
        Role::Joined(answer) => match answer.await {
            Ok(outcome) => {
                core.metrics.coalesced.increment(1);
                outcome
            }
            Err(_) => scatter.await,
        },
        Role::Alone(leader) => {
            let outcome = scatter.await;
            leader.land(&outcome);
            outcome
        }
    }
}
