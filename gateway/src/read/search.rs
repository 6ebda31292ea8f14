//! One search of one index: a list, a query that has to be embedded first, or a hybrid of two halves.

use crate::{
    api::{
        error::ApiError,
        search::request::{SearchKind, SearchRequest},
    },
    read::{
        hits::{Audience, Reading, list},
        hybrid,
        trace::Trace,
    },
    state::{
        core::Core,
        merged_answer::MergedAnswer,
        snapshot::{Index, Snapshot},
    },
    wire::runtime,
};

/// Answers one search of one index as one node would. What few searches need is boxed, so that a request's future is
/// no larger than that of a plain search.
pub(crate) async fn search_index(
    core: &Core,
    snapshot: &Snapshot,
    index: &Index,
    search: &SearchRequest<'_>,
    trace: Option<&Trace>,
) -> Result<MergedAnswer, ApiError> {
    let reading = Reading { started: runtime::now(), trace };
    match search.kind() {
        SearchKind::Single if search.needs_embedding() => {
            let search = Box::pin(hybrid::with_vector(core, snapshot, index, search.clone())).await?;
            Box::pin(list(core, snapshot, index, &search, reading, Audience::ToClient)).await
        }
        SearchKind::Single => list(core, snapshot, index, search, reading, Audience::ToClient).await,
        SearchKind::Hybrid { semantic_ratio } => {
            Box::pin(hybrid::merge_halves(core, snapshot, index, search, semantic_ratio, reading)).await
        }
    }
}
