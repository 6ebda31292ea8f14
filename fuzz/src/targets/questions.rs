//! Attacks `gateway::api`: clients' requests, as bodies and as query strings.
//!
//! - If a client's body is JSON, the bodies for nodes made from it are JSON.
//! - A narrowed filter is still a filter and contains the original one.

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use gateway::api::{
    documents::list::DocumentsRequest,
    http::query_string::Query,
    reserved_fields::conceal,
    search::{
        facet_search::FacetSearchRequest,
        filter::{combine_filters, narrow},
        key_filter::{PINNED_KEYS_MAX, pinned_keys},
        multi_search::MultiSearchRequest,
        query_string,
        request::SearchRequest,
        similar,
    },
};
use serde_json::Value;

use crate::mutate::mutate;

/// Sound requests to damage.
const BODIES: &[&str] = &[
    r#"{"q":"a \"b\"","offset":1,"limit":2,"filter":["a = 1",["b = 2","c = 3"]],"sort":["d:asc"],"facets":["*"]}"#,
    r#"{"q":null,"page":2,"hitsPerPage":3,"filter":"a = 1","hybrid":{"embedder":"e","semanticRatio":0.5},"vector":[1,2]}"#,
    r#"{"queries":[{"indexUid":"a","q":"b"},{"indexUid":"c","filter":"d = 1"}],"federation":{"limit":5}}"#,
    r#"{"facetName":"a","facetQuery":"b","filter":["c = 1"],"q":"d"}"#,
    r#"{"offset":1,"limit":2,"filter":"a = 1","fields":["a","b"],"sort":["c:desc"],"retrieveVectors":true}"#,
];
const QUERIES: &[&str] =
    &["q=a%20b&offset=1&limit=2&filter=a%20%3D%201&facets=a,b", "page=1&hitsPerPage=2&sort=a:asc"];
/// Single filters.
const FILTERS: &[&str] =
    &[r#""a = 1 AND b IN [2, 'c'] OR NOT a IN [3]""#, r#"["a IN [1, 2]", ["a = 3", "b = 4"]]"#];
const OWN: &str = "_miroir_shard IN [\",,\"]";

pub(crate) fn run(bytes: &[u8]) {
    check(bytes);
    check_query(&String::from_utf8_lossy(bytes));
    // Running out of bytes to choose by is no finding.
    let _ = attack(Unstructured::new(bytes));
}

fn attack(mut choices: Unstructured<'_>) -> Result<()> {
    let mut body = choices.choose(BODIES)?.as_bytes().to_vec();
    mutate(&mut choices, &mut body)?;
    check(&body);
    let mut filter = choices.choose(FILTERS)?.as_bytes().to_vec();
    mutate(&mut choices, &mut filter)?;
    check(&filter);
    let mut query = choices.choose(QUERIES)?.as_bytes().to_vec();
    mutate(&mut choices, &mut query)?;
    check_query(&String::from_utf8_lossy(&query));
    Ok(())
}

fn check(body: &[u8]) {
    let sound = is_json(body);
    let concealed = conceal(Bytes::copy_from_slice(body));
    assert_eq!(is_json(&concealed), sound, "names that are reserved change whether it is JSON");
    let must_be_json = |what: &str, made: &[u8]| {
        assert!(
            !sound || is_json(made),
            "{what} makes {:?} of {:?}",
            made.escape_ascii(),
            body.escape_ascii()
        );
    };
    if let Ok(asked) = DocumentsRequest::parse(body) {
        must_be_json("documents", &asked.leg_body(&asked.order(Some("id")), Some(OWN)));
    }
    if let Ok(mut asked) = FacetSearchRequest::parse(body) {
        asked.restrict(Some("\"tenant = 1\"".to_owned()));
        must_be_json("facet search", &asked.leg_body(Some(OWN)));
    }
    if let Ok(asked) = MultiSearchRequest::parse(body) {
        for query in &asked.queries {
            must_be_json("multi-search", query.search_body(&[]).as_bytes());
        }
    }
    if let Ok(asked) = SearchRequest::parse(body) {
        must_be_json("search", &asked.leg_body(b"{", Some(OWN)));
    }
    // A single filter, as the client wrote it.
    let Some(filter) = std::str::from_utf8(body).ok().filter(|_| is_filter(body)) else { return };
    let filter = filter.trim();
    for made in [combine_filters(Some(filter), Some(OWN)), Some(narrow(Some(filter), "\"t = 1\"".to_owned()))]
    {
        assert!(made.is_some_and(|made| is_filter(made.as_bytes())), "{filter} is no filter any more");
    }
    // A condition on another attribute pins no further keys when joined by AND, and unpins all when joined by OR.
    let alone = pinned_keys(filter, "a");
    assert!(alone.as_ref().is_none_or(|keys| keys.len() <= PINNED_KEYS_MAX));
    if serde_json::from_slice::<Value>(body).is_ok_and(|value| value.is_string()) {
        assert_eq!(pinned_keys(&format!("[{filter},\"b > 1\"]"), "a"), alone, "{filter}");
        assert_eq!(pinned_keys(&format!("[[{filter},\"b > 1\"]]"), "a"), None, "{filter}");
    }
}

fn check_query(text: &str) {
    let query = Query::parse(Some(text));
    for body in [query_string::body_of_query(&query), similar::body_of_query(&query)].into_iter().flatten() {
        assert!(is_json(&body), "{text:?} becomes {:?}", body.escape_ascii());
    }
}

fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<Value>(bytes).is_ok()
}

fn is_filter(bytes: &[u8]) -> bool {
    serde_json::from_slice::<Value>(bytes).is_ok_and(|value| value.is_string() || value.is_array())
}
