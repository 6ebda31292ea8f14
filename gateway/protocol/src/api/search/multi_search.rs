//! Several searches in one request, each on its own or as one ranked list: what the client asked, and what nodes are
//! asked for it.
//!
//! Invariants: as for single searches, a node judges what the gateway cannot read. A query keeps its raw members, so
//! that each becomes a search of its own. Source: Meilisearch's multi-search route, 1.15 to 1.50.

use std::collections::BTreeMap;

use merge::Paging;
use sonic_rs::{JsonContainerTrait, JsonValueTrait, LazyValue, Value};

use crate::api::{
    http::json_depth::is_bounded,
    search::{
        federation_rules::Finds,
        filter::{combine_filters, narrow},
        nullable::is_absent,
        request::{HITS_DEFAULT, NotUnderstood},
    },
    tasks::view::is_index_uid,
};

/// A multi-search as the client sent it.
pub struct MultiSearchRequest {
    pub queries: Vec<MultiQuery>,
    /// `None`: each query has an answer of its own.
    pub federation: Option<Federation>,
}

/// One query, not yet read as a search.
pub struct MultiQuery {
    pub index_uid: String,
    /// The factor of its hits' ranking scores.
    pub weight: f64,
    /// The raw `federationOptions`.
    options: Option<String>,
    /// All other members: names and raw values.
    members: Vec<(String, String)>,
}

/// How the answers of all queries become one.
pub struct Federation {
    pub paging: Paging,
    /// Raw lists of facet names by index uid; `None` where the client wrote null.
    pub facets_by_index: BTreeMap<String, Option<String>>,
    /// Whether facets of all indexes are merged, and how many values of each are kept.
    pub merge_facets: Option<Option<usize>>,
    pub distinct: Option<String>,
    /// Members that nodes judge: names and raw values.
    others: Vec<(String, String)>,
}

impl MultiSearchRequest {
    /// Reads the JSON body of `POST /multi-search`.
    ///
    /// # Errors
    /// [`NotUnderstood`].
    pub fn parse(body: &[u8]) -> Result<Self, NotUnderstood> {
        if !is_bounded(body) {
            return Err(NotUnderstood);
        }
        let (mut queries, mut federation) = (None, None);
        for member in sonic_rs::to_object_iter(body) {
            let (name, value) = member.map_err(|_| NotUnderstood)?;
            match name.as_ref() {
                "queries" => queries = Some(read_queries(value)?),
                "federation" if value.is_null() => {}
                "federation" => federation = Some(Federation::read(value.as_raw_str())?),
                _ => return Err(NotUnderstood),
            }
        }
        let queries = queries.ok_or(NotUnderstood)?;
        // A node says in its own words that options need a federation.
        if federation.is_none() && queries.iter().any(|query| query.options.is_some()) {
            return Err(NotUnderstood);
        }
        Ok(Self { queries, federation })
    }
}

fn read_queries(value: LazyValue<'_>) -> Result<Vec<MultiQuery>, NotUnderstood> {
    let elements = value.into_array_iter().ok_or(NotUnderstood)?;
    elements.map(|query| MultiQuery::read(query.map_err(|_| NotUnderstood)?.as_raw_str())).collect()
}

impl MultiQuery {
    fn read(text: &str) -> Result<Self, NotUnderstood> {
        let mut query = Self { index_uid: String::new(), weight: 1.0, options: None, members: Vec::new() };
        for member in sonic_rs::to_object_iter(text) {
            let (name, value) = member.map_err(|_| NotUnderstood)?;
            // For a query among others a null is allowed here, too.
            if matches!(name.as_ref(), "offset" | "limit") && value.is_null() || is_absent(&name, &value)? {
                continue;
            }
            match name.as_ref() {
                "indexUid" => query.index_uid = value.as_str().ok_or(NotUnderstood)?.to_owned(),
                "federationOptions" => {
                    query.weight = weight(value.as_raw_str())?;
                    query.options = Some(value.as_raw_str().to_owned());
                }
                // Only Meilisearch's Enterprise Edition asks other clusters.
                "useNetwork" if value.as_bool() != Some(false) => return Err(NotUnderstood),
                _ => query.members.push((name.into_owned(), value.as_raw_str().to_owned())),
            }
        }
        if is_index_uid(&query.index_uid) { Ok(query) } else { Err(NotUnderstood) }
    }

    /// A query for everything in an index.
    #[must_use]
    pub fn of_everything(index_uid: &str) -> Self {
        Self { index_uid: index_uid.to_owned(), weight: 1.0, options: None, members: Vec::new() }
    }

    /// Adds a filter that all hits must pass.
    pub fn narrow(&mut self, rules: Option<String>) {
        let Some(rules) = rules else { return };
        // Of several members with one name the last one counts, as everywhere.
        let own = self.members.iter().rfind(|(name, _)| name == "filter").map(|(_, value)| value.as_str());
        let filter = narrow(own, rules);
        self.members.retain(|(name, _)| name != "filter");
        self.members.push(("filter".to_owned(), filter));
    }

    /// The raw value of a member.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&str> {
        self.members.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The query as the body of a search; `replaced` overrides members of these names.
    #[must_use]
    pub fn search_body(&self, replaced: &[(&str, &str)]) -> String {
        let kept = self.members.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let kept = kept.filter(|(name, _)| replaced.iter().all(|(other, _)| other != name));
        object(kept.chain(replaced.iter().copied()))
    }

    /// Whether it finds everything that its filter lets through: nodes then rank by sorts alone.
    #[must_use]
    pub fn is_placeholder(&self) -> bool {
        let has_words = self.member("q").is_some_and(|q| !q.trim_matches('"').trim().is_empty());
        !has_words && self.member("vector").is_none() && self.member("media").is_none()
    }

    /// How it finds its hits (Meilisearch's `search_kind`).
    #[must_use]
    pub fn finds(&self) -> Finds {
        let value = |name: &str| {
            self.member(name).and_then(|raw| serde_json::from_str::<serde_json::Value>(raw).ok())
        };
        let has_words = value("q").is_some_and(|q| q.as_str().is_some_and(|q| !q.trim().is_empty()));
        let ratio = value("hybrid").map(|hybrid| hybrid["semanticRatio"].as_f64().unwrap_or(0.5));
        let has_vector = self.member("vector").is_some() || self.member("media").is_some();
        let by_vector = ratio.is_some_and(|ratio| ratio > 0.0) && (has_vector || has_words);
        match (by_vector, has_words) {
            (true, words) if !words || ratio == Some(1.0) => Finds::Vectors,
            (_, true) => Finds::Words { all: self.member("matchingStrategy") == Some("\"all\"") },
            (_, false) => Finds::Everything,
        }
    }

    /// The sort expressions of the query.
    #[must_use]
    pub fn sort(&self) -> Vec<String> {
        self.member("sort").and_then(|raw| serde_json::from_str(raw).ok()).unwrap_or_default()
    }

    /// A filter expression for what this query's own filter excludes; `None` if it has no filter.
    ///
    /// # Errors
    /// [`NotUnderstood`] for an invalid filter.
    pub fn filter_negated(&self) -> Result<Option<String>, NotUnderstood> {
        let Some(raw) = self.member("filter") else { return Ok(None) };
        let filter = serde_json::from_str(raw).map_err(|_| NotUnderstood)?;
        let expression = expression(&filter, " AND ").ok_or(NotUnderstood)?;
        Ok((!expression.is_empty()).then(|| format!("NOT ({expression})")))
    }

    /// The query as part of a federated search by which a leg counts totals and facets. It has no order: whether
    /// orders go together was decided before, and nodes have one more rule to break ties.
    fn counted(&self, node_uid: &str, filters: &[&str]) -> String {
        let own = self.member("filter").map(str::to_owned);
        let filter = filters.iter().fold(own, |all, filter| combine_filters(all.as_deref(), Some(filter)));
        let uid = quoted(node_uid);
        let mut replaced = vec![("indexUid", uid.as_str()), ("attributesToRetrieve", "[]")];
        replaced.extend(filter.as_deref().map(|filter| ("filter", filter)));
        replaced.push(("sort", "null"));
        replaced.extend(self.options.as_deref().map(|options| ("federationOptions", options)));
        self.search_body(&replaced)
    }

    /// Whether the number of examined hits changes which ones match.
    fn is_cut(&self) -> bool {
        ["rankingScoreThreshold", "distinct"].iter().any(|name| self.member(name).is_some())
    }
}

/// The weight in raw `federationOptions`; a node judges the other members.
fn weight(options: &str) -> Result<f64, NotUnderstood> {
    let mut weight = 1.0;
    for member in sonic_rs::to_object_iter(options) {
        let (name, value) = member.map_err(|_| NotUnderstood)?;
        match name.as_ref() {
            "weight" => weight = value.as_f64().filter(|weight| *weight >= 0.0).ok_or(NotUnderstood)?,
            _ if value.is_null() => {}
            _ => return Err(NotUnderstood),
        }
    }
    Ok(weight)
}

impl Federation {
    fn read(text: &str) -> Result<Self, NotUnderstood> {
        let (mut offset, mut limit, mut page, mut hits_per_page) = (None, None, None, None);
        let mut federation = Self {
            paging: Paging::Offset { offset: 0, limit: HITS_DEFAULT },
            facets_by_index: BTreeMap::new(),
            merge_facets: None,
            distinct: None,
            others: Vec::new(),
        };
        for member in sonic_rs::to_object_iter(text) {
            let (name, value) = member.map_err(|_| NotUnderstood)?;
            match name.as_ref() {
                _ if is_absent(&name, &value)? => {}
                "offset" => offset = Some(count(&value)?),
                "limit" => limit = Some(count(&value)?),
                "page" => page = Some(count(&value)?),
                "hitsPerPage" => hits_per_page = Some(count(&value)?),
                "facetsByIndex" => federation.facets_by_index = facets_by_index(value.as_raw_str())?,
                "mergeFacets" => federation.merge_facets = Some(values_max(value.as_raw_str())?),
                "distinct" => federation.distinct = Some(value.as_str().ok_or(NotUnderstood)?.to_owned()),
                _ => federation.others.push((name.into_owned(), value.as_raw_str().to_owned())),
            }
        }
        federation.paging = match (page, hits_per_page) {
            (None, None) => {
                Paging::Offset { offset: offset.unwrap_or(0), limit: limit.unwrap_or(HITS_DEFAULT) }
            }
            _ => {
                Paging::Page { page: page.unwrap_or(1), hits_per_page: hits_per_page.unwrap_or(HITS_DEFAULT) }
            }
        };
        Ok(federation)
    }

    /// How many hits of each query may be needed.
    #[must_use]
    pub fn hits_needed(&self) -> usize {
        match self.paging {
            Paging::Offset { offset, limit } => offset.saturating_add(limit),
            Paging::Page { page, hits_per_page } => page.saturating_mul(hits_per_page),
        }
    }

    /// Whether the total counts every hit of the merged list, as with numbered pages of a list without duplicates.
    #[must_use]
    pub fn counts_all_hits(&self) -> bool {
        self.distinct.is_some() && matches!(self.paging, Paging::Page { .. })
    }

    /// The body of a federated search that counts, and is refused where the whole one would be. It asks for hits only
    /// if their number decides what counts.
    #[must_use]
    pub fn counting_body(&self, counting: &Counting<'_>) -> String {
        let is_cut = self.distinct.is_some() || counting.queries.iter().any(|query| query.is_cut());
        let limit = if is_cut { self.hits_needed().min(counting.hits_max) } else { 0 }.to_string();
        let facets = self.facets_by_index.iter().map(|(uid, names)| {
            let names = names.as_deref().unwrap_or("null");
            ((counting.node_uid)(uid), names)
        });
        let facets = facets.filter(|(uid, _)| counting.only.is_none_or(|only| only == uid));
        let facets = facets.collect::<Vec<_>>();
        let facets = object(facets.iter().map(|(uid, names)| (uid.as_str(), *names)));
        let distinct = self.distinct.as_deref().map(quoted);
        let values_max = self.merge_facets.flatten().map_or("null".to_owned(), |values| values.to_string());
        let merge_facets = format!("{{\"maxValuesPerFacet\":{values_max}}}");
        let mut members = match self.paging {
            Paging::Offset { .. } => vec![("offset", "0"), ("limit", &limit)],
            Paging::Page { .. } => vec![("page", "1"), ("hitsPerPage", &limit)],
        };
        members.push(("facetsByIndex", &facets));
        members.extend(distinct.as_deref().map(|distinct| ("distinct", distinct)));
        if self.merge_facets.is_some() && counting.only.is_none() {
            members.push(("mergeFacets", &merge_facets));
        }
        members.extend(self.others.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let queries = counting.queries.iter();
        let queries =
            queries.map(|query| query.counted(&(counting.node_uid)(&query.index_uid), counting.filters));
        let queries = queries.collect::<Vec<_>>().join(",");
        format!("{{\"federation\":{},\"queries\":[{queries}]}}", object(members.into_iter()))
    }
}

/// The subject of a federated search that counts.
#[derive(Clone, Copy)]
pub struct Counting<'a> {
    pub queries: &'a [&'a MultiQuery],
    /// Gives the nodes' name of an index.
    pub node_uid: &'a dyn Fn(&str) -> String,
    /// The only index, by that name, whose facets are counted.
    pub only: Option<&'a str>,
    /// Further filters on every counted document.
    pub filters: &'a [&'a str],
    /// The number of hits to ask for, at most.
    pub hits_max: usize,
}

/// A filter as one expression; the alternatives in an array are arrays of their own.
fn expression(filter: &serde_json::Value, joined_by: &str) -> Option<String> {
    if let Some(text) = filter.as_str() {
        return Some(text.trim().to_owned());
    }
    let parts = filter.as_array()?.iter().map(|part| expression(part, " OR "));
    let parts = parts.collect::<Option<Vec<_>>>()?;
    let parts = parts.iter().filter(|part| !part.is_empty()).map(|part| format!("({part})"));
    Some(parts.collect::<Vec<_>>().join(joined_by))
}

fn facets_by_index(text: &str) -> Result<BTreeMap<String, Option<String>>, NotUnderstood> {
    let mut facets = BTreeMap::new();
    for member in sonic_rs::to_object_iter(text) {
        let (uid, names) = member.map_err(|_| NotUnderstood)?;
        let names = (!names.is_null()).then(|| names.as_raw_str().to_owned());
        facets.insert(uid.into_owned(), names);
    }
    Ok(facets)
}

fn values_max(merge_facets: &str) -> Result<Option<usize>, NotUnderstood> {
    let value = sonic_rs::from_str::<Value>(merge_facets).map_err(|_| NotUnderstood)?;
    let members = value.as_object().ok_or(NotUnderstood)?;
    if members.iter().any(|(name, _)| name != "maxValuesPerFacet") {
        return Err(NotUnderstood);
    }
    match members.get(&"maxValuesPerFacet").filter(|value| !value.is_null()) {
        None => Ok(None),
        Some(value) => count(value).map(Some),
    }
}

fn count(value: &impl JsonValueTrait) -> Result<usize, NotUnderstood> {
    value.as_u64().and_then(|number| usize::try_from(number).ok()).ok_or(NotUnderstood)
}

fn quoted(text: &str) -> String {
    sonic_rs::to_string(text).unwrap_or_default()
}

/// Writes an object of names and raw values.
fn object<'a>(members: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let members = members.map(|(name, value)| format!("{}:{value}", quoted(name)));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> MultiSearchRequest {
        MultiSearchRequest::parse(body.as_bytes()).ok().unwrap()
    }

    #[test]
    fn queries_become_searches_of_their_own() {
        let request = parse(r#"{"queries":[{"indexUid":"a","q":"x","limit":3},{"q":null,"indexUid":"b"}]}"#);
        let bodies = request.queries.iter().map(|query| (query.index_uid.as_str(), query.search_body(&[])));
        assert_eq!(
            bodies.collect::<Vec<_>>(),
            [("a", r#"{"q":"x","limit":3}"#.to_owned()), ("b", "{}".to_owned())]
        );
        assert_eq!(request.queries[0].search_body(&[("limit", "7")]), r#"{"q":"x","limit":7}"#);
        assert!(request.federation.is_none());
    }

    #[test]
    fn counting_asks_for_no_hits_and_keeps_what_nodes_judge() {
        let request = parse(
            r#"{"federation":{"limit":5,"facetsByIndex":{"a":["x"],"b":null},"mergeFacets":{"maxValuesPerFacet":3},"nope":1},
                "queries":[{"indexUid":"a","filter":"x = 1","federationOptions":{"weight":0.5}}]}"#,
        );
        let federation = request.federation.as_ref().unwrap();
        let query = &request.queries[0];
        assert_eq!((query.weight, federation.hits_needed()), (0.5, 5));
        let node_uid = |uid: &str| format!("{uid}-1");
        let queries = [query];
        let whole =
            Counting { queries: &queries, node_uid: &node_uid, only: None, filters: &[], hits_max: 9 };
        let leg = Counting { only: Some("a-1"), filters: &["s"], ..whole };
        assert_eq!(
            federation.counting_body(&leg),
            r#"{"federation":{"offset":0,"limit":0,"facetsByIndex":{"a-1":["x"]},"nope":1},"queries":[{"indexUid":"a-1","attributesToRetrieve":[],"filter":["x = 1","s"],"sort":null,"federationOptions":{"weight":0.5}}]}"#
        );
        let body = federation.counting_body(&whole);
        assert!(
            body.contains(
                r#""facetsByIndex":{"a-1":["x"],"b-1":null},"mergeFacets":{"maxValuesPerFacet":3}"#
            )
        );
        let cut =
            parse(r#"{"federation":{"page":3},"queries":[{"indexUid":"a","rankingScoreThreshold":0.5}]}"#);
        let queries = [&cut.queries[0]];
        let body = cut.federation.as_ref().unwrap().counting_body(&Counting { queries: &queries, ..whole });
        assert!(body.starts_with(r#"{"federation":{"page":1,"hitsPerPage":9,"#), "{body}");
    }

    #[test]
    fn filters_are_negated_as_one_expression() {
        let check = |filter: &str, expected: Result<Option<&str>, NotUnderstood>| {
            let request = parse(&format!(r#"{{"queries":[{{"indexUid":"a","filter":{filter}}}]}}"#));
            let negated = request.queries[0].filter_negated();
            assert_eq!(negated.as_ref().map(Option::as_deref).map_err(|error| *error), expected, "{filter}");
        };
        check(r#""a = 1""#, Ok(Some("NOT (a = 1)")));
        check(r#"[["a = 1","b = 2"],"c = 3"]"#, Ok(Some("NOT (((a = 1) OR (b = 2)) AND (c = 3))")));
        check("[]", Ok(None));
        check("null", Ok(None));
        check("7", Err(NotUnderstood));
        let kinds = parse(
            r#"{"queries":[{"indexUid":"a","q":" "},{"indexUid":"a","q":"x"},{"indexUid":"a","vector":[1]}]}"#,
        );
        let kinds = kinds.queries.iter().map(MultiQuery::is_placeholder).collect::<Vec<_>>();
        assert_eq!(kinds, [true, false, false]);
    }

    #[test]
    fn what_is_not_understood_is_left_to_a_node() {
        for body in [
            "",
            "[]",
            "{}",
            r#"{"queries":1}"#,
            r#"{"queries":[1]}"#,
            r#"{"queries":[{}]}"#,
            r#"{"queries":[{"indexUid":7}]}"#,
            r#"{"queries":[],"nope":1}"#,
            r#"{"queries":[{"indexUid":"a","federationOptions":{}}]}"#,
            r#"{"queries":[{"indexUid":"a","useNetwork":true}]}"#,
            r#"{"federation":{},"queries":[{"indexUid":"a","federationOptions":{"weight":-1}}]}"#,
            r#"{"federation":{},"queries":[{"indexUid":"a","federationOptions":{"remote":"x"}}]}"#,
            r#"{"federation":{"limit":-1},"queries":[]}"#,
            r#"{"federation":{"mergeFacets":{"x":1}},"queries":[]}"#,
            r#"{"federation":[],"queries":[]}"#,
        ] {
            assert!(MultiSearchRequest::parse(body.as_bytes()).is_err(), "{body}");
        }
    }
}
