//! Settings: a change is committed when all nodes have it, and a change made directly on a node is undone.

use std::time::{Duration, Instant};

use cluster::cluster::agent;
use serde_json::{Value, json};

use crate::support::TestCluster;
use node::test_client::Client;

/// How long a change of settings may take until it is committed, or undone.
const SETTLED_MAX: Duration = Duration::from_secs(30);

fn start() -> TestCluster {
    let cluster = TestCluster::start(|options| {
        options.replication_factor = 2;
        options.gateway_arguments.extend(["--settings-drift-interval", "200ms"].map(str::to_owned));
    });
    cluster.client.done("POST", "/indexes", &json!({"uid": "things", "primaryKey": "id"}));
    cluster.client.done("POST", "/indexes/things/documents", &json!([{"id": 1, "kind": "a", "name": "one"}]));
    cluster
}

fn node_uid(client: &Client) -> String {
    client.read("/_miroir/topology")["indexes"][0]["nodeUid"].as_str().unwrap().to_owned()
}

fn on_nodes(cluster: &TestCluster) -> Vec<Client> {
    let urls = cluster.cluster.node_urls().into_iter();
    urls.map(|url| Client::new(url).with_key("the-key-of-the-nodes")).collect()
}

fn settings(cluster: &TestCluster) -> Vec<Value> {
    let target = format!("/indexes/{}/settings", node_uid(&cluster.client));
    on_nodes(cluster).iter().map(|node| node.read(&target)).collect()
}

fn version(client: &Client) -> u64 {
    client.read("/_miroir/topology")["indexes"][0]["settingsVersion"].as_u64().unwrap()
}

/// Polls until `holds`.
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + SETTLED_MAX;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

/// A search with a least settings version. Returns the status, two headers and the body.
fn search(cluster: &TestCluster, least: Option<&str>) -> (u16, Option<String>, Option<String>, Value) {
    let url = format!("{}/indexes/things/search", cluster.cluster.url());
    let mut request = agent().post(url);
    if let Some(least) = least {
        request = request.header("X-Miroir-Min-Settings-Version", least);
    }
    let mut answer = request.send_json(json!({"q": "one"})).unwrap();
    let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (version, inconsistent) =
        (header("x-miroir-settings-version"), header("x-miroir-settings-inconsistent"));
    (answer.status().as_u16(), version, inconsistent, answer.body_mut().read_json().unwrap())
}

#[test]
fn a_change_of_settings_is_committed_when_all_nodes_have_it() {
    let cluster = start();
    let client = &cluster.client;
    let before = version(client);
    client.done(
        "PATCH",
        "/indexes/things/settings",
        &json!({"stopWords": ["the"], "synonyms": {"a": ["b"]}}),
    );
    wait_until("the change is committed", || version(client) == before + 1);
    let (status, seen, inconsistent, _) = search(&cluster, Some(&(before + 1).to_string()));
    assert_eq!((status, seen, inconsistent), (200, Some((before + 1).to_string()), None));
    let (status, _, _, answer) = search(&cluster, Some(&(before + 2).to_string()));
    assert_eq!((status, &answer["code"]), (503, &json!("miroir_settings_version_stale")), "{answer}");
    assert_eq!(search(&cluster, Some("x")).0, 400);
    // A failed change is not part of the committed settings.
    let wrong = json!({"embedders": {"e": {"source": "userProvided", "dimensions": 2}}});
    let task = client.write("PATCH", "/indexes/things/settings", &wrong);
    assert_eq!(task["status"], "failed", "{task}");
    client.done("PUT", "/indexes/things/settings/stop-words", &json!(["a", "the"]));
    wait_until("what succeeded is committed", || {
        search(&cluster, None).2.is_none() && version(client) > before + 1
    });
    assert_eq!(client.read("/indexes/things/settings/stop-words"), json!(["a", "the"]));
    let equal = settings(&cluster);
    assert!(equal.windows(2).all(|pair| pair[0] == pair[1]), "{equal:?}");
}

#[test]
fn settings_changed_behind_the_gateway_are_undone() {
    let cluster = start();
    let client = &cluster.client;
    let given = json!({
        "filterableAttributes": ["kind"],
        "stopWords": ["the"],
        "typoTolerance": {"minWordSizeForTypos": {"oneTypo": 4}, "disableOnWords": ["exact"]},
        "faceting": {"sortFacetValuesBy": {"*": "count"}},
        "pagination": {"maxTotalHits": 7},
    });
    let before = version(client);
    client.done("PATCH", "/indexes/things/settings", &given);
    wait_until("the change is committed", || version(client) == before + 1);
    let (right, shown) = (settings(&cluster), client.read("/indexes/things/settings"));
    let target = format!("/indexes/{}/settings", node_uid(client));
    let changes = [
        json!({"stopWords": ["other"], "synonyms": {"a": ["b"]}}),
        json!({"filterableAttributes": null, "typoTolerance": {"enabled": false}}),
        json!({"faceting": {"maxValuesPerFacet": 1, "sortFacetValuesBy": {"kind": "count"}}, "rankingRules": ["words"]}),
        json!({"pagination": {"maxTotalHits": 1}, "searchableAttributes": ["name"]}),
    ];
    let nodes = on_nodes(&cluster);
    for (position, change) in changes.iter().enumerate() {
        nodes[position % nodes.len()].done("PATCH", &target, change);
        wait_until("the change is undone", || settings(&cluster) == right);
    }
    // The same change on all nodes, so that no majority shows the right settings.
    for node in &nodes {
        node.done("PATCH", &target, &json!({"stopWords": ["everywhere"]}));
    }
    wait_until("the change is undone everywhere", || settings(&cluster) == right);
    assert_eq!(client.read("/indexes/things/settings"), shown);
    assert_eq!(version(client), before + 1, "clients have changed nothing");
    let metrics = agent().get(format!("{}/_miroir/metrics", cluster.cluster.url())).call().unwrap();
    let metrics = metrics.into_body().read_to_string().unwrap();
    assert!(metrics.contains("miroir_settings_drift_repair_total"), "{metrics}");
}
