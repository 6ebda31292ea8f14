//! Requests that one node refuses; the status and the message must be the same.
//! Invariant: every request is refused before it can change anything.

use serde_json::{Value, json};

use crate::differential::corpus::{GOODS, THINGS, VARIANTS};
use crate::differential::families::Asker;
use crate::differential::question::Question;

pub(super) fn errors(asker: &mut Asker<'_>) -> Question {
    match asker.random.u8(..8) {
        0 => filter(asker),
        1 | 2 => search(asker),
        3 => search_get(asker),
        4 => facet_search(asker),
        5 => documents(asker),
        6 => elsewhere(asker),
        _ => several(asker),
    }
}

fn filter(asker: &mut Asker<'_>) -> Question {
    let filters = [
        json!("colour = red"),
        json!("price >"),
        json!("price = 1 AND"),
        json!("(price = 1"),
        json!("price IN [1, 2"),
        json!("price = \"1"),
        json!("_geoRadius(1, 2)"),
        json!("_geoRadius(91, 2, 3)"),
        json!("_geoBoundingBox([1, 2], [3, 4])"),
        json!("_geoPoint(1, 2)"),
        json!("price CONTAINS"),
        json!("title STARTS WITH"),
        json!({"a": 1}),
        json!([["price = 1", 3]]),
        json!([[["price = 1"]]]),
        json!(7),
        json!("_miroir_shard = 1"),
        json!("price > many"),
    ];
    let index = asker.one_of(&[THINGS, VARIANTS]);
    Question::search(index, json!({"filter": asker.one_of(&filters)}))
}

fn search(asker: &mut Asker<'_>) -> Question {
    let bodies = [
        json!({"sort": ["colour:asc"]}),
        json!({"sort": ["price"]}),
        json!({"sort": ["price:up"]}),
        json!({"sort": ["_geoPoint(1):asc"]}),
        json!({"sort": ["_geoPoint(100, 1):asc"]}),
        json!({"sort": ["_geoRadius(1, 2, 3):asc"]}),
        json!({"sort": "price:asc"}),
        json!({"facets": ["colour"]}),
        json!({"facets": ["price", "nope", "title2"]}),
        json!({"facets": 3}),
        json!({"distinct": "colour"}),
        json!({"attributesToSearchOn": ["colour"]}),
        json!({"attributesToSearchOn": ["price", "nope"]}),
        json!({"limit": -1}),
        json!({"limit": "many"}),
        json!({"offset": 1.5}),
        json!({"page": -3}),
        json!({"hitsPerPage": true}),
        json!({"q": 3}),
        json!({"q": ["a"]}),
        json!({"unknown": 1}),
        json!({"matchingStrategy": "some"}),
        json!({"rankingScoreThreshold": 2.0}),
        json!({"rankingScoreThreshold": "high"}),
        json!({"locales": ["xyz"]}),
        json!({"vector": [1.0, 2.0]}),
        json!({"vector": [1.0], "hybrid": {"embedder": "own", "semanticRatio": 1.0}}),
        json!({"hybrid": {"embedder": "nope"}, "q": "a"}),
        json!({"hybrid": {"semanticRatio": 0.5}, "q": "a"}),
        json!({"hybrid": {"embedder": "own", "semanticRatio": 1.5}, "q": "a"}),
        json!({"hybrid": {"embedder": "own", "semanticRatio": 0.5}, "q": "a"}),
        json!({"attributesToRetrieve": "id"}),
        json!({"attributesToCrop": [3]}),
        json!({"cropLength": -1}),
        json!({"showRankingScore": "yes"}),
        json!([]),
        json!("q"),
    ];
    Question::search(THINGS, asker.one_of(&bodies))
}

fn search_get(asker: &mut Asker<'_>) -> Question {
    let parameters = [
        ("limit", "many"),
        ("offset", "-1"),
        ("unknown", "1"),
        ("filter", "colour = red"),
        ("sort", "colour:asc"),
        ("facets", "colour"),
        ("vector", "1,2"),
        ("hybridSemanticRatio", "0.5"),
        ("hybridEmbedder", "nope"),
        ("showRankingScore", "yes"),
        ("matchingStrategy", "some"),
        ("rankingScoreThreshold", "9"),
    ];
    let (name, value) = asker.one_of(&parameters);
    Question::get(THINGS, "search", vec![(name.to_owned(), value.to_owned())])
}

fn facet_search(asker: &mut Asker<'_>) -> Question {
    let bodies = [
        json!({}),
        json!({"facetName": "colour"}),
        json!({"facetName": 3}),
        json!({"facetName": "nope", "facetQuery": "a"}),
        json!({"facetName": "tags", "facetQuery": 3}),
        json!({"facetName": "tags", "filter": "colour = 1"}),
        json!({"facetName": "tags", "filter": "price >"}),
        json!({"facetName": "tags", "q": 7}),
        json!({"facetName": "tags", "matchingStrategy": "some"}),
    ];
    let index = asker.one_of(&[THINGS, GOODS]);
    Question::post(index, "facet-search", asker.one_of(&bodies))
}

fn documents(asker: &mut Asker<'_>) -> Question {
    let parameter = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    match asker.random.u8(..10) {
        0 => Question::get(THINGS, "documents/not-there", Vec::new()),
        1 => Question::get(THINGS, "documents/b%20d", Vec::new()),
        2 => Question::get(THINGS, "documents", parameter("limit", "x")),
        3 => Question::get(THINGS, "documents", parameter("filter", "colour = 1")),
        4 => Question::get(THINGS, "documents", parameter("unknown", "1")),
        5 => Question::get(THINGS, "documents/1", parameter("unknown", "1")),
        6 => Question::post(THINGS, "documents/fetch", json!({"filter": "price >"})),
        7 => Question::post(THINGS, "documents/fetch", json!({"ids": [{"a": 1}]})),
        8 => Question::post(THINGS, "documents/fetch", json!({"limit": -1})),
        _ => Question::post(THINGS, "documents/fetch", json!({"fields": 3, "offset": "x"})),
    }
}

fn elsewhere(asker: &mut Asker<'_>) -> Question {
    let route = |method, path: &str, body: Option<Value>| Question::whole(method, path, body);
    match asker.random.u8(..12) {
        0 => route("POST", "/indexes/nope/search", Some(json!({}))),
        1 => route("GET", "/indexes/nope", None),
        2 => route("GET", "/indexes/nope/documents", None),
        3 => route("GET", "/indexes/nope/settings", None),
        4 => route("GET", "/indexes/nope/stats", None),
        5 => route("POST", "/indexes", Some(json!({"uid": "b d"}))),
        6 => route("POST", "/indexes", Some(json!({"primaryKey": "id"}))),
        7 => route("GET", "/indexes/b%20d", None),
        8 => route("PATCH", "/indexes/things/settings", Some(json!({"rankingRules": ["up"]}))),
        9 => route("PATCH", "/indexes/things/settings", Some(json!({"unknown": 1}))),
        10 => route("POST", "/indexes/things/documents/delete", Some(json!({"filter": "price >"}))),
        _ => route("GET", "/nowhere", None),
    }
}

fn several(asker: &mut Asker<'_>) -> Question {
    let query = |query: Value| json!({"queries": [{"indexUid": THINGS, "q": "a", "limit": 1}, query]});
    let federated = |query: Value| json!({"federation": {}, "queries": [query]});
    let bodies = [
        json!({}),
        json!({"queries": 3}),
        query(json!({"q": "a"})),
        query(json!({"indexUid": "nope"})),
        query(json!({"indexUid": THINGS, "filter": "colour = 1"})),
        query(json!({"indexUid": THINGS, "unknown": 1})),
        query(json!({"indexUid": THINGS, "federationOptions": {"weight": 2.0}})),
        federated(json!({"indexUid": THINGS, "limit": 2})),
        federated(json!({"indexUid": THINGS, "facets": ["price"]})),
        federated(json!({"indexUid": THINGS, "federationOptions": {"weight": -1.0}})),
        federated(json!({"indexUid": "nope"})),
    ];
    Question::whole("POST", "/multi-search", Some(asker.one_of(&bodies)))
}
