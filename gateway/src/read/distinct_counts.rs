//! Counts under `distinct`: totals of pages, and facets, over all legs together as one node counts them.
//!
//! Invariants: the legs are asked nothing more where their sum is right, or where the client gets an estimated total
//! and no facets. Hits are walked one by one up to a bound; beyond it the sums of the legs are used. These are used
//! as well where a node refuses a count, since the search itself then returns the better refusal.

use bytes::Bytes;
use futures_util::future::join;
use merge::{MergeError, Paging, Visited, VisitedSpec};

use crate::{
    api::settings::FACET_VALUES_ON_NODES,
    config::limits,
    read::{
        context::ReadContext,
        scatter::{FetchDepth, Gathered, LegQuestion, Scatter},
    },
};

/// Counts that are better than sums over the legs.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    pub(crate) total: Option<u64>,
    /// Answers whose facets replace those of the legs; empty when the legs' own facets are used.
    answers: Vec<Vec<u8>>,
}

impl Counted {
    pub(crate) fn facets(&self) -> Option<&[Vec<u8>]> {
        (!self.answers.is_empty()).then_some(self.answers.as_slice())
    }
}

/// Counts hits and facets when every value of the distinct attribute counts once over all `legs` legs.
pub(crate) async fn count(context: ReadContext<'_>, legs: usize) -> Counted {
    let ReadContext { index, search, .. } = context;
    let Some(attribute) = search.distinct(&index.rules) else { return Counted::default() };
    let facets = search.facets_counted();
    let is_estimate = matches!(search.paging, Paging::Offset { .. }) && facets.is_none();
    if is_estimate || legs < 2 {
        return Counted::default();
    }
    // Boxed, since few searches need it: the others stay smaller.
    match facets {
        None => {
            let total = Box::pin(total(context, attribute)).await;
            Counted { total, answers: Vec::new() }
        }
        Some(names) => {
            let counted = Box::pin(with_facets(context, attribute, &names)).await;
            counted.unwrap_or_default()
        }
    }
}

/// The total alone; `None` when the sums of the legs are to be used.
async fn total(context: ReadContext<'_>, attribute: &str) -> Option<u64> {
    if let Some(total) = total_by_values(context, attribute).await {
        return Some(total);
    }
    visit(context, attribute, &[]).await.map(|visited| visited.documents)
}

/// Total and facets; `None` when the sums of the legs are to be used.
async fn with_facets(context: ReadContext<'_>, attribute: &str, names: &[String]) -> Option<Counted> {
    let ReadContext { search, .. } = context;
    let visited = visit(context, attribute, names).await;
    match (visited, search.paging) {
        (Some(visited), Paging::Page { .. }) => {
            Some(Counted { total: Some(visited.documents), answers: vec![visited.answer] })
        }
        (None, Paging::Page { .. }) => {
            let total = total_by_values(context, attribute).await;
            Some(Counted { total, answers: Vec::new() })
        }
        (Some(visited), Paging::Offset { .. }) => {
            let condition = visited.others.as_deref();
            let (hits, mut answers) = others(context, names, condition).await?;
            answers.push(visited.answer);
            Some(Counted { total: Some(hits + visited.documents), answers })
        }
        (None, Paging::Offset { .. }) => None,
    }
}

/// The total from counts alone; `None` when a hit has several values or the attribute cannot be counted.
async fn total_by_values(context: ReadContext<'_>, attribute: &str) -> Option<u64> {
    let ReadContext { core, snapshot, index, search } = context;
    let prefix = search.values_prefix(&[attribute]);
    // Matches texts and numbers, that is every hit that has a value.
    let quoted = format!("\"{}\"", attribute.replace('"', "\\\""));
    let has_value = format!("({quoted} >= \"\" OR {quoted} >= -1.7976931348623157e308)");
    let count = async |condition: Option<&str>| {
        let of_leg = |leg: &LegQuestion<'_>, _| {
            Bytes::from(search.leg_body(&prefix, both(leg.filter, condition).as_deref()))
        };
        let scatter = Scatter::new(core, snapshot, index, search.turn(), "search", of_leg);
        let mut counted = None;
        let add = |gathered: &Gathered<'_>, _: &mut Vec<u8>| {
            counted = merge::count_values(gathered.bodies, attribute, FACET_VALUES_ON_NODES)?;
            Ok(())
        };
        scatter.ask_and_merge(add).await.ok()?;
        counted
    };
    let (all, valued) = join(count(None), count(Some(&has_value))).await;
    let (all, valued) = (all?, valued?);
    // As many values as hits with a value means that each of these hits has one.
    (all.occurrences == valued.hits).then(|| all.values + all.hits.saturating_sub(valued.hits))
}

/// Walks the hits as one node does, over lists from which the legs left out no duplicates; `None` when there are too
/// many hits.
async fn visit(context: ReadContext<'_>, attribute: &str, facets: &[String]) -> Option<Visited> {
    let ReadContext { core, snapshot, index, search } = context;
    let primary_key = index.record.primary_key.as_deref()?;
    let attributes = [attribute, primary_key, "_geo"];
    let attributes = attributes.into_iter().chain(facets.iter().map(String::as_str)).collect::<Vec<_>>();
    let most = limits::DISTINCT_COUNTED_MAX;
    let hits_asked = |rounds: u32| match search.paging {
        Paging::Page { .. } => most,
        Paging::Offset { .. } => {
            let page = search.hits_wanted(&index.rules).max(limits::DISTINCT_WALKED_MIN);
            page.saturating_mul(4_usize.saturating_pow(rounds)).min(most)
        }
    };
    let of_leg = |leg: &LegQuestion<'_>, fetch_depth: FetchDepth| {
        let prefix = search.counting_prefix(&attributes, hits_asked(fetch_depth.rounds), true);
        Bytes::from(search.leg_body(&prefix, leg.filter))
    };
    let scatter = Scatter::new(core, snapshot, index, search.turn(), "search", of_leg);
    let mut visited = None;
    let walk = |gathered: &Gathered<'_>, _: &mut Vec<u8>| {
        let hits_asked = hits_asked(gathered.fetch_depth.rounds);
        let spec = VisitedSpec {
            distinct: attribute,
            primary_key,
            paging: search.paging,
            hits_total_max: index.rules.hits_total_max,
            hits_asked,
            tie_break: search.tie_break(&index.rules),
            // Nodes clip totals on the same route on which they pass over earlier pages without ranking them.
            passes_over: core.shared.nodes.health.clips_totals(),
            threshold: search.has_threshold(),
            facets,
        };
        visited = match merge::visited(gathered.bodies, &spec) {
            Err(MergeError::Short) if hits_asked >= most => None,
            walked => walked?,
        };
        Ok(())
    };
    scatter.ask_and_merge(walk).await.ok()?;
    visited
}

/// Counts what one node only estimates: the hits that share no value with the hits it kept, and their facets.
async fn others(
    context: ReadContext<'_>,
    facets: &[String],
    condition: Option<&str>,
) -> Option<(u64, Vec<Vec<u8>>)> {
    let ReadContext { core, snapshot, index, search } = context;
    let prefix = search.values_prefix(&facets.iter().map(String::as_str).collect::<Vec<_>>());
    let of_leg = |leg: &LegQuestion<'_>, _| {
        Bytes::from(search.leg_body(&prefix, both(leg.filter, condition).as_deref()))
    };
    let scatter = Scatter::new(core, snapshot, index, search.turn(), "search", of_leg);
    let mut counted = None;
    let add = |gathered: &Gathered<'_>, _: &mut Vec<u8>| {
        let hits = merge::total_hits(gathered.bodies)?;
        counted = Some((hits, gathered.bodies.iter().map(|body| body.to_vec()).collect()));
        Ok(())
    };
    scatter.ask_and_merge(add).await.ok()?;
    counted
}

/// Joins two optional filters with AND.
fn both(shards: Option<&str>, condition: Option<&str>) -> Option<String> {
    match (shards, condition) {
        (Some(shards), Some(condition)) => Some(format!("{shards} AND {condition}")),
        (shards, condition) => shards.or(condition).map(str::to_owned),
    }
}
