//! One list of hits in the order of one node: scatter, merge, and again where that did not suffice.
//!
//! Invariants: one leg that covers everything is asked for no details it does not need; an answer that
//! breaks the merge's invariants is a failed leg, never a wrong order in silence.

use std::time::Instant;

use bytes::Bytes;
use merge::SearchSpec;
use router::{Leg, ShardSet};

use crate::{
    api::{
        error::{ApiError, Code},
        node_version::NodeVersion,
        search::request::{LegNeeds, SearchRequest},
    },
    read::{
        distinct_counts, facet_spelling,
        scatter::{FetchDepth, Gathered, Scatter},
    },
    state::{
        core::Core,
        merged_answer::MergedAnswer,
        snapshot::{Index, Snapshot},
    },
    wire::runtime,
};

/// From this version on the facets `*` come in the orders of their own; before, in that of `*` (seen on
/// 1.15 and 1.50; the versions between were not looked at).
const FACET_ORDERS_UNDER_STAR_SINCE: NodeVersion = NodeVersion(1, 37);

/// Who reads a list of hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    ToClient,
    /// A further merge here, which looks at scores, details and every field asked for.
    ToMerge,
}

/// One list of hits in the order of one node.
pub(crate) async fn list(
    core: &Core,
    snapshot: &Snapshot,
    index: &Index,
    asked: &SearchRequest<'_>,
    started: Instant,
    shown: Audience,
) -> Result<MergedAnswer, ApiError> {
    let pins = crate::read::pins::pin_in(core, &index.record.uid);
    if pins && shown == Audience::ToMerge {
        return Err(crate::read::pins::refusal());
    }
    let rules = &index.rules;
    let target = format!("/indexes/{}/search", index.record.node_uid);
    let wanted = asked.hits_wanted(rules);
    check_page_depth(core, wanted)?;
    let distinct_field = asked.distinct(rules);
    let pinned = narrowed(core, index, asked).filter(|_| distinct_field.is_none());
    let wanted_shards = pinned.as_ref().map_or(index.record.shards, ShardSet::len);
    let needs = |leg: &Leg, reach: FetchDepth| LegNeeds {
        hits: deeper(wanted, reach.depth),
        // A leg that covers everything gives the answer's order: nothing has to be compared.
        merged: shown == Audience::ToMerge || leg.shards.len() < wanted_shards,
        plain: reach.plain,
    };
    let counted = distinct_counts::count(core, snapshot, index, asked).await;
    // Most legs of most searches get one of these two.
    let prefixes =
        [false, true].map(|merged| asked.leg_prefix(rules, LegNeeds { hits: wanted, merged, plain: false }));
    let scatter = Scatter::new(core, snapshot, index, asked.turn(), &target, |leg: &Leg, reach| {
        let needs = needs(leg, reach);
        let filter = (!leg.whole_node).then(|| router::shard_filter(&leg.shards));
        let body = match reach == FetchDepth::default() {
            true => asked.leg_body(&prefixes[usize::from(needs.merged)], filter.as_deref()),
            false => asked.leg_body(&asked.leg_prefix(rules, needs), filter.as_deref()),
        };
        Bytes::from(body)
    });
    let extra_fields = asked.extra_fields(rules).filter(|_| shown == Audience::ToClient);
    let mut contested = Vec::new();
    let merge = |gathered: &Gathered<'_>, body: &mut Vec<u8>| {
        let spec = SearchSpec {
            paging: asked.paging,
            show_ranking_score: asked.show_ranking_score,
            show_ranking_score_details: asked.show_ranking_score_details,
            details_in_legs: !gathered.whole || asked.show_ranking_score_details,
            hits_asked: deeper(wanted, gathered.reach.depth),
            distinct: distinct_field.filter(|_| !gathered.whole),
            distinct_legs: distinct_field.is_some() && !gathered.reach.plain,
            tie_break: asked.tie_break(rules),
            displayed: rules.displayed.as_deref().filter(|_| !asked.raw_details),
            only_vectors: asked.only_vectors,
            pins,
            extra_fields: extra_fields.as_ref(),
            facets: Some(asked.facet_rules(rules, keeps_facet_orders(core))),
            facets_counted: counted.facets().filter(|_| !gathered.whole),
            processing_time_ms: milliseconds(runtime::now().saturating_duration_since(started)),
            hits_total_max: rules.hits_total_max,
            total_clipped: core.shared.nodes.health.clips_totals(),
            total: counted.total.filter(|_| !gathered.whole),
        };
        contested = merge::search(gathered.bodies, &spec, body)?.contested;
        asked.hide_positions(rules, body);
        Ok(())
    };
    if pinned.is_some() {
        core.metrics.narrowed_plans.increment(1);
    }
    let merged = scatter.about(pinned).answer(merge).await?;
    match contested.is_empty() {
        true => Ok(merged),
        false => Ok(Box::pin(facet_spelling::resolve(core, snapshot, index, asked, merged, contested)).await),
    }
}

/// The shards that alone can hold hits, where the filter says so.
fn narrowed(core: &Core, index: &Index, asked: &SearchRequest<'_>) -> Option<ShardSet> {
    core.shared.config.shard_aware_planning.then(|| asked.pinned_shards(&index.record))?
}

/// Whether nodes asked for the facets `*` keep to the orders of single facets.
pub(crate) fn keeps_facet_orders(core: &Core) -> bool {
    core.shared.nodes.health.lowest_version() >= Some(FACET_ORDERS_UNDER_STAR_SINCE)
}

/// Hits to ask legs for when they were asked `reach` times already and gave too few.
fn deeper(wanted: usize, reach: u32) -> usize {
    if reach == 0 { wanted } else { wanted.max(20).saturating_mul(4_usize.saturating_pow(reach)) }
}

pub(crate) fn milliseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Offset and limit together, as far as this gateway goes.
///
/// # Errors
/// 400 over the limit.
pub(crate) fn check_page_depth(core: &Core, depth: usize) -> Result<(), ApiError> {
    let most = core.edge().page_depth_max;
    match depth <= most {
        true => Ok(()),
        false => Err(ApiError::new(
            Code::BadRequest,
            format!("Offset and limit together are over this gateway's limit of {most}."),
        )
        .because("page_too_deep")),
    }
}
