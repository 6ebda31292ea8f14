//! Several searches in one request, separate or merged into one ranked list.
//! Invariants: without federation the answers are in the order of the queries. With it, all queries of an index see the
//! same snapshot. The first error ends the request and names the query's position.

use std::collections::BTreeMap;
use std::time::Instant;

use deserr::Deserr;
use serde_json::{Map, Value, json};

use super::call::{Call, Reply};
use crate::engine::{FederatedQuery, SearchQuery, merge};
use crate::errors::ApiError;
use crate::names;
use crate::wire::{self, WireError};

#[derive(Debug, Deserr)]
#[deserr(error = WireError, rename_all = camelCase, deny_unknown_fields)]
struct MultiSearch {
    queries: Vec<Value>,
    #[deserr(default)]
    federation: Option<Federation>,
}

#[derive(Debug, Deserr)]
#[deserr(error = WireError, rename_all = camelCase, deny_unknown_fields)]
struct Federation {
    #[deserr(default = 20)]
    limit: usize,
    #[deserr(default = 0)]
    offset: usize,
    #[deserr(default)]
    facets_by_index: BTreeMap<String, Option<Vec<String>>>,
    #[deserr(default)]
    merge_facets: Option<MergeFacets>,
}

#[derive(Debug, Deserr)]
#[deserr(error = WireError, rename_all = camelCase, deny_unknown_fields)]
struct MergeFacets {
    #[deserr(default)]
    max_values_per_facet: Option<usize>,
}

#[derive(Debug, Default, Deserr)]
#[deserr(error = WireError, rename_all = camelCase, deny_unknown_fields)]
struct FederationOptions {
    #[deserr(default = 1.0)]
    weight: f64,
}

/// A query of the request, without its index and options.
struct Query {
    uid: String,
    query: SearchQuery,
    options: Option<FederationOptions>,
    /// The first pagination parameter, which a federation does not allow.
    pagination: Option<&'static str>,
}

pub(super) fn post(call: &Call) -> Result<Reply, ApiError> {
    let request: MultiSearch = wire::read(call.json()?, wire::FEDERATION)?;
    let queries: Vec<Query> = request
        .queries
        .into_iter()
        .enumerate()
        .map(|(position, query)| read(position, query))
        .collect::<Result<_, _>>()?;
    match request.federation {
        Some(federation) => federated(call, queries, &federation),
        None => apart(call, &queries),
    }
}

fn apart(call: &Call, queries: &[Query]) -> Result<Reply, ApiError> {
    let mut results = Vec::with_capacity(queries.len());
    for (position, Query { uid, query, options, .. }) in queries.iter().enumerate() {
        let named = |error: ApiError| error.inside(&format!(".queries[{position}]"));
        if options.is_some() {
            let text = "Using `federationOptions` is not allowed in a non-federated search.\n - Hint: remove \
                        `federationOptions` from the query or add `federation` to the request.";
            return Err(named(ApiError::new("invalid_multi_search_federation_options", text)));
        }
        let index = call.node.catalog.get(uid).map_err(named)?;
        let answer = index.search(uid, query).map_err(named)?;
        let mut result = Map::new();
        result.insert("indexUid".into(), uid.clone().into());
        if let Value::Object(answer) = answer {
            result.extend(answer);
        }
        results.push(result);
    }
    Reply::ok(&json!({ "results": results }))
}

fn federated(call: &Call, queries: Vec<Query>, federation: &Federation) -> Result<Reply, ApiError> {
    let started = Instant::now();
    let by_index = by_index(queries, federation)?;
    let limit = federation.limit.saturating_add(federation.offset);
    let (mut lists, mut total, mut semantic) = (Vec::new(), 0, false);
    let mut facets = Map::new();
    for (uid, queries) in &by_index {
        let named = |(error, position): (ApiError, usize)| error.inside(&format!(".queries[{position}]"));
        let index = call.node.catalog.get(uid).map_err(|error| named((error, queries[0].position)))?;
        let asked = federation.facets_by_index.get(uid).and_then(Option::as_deref);
        let hits = index.federated(uid, queries, limit, asked).map_err(named)?;
        total += hits.total;
        semantic |= hits.semantic;
        if let Some(counts) = hits.facets {
            facets.insert(uid.clone(), counts);
        }
        lists.push(hits.ranked);
    }
    let page: Vec<_> = merge(lists).into_iter().skip(federation.offset).take(federation.limit).collect();
    let semantic_hits = page.iter().filter(|hit| hit.is_semantic()).count();
    let mut answer = Map::new();
    answer.insert("hits".into(), page.into_iter().map(|hit| hit.hit).collect());
    let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    answer.insert("processingTimeMs".into(), milliseconds.into());
    answer.insert("limit".into(), federation.limit.into());
    answer.insert("offset".into(), federation.offset.into());
    answer.insert("estimatedTotalHits".into(), total.into());
    if semantic {
        answer.insert("semanticHitCount".into(), semantic_hits.into());
    }
    match &federation.merge_facets {
        _ if facets.is_empty() => {}
        None => drop(answer.insert("facetsByIndex".into(), facets.into())),
        Some(merge) => {
            let by_count = |uid: &str, facet: &str| call.node.catalog.get(uid)?.facet_by_count(facet);
            let (distribution, stats) = merged_facets(&facets, merge.max_values_per_facet, by_count)?;
            answer.insert("facetDistribution".into(), distribution);
            answer.insert("facetStats".into(), stats);
        }
    }
    Reply::ok(&answer)
}

/// Merges the facets of all indexes: sums the counts of equal values, in the order of the first index that has the
/// facet, and truncates.
fn merged_facets(
    facets: &Map<String, Value>,
    values_max: Option<usize>,
    by_count: impl Fn(&str, &str) -> Result<bool, ApiError>,
) -> Result<(Value, Value), ApiError> {
    let mut merged: BTreeMap<&str, (bool, BTreeMap<&str, u64>)> = BTreeMap::new();
    let mut stats: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for (uid, facets) in facets {
        for (facet, values) in facets["distribution"].as_object().into_iter().flatten() {
            let by_count = by_count(uid, facet)?;
            let (_, counts) = merged.entry(facet).or_insert((by_count, BTreeMap::new()));
            for (value, count) in values.as_object().into_iter().flatten() {
                *counts.entry(value).or_default() += count.as_u64().unwrap_or_default();
            }
        }
        for (facet, range) in facets["stats"].as_object().into_iter().flatten() {
            let (Some(min), Some(max)) = (range["min"].as_f64(), range["max"].as_f64()) else { continue };
            let all = stats.entry(facet).or_insert((min, max));
            *all = (all.0.min(min), all.1.max(max));
        }
    }
    let distribution = merged.into_iter().map(|(facet, (by_count, counts))| {
        let mut counts: Vec<_> = counts.into_iter().collect();
        if by_count {
            counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        }
        counts.truncate(values_max.unwrap_or(usize::MAX));
        let counts = counts.into_iter().map(|(value, count)| (value.to_owned(), count.into())).collect();
        (facet.to_owned(), Value::Object(counts))
    });
    let stats =
        stats.into_iter().map(|(facet, (min, max))| (facet.to_owned(), json!({"min": min, "max": max})));
    Ok((Value::Object(distribution.collect()), Value::Object(stats.collect())))
}

/// Queries by index, after checking what a federation forbids.
fn by_index(
    queries: Vec<Query>,
    federation: &Federation,
) -> Result<BTreeMap<String, Vec<FederatedQuery>>, ApiError> {
    let mut by_index: BTreeMap<String, Vec<FederatedQuery>> = BTreeMap::new();
    for (position, Query { uid, query, options, pagination }) in queries.into_iter().enumerate() {
        let named = |error: ApiError| error.inside(&format!(".queries[{position}]"));
        if let Some(parameter) = pagination {
            let text = format!(
                "Using pagination options is not allowed in federated queries.\n - Hint: remove `{parameter}` \
                 from the query or remove `federation` from the request\n - Hint: pass `federation.limit` and \
                 `federation.offset` for pagination in federated search"
            );
            return Err(named(ApiError::new("invalid_multi_search_query_pagination", text)));
        }
        if let Some(facets) = &query.facets {
            let text = format!(
                "Using facet options is not allowed in federated queries.\n - Hint: remove `facets` from the \
                 query or remove `federation` from the request\n - Hint: pass \
                 `federation.facetsByIndex.{uid}: {facets:?}` for facets in federated search"
            );
            return Err(named(ApiError::new("invalid_multi_search_query_facets", text)));
        }
        let weight = options.map_or(1.0, |options| options.weight);
        by_index.entry(uid).or_default().push(FederatedQuery { position, weight, query });
    }
    for uid in federation.facets_by_index.keys() {
        names::index_uid(uid)?;
    }
    Ok(by_index)
}

/// Separates index and options from a query; the rest is a search.
fn read(position: usize, mut query: Value) -> Result<Query, ApiError> {
    let place = format!(".queries[{position}]");
    let here = |error: ApiError| {
        let message = error
            .message
            .replace(" at `.", &format!(" at `{place}."))
            .replace(" inside `.", &format!(" inside `{place}."));
        let message = match message.split_once("`: ") {
            // Meilisearch's message says that an unknown field of the query is inside the query.
            Some((field, rest)) if field.starts_with("Unknown field") && !field.contains(" inside ") => {
                let rest = rest.replacen("one of ", "one of `indexUid`, ", 1);
                format!("{field}` inside `{place}`: {rest}, `federationOptions`")
            }
            _ => message,
        };
        ApiError::new(error.code, message)
    };
    let missing = || ApiError::new("missing_index_uid", format!("Missing field `indexUid` inside `{place}`"));
    let object = query.as_object_mut().ok_or_else(missing)?;
    let uid = object.shift_remove("indexUid").ok_or_else(missing)?;
    let uid = names::index_uid(uid.as_str().unwrap_or_default()).map_err(|error| {
        ApiError::new(error.code, format!("Invalid value at `{place}.indexUid`: {}", error.message))
    })?;
    let options: Option<FederationOptions> = match object.shift_remove("federationOptions") {
        None | Some(Value::Null) => None,
        Some(options) => Some(wire::read(options, wire::FEDERATION_OPTIONS).map_err(here)?),
    };
    if options.as_ref().is_some_and(|options| options.weight < 0.0) {
        let text = format!(
            "Invalid value at `{place}.federationOptions.weight`: the value of `weight` is invalid, expected a \
             positive float (>= 0.0)."
        );
        return Err(ApiError::new("invalid_multi_search_weight", text));
    }
    let pagination = ["limit", "offset", "page", "hitsPerPage"]
        .into_iter()
        .find(|parameter| object.get(*parameter).is_some_and(|value| !value.is_null()));
    Ok(Query { uid, query: wire::read(query, wire::SEARCH).map_err(here)?, options, pagination })
}
