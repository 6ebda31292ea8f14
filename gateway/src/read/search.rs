//! One search of one index: a list, a query that has to be embedded first, or a hybrid of two halves.

use crate::{
    api::{
        error::{ApiError, Code},
        node_version::NodeVersion,
        search::request::SearchKind,
    },
    read::{
        context::ReadContext,
        hits::{Audience, Reading, list},
        hybrid, known_fields,
        trace::Trace,
    },
    state::merged_answer::MergedAnswer,
    wire::runtime,
};

/// From this version on nodes refuse the facets `*` of an index without filterable attributes. Seen on 1.50; 1.15 takes
/// them, and the versions between were not examined.
const ALL_FACETS_NEED_SOME_SINCE: NodeVersion = NodeVersion(1, 37);

/// Refuses the facets `*` where the user made no attribute filterable. Nodes have the gateway's own, and so would not.
///
/// # Errors
/// 400 `invalid_search_facets`.
fn check_any_facet(ReadContext { core, index, .. }: ReadContext<'_>) -> Result<(), ApiError> {
    let settings = &index.part(0).record.settings;
    let has_any = settings["filterableAttributes"].as_array().is_some_and(|names| !names.is_empty());
    if has_any || core.shared.nodes.health.lowest_version() < Some(ALL_FACETS_NEED_SOME_SINCE) {
        return Ok(());
    }
    let message = "Invalid facet distribution: Attribute `*` is not filterable. This index does not have configured filterable attributes.";
    Err(ApiError::new(Code::InvalidSearchFacets, message))
}

/// Answers one search of one index as one node would. What few searches need is boxed, so that a request's future is
/// no larger than that of a plain search.
pub(crate) async fn search_index(
    context: ReadContext<'_>,
    trace: Option<&Trace>,
) -> Result<MergedAnswer, ApiError> {
    if context.search.asks_all_facets() {
        check_any_facet(context)?;
    }
    let wide = match context.search.names_fields(&context.index.rules) {
        true => Box::pin(known_fields::widened(context, context.search)).await,
        false => None,
    };
    if let Some(wide) = wide {
        return Box::pin(with_marks(context.with(&wide), trace)).await;
    }
    let answer = search_lists(context, trace).await?;
    if !context.search.names_fields(&context.index.rules) {
        return Ok(answer);
    }
    match Box::pin(known_fields::widened_after(context, context.search, &answer)).await {
        Some(wide) => Box::pin(with_marks(context.with(&wide), trace)).await,
        None => Ok(answer),
    }
}

/// Answers a search of which nodes were asked more than the client wants marked.
async fn with_marks(context: ReadContext<'_>, trace: Option<&Trace>) -> Result<MergedAnswer, ApiError> {
    let answer = search_lists(context, trace).await?;
    let Some(marks) = context.search.marks() else { return Ok(answer) };
    let unmarked = merge::unmarked(&String::from_utf8_lossy(&answer.body), &marks);
    Ok(match unmarked {
        Some(body) => MergedAnswer { body: body.into(), missing: answer.missing },
        None => answer,
    })
}

/// Answers a search as its lists of attributes are.
async fn search_lists(context: ReadContext<'_>, trace: Option<&Trace>) -> Result<MergedAnswer, ApiError> {
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
