//! Searching an index: the allowed requests, and their translation for the engine.
//! Invariants: `maxTotalHits` caps pages; scores are computed only when something shows or uses them; the kind of
//! search (keyword, semantic, hybrid) follows Meilisearch's table of cases.

use std::collections::{BTreeSet, HashSet};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deserr::Deserr;
use milli::heed::RoTxn;
use milli::score_details::{ScoreDetails, ScoringStrategy};
use milli::vector::Embedder;
use milli::{
    AscDesc, Filter, MatchingWords, Search, SearchResult, SortError, TermsMatchingStrategy, TimeBudget,
};
use roaring::RoaringBitmap;
use serde_json::{Map, Value, json};

use super::Engine;
use super::locales::Locale;
use super::settings::MAX_TOTAL_HITS;
use crate::errors::ApiError;
use crate::wire::{OutOfRange, WireError};

/// `POST /indexes/{uid}/search` of v1.15.
#[derive(Debug, Clone, Deserr)]
#[deserr(error = WireError, rename_all = camelCase, deny_unknown_fields)]
pub(crate) struct SearchQuery {
    #[deserr(default)]
    pub(crate) q: Option<String>,
    #[deserr(default)]
    pub(crate) vector: Option<Vec<f32>>,
    #[deserr(default)]
    pub(crate) hybrid: Option<HybridQuery>,
    #[deserr(default = 0)]
    pub(crate) offset: usize,
    #[deserr(default = LIMIT)]
    pub(crate) limit: usize,
    #[deserr(default)]
    pub(crate) page: Option<usize>,
    #[deserr(default)]
    pub(crate) hits_per_page: Option<usize>,
    #[deserr(default)]
    pub(crate) attributes_to_retrieve: Option<BTreeSet<String>>,
    #[deserr(default)]
    pub(crate) retrieve_vectors: bool,
    #[deserr(default)]
    pub(crate) attributes_to_crop: Option<Vec<String>>,
    #[deserr(default = 10)]
    pub(crate) crop_length: usize,
    #[deserr(default)]
    pub(crate) attributes_to_highlight: Option<HashSet<String>>,
    #[deserr(default)]
    pub(crate) show_matches_position: bool,
    #[deserr(default)]
    pub(crate) show_ranking_score: bool,
    #[deserr(default)]
    pub(crate) show_ranking_score_details: bool,
    #[deserr(default)]
    pub(crate) filter: Option<Value>,
    #[deserr(default)]
    pub(crate) sort: Option<Vec<String>>,
    #[deserr(default)]
    pub(crate) distinct: Option<String>,
    #[deserr(default)]
    pub(crate) facets: Option<Vec<String>>,
    #[deserr(default = "<em>".to_owned())]
    pub(crate) highlight_pre_tag: String,
    #[deserr(default = "</em>".to_owned())]
    pub(crate) highlight_post_tag: String,
    #[deserr(default = "…".to_owned())]
    pub(crate) crop_marker: String,
    #[deserr(default)]
    pub(crate) matching_strategy: MatchingStrategy,
    #[deserr(default)]
    pub(crate) attributes_to_search_on: Option<Vec<String>>,
    #[deserr(default)]
    pub(crate) ranking_score_threshold: Option<Threshold>,
    #[deserr(default)]
    pub(crate) locales: Option<Vec<Locale>>,
}

/// Hits of a page when the request gives no number.
pub(crate) const LIMIT: usize = 20;

#[derive(Debug, Clone, Deserr)]
#[deserr(error = WireError, rename_all = camelCase, deny_unknown_fields)]
pub(crate) struct HybridQuery {
    #[deserr(default)]
    pub(crate) semantic_ratio: SemanticRatio,
    pub(crate) embedder: String,
}

/// The weight of the semantic half, 0 to 1.
#[derive(Debug, Clone, Copy, Deserr)]
#[deserr(error = WireError, try_from(f32) = semantic_ratio -> OutOfRange)]
pub(crate) struct SemanticRatio(pub(crate) f32);

impl Default for SemanticRatio {
    fn default() -> Self {
        Self(0.5)
    }
}

fn semantic_ratio(ratio: f32) -> Result<SemanticRatio, OutOfRange> {
    if (0.0..=1.0).contains(&ratio) { Ok(SemanticRatio(ratio)) } else { Err(OutOfRange("semanticRatio")) }
}

/// The least ranking score of a hit, 0 to 1.
#[derive(Debug, Clone, Copy, Deserr)]
#[deserr(error = WireError, try_from(f64) = threshold -> OutOfRange)]
pub(crate) struct Threshold(pub(crate) f64);

fn threshold(threshold: f64) -> Result<Threshold, OutOfRange> {
    if (0.0..=1.0).contains(&threshold) {
        Ok(Threshold(threshold))
    } else {
        Err(OutOfRange("rankingScoreThreshold"))
    }
}

#[derive(Debug, Clone, Copy, Default, Deserr)]
#[deserr(error = WireError, rename_all = camelCase)]
pub(crate) enum MatchingStrategy {
    #[default]
    Last,
    All,
    Frequency,
}

/// The kind of search to run.
pub(super) enum Kind {
    Keyword,
    Semantic(Semantic),
    Hybrid(Semantic, f32),
}

/// The embedder of a semantic search.
pub(super) struct Semantic {
    name: String,
    embedder: Arc<Embedder>,
    quantized: bool,
}

/// The outcome of a search before its hits are made.
pub(crate) struct Found {
    pub(crate) ids: Vec<u32>,
    pub(crate) scores: Vec<Vec<ScoreDetails>>,
    pub(crate) candidates: RoaringBitmap,
    pub(crate) matching_words: MatchingWords,
    pub(crate) semantic_hits: Option<u32>,
}

/// Parses a filter; an empty one is none. Errors have `code` and do not name the index, as with Meilisearch's parser.
/// `CONTAINS` must have been enabled.
pub(crate) fn parse_filter<'f>(
    filter: &'f Value,
    code: &'static str,
    contains: bool,
) -> Result<Option<Filter<'f>>, ApiError> {
    let parsed = Filter::from_json(filter).map_err(|error| {
        if let milli::Error::UserError(milli::UserError::InvalidFilterExpression(expected, found)) = error {
            let expected = expected.join(", ");
            let text =
                format!("Invalid syntax for the filter parameter: `expected {expected}, found: {found}`.");
            return ApiError::new(code, text);
        }
        ApiError::new(code, error.to_string())
    })?;
    if let Some(token) = parsed.as_ref().and_then(Filter::use_contains_operator)
        && !contains
    {
        let text = "Using `CONTAINS` in a filter requires enabling the `contains filter` experimental feature. \
                    See https://github.com/orgs/meilisearch/discussions/763";
        let error = ApiError::new("feature_not_enabled", token.as_external_error(Feature(text)).to_string());
        return Err(error);
    }
    Ok(parsed)
}

/// The message before the place in a filter that uses a disabled feature.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Feature(&'static str);

impl SearchQuery {
    /// Whether the answer has exact totals and pages instead of an estimate.
    pub(crate) fn is_finite(&self) -> bool {
        self.page.is_some() || self.hits_per_page.is_some()
    }

    pub(super) fn is_placeholder(&self) -> bool {
        self.q.as_deref().is_none_or(|q| q.trim().is_empty())
    }

    /// The offset and limit of the page, capped by the reachable hits.
    fn window(&self, max_total_hits: usize) -> (usize, usize) {
        let (offset, limit) = if self.is_finite() {
            let per_page = self.hits_per_page.unwrap_or(LIMIT);
            let before = self.page.unwrap_or(1).checked_sub(1);
            before.map_or((0, 0), |pages| (pages.saturating_mul(per_page), per_page))
        } else {
            (self.offset, self.limit)
        };
        let offset = offset.min(max_total_hits);
        (offset, limit.min(max_total_hits - offset))
    }
}

impl Engine {
    /// The complete answer to `POST /indexes/{uid}/search`.
    pub(crate) fn search(&self, uid: &str, query: &SearchQuery) -> Result<Value, ApiError> {
        let started = Instant::now();
        let snapshot = self.index.read_txn()?;
        let max_total_hits = self.max_total_hits(&snapshot)?;
        let strategy = if query.show_ranking_score
            || query.show_ranking_score_details
            || query.ranking_score_threshold.is_some()
        {
            ScoringStrategy::Detailed
        } else {
            ScoringStrategy::Skip
        };
        let mut found = self.find(uid, &snapshot, query, strategy)?;
        let hits =
            self.hits(&snapshot, query, &mut found, None).map_err(|error| ApiError::engine(uid, error))?;
        let total = usize::try_from(found.candidates.len()).unwrap_or(usize::MAX).min(max_total_hits);
        let mut answer = Map::new();
        answer.insert("hits".into(), hits.into());
        answer.insert("query".into(), query.q.clone().unwrap_or_default().into());
        let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        answer.insert("processingTimeMs".into(), milliseconds.into());
        if query.is_finite() {
            let per_page = query.hits_per_page.unwrap_or(LIMIT);
            let pages = (total + per_page.saturating_sub(1)).checked_div(per_page).unwrap_or(0);
            answer.insert("hitsPerPage".into(), per_page.into());
            answer.insert("page".into(), query.page.unwrap_or(1).into());
            answer.insert("totalPages".into(), pages.into());
            answer.insert("totalHits".into(), total.into());
        } else {
            let (offset, _) = query.window(max_total_hits);
            answer.insert("limit".into(), query.limit.into());
            answer.insert("offset".into(), offset.into());
            answer.insert("estimatedTotalHits".into(), total.into());
        }
        if let Some(facets) = &query.facets {
            let (distribution, statistics) = self.facet_counts(&snapshot, facets, found.candidates)?;
            answer.insert("facetDistribution".into(), distribution);
            answer.insert("facetStats".into(), statistics);
        }
        if let Some(hits) = found.semantic_hits {
            answer.insert("semanticHitCount".into(), hits.into());
        }
        Ok(Value::Object(answer))
    }

    /// Runs the engine. Returns the page's documents with their scores, and all candidates.
    pub(crate) fn find(
        &self,
        uid: &str,
        snapshot: &RoTxn<'_>,
        query: &SearchQuery,
        strategy: ScoringStrategy,
    ) -> Result<Found, ApiError> {
        let failed = |error| ApiError::engine(uid, error);
        let kind = self.kind(snapshot, query)?;
        let mut search = self.index.search(snapshot);
        self.describe(snapshot, query, &kind, &mut search)?;
        search.scoring_strategy(strategy);
        let (result, semantic_hits) = match kind {
            Kind::Keyword => (search.execute().map_err(failed)?, None),
            Kind::Semantic(_) => {
                let result = search.execute().map_err(failed)?;
                let hits = u32::try_from(result.documents_ids.len()).unwrap_or(u32::MAX);
                (result, Some(hits))
            }
            Kind::Hybrid(_, ratio) => search.execute_hybrid(ratio).map_err(failed)?,
        };
        let SearchResult { matching_words, candidates, documents_ids, document_scores, .. } = result;
        Ok(Found { ids: documents_ids, scores: document_scores, candidates, matching_words, semantic_hits })
    }

    /// The kind of search that a query requests. Errors are those of Meilisearch's route.
    pub(super) fn kind(&self, snapshot: &RoTxn<'_>, query: &SearchQuery) -> Result<Kind, ApiError> {
        let Some(hybrid) = &query.hybrid else {
            return if query.vector.is_some() {
                Err(ApiError::new(
                    "missing_search_hybrid",
                    "Invalid request: missing `hybrid` parameter when `vector` or `media` are present.",
                ))
            } else {
                Ok(Kind::Keyword)
            };
        };
        let ratio = hybrid.semantic_ratio.0;
        if ratio == 0.0 || (query.is_placeholder() && query.vector.is_none()) {
            return Ok(Kind::Keyword);
        }
        let wrong = |name: &str| milli::UserError::InvalidSearchEmbedder(name.to_owned());
        let semantic = self.semantic(snapshot, &hybrid.embedder, query.vector.as_deref(), wrong)?;
        let is_hybrid = ratio != 1.0 && !query.is_placeholder();
        Ok(if is_hybrid { Kind::Hybrid(semantic, ratio) } else { Kind::Semantic(semantic) })
    }

    /// The embedder of this name. A vector in the request must have its dimensions.
    pub(super) fn semantic(
        &self,
        snapshot: &RoTxn<'_>,
        name: &str,
        vector: Option<&[f32]>,
        wrong: impl Fn(&str) -> milli::UserError,
    ) -> Result<Semantic, ApiError> {
        let (embedder, _, quantized) = self
            .embedders(snapshot)?
            .get(name)
            .ok_or_else(|| ApiError::from(milli::Error::UserError(wrong(name))))?;
        if let Some(vector) = vector
            && vector.len() != embedder.dimensions()
        {
            return Err(ApiError::from(milli::Error::UserError(milli::UserError::InvalidVectorDimensions {
                expected: embedder.dimensions(),
                found: vector.len(),
            })));
        }
        Ok(Semantic { name: name.to_owned(), embedder, quantized })
    }

    /// Configures the engine's search, except for the scoring.
    pub(super) fn describe<'s>(
        &self,
        snapshot: &RoTxn<'_>,
        query: &'s SearchQuery,
        kind: &Kind,
        search: &mut Search<'s>,
    ) -> Result<(), ApiError> {
        let (offset, limit) = query.window(self.max_total_hits(snapshot)?);
        search.offset(offset).limit(limit).exhaustive_number_hits(query.is_finite());
        search.terms_matching_strategy(match query.matching_strategy {
            MatchingStrategy::Last => TermsMatchingStrategy::Last,
            MatchingStrategy::All => TermsMatchingStrategy::All,
            MatchingStrategy::Frequency => TermsMatchingStrategy::Frequency,
        });
        let cutoff = self.index.search_cutoff(snapshot)?;
        search.time_budget(
            cutoff.map_or_else(TimeBudget::default, |ms| TimeBudget::new(Duration::from_millis(ms))),
        );
        if let Some(Threshold(threshold)) = query.ranking_score_threshold {
            search.ranking_score_threshold(threshold);
        }
        if let Some(distinct) = &query.distinct {
            search.distinct(distinct.clone());
        }
        if let Some(attributes) = &query.attributes_to_search_on {
            search.searchable_attributes(attributes);
        }
        if let Some(filter) = &query.filter
            && let Some(filter) =
                parse_filter(filter, "invalid_search_filter", self.workers.contains_filter())?
        {
            search.filter(filter);
        }
        if let Some(sort) = &query.sort {
            let criteria: Result<Vec<AscDesc>, _> = sort.iter().map(|text| AscDesc::from_str(text)).collect();
            search.sort_criteria(criteria.map_err(|error| {
                ApiError::from(milli::Error::UserError(milli::UserError::SortError(SortError::from(error))))
            })?);
        }
        if let Some(locales) = &query.locales {
            search.locales(locales.iter().map(|locale| locale.0).collect());
        }
        Self::describe_kind(query, kind, search)
    }

    fn describe_kind(query: &SearchQuery, kind: &Kind, search: &mut Search<'_>) -> Result<(), ApiError> {
        if let (Kind::Keyword | Kind::Hybrid(..), Some(q)) = (kind, &query.q) {
            search.query(q);
        }
        let (semantic, vector) = match kind {
            Kind::Keyword => return Ok(()),
            Kind::Hybrid(semantic, _) => (semantic, query.vector.clone()),
            Kind::Semantic(semantic) => {
                let vector = match &query.vector {
                    Some(vector) => vector.clone(),
                    None => semantic
                        .embedder
                        .embed_search(query.q.as_deref().unwrap_or_default(), None)
                        .map_err(milli::vector::Error::from)
                        .map_err(|error| ApiError::from(milli::Error::from(error)))?,
                };
                (semantic, Some(vector))
            }
        };
        search.semantic(semantic.name.clone(), Arc::clone(&semantic.embedder), semantic.quantized, vector);
        Ok(())
    }

    pub(super) fn max_total_hits(&self, snapshot: &RoTxn<'_>) -> Result<usize, ApiError> {
        let hits = self.index.pagination_max_total_hits(snapshot)?;
        Ok(hits.map_or(MAX_TOTAL_HITS, |hits| usize::try_from(hits).unwrap_or(usize::MAX)))
    }
}

impl Semantic {
    pub(super) fn into_parts(self) -> (String, Arc<Embedder>, bool) {
        (self.name, self.embedder, self.quantized)
    }
}

/// `facetStats` of one numeric facet.
pub(super) fn facet_range((min, max): (f64, f64)) -> Value {
    json!({ "min": min, "max": max })
}
