//! Members of questions that may be null, which means the same as their absence.
//!
//! Invariant: a node refuses any other null.

use sonic_rs::{JsonValueTrait, LazyValue};

use crate::api::search::request::NotUnderstood;

/// Members of questions that may be null.
const NULLABLE: &[&str] = &[
    "attributesToCrop",
    "attributesToHighlight",
    "attributesToRetrieve",
    "attributesToSearchOn",
    "distinct",
    "exhaustiveFacetCount",
    "facetQuery",
    "facets",
    "federationOptions",
    "fields",
    "filter",
    "hitsPerPage",
    "hybrid",
    "ids",
    "locales",
    "media",
    "mergeFacets",
    "page",
    "personalize",
    "q",
    "queryPosition",
    "rankingScoreThreshold",
    "remote",
    "sort",
    "useNetwork",
    "vector",
];

/// Whether a member counts as absent.
///
/// # Errors
/// [`NotUnderstood`] for a null that a node refuses.
pub(crate) fn is_absent(name: &str, value: &LazyValue<'_>) -> Result<bool, NotUnderstood> {
    match value.is_null() {
        false => Ok(false),
        true if NULLABLE.contains(&name) => Ok(true),
        true => Err(NotUnderstood),
    }
}
