//! Documents that end: seen by nobody from their millisecond on, swept, and never back.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::{
    failures::failover::{faulty, wait_for_state},
    support::TestCluster,
};
use node::test_client::Client;

/// How long a sweep may take to come.
const SWEPT_MAX: Duration = Duration::from_secs(30);

fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn make(client: &Client, policy: &Value) {
    client.done("POST", "/indexes", &json!({"uid": "things", "primaryKey": "id"}));
    let settings = json!({"filterableAttributes": ["kind"]});
    client.done("PATCH", "/indexes/things/settings", &settings);
    client.post("/_miroir/indexes/things/ttl-policy", policy);
}

/// Waits until a clock that is read like the gateway's is past a moment.
fn wait_past(moment: u64) {
    while now_ms() <= moment {
        std::thread::yield_now();
    }
}

/// The documents on the nodes themselves, by id.
fn stored(cluster: &TestCluster) -> usize {
    let uid = cluster.client.read("/_miroir/topology")["indexes"][0]["nodeUid"].as_str().unwrap().to_owned();
    let nodes =
        cluster.cluster.node_urls().into_iter().map(|url| Client::new(url).with_key("the-key-of-the-nodes"));
    let counts =
        nodes.map(|node| node.read(&format!("/indexes/{uid}/stats"))["numberOfDocuments"].as_u64().unwrap());
    usize::try_from(counts.sum::<u64>()).unwrap()
}

/// The greatest id of the documents on the nodes that run.
fn greatest_id(cluster: &TestCluster) -> u64 {
    let uid = cluster.client.read("/_miroir/topology")["indexes"][0]["nodeUid"].as_str().unwrap().to_owned();
    let ids = cluster.cluster.node_urls().into_iter().flat_map(|url| {
        let node = Client::new(url).with_key("the-key-of-the-nodes");
        let documents = node.read(&format!("/indexes/{uid}/documents?limit=100&fields=id"));
        let results = documents["results"].as_array().unwrap().clone();
        results.into_iter().map(|document| document["id"].as_u64().unwrap())
    });
    ids.max().unwrap_or(0)
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + SWEPT_MAX;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_has_ended_is_seen_by_no_route() {
    let cluster = TestCluster::start(|_| {});
    let client = &cluster.client;
    // Nothing is swept here: reads alone hide it.
    make(client, &json!({"sweepIntervalSeconds": 86_400}));
    client.done(
        "POST",
        "/indexes/things/documents",
        &json!([{"id": "first", "kind": "a", "word": "lasting"}]),
    );
    let end = now_ms() + 3_000;
    let ending =
        (0..20).map(|id| json!({"id": id, "kind": "b", "word": "ending", "_miroir_expires_at": end}));
    client.done("POST", "/indexes/things/documents", &ending.collect::<Vec<_>>().into());
    let renewed = json!([{"id": 3, "_miroir_expires_at": end + 3_600_000}]);
    client.done("PUT", "/indexes/things/documents", &renewed);
    // What does not name the field keeps it.
    client.done("PUT", "/indexes/things/documents", &json!([{"id": 4, "word": "changed"}]));
    wait_past(end);
    let search = client.search("things", &json!({"facets": ["kind"], "limit": 50}));
    assert_eq!(search["estimatedTotalHits"], 2, "{search}");
    assert_eq!(search["facetDistribution"]["kind"], json!({"a": 1, "b": 1}));
    assert!(!search.to_string().contains("_miroir_"), "{search}");
    assert_eq!(client.search("things", &json!({"q": "ending"}))["hits"].as_array().unwrap().len(), 1);
    assert_eq!(client.search("things", &json!({"q": "changed"}))["hits"], json!([]));
    assert_eq!(client.search("things", &json!({"filter": "kind = b", "hitsPerPage": 5}))["totalHits"], 1);
    let (status, gone) = client.get("/indexes/things/documents/5");
    assert_eq!((status, &gone["code"]), (404, &json!("document_not_found")));
    assert_eq!(client.read("/indexes/things/documents/3")["word"], "ending");
    assert_eq!(client.read("/indexes/things/documents")["total"], 2);
    assert_eq!(client.post("/indexes/things/documents/fetch", &json!({"filter": "kind = b"}))["total"], 1);
    assert_eq!(client.read("/indexes/things/stats")["numberOfDocuments"], 2);
    let facet = json!({"facetName": "kind"});
    let hits = &client.post("/indexes/things/facet-search", &facet)["facetHits"];
    assert_eq!(hits, &json!([{"value": "a", "count": 1}, {"value": "b", "count": 1}]));
    let many = json!({"queries": [{"indexUid": "things"}, {"indexUid": "things", "q": "ending"}]});
    let many = client.post("/multi-search", &many);
    let totals = [0, 1].map(|position| many["results"][position]["estimatedTotalHits"].as_u64());
    assert_eq!(totals, [Some(2), Some(1)]);
    let federated = json!({"federation": {}, "queries": [{"indexUid": "things"}]});
    assert_eq!(client.post("/multi-search", &federated)["estimatedTotalHits"], 2);
}

#[test]
fn bad_expiries_and_policies_are_refused() {
    let cluster = TestCluster::start(|_| {});
    let client = &cluster.client;
    client.done("POST", "/indexes", &json!({"uid": "things", "primaryKey": "id"}));
    let future = now_ms() + 60_000;
    let add = |end: Value| {
        client.call("POST", "/indexes/things/documents", &json!([{"id": 1, "_miroir_expires_at": end}]))
    };
    assert_eq!(add(json!(future)).1["code"], "miroir_reserved_field", "no policy");
    assert_eq!(client.get("/_miroir/indexes/things/ttl-policy").1["code"], "miroir_ttl_policy_not_found");
    let policy = "/_miroir/indexes/things/ttl-policy";
    for body in [
        json!({"enabled": 1}),
        json!({"sweepIntervalSeconds": 0}),
        json!({"maxDeletesPerSweep": 10_001}),
        json!({"maxDeletesPerSweep": "5"}),
        json!({"else": 1}),
    ] {
        assert_eq!(client.call("POST", policy, &body).0, 400, "{body}");
    }
    assert_eq!(client.call("POST", "/_miroir/indexes/none/ttl-policy", &json!({})).0, 404);
    let expected = json!({"enabled": true, "sweepIntervalSeconds": 300, "maxDeletesPerSweep": 10_000});
    assert_eq!(client.post(policy, &json!({})), expected);
    assert_eq!(client.read(policy), expected);
    for (bad, word) in [
        (json!("soon"), "integer"),
        (json!(1.5), "integer"),
        (json!(-1), "integer"),
        (json!(null), "integer"),
        (json!(now_ms() - 1), "future"),
    ] {
        let (status, refused) = add(bad.clone());
        assert_eq!((status, &refused["code"]), (400, &json!("miroir_reserved_field")), "{bad}");
        assert!(refused["message"].as_str().unwrap().contains(word), "{refused}");
    }
    assert_eq!(add(json!(future)).0, 202);
    assert_eq!(client.call("DELETE", policy, &Value::Null).0, 204);
    assert_eq!(client.call("DELETE", policy, &Value::Null).0, 404);
    assert_eq!(add(json!(future)).1["code"], "miroir_reserved_field");
}

#[test]
fn sweeps_delete_what_has_ended_and_nothing_that_was_renewed() {
    let mut cluster = TestCluster::start(faulty);
    make(&cluster.client, &json!({"sweepIntervalSeconds": 1, "maxDeletesPerSweep": 7}));
    let end = now_ms() + 3_000;
    let things = (0..40).map(|id| json!({"id": id, "_miroir_expires_at": end + id % 5}));
    cluster.client.done("POST", "/indexes/things/documents", &things.collect::<Vec<_>>().into());
    let renewed = (0..10).map(|id| json!({"id": id, "_miroir_expires_at": end + 3_600_000}));
    cluster.client.done("PUT", "/indexes/things/documents", &renewed.collect::<Vec<_>>().into());
    wait_past(end + 5);
    let swept = |client: &Client| {
        let tasks = client.read("/tasks?types=documentDeletion&statuses=succeeded&limit=100");
        let tasks = tasks["results"].as_array().unwrap().clone();
        tasks.iter().map(|task| task["details"]["deletedDocuments"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    until("the sweeps delete 30", || swept(&cluster.client).iter().sum::<u64>() == 30);
    assert!(swept(&cluster.client).iter().all(|count| *count <= 7), "{:?}", swept(&cluster.client));
    // One node misses the sweeps of some more, and comes back with what it had.
    let end = now_ms() + 2_000;
    let things = (40..52).map(|id| json!({"id": id, "_miroir_expires_at": end + id % 5}));
    cluster.client.done("POST", "/indexes/things/documents", &things.collect::<Vec<_>>().into());
    cluster.cluster.kill_node(1).unwrap();
    wait_for_state(&cluster, 1, "down");
    wait_past(end + 5);
    until("the other nodes hold the renewed alone", || greatest_id(&cluster) < 10);
    cluster.cluster.start_node(1).unwrap();
    wait_for_state(&cluster, 1, "healthy");
    let (_, asked) = cluster.client.call("POST", "/_miroir/anti-entropy", &json!({"index": "things"}));
    until("the pass is over", || {
        let last = &cluster.client.read("/_miroir/anti-entropy")["last"]["number"];
        last.as_u64() >= asked["pass"].as_u64()
    });
    assert_eq!(cluster.client.read("/indexes/things/documents?limit=50")["total"], 10);
    until("no node holds what has ended", || stored(&cluster) == 20);
}
