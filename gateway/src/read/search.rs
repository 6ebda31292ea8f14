//! One search of one index, whatever it is made of: a list, a vector that has to be embedded first, or two halves.

use crate::{
    api::{
        error::ApiError,
        search::request::{SearchKind, SearchRequest},
    },
    read::{
        hits::{Audience, list},
        hybrid,
    },
    state::{
        core::Core,
        merged_answer::MergedAnswer,
        snapshot::{Index, Snapshot},
    },
    wire::runtime,
};

/// Answers one search of one index as one node would. What few searches need is on the heap, so that a request is no
/// larger than a plain search.
pub(crate) async fn answer(
    core: &Core,
    snapshot: &Snapshot,
    index: &Index,
    asked: &SearchRequest<'_>,
) -> Result<MergedAnswer, ApiError> {
    let started = runtime::now();
    match asked.kind() {
        SearchKind::Single if asked.needs_embedding() => {
            let asked = Box::pin(hybrid::with_vector(core, snapshot, index, asked.clone())).await?;
            Box::pin(list(core, snapshot, index, &asked, started, Audience::ToClient)).await
        }
        SearchKind::Single => list(core, snapshot, index, asked, started, Audience::ToClient).await,
        SearchKind::Hybrid { semantic_ratio } => {
            Box::pin(hybrid::answer(core, snapshot, index, asked, semantic_ratio, started)).await
        }
    }
}
