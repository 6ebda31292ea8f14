//! What counts under `distinct`: totals of pages, and facets, of all legs together as one node gives them.
//!
//! Invariants: nothing is asked where a sum over the legs is right, or where the client gets an estimate and no facets;
//! hits are looked at one by one up to a bound, beyond which the sums of the legs stand; they stand, too, where nodes
//! refuse a question, since the search itself has the better refusal.

use bytes::Bytes;
use futures_util::future::join;
use merge::{MergeError, Paging, Visited, VisitedSpec};
use router::Leg;

use crate::{
    api::{search::request::SearchRequest, settings::FACET_VALUES_ON_NODES},
    config::limits,
    read::{
        plan,
        scatter::{Gathered, Scatter},
    },
    state::{
        core::Core,
        snapshot::{Index, Snapshot},
    },
};

/// What is known better than by sums over the legs.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    pub(crate) total: Option<u64>,
    /// Answers whose facets count in place of the legs'; none if those stand.
    answers: Vec<Vec<u8>>,
}

impl Counted {
    pub(crate) fn facets(&self) -> Option<&[Vec<u8>]> {
        (!self.answers.is_empty()).then_some(self.answers.as_slice())
    }
}

/// Counts what is left when every value of the distinct attribute counts once over all legs.
pub(crate) async fn count(
    core: &Core,
    snapshot: &Snapshot,
    index: &Index,
    asked: &SearchRequest<'_>,
) -> Counted {
    let Some(attribute) = asked.distinct(&index.rules) else { return Counted::default() };
    let facets = asked.facets_counted();
    let is_estimate = matches!(asked.paging, Paging::Offset { .. }) && facets.is_none();
    if is_estimate || plan::cover(core, snapshot, index, None, &[], asked.turn()).legs.len() < 2 {
        return Counted::default();
    }
    // On the heap, as all that few searches need: the others do not take room for it.
    match facets {
        None => {
            let total = Box::pin(total(core, snapshot, index, asked, attribute)).await;
            Counted { total, answers: Vec::new() }
        }
        Some(names) => {
            let counted = Box::pin(with_facets(core, snapshot, index, asked, attribute, &names)).await;
            counted.unwrap_or_default()
        }
    }
}

/// The total alone; `None` where the sums of the legs stand.
async fn total(
    core: &Core,
    snapshot: &Snapshot,
    index: &Index,
    asked: &SearchRequest<'_>,
    attribute: &str,
) -> Option<u64> {
    if let Some(total) = total_by_values(core, snapshot, index, asked, attribute).await {
        return Some(total);
    }
    visit(core, snapshot, index, asked, attribute, &[]).await.map(|visited| visited.documents)
}

/// The same with facets; `None` where the sums of the legs stand.
async fn with_facets(
    core: &Core,
    snapshot: &Snapshot,
    index: &Index,
    asked: &SearchRequest<'_>,
    attribute: &str,
    names: &[String],
) -> Option<Counted> {
    let visited = visit(core, snapshot, index, asked, attribute, names).await;
    match (visited, asked.paging) {
        (Some(visited), Paging::Page { .. }) => {
            Some(Counted { total: Some(visited.documents), answers: vec![visited.answer] })
        }
        (None, Paging::Page { .. }) => {
            let total = total_by_values(core, snapshot, index, asked, attribute).await;
            Some(Counted { total, answers: Vec::new() })
        }
        (Some(visited), Paging::Offset { .. }) => {
            let condition = visited.others.as_deref();
            let (hits, mut answers) = others(core, snapshot, index, asked, names, condition).await?;
            answers.push(visited.answer);
            Some(Counted { total: Some(hits + visited.documents), answers })
        }
        (None, Paging::Offset { .. }) => None,
    }
}

/// The same total from counts alone: `None` where hits have several values, or the attribute cannot be counted.
async fn total_by_values(
    core: &Core,
    snapshot: &Snapshot,
    index: &Index,
    asked: &SearchRequest<'_>,
    attribute: &str,
) -> Option<u64> {
    let target = format!("/indexes/{}/search", index.record.node_uid);
    let prefix = asked.values_prefix(&[attribute]);
    // Texts, and numbers: whatever has a value at all.
    let quoted = format!("\"{}\"", attribute.replace('"', "\\\""));
    let has_value = format!("({quoted} >= \"\" OR {quoted} >= -1.7976931348623157e308)");
    let count = async |condition: Option<&str>| {
        let scatter = Scatter::new(core, snapshot, index, asked.turn(), &target, |leg: &Leg, _| {
            let shards = (!leg.whole_node).then(|| router::shard_filter(&leg.shards));
            Bytes::from(asked.leg_body(&prefix, both(shards, condition).as_deref()))
        });
        let mut counted = None;
        let add = |gathered: &Gathered<'_>, _: &mut Vec<u8>| {
            counted = merge::count_values(gathered.bodies, attribute, FACET_VALUES_ON_NODES)?;
            Ok(())
        };
        scatter.answer(add).await.ok()?;
        counted
    };
    let (all, valued) = join(count(None), count(Some(&has_value))).await;
    let (all, valued) = (all?, valued?);
    // As many values as hits that have any: each has one.
    (all.occurrences == valued.hits).then(|| all.values + all.hits.saturating_sub(valued.hits))
}

/// The hits that one node walks through, from lists of which legs leave out nothing; `None` where these are too many.
async fn visit(
    core: &Core,
    snapshot: &Snapshot,
    index: &Index,
    asked: &SearchRequest<'_>,
    attribute: &str,
    facets: &[String],
) -> Option<Visited> {
    let primary_key = index.record.primary_key.as_deref()?;
    let target = format!("/indexes/{}/search", index.record.node_uid);
    let attributes = [attribute, primary_key, "_geo"];
    let attributes = attributes.into_iter().chain(facets.iter().map(String::as_str)).collect::<Vec<_>>();
    let most = limits::DISTINCT_COUNTED_MAX;
    let hits_asked = |depth: u32| match asked.paging {
        Paging::Page { .. } => most,
        Paging::Offset { .. } => {
            let page = asked.hits_wanted(&index.rules).max(limits::DISTINCT_WALKED_MIN);
            page.saturating_mul(4_usize.saturating_pow(depth)).min(most)
        }
    };
    let scatter = Scatter::new(core, snapshot, index, asked.turn(), &target, |leg: &Leg, reach| {
        let filter = (!leg.whole_node).then(|| router::shard_filter(&leg.shards));
        let prefix = asked.counting_prefix(&attributes, hits_asked(reach.depth), true);
        Bytes::from(asked.leg_body(&prefix, filter.as_deref()))
    });
    let mut visited = None;
    let walk = |gathered: &Gathered<'_>, _: &mut Vec<u8>| {
        let hits_asked = hits_asked(gathered.reach.depth);
        let spec = VisitedSpec {
            distinct: attribute,
            primary_key,
            paging: asked.paging,
            hits_total_max: index.rules.hits_total_max,
            hits_asked,
            tie_break: asked.tie_break(&index.rules),
            // The route that clips totals is also the one that passes over pages.
            passes_over: core.shared.nodes.health.clips_totals(),
            threshold: asked.has_threshold(),
            facets,
        };
        visited = match merge::visited(gathered.bodies, &spec) {
            Err(MergeError::Short) if hits_asked >= most => None,
            walked => walked?,
        };
        Ok(())
    };
    scatter.answer(walk).await.ok()?;
    visited
}

/// What else one node counts by an estimate: the hits that share no value with those it has kept, and their facets.
async fn others(
    core: &Core,
    snapshot: &Snapshot,
    index: &Index,
    asked: &SearchRequest<'_>,
    facets: &[String],
    condition: Option<&str>,
) -> Option<(u64, Vec<Vec<u8>>)> {
    let target = format!("/indexes/{}/search", index.record.node_uid);
    let prefix = asked.values_prefix(&facets.iter().map(String::as_str).collect::<Vec<_>>());
    let scatter = Scatter::new(core, snapshot, index, asked.turn(), &target, |leg: &Leg, _| {
        let shards = (!leg.whole_node).then(|| router::shard_filter(&leg.shards));
        Bytes::from(asked.leg_body(&prefix, both(shards, condition).as_deref()))
    });
    let mut counted = None;
    let add = |gathered: &Gathered<'_>, _: &mut Vec<u8>| {
        let hits = merge::total_hits(gathered.bodies)?;
        counted = Some((hits, gathered.bodies.iter().map(|body| body.to_vec()).collect()));
        Ok(())
    };
    scatter.answer(add).await.ok()?;
    counted
}

/// Two filters as one.
fn both(shards: Option<String>, condition: Option<&str>) -> Option<String> {
    match (shards, condition) {
        (Some(shards), Some(condition)) => Some(format!("{shards} AND {condition}")),
        (shards, condition) => shards.or(condition.map(str::to_owned)),
    }
}
