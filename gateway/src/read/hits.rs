//! Gives one list of hits in the order of one node: scatters, merges, and asks the legs deeper where that did not
//! suffice.
//!
//! Invariants: a leg that covers everything is asked for no details it does not need. An answer that breaks the
//! merge's invariants is a failed leg, never a wrong order in silence.

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

/// From this version on nodes order each facet of the facets `*` by its own setting; before, all by the setting of
/// `*`. Seen on 1.15 and 1.50; the versions between were not examined.
const FACET_ORDERS_UNDER_STAR_SINCE: NodeVersion = NodeVersion(1, 37);

/// The reader of a list of hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    ToClient,
    /// A further merge in the gateway, which reads scores, details and every field asked for.
    ToMerge,
}

/// Gives one list of hits in the order of one node.
pub(crate) async fn list(
    core: &Core,
    snapshot: &Snapshot,
    index: &Index,
    search: &SearchRequest<'_>,
    started: Instant,
    audience: Audience,
) -> Result<MergedAnswer, ApiError> {
    let pins = crate::read::pins::pin_in(core, &index.record.uid);
    if pins && audience == Audience::ToMerge {
        return Err(crate::read::pins::refusal());
    }
    let rules = &index.rules;
    let target = format!("/indexes/{}/search", index.record.node_uid);
    let wanted = search.hits_wanted(rules);
    check_page_depth(core, wanted)?;
    let distinct_field = search.distinct(rules);
    let pinned = narrowed(core, index, search).filter(|_| distinct_field.is_none());
    let wanted_shards = pinned.as_ref().map_or(index.record.shards, ShardSet::len);
    let needs = |leg: &Leg, fetch_depth: FetchDepth| LegNeeds {
        hits: deeper(wanted, fetch_depth.rounds),
        // A leg that covers everything is in the final order already: nothing has to be compared.
        merged: audience == Audience::ToMerge || leg.shards.len() < wanted_shards,
        plain: fetch_depth.plain,
    };
    let counted = distinct_counts::count(core, snapshot, index, search).await;
    // Nearly every leg is asked at the default depth, with one of these two prefixes.
    let prefixes =
        [false, true].map(|merged| search.leg_prefix(rules, LegNeeds { hits: wanted, merged, plain: false }));
    let scatter = Scatter::new(core, snapshot, index, search.turn(), &target, |leg: &Leg, fetch_depth| {
        let needs = needs(leg, fetch_depth);
        let filter = (!leg.whole_node).then(|| router::shard_filter(&leg.shards));
        let body = match fetch_depth == FetchDepth::default() {
            true => search.leg_body(&prefixes[usize::from(needs.merged)], filter.as_deref()),
            false => search.leg_body(&search.leg_prefix(rules, needs), filter.as_deref()),
        };
        Bytes::from(body)
    });
    let extra_fields = search.extra_fields(rules).filter(|_| audience == Audience::ToClient);
    let mut contested = Vec::new();
    let merge = |gathered: &Gathered<'_>, body: &mut Vec<u8>| {
        let spec = SearchSpec {
            paging: search.paging,
            show_ranking_score: search.show_ranking_score,
            show_ranking_score_details: search.show_ranking_score_details,
            details_in_legs: !gathered.whole || search.show_ranking_score_details,
            hits_asked: deeper(wanted, gathered.fetch_depth.rounds),
            distinct: distinct_field.filter(|_| !gathered.whole),
            distinct_legs: distinct_field.is_some() && !gathered.fetch_depth.plain,
            tie_break: search.tie_break(rules),
            displayed: rules.displayed.as_deref().filter(|_| !search.raw_details),
            only_vectors: search.only_vectors,
            pins,
            extra_fields: extra_fields.as_ref(),
            facets: Some(search.facet_rules(rules, keeps_facet_orders(core))),
            facets_counted: counted.facets().filter(|_| !gathered.whole),
            processing_time_ms: milliseconds(runtime::now().saturating_duration_since(started)),
            hits_total_max: rules.hits_total_max,
            total_clipped: core.shared.nodes.health.clips_totals(),
            total: counted.total.filter(|_| !gathered.whole),
        };
        contested = merge::search(gathered.bodies, &spec, body)?.contested;
        search.hide_positions(rules, body);
        Ok(())
    };
    if pinned.is_some() {
        core.metrics.narrowed_plans.increment(1);
    }
    let merged = scatter.about(pinned).ask_and_merge(merge).await?;
    match contested.is_empty() {
        true => Ok(merged),
        false => {
            Ok(Box::pin(facet_spelling::resolve(core, snapshot, index, search, merged, contested)).await)
        }
    }
}

/// The only shards that can hold hits, where the filter pins primary keys.
fn narrowed(core: &Core, index: &Index, search: &SearchRequest<'_>) -> Option<ShardSet> {
    core.shared.config.shard_aware_planning.then(|| search.pinned_shards(&index.record))?
}

/// Whether nodes that are asked for the facets `*` order each facet by its own setting.
pub(crate) fn keeps_facet_orders(core: &Core) -> bool {
    core.shared.nodes.health.lowest_version() >= Some(FACET_ORDERS_UNDER_STAR_SINCE)
}

/// The hits to ask legs for after `rounds` rounds that gave too few.
fn deeper(wanted: usize, rounds: u32) -> usize {
    if rounds == 0 { wanted } else { wanted.max(20).saturating_mul(4_usize.saturating_pow(rounds)) }
}

pub(crate) fn milliseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Checks that offset and limit together are within this gateway's limit.
///
/// # Errors
/// 400 when they are over it.
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
