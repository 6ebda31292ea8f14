//! Several searches in one request: a cluster answers as one node does.
//! Invariant: queries end in sorts without ties, so that hits compare byte for byte.

use serde_json::{Value, json};

use crate::reads::queries::{filter, query_text, vocabulary};
use crate::support::{SingleNode, TestCluster, load_cities};
use node::test_client::Client;

const SEED: u64 = 0x5eed_fede;
const FEDERATIONS: usize = 120;

#[test]
fn queries_are_answered_apart_as_by_one_node() {
    let (cluster, single) = (TestCluster::start(|_| {}), SingleNode::start());
    both(&single, &cluster, load_cities);
    both(&single, &cluster, load_films);
    let sort = json!(["population:desc", "name:asc"]);
    let queries = json!({"queries": [
        {"indexUid": "cities", "q": "san", "sort": sort, "limit": 5, "facets": ["country"]},
        {"indexUid": "films", "sort": ["year:asc"], "showRankingScore": true},
        {"indexUid": "cities", "q": "paris", "sort": sort, "page": 2, "hitsPerPage": 2},
        {"indexUid": "cities", "q": null, "filter": "country = Japan", "sort": sort, "offset": 3, "limit": 4},
    ]});
    same(&single, &cluster, &queries);
    same(&single, &cluster, &json!({"queries": []}));
    let refused = [
        json!({"queries": [{"indexUid": "cities"}, {"indexUid": "nope"}, {"indexUid": "cities", "filter": "x = 1"}]}),
        json!({"queries": [{"indexUid": "cities"}, {"indexUid": "cities", "filter": "nope = 1"}, {"indexUid": "nope"}]}),
        json!({"queries": [{"indexUid": "cities", "q": 7}]}),
        json!({"queries": [{"indexUid": "cities", "limit": "a"}]}),
        json!({"queries": [{"indexUid": "a b"}]}),
        json!({"queries": [{"q": "x"}]}),
        json!({"queries": [{"indexUid": "cities", "federationOptions": {"weight": 1.0}}]}),
        json!({"queries": [{"indexUid": "cities", "nope": 1}]}),
        json!({"nope": 1}),
        json!([]),
    ];
    for request in refused {
        refuses(&single, &cluster, &request);
    }
    let many = json!({"queries": vec![json!({"indexUid": "films"}); 101]});
    let (status, answer) = cluster.client.call("POST", "/multi-search", &many);
    assert_eq!((status, &answer["code"]), (400, &json!("bad_request")));
    assert_eq!(cluster.client.get("/multi-search").0, 405);
}

#[test]
fn a_federation_is_that_of_one_node() {
    let single = SingleNode::start();
    federated(&single, &TestCluster::start(|_| {}));
}

#[test]
fn a_federation_is_that_of_one_node_with_two_copies() {
    let single = SingleNode::start();
    federated(&single, &TestCluster::start(|options| options.replication_factor = 2));
}

fn federated(single: &SingleNode, cluster: &TestCluster) {
    both(single, cluster, load_cities);
    both(single, cluster, load_films);
    let sort = json!(["population:desc", "name:asc"]);
    let two = json!([
        {"indexUid": "cities", "q": "san", "sort": sort, "filter": "population > 500000", "showRankingScore": true},
        {"indexUid": "cities", "q": "santa maria", "sort": sort, "filter": "population > 200000",
         "federationOptions": {"weight": 0.9}, "attributesToRetrieve": ["name"], "attributesToHighlight": ["name"]},
    ]);
    let many = json!([
        {"indexUid": "cities", "q": "paris", "sort": sort, "attributesToRetrieve": ["name", "country"]},
        {"indexUid": "films", "q": "paris", "sort": ["year:asc"], "federationOptions": {"weight": 1.5}},
        {"indexUid": "cities", "q": "london", "sort": sort, "filter": "country != Canada", "federationOptions": {"weight": 0.5}},
        {"indexUid": "films", "q": "san", "sort": ["year:asc"]},
    ]);
    let mixed = json!([
        {"indexUid": "cities", "q": "san", "sort": sort},
        {"indexUid": "cities", "sort": sort, "filter": [["country = Japan", "country = Mexico"], "population > 900000"]},
        {"indexUid": "cities", "q": "tokyo", "sort": sort},
        {"indexUid": "films", "q": " ", "sort": ["year:asc"]},
        {"indexUid": "films", "q": "san", "sort": ["year:asc"]},
    ]);
    let placeholders = json!([
        {"indexUid": "cities", "sort": sort, "filter": "country = Japan"},
        {"indexUid": "cities", "sort": sort, "filter": "country = India", "federationOptions": {"weight": 0.1}},
    ]);
    let facets = json!({"cities": ["country", "population"], "films": ["country", "year"]});
    for queries in [&two, &many, &mixed, &placeholders] {
        for federation in [
            json!({}),
            json!({"limit": 7}),
            json!({"offset": 3, "limit": 4}),
            json!({"limit": 0, "facetsByIndex": {"cities": ["country"]}}),
        ] {
            same(single, cluster, &json!({"federation": federation, "queries": queries}));
        }
    }
    for federation in [
        json!({"facetsByIndex": facets}),
        json!({"facetsByIndex": facets, "mergeFacets": {"maxValuesPerFacet": 3}}),
        json!({"facetsByIndex": facets, "mergeFacets": {}}),
    ] {
        same(single, cluster, &json!({"federation": federation, "queries": many}));
        same(single, cluster, &json!({"federation": federation, "queries": mixed}));
    }
    same(single, cluster, &json!({"federation": {}, "queries": []}));
    federations_refused_alike(single, cluster);
}

/// Federations of random queries; every list ends in a sort without ties.
#[test]
fn federations_of_any_queries_are_those_of_one_node() {
    let (single, cluster) = (SingleNode::start(), TestCluster::start(|_| {}));
    both(&single, &cluster, load_cities);
    let words = vocabulary();
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut differences = Vec::new();
    for number in 0..FEDERATIONS {
        let queries = (0..random.usize(1..5)).map(|_| {
            let mut query = json!({"indexUid": "cities", "sort": ["population:desc", "name:asc"]});
            query["q"] = json!(query_text(&mut random, &words));
            if random.bool() {
                query["filter"] = filter(&mut random);
            }
            if random.bool() {
                query["federationOptions"] = json!({"weight": f64::from(random.u8(1..9)) / 4.0});
            }
            query
        });
        let queries = queries.collect::<Vec<_>>();
        let federation = json!({"offset": random.u8(..4), "limit": random.u8(1..30), "facetsByIndex": {"cities": ["country"]}});
        let request = json!({"federation": federation, "queries": queries});
        let ask = |client: &Client| without_times(client.post("/multi-search", &request));
        let (expected, found) = (ask(&single.client), ask(&cluster.client));
        if expected != found {
            differences.push(format!(
                "{number} of seed {SEED:#x}: {request}\n one node {expected}\n cluster  {found}"
            ));
        }
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}

fn federations_refused_alike(single: &SingleNode, cluster: &TestCluster) {
    let asked = [
        (json!({}), json!([{"indexUid": "cities"}, {"indexUid": "nope"}])),
        (json!({}), json!([{"indexUid": "cities", "limit": 3}])),
        (json!({}), json!([{"indexUid": "cities", "facets": ["country"]}])),
        (
            json!({}),
            json!([{"indexUid": "films", "filter": "nope = 1"}, {"indexUid": "cities", "filter": "nope = 2"}]),
        ),
        (json!({}), json!([{"indexUid": "cities", "federationOptions": {"weight": -1.0}}])),
        (json!({}), json!([{"indexUid": "cities", "federationOptions": {"nope": 1}}])),
        (json!({"nope": 1}), json!([{"indexUid": "cities"}])),
        (json!({"limit": -1}), json!([{"indexUid": "cities"}])),
        (json!({"facetsByIndex": {"cities": ["nope"]}}), json!([{"indexUid": "cities"}])),
        (json!({"facetsByIndex": {"cities": 7}}), json!([{"indexUid": "cities"}])),
        (json!({"mergeFacets": 7}), json!([{"indexUid": "cities"}])),
    ];
    for (federation, queries) in asked {
        refuses(single, cluster, &json!({"federation": federation, "queries": queries}));
    }
}

/// Films with an order of their own and some words of the cities.
fn load_films(client: &Client) {
    let titles =
        ["Paris, Texas", "San Andreas", "The Third Man", "London Has Fallen", "An American in Paris"];
    let films = titles.iter().enumerate().map(|(place, title)| {
        json!({"film": place, "title": title, "year": 1950 + place, "country": "Japan", "rank": place % 2})
    });
    client.done("POST", "/indexes", &json!({"uid": "films", "primaryKey": "film"}));
    let settings =
        json!({"sortableAttributes": ["year"], "filterableAttributes": ["country", "rank", "year"]});
    client.done("PATCH", "/indexes/films/settings", &settings);
    client.done("POST", "/indexes/films/documents", &films.collect());
}

fn both(single: &SingleNode, cluster: &TestCluster, act: impl Fn(&Client)) {
    act(&single.client);
    act(&cluster.client);
}

/// Checks that both answer the same, except for times and the request's uid.
fn same(single: &SingleNode, cluster: &TestCluster, request: &Value) {
    let ask = |client: &Client| without_times(client.post("/multi-search", request));
    assert_eq!(ask(&cluster.client), ask(&single.client), "{request}");
}

fn refuses(single: &SingleNode, cluster: &TestCluster, request: &Value) {
    let expected = single.client.call("POST", "/multi-search", request);
    assert!((400..500).contains(&expected.0), "{request}: {}", expected.1);
    assert_eq!(cluster.client.call("POST", "/multi-search", request), expected, "{request}");
}

fn without_times(mut answer: Value) -> Value {
    let Some(results) = answer.get_mut("results").and_then(Value::as_array_mut) else {
        return without(answer);
    };
    results.iter_mut().for_each(|result| *result = without(result.take()));
    answer
}

fn without(mut answer: Value) -> Value {
    for member in ["processingTimeMs", "requestUid"] {
        answer.as_object_mut().unwrap().remove(member);
    }
    answer
}
