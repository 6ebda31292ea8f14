//! Pure merging: answers of shards in, one exact answer out, over raw JSON slices.
//!
//! - No IO, no clock, no async: the same input gives the same output.
//! - Foreign bytes are validated before use. What cannot be merged exactly is a `MergeError`, never a guess.
//! - On an error the caller's buffer is as it was.
//! - Winning documents keep their bytes, except that reserved members are cut out.

pub(crate) mod documents;
pub(crate) mod error;
pub(crate) mod json;
pub(crate) mod order;
pub(crate) mod search;

use std::borrow::Cow;

use ahash::AHashMap;

pub use documents::order::{WholeList, documents, whole_documents};
pub use documents::sort_key::SortField;
pub use documents::strip_document;
pub use error::MergeError;
pub use json::error_message::{STAND_IN, hide_attributes, strip_message};
pub use json::marks::{Marks, is_formatted, unmarked};
pub use search::distinct_walk::{Visited, VisitedSpec, visited};
pub use search::facet_spelling::{first_spelling, respell, respell_hits};
pub use search::facets::{ValueCounts, count_values, facet_search};
pub use search::federation::{FederatedIndex, FederatedQuery, FederationSpec, federated_totals, federation};
pub use search::hybrid::{Halves, hybrid, is_good_enough};
pub use search::similar::{SimilarSpec, similar};
pub use search::{search, total_hits};

/// The part of the merged order that the client requested. All numbers count hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paging {
    /// `offset` and `limit`. The answer has `estimatedTotalHits`.
    Offset { offset: usize, limit: usize },
    /// `page` (from 1; page 0 has no hits) and `hitsPerPage`. The answer has `totalHits` and `totalPages`.
    Page { page: usize, hits_per_page: usize },
}

/// The order of the values of one facet (the setting `sortFacetValuesBy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FacetOrder {
    #[default]
    Alpha,
    Count,
}

/// How facets are ordered and truncated (the setting `faceting`).
#[derive(Debug, Clone, Default)]
pub struct FacetRules {
    /// `maxValuesPerFacet`: the most values of one facet in an answer.
    pub values_max: usize,
    /// The order of facets that `order_by_name` does not name.
    pub default_order: FacetOrder,
    /// Orders by facet name. The name `*` applies to all facets that are not named, before `default_order`.
    pub order_by_name: AHashMap<String, FacetOrder>,
}

impl FacetRules {
    /// The order of the facet `name`: its own, else that of `*`, else the default (milli/src/order_by_map.rs).
    pub fn order(&self, name: &str) -> FacetOrder {
        let named = self.order_by_name.get(name).or_else(|| self.order_by_name.get("*"));
        named.copied().unwrap_or(self.default_order)
    }
}

/// What the client requested of one search, and what the gateway requested of the legs for it.
#[derive(Debug, Clone)]
pub struct SearchSpec<'a> {
    pub paging: Paging,
    /// Whether the client requested `_rankingScore`; otherwise it is cut out.
    pub show_ranking_score: bool,
    /// Whether the client requested `_rankingScoreDetails`; otherwise they are cut out.
    pub show_ranking_score_details: bool,
    /// Whether the legs' hits have a `_rankingScore` of their nodes. In others a member of that name is the document's.
    pub scores_in_legs: bool,
    /// Whether the legs' hits have `_rankingScoreDetails`. Merging more than one leg requires them.
    pub details_in_legs: bool,
    /// The number of hits requested of each leg. A leg that returned as many may have more.
    pub hits_asked: usize,
    /// The number of hits requested of each leg, in leg order, where some were asked for fewer than `hits_asked`; else
    /// empty.
    pub legs_asked: &'a [usize],
    /// The attribute of which no two hits may share a value. Every hit contains it.
    pub distinct: Option<&'a str>,
    /// Whether the legs have left out hits that share a value, and can be asked not to.
    pub distinct_legs: bool,
    /// The ranking rule by which the nodes break ties, hidden from the client: the raw content of its JSON string, such
    /// as `id:asc`.
    pub tie_break: Option<&'a str>,
    /// The attributes that the client may see. Ranking details hide the values of sort rules by others. `None`: all.
    pub displayed: Option<&'a [String]>,
    /// Whether only hits found by their vector count, while the legs also return others.
    pub only_vectors: bool,
    /// Whether legs may be asked deeper for hits that no ranking rule tells apart from those at the end of a leg: only
    /// all of them together have one order.
    pub equals_may_be_sought: bool,
    /// Whether rules of the index may pin hits to positions.
    pub pins: bool,
    /// Fields that were requested of the legs for merging only.
    pub extra_fields: Option<&'a ExtraFields<'a>>,
    /// How to merge facets. `None` omits `facetDistribution` and `facetStats`.
    pub facets: Option<&'a FacetRules>,
    /// Answers that replace the legs' facets, where one node counts differently from the sum of the legs.
    pub facets_counted: Option<&'a [Vec<u8>]>,
    /// The answer's `processingTimeMs`, in milliseconds.
    pub processing_time_ms: u64,
    /// `maxTotalHits` of the index: the answer has no hit beyond it.
    pub hits_total_max: usize,
    /// Whether `hits_total_max` also bounds the total in the answer, as in Meilisearch before v1.47.
    pub total_clipped: bool,
    /// The number of matching documents, where it is known better than as the sum of the legs' totals.
    pub total: Option<u64>,
}

/// Fields in the legs' hits that the client did not request, or not entirely.
#[derive(Debug, Clone)]
pub struct ExtraFields<'a> {
    /// The top-level members that contain them.
    pub members: Vec<Cow<'a, str>>,
    /// The paths that the client gets in hits.
    pub retrieved: Vec<Cow<'a, str>>,
    /// The paths that the client gets in `_formatted`.
    pub formatted: Vec<Cow<'a, str>>,
}

/// Result of a merge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Merged {
    /// The number of hits or documents written.
    pub hits: usize,
    /// The total in the answer.
    pub total: u64,
    /// Values of the answer's facets that legs spell differently.
    pub contested: Vec<Contested>,
}

/// A facet value that legs spell differently. One node uses the spelling of its first document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contested {
    pub facet: String,
    /// The spelling in the answer.
    pub spelling: String,
    /// The number of documents with the value.
    pub count: u64,
}

impl SearchSpec<'_> {
    /// A search without options over legs that were each asked for `hits_asked` hits with scores and details, on an index without
    /// a bound on totals.
    pub fn plain(paging: Paging, hits_asked: usize) -> Self {
        Self {
            paging,
            show_ranking_score: false,
            show_ranking_score_details: false,
            scores_in_legs: true,
            details_in_legs: true,
            hits_asked,
            legs_asked: &[],
            distinct: None,
            distinct_legs: false,
            tie_break: None,
            displayed: None,
            only_vectors: false,
            equals_may_be_sought: false,
            pins: false,
            extra_fields: None,
            facets: None,
            facets_counted: None,
            processing_time_ms: 0,
            hits_total_max: usize::MAX,
            total_clipped: false,
            total: None,
        }
    }

    /// The total to report when `matched` hits match on all legs together.
    fn total(&self, matched: u64) -> u64 {
        let matched = self.total.unwrap_or(matched);
        if self.total_clipped { matched.min(self.hits_total_max as u64) } else { matched }
    }
}
