//! Pure merging: per-shard answers in, one exact answer out, over raw JSON slices.
//!
//! - No IO, no clock, no async: the same bytes in give the same bytes out.
//! - Foreign bytes are validated once; whatever cannot be merged exactly is a `MergeError`, never a guess.
//! - On an error nothing is left in the caller's buffer.
//! - The bytes of winning documents are copied untouched but for reserved members, which are cut out.

mod document_order;
mod documents;
mod error;
mod facets;
mod federation;
mod hit;
mod json;
mod key;
mod message;
mod normalize;
mod search;
mod similar;
mod strip;
mod weighted;

use ahash::AHashMap;

pub use document_order::{SortField, sorted_documents};
pub use documents::{documents, strip_document};
pub use error::MergeError;
pub use facets::facet_search;
pub use federation::{FederatedIndex, FederatedQuery, FederationSpec, federated_totals, federation};
pub use hit::ExtraAttribute;
pub use message::strip_message;
pub use search::search;
pub use similar::{SimilarSpec, similar};

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
    /// How to merge facets; `None` leaves `facetDistribution` and `facetStats` out.
    pub facets: Option<&'a FacetRules>,
    /// What the answer gives as its `processingTimeMs`.
    pub processing_time_ms: u64,
    /// `maxTotalHits` of the index: no hit beyond it is given.
    pub hits_total_max: usize,
    /// Whether no greater total than `hits_total_max` is named either, as Meilisearch does before v1.47.
    pub total_clipped: bool,
}

/// What was merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Merged {
    /// Hits or documents written.
    pub hits: usize,
    /// The total that the answer names.
    pub total: u64,
}

impl SearchSpec<'_> {
    /// The total to name when `matched` hits match on all legs together.
    fn total(&self, matched: u64) -> u64 {
        if self.total_clipped { matched.min(self.hits_total_max as u64) } else { matched }
    }
}
