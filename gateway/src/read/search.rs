//! One search of one index: a list, a query that has to be embedded first, or a hybrid of two halves.

use crate::{
    api::{error::ApiError, search::request::SearchKind},
    read::{
        context::ReadContext,
        hits::{Audience, Reading, list},
        hybrid,
        trace::Trace,
    },
    state::merged_answer::MergedAnswer,
    wire::runtime,
};

/// Answers one search of one index as one node would. What few searches need is boxed, so that a request's future is
/// no larger than that of a plain search.
pub(crate) async fn search_index(
    context: ReadContext<'_>,
    trace: Option<&Trace>,
) -> Result<MergedAnswer, ApiError> {
    let ReadContext { core, snapshot, index, search } = context;
    let reading = Reading { started: runtime::now(), trace };
    match search.kind() {
        SearchKind::Single if search.needs_embedding() => {
            let search = Box::pin(hybrid::with_vector(core, snapshot, index, search.clone())).await?;
            Box::pin(list(context.with(&search), reading, Audience::ToClient)).await
        }
        SearchKind::Single => list(context, reading, Audience::ToClient).await,
        SearchKind::Hybrid { semantic_ratio } => {
            Box::pin(hybrid::merge_halves(context, semantic_ratio, reading)).await
        }
    }
}
