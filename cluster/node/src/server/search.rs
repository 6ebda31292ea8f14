//! Routes that search one index.
//! Invariant: a GET has the same parameters in its query string as a POST in its body.

use serde_json::{Value, json};

use super::call::{Call, Reply};
use crate::engine::{FacetSearchQuery, SearchQuery, SimilarQuery};
use crate::errors::ApiError;
use crate::wire::{self, Parameter};

const SEARCH: [(&str, Parameter); 27] = [
    ("q", Parameter::Text),
    ("vector", Parameter::Numbers),
    ("offset", Parameter::Integer),
    ("limit", Parameter::Integer),
    ("page", Parameter::Integer),
    ("hitsPerPage", Parameter::Integer),
    ("attributesToRetrieve", Parameter::List),
    ("retrieveVectors", Parameter::Flag),
    ("attributesToCrop", Parameter::List),
    ("cropLength", Parameter::Integer),
    ("attributesToHighlight", Parameter::List),
    ("filter", Parameter::Loose),
    ("sort", Parameter::Text),
    ("distinct", Parameter::Text),
    ("showMatchesPosition", Parameter::Flag),
    ("showRankingScore", Parameter::Flag),
    ("showRankingScoreDetails", Parameter::Flag),
    ("facets", Parameter::List),
    ("highlightPreTag", Parameter::Text),
    ("highlightPostTag", Parameter::Text),
    ("cropMarker", Parameter::Text),
    ("matchingStrategy", Parameter::Text),
    ("attributesToSearchOn", Parameter::List),
    ("hybridEmbedder", Parameter::Text),
    ("hybridSemanticRatio", Parameter::Fraction("semanticRatio")),
    ("rankingScoreThreshold", Parameter::Fraction("rankingScoreThreshold")),
    ("locales", Parameter::List),
];

const SIMILAR: [(&str, Parameter); 10] = [
    ("id", Parameter::Text),
    ("offset", Parameter::Integer),
    ("limit", Parameter::Integer),
    ("attributesToRetrieve", Parameter::List),
    ("retrieveVectors", Parameter::Flag),
    ("filter", Parameter::Loose),
    ("showRankingScore", Parameter::Flag),
    ("showRankingScoreDetails", Parameter::Flag),
    ("rankingScoreThreshold", Parameter::Fraction("rankingScoreThreshold")),
    ("embedder", Parameter::Text),
];

pub(super) fn get(call: &Call) -> Result<Reply, ApiError> {
    let mut query = wire::query(&call.query, &SEARCH, wire::SEARCH)?;
    if let Some(sort) = query["sort"].as_str() {
        query["sort"] = sort_rules(sort).into();
    }
    let Value::Object(object) = &mut query else { return run(call, query) };
    let ratio = object.shift_remove("hybridSemanticRatio");
    match (object.shift_remove("hybridEmbedder"), ratio) {
        (Some(embedder), ratio) => {
            let ratio = ratio.unwrap_or_else(|| 0.5.into());
            object.insert("hybrid".into(), json!({ "embedder": embedder, "semanticRatio": ratio }));
        }
        (None, Some(_)) => {
            return Err(ApiError::new(
                "invalid_search_hybrid_query",
                "`hybridEmbedder` is mandatory when `hybridSemanticRatio` is present",
            ));
        }
        (None, None) if object.contains_key("vector") => {
            let text = "`hybridEmbedder` is mandatory when `vector` is present";
            return Err(ApiError::new("missing_search_hybrid", text));
        }
        (None, None) => {}
    }
    run(call, query).map_err(wire::of_parameter)
}

pub(super) fn post(call: &Call) -> Result<Reply, ApiError> {
    run(call, call.json()?)
}

fn run(call: &Call, query: Value) -> Result<Reply, ApiError> {
    let uid = call.index_uid()?;
    let query: SearchQuery = wire::read(query, wire::SEARCH)?;
    Reply::ok(&call.node.catalog.get(&uid)?.search(&uid, &query)?)
}

pub(super) fn facets(call: &Call) -> Result<Reply, ApiError> {
    let uid = call.index_uid()?;
    let query: FacetSearchQuery = wire::read(call.json()?, wire::FACET_SEARCH)?;
    Reply::ok(&call.node.catalog.get(&uid)?.facet_search(&query)?)
}

pub(super) fn similar_get(call: &Call) -> Result<Reply, ApiError> {
    run_similar(call, wire::query(&call.query, &SIMILAR, wire::SIMILAR)?).map_err(wire::of_parameter)
}

pub(super) fn similar_post(call: &Call) -> Result<Reply, ApiError> {
    run_similar(call, call.json()?)
}

fn run_similar(call: &Call, query: Value) -> Result<Reply, ApiError> {
    let uid = call.index_uid()?;
    let query: SimilarQuery = wire::read(query, wire::SIMILAR)?;
    Reply::ok(&call.node.catalog.get(&uid)?.similar(&uid, &query)?)
}

/// Splits a GET's sort at commas, except the one inside `_geoPoint(…)`.
fn sort_rules(text: &str) -> Vec<String> {
    let mut rules: Vec<String> = Vec::new();
    let mut open = false;
    for part in text.split(',') {
        match rules.last_mut() {
            Some(rule) if open => {
                rule.push(',');
                rule.push_str(part);
            }
            _ => rules.push(part.trim_start().to_owned()),
        }
        open = (open || part.contains('(')) && !part.contains(')');
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sort_rules_keep_points_whole() {
        assert_eq!(
            sort_rules("_geoPoint(12.5, 8.3):asc,price:desc,title:asc"),
            ["_geoPoint(12.5, 8.3):asc", "price:desc", "title:asc"]
        );
    }
}
