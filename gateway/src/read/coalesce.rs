//! Identical searches at one time share one scatter: who comes while the first is under way gets its answer.
//!
//! Invariant: searches are identical when nodes cannot tell them apart: the same index at the same revision, the
//! same body, the same tenant's rules.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    state::{
        core::Core,
        single_flight::{Outcome, Question, Role},
        snapshot::Index,
    },
    wire::runtime,
};

/// The answer to a search: that of an identical one under way, or of `asking`.
pub(crate) async fn answer(
    core: &Core,
    index: &Arc<Index>,
    body: &Bytes,
    rules: Option<String>,
    asking: impl Future<Output = Outcome>,
) -> Outcome {
    // A session's read goes where its write was taken, which others need not.
    if !core.shared.config.query_coalescing || core.read_preference.get().is_some() {
        return asking.await;
    }
    let question = Question { index: Arc::clone(index), body: body.clone(), rules };
    match core.searches.join_or_lead(question, runtime::now(), core.shared.tasks_ended()) {
        Role::Joined(answer) => match answer.await {
            Ok(outcome) => {
                core.metrics.coalesced.increment(1);
                outcome
            }
            Err(_) => asking.await,
        },
        Role::Alone(leader) => {
            let outcome = asking.await;
            leader.land(&outcome);
            outcome
        }
    }
}
