//! Gives one list of hits in the order of one node: scatters, merges, and asks the legs deeper where that did not
//! suffice.
//!
//! Invariants: a leg that covers everything is asked for no details it does not need. An answer that breaks the
//! merge's invariants is a failed leg, never a wrong order in silence.

use std::{cell::RefCell, time::Instant};

use bytes::Bytes;
use merge::SearchSpec;
use router::{Leg, ShardSet};

use crate::{
    api::{
        error::{ApiError, Code},
        node_version::NodeVersion,
        search::{
            narrowing::NotNarrowed,
            request::{LegNeeds, SearchRequest},
        },
    },
    config::limits::PAGE_DEPTH_DEFAULT,
    read::{
        context::ReadContext,
        distinct_counts, facet_spelling, leg_depth, plan,
        race::Placed,
        scatter::{FetchDepth, Gathered, LegQuestion, Scatter},
        trace::Trace,
    },
    state::{core::Core, merged_answer::MergedAnswer, snapshot::Index},
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

/// When a search began, and the trace of its legs if there is one.
#[derive(Clone, Copy)]
pub(crate) struct Reading<'t> {
    pub(crate) started: Instant,
    pub(crate) trace: Option<&'t Trace>,
}

/// The decisions about a list of hits before any node is asked.
pub(crate) struct ListPlan {
    /// How many hits, from the start of the order, the page takes.
    pub(crate) depth: usize,
    /// In what share of searches a leg may hold more of the page than it is asked for at first.
    miss_rate: f64,
    /// Whether a dynamic search rule may pin documents.
    pins: bool,
    /// The only shards that can hold hits, or the reason why all are asked.
    pub(crate) narrowed: Result<ShardSet, NotNarrowed>,
    pub(crate) placed: Placed,
}

impl ListPlan {
    /// How many hits a leg is asked for at first, where `wanted` shards are asked in all.
    fn first_depth(&self, leg: &Leg, wanted: u32) -> usize {
        let share = f64::from(leg.shards.len()) / f64::from(wanted.max(1));
        leg_depth::first_depth(self.depth, share, self.miss_rate)
    }

    /// How many hits a leg is asked for at a depth.
    fn hits_of(&self, leg: &Leg, wanted: u32, fetch_depth: FetchDepth) -> usize {
        match fetch_depth == FetchDepth::default() {
            true => self.first_depth(leg, wanted),
            false => deeper(self.depth, fetch_depth.rounds),
        }
    }

    /// How many hits each leg was asked for; empty where all were asked for the whole page.
    fn hits_of_legs(&self, legs: &[(&Leg, FetchDepth)], wanted: u32) -> Vec<usize> {
        if self.miss_rate <= 0.0 {
            return Vec::new();
        }
        legs.iter().map(|(leg, fetch_depth)| self.hits_of(leg, wanted, *fetch_depth)).collect()
    }

    /// The most hits that a leg is asked for at first.
    pub(crate) fn leg_depth(&self, index: &Index) -> usize {
        let wanted = self.narrowed.as_ref().map_or_else(|_| index.shards_in_all(), ShardSet::len);
        self.placed.legs.iter().map(|leg| self.first_depth(leg, wanted)).max().unwrap_or(0)
    }
}

/// Plans a list of hits, both for searches and for explanations.
///
/// # Errors
/// 400 for a page deeper than this gateway's limit.
pub(crate) fn plan_list(context: ReadContext<'_>) -> Result<ListPlan, ApiError> {
    let ReadContext { core, snapshot, index, search } = context;
    let depth = search.hits_wanted(&index.rules);
    check_page_depth(core, depth)?;
    let narrowed = narrowed(core, index, search);
    let placed = plan::place(core, snapshot, index, narrowed.as_ref().ok(), &[], search.turn());
    let pins = (0..index.parts()).any(|part| crate::read::pins::pin_in(core, &index.part(part).record.uid));
    // Documents are spread evenly over the shards of one index; the targets of an alias differ in size.
    let is_even = index.parts() == 1 && search.distinct(&index.rules).is_none() && !pins;
    let miss_rate = match is_even && search.may_be_asked_shallow() {
        true => core.shared.config.leg_miss_rate,
        false => 0.0,
    };
    Ok(ListPlan { depth, miss_rate, pins, narrowed, placed })
}

/// Gives one list of hits in the order of one node.
pub(crate) async fn list(
    context: ReadContext<'_>,
    Reading { started, trace }: Reading<'_>,
    audience: Audience,
) -> Result<MergedAnswer, ApiError> {
    let ReadContext { core, snapshot, index, search } = context;
    let rules = &index.rules;
    let mut plan = plan_list(context)?;
    if plan.pins {
        let is_distinct = search.distinct(rules).is_some() && index.shards_in_all() > 1;
        crate::read::pins::check(audience == Audience::ToMerge, is_distinct)?;
    }
    let (wanted, pins, placed) = (plan.depth, plan.pins, std::mem::take(&mut plan.placed));
    let distinct_field = search.distinct(rules);
    let pinned = plan.narrowed.as_ref().ok().cloned();
    let wanted_shards = pinned.as_ref().map_or_else(|| index.shards_in_all(), ShardSet::len);
    let needs = |leg: &Leg, fetch_depth: FetchDepth| LegNeeds {
        hits: plan.hits_of(leg, wanted_shards, fetch_depth),
        // A leg that covers everything is in the final order already: nothing has to be compared.
        merged: audience == Audience::ToMerge || leg.shards.len() < wanted_shards,
        plain: fetch_depth.plain,
    };
    let counted = distinct_counts::count(context, placed.legs.len()).await;
    // The legs of most searches differ in their filters alone.
    let prefix = RefCell::new((None, Vec::new()));
    let of_leg = |question: &LegQuestion<'_>, fetch_depth| {
        let needs = needs(question.leg, fetch_depth);
        let mut prefix = prefix.borrow_mut();
        if prefix.0 != Some(needs) {
            *prefix = (Some(needs), search.leg_prefix(rules, needs));
        }
        #[expect(clippy::cast_precision_loss, reason = "a leg's hits are a small number")]
        core.metrics.leg_depth.record(needs.hits as f64);
        Bytes::from(search.leg_body(&prefix.1, question.filter))
    };
    let scatter = Scatter::new(core, snapshot, index, search.turn(), "search", of_leg);
    let extra_fields = search.extra_fields(rules).filter(|_| audience == Audience::ToClient);
    let mut contested = Vec::new();
    let merge = |gathered: &Gathered<'_>, body: &mut Vec<u8>| {
        let legs_asked = plan.hits_of_legs(gathered.legs, wanted_shards);
        let spec = SearchSpec {
            legs_asked: &legs_asked,
            paging: search.paging,
            show_ranking_score: search.show_ranking_score,
            show_ranking_score_details: search.show_ranking_score_details,
            scores_in_legs: search.show_ranking_score,
            details_in_legs: !gathered.whole || search.show_ranking_score_details,
            hits_asked: deeper(wanted, gathered.fetch_depth.rounds),
            distinct: distinct_field.filter(|_| !gathered.whole),
            distinct_legs: distinct_field.is_some() && !gathered.fetch_depth.plain,
            tie_break: search.tie_break(rules),
            displayed: rules.displayed.as_deref().filter(|_| !search.raw_details),
            only_vectors: search.only_vectors,
            // Once: what would not be settled by then is settled by no depth that is worth its cost.
            equals_may_be_sought: gathered.fetch_depth.rounds == 0,
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
    let merged = scatter.about(pinned).planned(placed).traced(trace).ask_and_merge(merge).await?;
    match contested.is_empty() {
        true => Ok(merged),
        false => Ok(Box::pin(facet_spelling::resolve(context, merged, contested)).await),
    }
}

/// The only shards that can hold hits, where the filter pins primary keys.
fn narrowed(core: &Core, index: &Index, search: &SearchRequest<'_>) -> Result<ShardSet, NotNarrowed> {
    if !core.shared.config.shard_aware_planning {
        return Err(NotNarrowed::Off);
    }
    let keys = search.pinned_keys(&index.record)?;
    match search.distinct(&index.rules) {
        None => Ok(index.shards_of(&keys)),
        Some(_) => Err(NotNarrowed::Distinct),
    }
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
    within_depth(depth, core.edge().page_depth_max)
}

/// The default is no limit of the operator's: it is above any number of documents, so a deeper page is only a shorter
/// one, as on a node.
fn within_depth(depth: usize, most: usize) -> Result<(), ApiError> {
    match depth <= most || most == PAGE_DEPTH_DEFAULT {
        true => Ok(()),
        false => Err(ApiError::new(
            Code::BadRequest,
            format!("Offset and limit together are over this gateway's limit of {most}."),
        )
        .because("page_too_deep")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_limit_of_the_operators_refuses_pages() {
        for depth in [0, PAGE_DEPTH_DEFAULT, PAGE_DEPTH_DEFAULT + 1, 9_007_199_254_740_991, usize::MAX] {
            assert!(within_depth(depth, PAGE_DEPTH_DEFAULT).is_ok(), "{depth}");
        }
        assert!(within_depth(100, 100).is_ok());
        assert_eq!(within_depth(101, 100).unwrap_err().code(), Some(Code::BadRequest));
    }
}
