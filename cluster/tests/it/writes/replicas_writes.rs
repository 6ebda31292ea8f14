//! Writes with copies: with a missing node no write is refused or lost, and when the node is back all copies of a shard
//! are equal.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use cluster::cluster::agent;
use router::{ShardSet, shard_filter};
use serde_json::{Value, json};

use crate::support::{TestCluster, real_node};
use node::test_client::Client;

/// How long copies may take to become equal again.
const LEVEL_MAX: Duration = Duration::from_secs(60);
const SHARDS: u32 = 16;

fn with_copies(change: impl FnOnce(&mut cluster::cluster::ClusterOptions)) -> TestCluster {
    TestCluster::start(|options| {
        options.replication_factor = 2;
        options.shards = SHARDS as usize;
        change(options);
    })
}

fn documents(ids: std::ops::Range<u32>, round: u32) -> Value {
    ids.map(|id| json!({"id": id, "round": round, "even": id % 2 == 0})).collect()
}

/// An index with settings and 200 documents.
fn fill(client: &Client) {
    if real_node().is_some() {
        let features = json!({"editDocumentsByFunction": true});
        assert_eq!(client.call("PATCH", "/experimental-features", &features).0, 200);
    }
    client.done("POST", "/indexes", &json!({"uid": "things", "primaryKey": "id"}));
    let settings = json!({"filterableAttributes": ["round", "even"], "sortableAttributes": ["id"]});
    client.done("PATCH", "/indexes/things/settings", &settings);
    client.done("POST", "/indexes/things/documents", &documents(0..200, 0));
}

/// Every kind of write.
fn write_everything(client: &Client) {
    client.done("POST", "/indexes/things/documents", &documents(200..260, 1));
    client.done("PUT", "/indexes/things/documents", &json!([{"id": 7, "more": true}, {"id": 300}]));
    client.done("DELETE", "/indexes/things/documents/3", &Value::Null);
    let task = client.done("POST", "/indexes/things/documents/delete-batch", &json!([10, 11, 12, 13]));
    assert_eq!(task["details"]["deletedDocuments"], 4, "{task}");
    client.done("POST", "/indexes/things/documents/delete", &json!({"filter": "round = 1 AND even = true"}));
    // The embedded node does not support edits.
    if real_node().is_some() {
        let edit = json!({"function": "doc.round += 40", "filter": "even = false"});
        client.done("POST", "/indexes/things/documents/edit", &edit);
    }
    client.done("PUT", "/indexes/things/settings/stop-words", &json!(["the"]));
    client.done("POST", "/indexes/fresh/documents", &documents(0..50, 2));
    client.done("POST", "/indexes", &json!({"uid": "gone"}));
    client.done("POST", "/indexes", &json!({"uid": "other"}));
    client.done("PATCH", "/indexes/other", &json!({"primaryKey": "key"}));
    client.done("POST", "/indexes/other/documents", &json!([{"key": "a"}, {"key": "b"}]));
    client.done("POST", "/swap-indexes", &json!([{"indexes": ["fresh", "other"]}]));
    client.done("DELETE", "/indexes/gone", &Value::Null);
    let task = client.done("POST", "/indexes/things/documents", &documents(400..450, 3));
    assert_eq!(task["details"]["indexedDocuments"], 50, "{task}");
}

fn check_everything(client: &Client) {
    let stats = client.read("/stats");
    let count = |uid: &str| stats["indexes"][uid]["numberOfDocuments"].as_u64();
    // 200 + 30 odd ones + 1 + 50 - 5.
    assert_eq!((count("things"), count("fresh"), count("other")), (Some(276), Some(2), Some(50)), "{stats}");
    assert_eq!(client.get("/indexes/things/documents/3").0, 404);
    let seven = client.read("/indexes/things/documents/7");
    let round = if real_node().is_some() { 40 } else { 0 };
    assert_eq!(seven, json!({"id": 7, "round": round, "even": false, "more": true}));
    assert_eq!(client.read("/indexes/things/settings/stop-words"), json!(["the"]));
}

#[test]
fn every_kind_of_write_goes_on_without_a_node_and_reaches_it_later() {
    let mut cluster = with_copies(|_| {});
    fill(&cluster.client);
    cluster.cluster.kill_node(1).unwrap();
    write_everything(&cluster.client);
    check_everything(&cluster.client);
    let (status, missed) = write_and_see_header(&cluster, "/indexes/things/documents", &documents(0..200, 0));
    let missed = missed.expect("a node missed it");
    let shards = missed.strip_prefix("groups=1;shards=").unwrap().split(',').count();
    assert!(status == 202 && (5..=15).contains(&shards), "two thirds of {SHARDS} shards: {missed}");
    cluster.client.done("POST", "/indexes/things/documents/delete-batch", &json!([3, 10, 11, 12, 13]));
    cluster.client.done("PUT", "/indexes/things/documents", &json!([{"id": 7, "more": true}]));
    cluster.cluster.start_node(1).unwrap();
    wait_until_level(&cluster);
    let (_, missed) = write_and_see_header(&cluster, "/indexes/things/documents", &documents(0..3, 4));
    assert_eq!(missed, None);
    check_copies(&cluster, &["things", "fresh", "other"]);
    // The other two nodes may be missing now, one at a time.
    for node in [0, 2] {
        cluster.cluster.kill_node(node).unwrap();
        assert_eq!(cluster.client.read("/indexes/other/documents?limit=0")["total"], 50);
        cluster.cluster.start_node(node).unwrap();
        wait_until_level(&cluster);
    }
}

#[test]
fn hints_survive_the_death_of_the_gateway() {
    let mut cluster = with_copies(|_| {});
    fill(&cluster.client);
    cluster.cluster.kill_node(2).unwrap();
    write_everything(&cluster.client);
    cluster.cluster.kill_gateway().unwrap();
    cluster.cluster.start_gateway().unwrap();
    assert!(node_state(&cluster, 2)["hints"]["count"].as_u64() > Some(10));
    check_everything(&cluster.client);
    cluster.client.done("POST", "/indexes/things/documents", &documents(500..550, 5));
    cluster.cluster.start_node(2).unwrap();
    wait_until_level(&cluster);
    check_copies(&cluster, &["things", "fresh", "other"]);
}

#[test]
fn strict_counts_only_owners_that_took_it() {
    let mut cluster = with_copies(|options| {
        options.gateway_arguments.extend(["--write-quorum", "strict"].map(str::to_owned));
    });
    fill(&cluster.client);
    cluster.cluster.kill_node(0).unwrap();
    let (status, answer) = cluster.client.call("POST", "/indexes/things/documents", &documents(0..100, 9));
    assert_eq!((status, &answer["code"]), (503, &json!("miroir_no_quorum")), "{answer}");
    cluster.cluster.start_node(0).unwrap();
    wait_until_level(&cluster);
    check_copies(&cluster, &["things"]);
    cluster.client.done("POST", "/indexes/things/documents", &documents(0..100, 9));
}

#[test]
fn a_whole_group_may_be_gone() {
    let mut cluster = TestCluster::start(|options| {
        (options.nodes, options.groups, options.shards) = (4, 2, SHARDS as usize);
    });
    fill(&cluster.client);
    cluster.cluster.kill_node(2).unwrap();
    cluster.cluster.kill_node(3).unwrap();
    write_everything(&cluster.client);
    check_everything(&cluster.client);
    let (status, missed) = write_and_see_header(&cluster, "/indexes/things/documents", &documents(0..200, 6));
    let all = (0..SHARDS).map(|shard| shard.to_string()).collect::<Vec<_>>().join(",");
    assert_eq!((status, missed), (202, Some(format!("groups=1;shards={all}"))));
    cluster.cluster.start_node(2).unwrap();
    cluster.cluster.start_node(3).unwrap();
    wait_until_level(&cluster);
    check_copies(&cluster, &["things", "fresh", "other"]);
}

#[test]
fn past_the_bound_a_node_is_marked_and_copied_anew() {
    let mut cluster = with_copies(|options| {
        options.gateway_arguments.extend(["--hint-limit", "4kB"].map(str::to_owned));
    });
    fill(&cluster.client);
    cluster.cluster.kill_node(1).unwrap();
    for round in 1..4 {
        cluster.client.done("POST", "/indexes/things/documents", &documents(0..200, round));
    }
    assert_eq!(node_state(&cluster, 1)["hints"]["copyNeeded"], true);
    cluster.cluster.kill_gateway().unwrap();
    cluster.cluster.start_gateway().unwrap();
    cluster.cluster.start_node(1).unwrap();
    // Reads return the last round, whichever nodes answer, and writes continue.
    for round in 4..8 {
        let found = cluster
            .client
            .search("things", &json!({"filter": format!("round = {}", round - 1), "hitsPerPage": 1}));
        assert_eq!(found["totalHits"], 200, "{found}");
        cluster.client.done("POST", "/indexes/things/documents", &documents(0..200, round));
    }
    wait_until_level(&cluster);
    assert_eq!(node_state(&cluster, 1)["hints"]["copyNeeded"], false);
    check_copies(&cluster, &["things"]);
}

#[test]
fn a_node_that_lost_its_data_is_not_trusted() {
    let mut cluster = with_copies(|_| {});
    fill(&cluster.client);
    cluster.cluster.kill_node(1).unwrap();
    std::fs::remove_dir_all(cluster.directory().join("node-1")).unwrap();
    cluster.cluster.start_node(1).unwrap();
    let node = Client::new(cluster.cluster.node(1).unwrap().url()).with_key("the-key-of-the-nodes");
    let deadline = Instant::now() + LEVEL_MAX;
    // The index is created again, and until then no read uses this node.
    while node.read("/indexes?limit=0")["total"] == 0 {
        assert!(Instant::now() < deadline, "{}", node_state(&cluster, 1));
        std::thread::sleep(Duration::from_millis(20));
    }
    for _ in 0..4 {
        assert_eq!(cluster.client.search("things", &json!({"hitsPerPage": 1}))["totalHits"], 200);
    }
    wait_until_level(&cluster);
    check_copies(&cluster, &["things"]);
}

#[test]
fn small_writes_of_many_clients_keep_their_own_tasks() {
    let cluster = with_copies(|_| {});
    fill(&cluster.client);
    let url = cluster.cluster.url();
    std::thread::scope(|scope| {
        for writer in 0..16 {
            let client = Client::new(url.clone());
            scope.spawn(move || {
                for round in 0..8 {
                    let first = 1000 + (writer * 8 + round) * 3;
                    let task =
                        client.done("POST", "/indexes/things/documents", &documents(first..first + 3, 8));
                    assert_eq!(task["details"], json!({"receivedDocuments": 3, "indexedDocuments": 3}));
                    // Of two writes of one client the later one wins.
                    let again = documents(first..first + 1, 9);
                    client.done("POST", "/indexes/things/documents", &again);
                    let document = client.read(&format!("/indexes/things/documents/{first}"));
                    assert_eq!(document["round"], 9);
                }
            });
        }
    });
    assert_eq!(cluster.client.read("/indexes/things/documents?limit=0")["total"], 200 + 16 * 8 * 3);
    check_copies(&cluster, &["things"]);
}

fn write_and_see_header(cluster: &TestCluster, path: &str, body: &Value) -> (u16, Option<String>) {
    let url = format!("{}{path}", cluster.cluster.url());
    let mut answer = agent().post(url).send_json(body).unwrap();
    let missed = answer.headers().get("x-miroir-degraded").map(|value| value.to_str().unwrap().to_owned());
    let summary: Value = answer.body_mut().read_json().unwrap();
    assert_eq!(cluster.client.finished(&summary)["status"], "succeeded");
    (answer.status().as_u16(), missed)
}

fn node_state(cluster: &TestCluster, number: usize) -> Value {
    cluster.client.read("/_miroir/topology")["nodes"][number].clone()
}

fn wait_until_level(cluster: &TestCluster) {
    let deadline = Instant::now() + LEVEL_MAX;
    loop {
        let topology = cluster.client.read("/_miroir/topology");
        let nodes = topology["nodes"].as_array().unwrap();
        if nodes.iter().all(|node| node["state"] == "healthy" && node["hints"]["count"] == 0) {
            return;
        }
        assert!(Instant::now() < deadline, "copies are not level: {topology}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Checks that every owner of a shard has the same documents, including reserved fields.
fn check_copies(cluster: &TestCluster, indexes: &[&str]) {
    let shards = cluster.client.read("/_miroir/shards");
    let node_uid = |uid: &str| {
        let known = shards["indexes"].as_array().unwrap().iter();
        known.into_iter().find(|index| index["uid"] == uid).unwrap()["nodeUid"].as_str().unwrap().to_owned()
    };
    for uid in indexes.iter().map(|uid| node_uid(uid)) {
        for shard in 0..SHARDS {
            let owners = shards["placements"][0]["groups"].as_array().unwrap().iter();
            let owners = owners.flat_map(|group| group["owners"][shard as usize].as_array().unwrap());
            let held = owners.map(|owner| (owner.clone(), held(cluster, owner, &uid, shard)));
            let held = held.collect::<Vec<_>>();
            assert!(held.len() > 1);
            for (owner, documents) in &held {
                assert_eq!(documents, &held[0].1, "{uid}: shard {shard} on {owner} and {}", held[0].0);
            }
        }
    }
}

fn held(cluster: &TestCluster, owner: &Value, node_uid: &str, shard: u32) -> BTreeMap<String, Value> {
    let number: usize = owner.as_str().unwrap()[1..].parse().unwrap();
    let node = cluster.cluster.node(number).unwrap();
    let client = Client::new(node.url()).with_key("the-key-of-the-nodes");
    let filter = shard_filter(&[shard].into_iter().collect::<ShardSet>());
    let page = json!({"filter": filter, "limit": 100_000});
    let answer = client.post(&format!("/indexes/{node_uid}/documents/fetch"), &page);
    let results = answer["results"].as_array().unwrap().iter();
    let stamped =
        results.inspect(|document| assert!(document["_miroir_updated_at"].is_string(), "{document}"));
    let key = |document: &Value| document.get("id").or(document.get("key")).unwrap().to_string();
    stamped.map(|document| (key(document), document.clone())).collect()
}
