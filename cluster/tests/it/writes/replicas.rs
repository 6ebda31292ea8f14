//! Copies and groups: each document is returned once, and a missing node changes no answer.

use cluster::cluster::agent;
use serde_json::{Value, json};

use crate::support::{TestCluster, load_cities};
use node::test_client::{Client, ids};

#[test]
fn with_two_copies_one_node_may_be_gone() {
    let mut cluster = TestCluster::start(|options| options.replication_factor = 2);
    one_node_less(&mut cluster);
}

#[test]
fn with_two_groups_one_node_may_be_gone() {
    let mut cluster = TestCluster::start(|options| {
        options.nodes = 4;
        options.groups = 2;
    });
    one_node_less(&mut cluster);
}

fn one_node_less(cluster: &mut TestCluster) {
    load_cities(&cluster.client);
    let before = answers(&cluster.client);
    assert_eq!(cluster.client.read("/indexes/cities/stats")["numberOfDocuments"], 4449);
    // Every choice of nodes gives the same answer.
    for _ in 0..6 {
        assert_eq!(answers(&cluster.client), before);
    }
    cluster.cluster.kill_node(1).unwrap();
    for _ in 0..6 {
        assert_eq!(answers(&cluster.client), before);
    }
    let everywhere = (1..300).map(|id| json!({"id": id})).collect();
    let everywhere: Value = everywhere;
    cluster.client.done("PUT", "/indexes/cities/documents", &everywhere);
    assert_eq!(answers(&cluster.client), before);
    cluster.cluster.start_node(1).unwrap();
    cluster.cluster.wait_until_ready().unwrap();
    assert_eq!(answers(&cluster.client), before);
}

#[test]
fn without_copies_a_missing_node_shows_in_the_header() {
    let mut cluster = TestCluster::start(|_| {});
    load_cities(&cluster.client);
    cluster.cluster.kill_node(2).unwrap();
    let url = format!("{}/indexes/cities/search", cluster.cluster.url());
    let mut answer = agent().post(url).send_json(json!({"page": 1, "filter": "population > 0"})).unwrap();
    assert_eq!(answer.status(), 200);
    let degraded = answer.headers()["x-miroir-degraded"].to_str().unwrap().to_owned();
    let missing = degraded.strip_prefix("shards=").unwrap().split(',').count();
    assert!((10..=26).contains(&missing), "a third of the 64 shards is missing: {degraded}");
    let answer: Value = answer.body_mut().read_json().unwrap();
    assert!(answer["totalHits"].as_u64().unwrap() > 0);
}

/// Searches with an order without ties: sorted by population and then by name.
fn answers(client: &Client) -> Vec<Value> {
    let queries = [
        json!({"sort": ["population:desc", "name:asc"], "limit": 100}),
        json!({"q": "san", "sort": ["population:desc"], "limit": 10, "facets": ["country"]}),
        json!({"filter": "population > 5000000", "sort": ["population:asc"], "page": 2, "hitsPerPage": 7}),
    ];
    let answers = queries.iter().map(|query| {
        let mut answer = client.search("cities", query);
        assert!(!ids(&answer).is_empty());
        // These depend on the request, not on the result.
        for member in ["processingTimeMs", "requestUid"] {
            answer.as_object_mut().unwrap().remove(member);
        }
        answer
    });
    answers.collect()
}
