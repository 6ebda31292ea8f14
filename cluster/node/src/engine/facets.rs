//! Facet counts of a search, and the search among facet values.
//! Invariants: counts cover every candidate, not only the page; the settings decide the order and number of values.

use std::collections::BTreeMap;
use std::time::Instant;

use deserr::Deserr;
use milli::heed::RoTxn;
use milli::{DEFAULT_VALUES_PER_FACET, SearchForFacetValues};
use roaring::RoaringBitmap;
use serde_json::{Value, json};

use super::Engine;
use super::locales::Locale;
use super::search::{HybridQuery, Kind, MatchingStrategy, SearchQuery, Threshold, facet_range};
use crate::errors::ApiError;
use crate::wire::{self, WireError};

/// `POST /indexes/{uid}/facet-search`. Ignores unknown fields, so that clients can send a search's parameters along.
#[derive(Debug, Deserr)]
#[deserr(error = WireError, rename_all = camelCase)]
pub(crate) struct FacetSearchQuery {
    #[deserr(default)]
    facet_query: Option<String>,
    facet_name: String,
    #[deserr(default)]
    q: Option<String>,
    #[deserr(default)]
    vector: Option<Vec<f32>>,
    #[deserr(default)]
    hybrid: Option<HybridQuery>,
    #[deserr(default)]
    filter: Option<Value>,
    #[deserr(default)]
    matching_strategy: MatchingStrategy,
    #[deserr(default)]
    attributes_to_search_on: Option<Vec<String>>,
    #[deserr(default)]
    ranking_score_threshold: Option<Threshold>,
    #[deserr(default)]
    locales: Option<Vec<Locale>>,
    #[deserr(default)]
    exhaustive_facet_count: Option<bool>,
}

impl FacetSearchQuery {
    /// The search whose candidates are counted. An exhaustive count is a search with pages.
    fn as_search(&self) -> Result<SearchQuery, ApiError> {
        let mut search: SearchQuery = wire::read(json!({}), wire::SEARCH)?;
        search.q.clone_from(&self.q);
        search.vector.clone_from(&self.vector);
        search.hybrid.clone_from(&self.hybrid);
        search.filter.clone_from(&self.filter);
        search.matching_strategy = self.matching_strategy;
        search.attributes_to_search_on.clone_from(&self.attributes_to_search_on);
        search.ranking_score_threshold = self.ranking_score_threshold;
        search.locales.clone_from(&self.locales);
        search.limit = 0;
        if self.exhaustive_facet_count == Some(true) {
            search.page = Some(1);
        }
        Ok(search)
    }
}

impl Engine {
    /// The whole answer of a facet search.
    pub(crate) fn facet_search(&self, query: &FacetSearchQuery) -> Result<Value, ApiError> {
        let started = Instant::now();
        let snapshot = self.index.read_txn()?;
        if !self.index.facet_search(&snapshot)? {
            return Err(ApiError::new(
                "facet_search_disabled",
                "The facet search is disabled for this index",
            ));
        }
        let request = query.as_search()?;
        let kind = self.kind(&snapshot, &request)?;
        let mut search = self.index.search(&snapshot);
        self.describe(&snapshot, &request, &kind, &mut search)?;
        let is_hybrid = matches!(kind, Kind::Hybrid(..));
        let mut values = SearchForFacetValues::new(query.facet_name.clone(), search, is_hybrid);
        if let Some(text) = &query.facet_query {
            values.query(text);
        }
        if let Some(max) = self.index.max_values_per_facet(&snapshot)? {
            values.max_values(usize::try_from(max).unwrap_or(usize::MAX));
        }
        let rules = self.index.localized_attributes_rules(&snapshot)?.unwrap_or_default();
        let rule = rules
            .into_iter()
            .find(|rule| matches!(rule.match_str(&query.facet_name), milli::PatternMatch::Match));
        if let Some(rule) = rule {
            let asked = |language| {
                query.locales.as_ref().is_none_or(|asked| asked.iter().any(|asked| asked.0 == language))
            };
            values.locales(rule.locales.into_iter().filter(|language| asked(*language)).collect());
        }
        let hits = values.execute()?;
        Ok(json!({
            "facetHits": hits,
            "facetQuery": query.facet_query,
            "processingTimeMs": u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        }))
    }

    /// Whether the values of a facet are listed by count.
    pub(crate) fn facet_by_count(&self, facet: &str) -> Result<bool, ApiError> {
        let snapshot = self.index.read_txn()?;
        Ok(self.index.sort_facet_values_by(&snapshot)?.get(facet) == milli::OrderBy::Count)
    }

    /// `facetDistribution` and `facetStats` over the candidates.
    pub(super) fn facet_counts(
        &self,
        snapshot: &RoTxn<'_>,
        facets: &[String],
        candidates: RoaringBitmap,
    ) -> Result<(Value, Value), ApiError> {
        let orders = self.index.sort_facet_values_by(snapshot)?;
        let max = self.index.max_values_per_facet(snapshot)?;
        let mut counts = self.index.facets_distribution(snapshot);
        counts.max_values_per_facet(
            max.map_or(DEFAULT_VALUES_PER_FACET, |max| usize::try_from(max).unwrap_or(usize::MAX)),
        );
        if facets.iter().all(|facet| facet != "*") {
            counts.facets(facets.iter().map(|facet| (facet, orders.get(facet))));
        }
        counts.candidates(candidates).default_order_by(orders.get("*"));
        let distribution = counts.execute()?;
        let ranges: BTreeMap<String, Value> =
            counts.compute_stats()?.into_iter().map(|(facet, range)| (facet, facet_range(range))).collect();
        let json_failed = |error: serde_json::Error| ApiError::new("internal", error.to_string());
        Ok((
            serde_json::to_value(distribution).map_err(json_failed)?,
            serde_json::to_value(ranges).map_err(json_failed)?,
        ))
    }
}
