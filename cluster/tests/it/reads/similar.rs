//! Neighbours of a document: a cluster finds and refuses the same as one node.
//! Invariants: vectors come from a seed and are so different that no two neighbours are equally near. They have more
//! dimensions than there are documents, so that a node examines all of them and misses none.

use serde_json::{Value, json};

use crate::support::{SingleNode, TestCluster};
use node::test_client::Client;

const SEED: u64 = 0x5eed_51a1;
const DIMENSIONS: usize = 80;

#[test]
fn neighbours_are_those_of_one_node() {
    let single = SingleNode::start();
    let cluster = TestCluster::start(|_| {});
    compare(&single, &cluster);
}

#[test]
fn neighbours_are_those_of_one_node_with_two_copies() {
    let single = SingleNode::start();
    let cluster = TestCluster::start(|options| options.replication_factor = 2);
    compare(&single, &cluster);
}

fn compare(single: &SingleNode, cluster: &TestCluster) {
    for client in [&single.client, &cluster.client] {
        load_points(client);
    }
    let asked = [
        json!({"id": 1}),
        json!({"id": "17", "limit": 3, "offset": 2}),
        json!({"id": 5, "filter": "color = red", "showRankingScore": true, "showRankingScoreDetails": true}),
        json!({"id": 6, "filter": "color = red", "showRankingScore": true}),
        json!({"id": 8, "attributesToRetrieve": ["color"], "limit": 4}),
        json!({"id": 9, "attributesToRetrieve": ["hidden"], "retrieveVectors": true, "limit": 2}),
        json!({"id": 10, "rankingScoreThreshold": 0.55}),
        json!({"id": 11, "rankingScoreThreshold": 0.01, "limit": 5}),
        json!({"id": 12, "limit": 0}),
        // It has no vector, therefore no neighbours.
        json!({"id": 60, "filter": "color = blue"}),
    ];
    for mut query in asked {
        query["embedder"] = json!("own");
        let ask = |client: &Client| without_time(client.post("/indexes/points/similar", &query));
        let expected = ask(&single.client);
        assert_eq!(ask(&cluster.client), expected, "{query}");
        let hits = expected["hits"].as_array().unwrap();
        assert!(!hits.is_empty() || query["id"] == 60 || query["limit"] == 0, "{query}: {expected}");
    }
    for path in [
        "/indexes/points/similar?id=3&embedder=own&limit=2&attributesToRetrieve=id,color",
        "/indexes/points/similar?id=3&embedder=own&filter=color%20%3D%20red&showRankingScore=true",
    ] {
        let ask = |client: &Client| without_time(client.read(path));
        assert_eq!(ask(&cluster.client), ask(&single.client), "{path}");
    }
    refused_alike(single, cluster);
}

fn refused_alike(single: &SingleNode, cluster: &TestCluster) {
    let refused = [
        json!({"id": 777, "embedder": "own"}),
        json!({"id": 1, "embedder": "nope"}),
        json!({"id": 1}),
        json!({"embedder": "own"}),
        json!({"id": "a b", "embedder": "own"}),
        json!({"id": [], "embedder": "own"}),
        json!({"id": 1, "embedder": "own", "filter": "nope = 1"}),
        json!({"id": 1, "embedder": "own", "limit": -1}),
        json!({"id": 1, "embedder": "own", "rankingScoreThreshold": 7}),
        json!({"id": 1, "embedder": "own", "nope": 7}),
    ];
    for query in refused {
        let ask = |client: &Client| client.call("POST", "/indexes/points/similar", &query);
        let expected = ask(&single.client);
        assert!((400..500).contains(&expected.0), "{query}: {}", expected.1);
        assert_eq!(ask(&cluster.client), expected, "{query}");
    }
    let missing = |client: &Client| client.get("/indexes/nope/similar?id=1&embedder=own");
    assert_eq!(missing(&cluster.client), missing(&single.client));
    let wrong = |client: &Client| client.get("/indexes/points/similar?id=1&embedder=own&limit=x");
    assert_eq!(wrong(&cluster.client), wrong(&single.client));
}

/// Points in a space of many dimensions, the last ones without a vector. Searches treat equal names as duplicates.
fn load_points(client: &Client) {
    let settings = json!({
        "embedders": {"own": {"source": "userProvided", "dimensions": DIMENSIONS}},
        "filterableAttributes": ["color", "name"],
        "displayedAttributes": ["id", "color", "name"],
        "distinctAttribute": "name",
    });
    client.done("POST", "/indexes", &json!({"uid": "points", "primaryKey": "id"}));
    client.done("PATCH", "/indexes/points/settings", &settings);
    let mut random = fastrand::Rng::with_seed(SEED);
    let points = (0..64).map(|id| {
        let place = (0..DIMENSIONS).map(|_| random.f32() * 2.0 - 1.0).collect::<Vec<_>>();
        let vectors = if id < 60 { json!({"own": place}) } else { json!({"own": null}) };
        let color = ["red", "green", "blue"][id % 3];
        json!({"id": id, "color": color, "name": format!("n{}", id % 5), "hidden": id, "_vectors": vectors})
    });
    client.done("POST", "/indexes/points/documents", &points.collect());
}

fn without_time(mut answer: Value) -> Value {
    answer.as_object_mut().unwrap().remove("processingTimeMs");
    answer
}
