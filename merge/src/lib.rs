//! Pure merging: per-shard answers in, one exact answer out, over raw JSON slices.
//!
//! - No IO, no clock, no async: the same bytes in give the same bytes out.
//! - Foreign bytes are checked before they are used; whatever cannot be merged exactly is a `MergeError`, never a guess.
//! - On an error nothing is left in the caller's buffer.
//! - The bytes of winning documents are copied untouched but for reserved members, which are cut out.

pub(crate) mod documents;
pub(crate) mod error;
pub(crate) mod json;
pub(crate) mod order;
pub(crate) mod search;

use std::borrow::Cow;

use ahash::AHashMap;

pub use documents::order::documents;
pub use documents::sort_key::SortField;
pub use documents::strip_document;
pub use error::MergeError;
pub use json::error_message::{STAND_IN, hide_attributes, strip_message};
pub use search::distinct_walk::{Visited, VisitedSpec, visited};
pub use search::facet_spelling::{first_spelling, respell};
pub use search::facets::{ValueCounts, count_values, facet_search};
pub use search::federation::{FederatedIndex, FederatedQuery, FederationSpec, federated_totals, federation};
pub use search::hybrid::{Halves, hybrid, is_good_enough};
pub use search::similar::{SimilarSpec, similar};
pub use search::{search, total_hits};

/// Which part of the merged order the client asked for. All numbers count hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paging {
    /// `offset` and `limit`; the answer carries `estimatedTotalHits`.
    Offset { offset: usize, limit: usize },
    /// `page` (from 1; page 0 has no hits) and `hitsPerPage`; the answer carries `totalHits` and `totalPages`.
    Page { page: usize, hits_per_page: usize },
}

/// The order of the values of one facet (the setting `sortFacetValuesBy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FacetOrder {
    #[default]
    Alpha,
    Count,
}

/// How facets are ordered and cut (the setting `faceting`).
#[derive(Debug, Clone, Default)]
pub struct FacetRules {
    /// `maxValuesPerFacet`: values kept per facet.
    pub values_max: usize,
    /// The order of facets that `order_by_name` does not name.
    pub default_order: FacetOrder,
    /// Orders by facet name; the name `*` stands for all that are not named, before `default_order`.
    pub order_by_name: AHashMap<String, FacetOrder>,
}

impl FacetRules {
    /// The order of the facet `name`: its own, else that of `*`, else the default (milli/src/order_by_map.rs).
    pub fn order(&self, name: &str) -> FacetOrder {
        let named = self.order_by_name.get(name).or_else(|| self.order_by_name.get("*"));
        named.copied().unwrap_or(self.default_order)
    }
}

/// What the client asked of one search, and what the legs were asked for it.
#[derive(Debug, Clone)]
pub struct SearchSpec<'a> {
    pub paging: Paging,
    /// Whether the client asked for `_rankingScore`; otherwise it is cut out.
    pub show_ranking_score: bool,
    /// Whether the client asked for `_rankingScoreDetails`; otherwise they are cut out.
    pub show_ranking_score_details: bool,
    /// Whether the hits of the legs carry `_rankingScoreDetails`. More than one leg cannot be merged without.
    pub details_in_legs: bool,
    /// Hits that each leg was asked for; a leg that gave as many may have more.
    pub hits_asked: usize,
    /// The attribute of which no two hits may share a value; the hits carry it.
    pub distinct: Option<&'a str>,
    /// Whether the legs have left out hits that share a value, and can be asked not to.
    pub distinct_legs: bool,
    /// The ranking rule by which the nodes break ties and which the client must not see: the raw inside of its JSON
    /// string, such as `id:asc`.
    pub tie_break: Option<&'a str>,
    /// The attributes the client may see; ranking details hide the values of sort rules by others. `None`: all.
    pub displayed: Option<&'a [String]>,
    /// Whether only hits that came by their vector count: others stand among them.
    pub only_vectors: bool,
    /// Whether rules of the index may pin hits to positions.
    pub pins: bool,
    /// Fields that were asked of the legs for merging only.
    pub extra_fields: Option<&'a ExtraFields<'a>>,
    /// How to merge facets; `None` leaves `facetDistribution` and `facetStats` out.
    pub facets: Option<&'a FacetRules>,
    /// Answers whose facets count in place of the legs', where these count what one node does not.
    pub facets_counted: Option<&'a [Vec<u8>]>,
    /// What the answer gives as its `processingTimeMs`.
    pub processing_time_ms: u64,
    /// `maxTotalHits` of the index: no hit beyond it is given.
    pub hits_total_max: usize,
    /// Whether no greater total than `hits_total_max` is named either, as Meilisearch does before v1.47.
    pub total_clipped: bool,
    /// The matching documents, where they are known better than by the sum of the legs' totals.
    pub total: Option<u64>,
}

/// Fields in the hits of legs that the client did not ask for, or not whole.
#[derive(Debug, Clone)]
pub struct ExtraFields<'a> {
    /// The top-level members they are in.
    pub members: Vec<Cow<'a, str>>,
    /// The paths the client gets in hits.
    pub retrieved: Vec<Cow<'a, str>>,
    /// The paths the client gets in `_formatted`.
    pub formatted: Vec<Cow<'a, str>>,
}

/// What was merged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Merged {
    /// Hits or documents written.
    pub hits: usize,
    /// The total that the answer names.
    pub total: u64,
    /// Facet values that legs spell in several ways, as far as they are in the answer.
    pub contested: Vec<Contested>,
}

/// A facet value that legs spell in several ways: one node shows the spelling of its first document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contested {
    pub facet: String,
    /// The spelling that the answer has.
    pub spelling: String,
    /// Documents with the value.
    pub count: u64,
}

impl SearchSpec<'_> {
    /// A search without options over legs that were each asked for `hits_asked` hits with details, on an index
    /// without a bound on totals.
    pub fn plain(paging: Paging, hits_asked: usize) -> Self {
        Self {
            paging,
            show_ranking_score: false,
            show_ranking_score_details: false,
            details_in_legs: true,
            hits_asked,
            distinct: None,
            distinct_legs: false,
            tie_break: None,
            displayed: None,
            only_vectors: false,
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

    /// The total to name when `matched` hits match on all legs together.
    fn total(&self, matched: u64) -> u64 {
        let matched = self.total.unwrap_or(matched);
        if self.total_clipped { matched.min(self.hits_total_max as u64) } else { matched }
    }
}
