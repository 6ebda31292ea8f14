//! Hybrid search: merges a list by keywords with a list by vectors, and has the query's words embedded.
//!
//! Invariants: each list is complete, as one node gives it, so the rule whether keywords alone are good enough sees
//! all of it. One node embeds a query's words, once, and every leg gets the vector.

use bytes::Bytes;
use merge::{Halves, SearchSpec};
use serde_json::Value;

use crate::{
    api::{
        error::{ApiError, Code},
        search::request::SearchRequest,
    },
    nodes::pool::NodeRequest,
    observe::log,
    read::{
        ask,
        context::ReadContext,
        hits::{Audience, Reading, keeps_facet_orders, list, milliseconds},
        plan,
    },
    state::{
        core::Core,
        merged_answer::MergedAnswer,
        snapshot::{Index, Snapshot},
    },
    wire::runtime,
};

/// Answers a hybrid search: the keyword half, the semantic half, and the merge of both.
pub(crate) async fn merge_halves(
    context: ReadContext<'_>,
    semantic_ratio: f32,
    reading: Reading<'_>,
) -> Result<MergedAnswer, ApiError> {
    let ReadContext { core, snapshot, index, search } = context;
    let rules = &index.rules;
    let Some(primary_key) = index.record.primary_key.as_deref() else {
        // Without a primary key there are no documents, so one list is enough.
        return list(context, reading, Audience::ToClient).await;
    };
    let search = search.identified_by(primary_key);
    let wanted = search.hits_wanted(rules);
    let half = search.keyword_half(wanted);
    let mut keyword = list(context.with(&half), reading, Audience::ToMerge).await?;
    let good_enough = merge::is_good_enough(&keyword.body, wanted, semantic_ratio).map_err(unusable)?;
    // A node looks up the embedder before it searches, so the semantic half brings the refusal of an unknown one.
    let has_embedder =
        search.embedder().is_some_and(|name| index.record.settings["embedders"][&name].is_object());
    let semantic = match good_enough && has_embedder {
        true => None,
        false => {
            let half = search.semantic_half(wanted);
            match with_vector(core, snapshot, index, half).await {
                Ok(half) => Some(list(context.with(&half), reading, Audience::ToMerge).await?),
                Err(error) if !has_embedder => return Err(error),
                // As on one node, a query that cannot be embedded is answered by its keywords.
                Err(error) => {
                    log::warn("query_not_embedded", &[("status", error.status().as_str())]);
                    None
                }
            }
        }
    };
    let extra_fields = search.extra_fields(rules);
    let spec = SearchSpec {
        show_ranking_score: search.show_ranking_score,
        show_ranking_score_details: search.show_ranking_score_details,
        distinct: search.distinct(rules),
        tie_break: search.tie_break(rules),
        displayed: rules.displayed.as_deref(),
        extra_fields: extra_fields.as_ref(),
        facets: Some(search.facet_rules(rules, keeps_facet_orders(core))),
        processing_time_ms: milliseconds(runtime::now().saturating_duration_since(reading.started)),
        hits_total_max: rules.hits_total_max,
        total_clipped: core.shared.nodes.health.clips_totals(),
        ..SearchSpec::plain(search.paging, wanted)
    };
    let halves = Halves {
        keyword: &keyword.body,
        semantic: semantic.as_ref().map(|merged| &merged.body[..]),
        semantic_ratio,
        primary_key,
        scores_end_at_sorts: core.shared.nodes.health.scores_end_at_sorts(),
    };
    let mut body = Vec::with_capacity(keyword.body.len());
    merge::hybrid(&halves, &spec, &mut body).map_err(unusable)?;
    search.hide_positions(rules, &mut body);
    if let Some(semantic) = semantic {
        keyword.missing = keyword.missing.union(&semantic.missing);
    }
    Ok(MergedAnswer { body: body.into(), missing: keyword.missing })
}

fn unusable(error: merge::MergeError) -> ApiError {
    log::error("hybrid_not_merged", &[("reason", &error.to_string())]);
    ApiError::new(Code::Internal, "The two halves of the search could not be merged.")
}

/// Gives the query the vector of its words. Leaves it as it is where a single node embeds it anyway, or where nodes
/// do not return the vector (v1.15 does not: there every node embeds).
///
/// # Errors
/// The refusal of the node that should embed.
pub(crate) async fn with_vector<'a>(
    core: &Core,
    snapshot: &Snapshot,
    index: &Index,
    search: SearchRequest<'a>,
) -> Result<SearchRequest<'a>, ApiError> {
    if !search.needs_embedding() {
        return Ok(search);
    }
    let legs = plan::place(core, snapshot, index, None, &[], search.turn()).legs;
    if legs.len() < 2 {
        return Ok(search);
    }
    let target = format!("/indexes/{}/search", index.record.node_uid);
    let body = Bytes::from(search.leg_body(&search.embedding_prefix(), None));
    let nodes = legs.iter().map(|leg| leg.node).collect();
    match ask::first_of(core, nodes, NodeRequest::post_json(&target, body)).await {
        Ok(Ok(answer)) => {
            let value = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
            let vector = value.get("queryVector").filter(|vector| vector.is_array());
            Ok(match vector {
                Some(vector) => search.with_vector(vector.to_string()),
                None => search,
            })
        }
        Ok(Err(refusal)) => Err(ApiError::from_node(refusal.status, &refusal.body)),
        Err(_) => Ok(search),
    }
}
