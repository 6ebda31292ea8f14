//! One ranked list from several queries.
//! Invariants: hits of different queries compare by their weighted score values, rule group by rule group, ties going
//! to the earlier query. A document appears once per index, for the query that ranks it best.

use std::cmp::Ordering;

use milli::score_details::{ScoreDetails, ScoringStrategy, WeightedScoreValue, compare_sort_values};
use roaring::RoaringBitmap;
use serde_json::{Value, json};

use super::Engine;
use super::search::SearchQuery;
use crate::errors::ApiError;

/// A query of a federation: its position among all queries, and the weight of its hits.
#[derive(Debug)]
pub(crate) struct FederatedQuery {
    pub(crate) position: usize,
    pub(crate) weight: f64,
    pub(crate) query: SearchQuery,
}

/// A hit with the values by which it is ranked.
pub(crate) struct Ranked {
    pub(crate) hit: Value,
    id: u32,
    position: usize,
    values: Vec<WeightedScoreValue>,
    score: f64,
}

/// The hits of one index in a federation.
pub(crate) struct IndexHits {
    pub(crate) ranked: Vec<Ranked>,
    pub(crate) total: u64,
    /// The `distribution` and `stats` of the requested facets.
    pub(crate) facets: Option<Value>,
    /// Whether any query searched vectors.
    pub(crate) semantic: bool,
}

impl Ranked {
    /// Whether vectors ranked it.
    pub(crate) fn is_semantic(&self) -> bool {
        self.values.iter().any(|value| matches!(value, WeightedScoreValue::VectorSort(_)))
    }

    /// Whether it comes before the other.
    fn precedes(&self, other: &Self) -> bool {
        match compare(self, other) {
            Ordering::Greater => true,
            Ordering::Equal => self.position < other.position,
            Ordering::Less => false,
        }
    }
}

impl Engine {
    /// Runs all queries of a federation on this index, on one snapshot; at most `limit` hits. An error comes with the
    /// position of its query.
    pub(crate) fn federated(
        &self,
        uid: &str,
        queries: &[FederatedQuery],
        limit: usize,
        facets: Option<&[String]>,
    ) -> Result<IndexHits, (ApiError, usize)> {
        let first = queries.first().map_or(0, |query| query.position);
        let here = |error: ApiError| (error, first);
        let snapshot = self.index.read_txn().map_err(|error| here(error.into()))?;
        let limit = limit.min(self.max_total_hits(&snapshot).map_err(here)?);
        let mut candidates = RoaringBitmap::new();
        let (mut lists, mut semantic) = (Vec::with_capacity(queries.len()), false);
        for FederatedQuery { position, weight, query } in queries {
            let mut query = query.clone();
            (query.offset, query.limit) = (0, limit);
            let mut found = self
                .find(uid, &snapshot, &query, ScoringStrategy::Detailed)
                .map_err(|error| (error, *position))?;
            semantic |= found.semantic_hits.is_some();
            let federation = |scores: &[ScoreDetails]| {
                json!({
                    "indexUid": uid,
                    "queriesPosition": position,
                    "weightedRankingScore": ScoreDetails::global_score(scores.iter()) * weight,
                })
            };
            let hits = self
                .hits(&snapshot, &query, &mut found, Some(&federation))
                .map_err(|error| (ApiError::engine(uid, error), *position))?;
            let ranked =
                hits.into_iter().zip(&found.ids).zip(&found.scores).map(|((hit, id), scores)| Ranked {
                    hit,
                    id: *id,
                    position: *position,
                    values: ScoreDetails::weighted_score_values(scores.iter(), *weight).collect(),
                    score: ScoreDetails::global_score(scores.iter()) * weight,
                });
            lists.push(ranked.collect());
            candidates |= found.candidates;
        }
        let mut seen = RoaringBitmap::new();
        let mut ranked = merge(lists);
        ranked.retain(|hit| seen.insert(hit.id));
        ranked.truncate(limit);
        let total = candidates.len();
        let facets = facets
            .map(|facets| self.facet_counts(&snapshot, facets, candidates))
            .transpose()
            .map_err(|error| here(error.inside(&format!(".federation.facetsByIndex.{uid}"))))?
            .map(|(distribution, stats)| json!({ "distribution": distribution, "stats": stats }));
        Ok(IndexHits { ranked, total, facets, semantic })
    }
}

/// Merges ranked lists into one.
pub(crate) fn merge(lists: Vec<Vec<Ranked>>) -> Vec<Ranked> {
    let mut merged = Vec::with_capacity(lists.iter().map(Vec::len).sum());
    let mut lists: Vec<_> = lists.into_iter().map(|list| list.into_iter().peekable()).collect();
    loop {
        let mut best: Option<usize> = None;
        for place in 0..lists.len() {
            let (before, rest) = lists.split_at_mut(place);
            let Some(head) = rest[0].peek() else { continue };
            let beaten = match best {
                None => true,
                Some(best) => before[best].peek().is_none_or(|leader| head.precedes(leader)),
            };
            if beaten {
                best = Some(place);
            }
        }
        match best.and_then(|best| lists[best].next()) {
            Some(hit) => merged.push(hit),
            None => return merged,
        }
    }
}

/// Compares group by group. Where groups cannot be compared, more remaining groups win, then the global score.
fn compare(left: &Ranked, right: &Ranked) -> Ordering {
    let (mut lefts, mut rights) = (left.values.iter(), right.values.iter());
    loop {
        match (lefts.next(), rights.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(one), Some(other)) => match compare_values(one, other) {
                Some(Ordering::Equal) => {}
                Some(order) => return order,
                None => {
                    let groups = lefts.len().cmp(&rights.len());
                    return groups.then_with(|| left.score.total_cmp(&right.score));
                }
            },
        }
    }
}

/// Compares two values of one rule group; `None` when they are of different kinds. Like Meilisearch, compares distances
/// the same way for both directions.
fn compare_values(left: &WeightedScoreValue, right: &WeightedScoreValue) -> Option<Ordering> {
    use WeightedScoreValue::{GeoSort, Sort, VectorSort, WeightedScore};
    match (left, right) {
        (WeightedScore(one) | VectorSort(one), WeightedScore(other) | VectorSort(other)) => {
            Some(compare_close(*one, *other))
        }
        (Sort { asc, value }, Sort { asc: other_asc, value: other }) => {
            (asc == other_asc).then(|| compare_sort_values(*asc, value, other))
        }
        (GeoSort { asc, distance }, GeoSort { asc: other_asc, distance: other }) => {
            (asc == other_asc).then(|| match (distance, other) {
                (Some(one), Some(other)) => compare_close(*one, *other),
                (one, other) => one.is_some().cmp(&other.is_some()),
            })
        }
        (WeightedScore(_) | VectorSort(_) | Sort { .. } | GeoSort { .. }, _) => None,
    }
}

/// Floats that differ only by rounding are equal.
fn compare_close(left: f64, right: f64) -> Ordering {
    if (left - right).abs() <= f64::EPSILON { Ordering::Equal } else { left.total_cmp(&right) }
}
