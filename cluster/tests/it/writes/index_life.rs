//! The life of indexes: created, renamed, swapped and deleted as on one node, by many concurrent clients, and across
//! the death of the gateway.
//! Invariant: random choices come from a seed.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{SingleNode, TestCluster};
use node::test_client::Client;

const SEED: u64 = 0x1dde_5ead;
const CLIENTS: u64 = 8;
const INDEXES: u64 = 24;
/// Sizes for a longer test by hand: `MIROIR_TEST_CLIENTS=64 MIROIR_TEST_INDEXES=200`.
const CLIENTS_BY_HAND: &str = "MIROIR_TEST_CLIENTS";
const INDEXES_BY_HAND: &str = "MIROIR_TEST_INDEXES";
/// The number of operations of each client.
const STEPS: usize = 12;
/// The number of answers before the kill.
const ANSWERED_BEFORE_KILL: usize = 60;

#[test]
fn indexes_live_as_on_one_node() {
    let (cluster, single) = (TestCluster::start(|_| {}), SingleNode::start());
    for (method, path, body) in &script() {
        let [found, expected] =
            [&cluster.client, &single.client].map(|client| act(client, method, path, body));
        assert_eq!(found, expected, "{method} {path} {body}");
        for path in ["/indexes", "/indexes?limit=1&offset=1", "/indexes/films", "/indexes/movies"] {
            let [found, expected] =
                [&cluster.client, &single.client].map(|client| without_dates(client.get(path).1));
            assert_eq!(found, expected, "{path} after {method} {body}");
        }
    }
    for client in [&cluster.client, &single.client] {
        assert_eq!(client.read("/indexes/pictures/stats")["numberOfDocuments"], 2);
        let compacted = client.done("POST", "/indexes/papers/compact", &Value::Null);
        let sizes =
            ["preCompactionSize", "postCompactionSize"].map(|name| compacted["details"][name].clone());
        assert!(sizes.iter().all(|size| size.as_str().unwrap().contains('B')), "{compacted}");
        assert_eq!(client.search("papers", &json!({}))["hits"].as_array().unwrap().len(), 2);
    }
    for (path, query) in
        [("/indexes/pictures/search", json!({"filter": "x = 1"})), ("/indexes/gone/search", json!({}))]
    {
        let [found, expected] =
            [&cluster.client, &single.client].map(|client| client.call("POST", path, &query));
        assert_eq!(found, expected, "{path}");
    }
}

/// The operations on the indexes, right and wrong ones, in order.
fn script() -> Vec<(&'static str, &'static str, Value)> {
    let films = json!([{"id": 1, "title": "one"}, {"id": 2, "title": "two"}, {"id": 3}]);
    vec![
        ("POST", "/indexes", json!({"uid": "films"})),
        ("POST", "/indexes", json!({"uid": "films", "primaryKey": "key"})),
        ("POST", "/indexes", json!({})),
        ("POST", "/indexes", json!({"uid": null})),
        ("POST", "/indexes", json!([])),
        ("POST", "/indexes", json!({"uid": 7})),
        ("POST", "/indexes", json!({"uid": "no good"})),
        ("POST", "/indexes", json!({"uid": "x", "nope": 1})),
        ("POST", "/indexes", json!({"uid": "x", "primaryKey": 1})),
        ("PATCH", "/indexes/films", json!({"primaryKey": "key"})),
        ("PATCH", "/indexes/films", json!({"primaryKey": null})),
        ("PATCH", "/indexes/films", json!({"createdAt": "now"})),
        ("PATCH", "/indexes/films", json!({"updatedAt": "now"})),
        ("PATCH", "/indexes/films", json!({"uid": "no good"})),
        ("PATCH", "/indexes/films", json!({"uid": 3})),
        ("PATCH", "/indexes/films", json!({"nope": 3})),
        ("PATCH", "/indexes/nope", json!({"primaryKey": "id"})),
        ("PATCH", "/indexes/nope", json!({"uid": "other"})),
        ("PATCH", "/indexes/films", json!({"primaryKey": "id"})),
        ("POST", "/indexes/films/documents", films.clone()),
        ("PATCH", "/indexes/films", json!({"primaryKey": "key"})),
        ("POST", "/indexes/books/documents", json!([{"isbn_id": 9, "title": "nine"}])),
        ("PATCH", "/indexes/books/settings", json!({"filterableAttributes": ["title"]})),
        ("POST", "/swap-indexes", json!([{"indexes": ["films", "books"]}])),
        ("POST", "/indexes/films/documents", json!([{"isbn_id": 10}])),
        ("POST", "/indexes/books/documents/delete-batch", json!([3])),
        ("POST", "/indexes/books/documents/delete", json!({"filter": "title = one"})),
        ("POST", "/swap-indexes", json!([{"indexes": ["films", "gone"]}, {"indexes": ["a", "b"]}])),
        ("POST", "/swap-indexes", json!([{"indexes": ["films", "films"]}])),
        ("POST", "/swap-indexes", json!([{"indexes": ["films"]}])),
        ("POST", "/swap-indexes", json!([{"indexes": "films"}])),
        ("POST", "/swap-indexes", json!([{"indexes": ["films", "no good"]}])),
        ("POST", "/swap-indexes", json!([{"rename": true}])),
        ("POST", "/swap-indexes", json!([{"indexes": ["films", "x"], "rename": 1}])),
        ("POST", "/swap-indexes", json!([{"indexes": ["films", "x"], "nope": 1}])),
        ("POST", "/swap-indexes", json!({})),
        ("POST", "/swap-indexes", json!([])),
        ("POST", "/swap-indexes", json!([{"indexes": ["films", "books"], "rename": true}])),
        ("POST", "/swap-indexes", json!([{"indexes": ["films", "papers"], "rename": true}])),
        ("PATCH", "/indexes/books", json!({"uid": "papers"})),
        ("PATCH", "/indexes/books", json!({"uid": "movies"})),
        ("PATCH", "/indexes/movies", json!({"uid": "movies"})),
        ("PATCH", "/indexes/movies", json!({"uid": "pictures", "primaryKey": "other"})),
        ("POST", "/indexes/movies/documents", json!([{"id": "new"}])),
        ("POST", "/indexes/nope/compact", Value::Null),
        ("POST", "/indexes/no%20good/compact", Value::Null),
        ("DELETE", "/indexes/books", Value::Null),
        ("DELETE", "/indexes/no%20good", Value::Null),
        ("DELETE", "/indexes/papers", Value::Null),
        ("POST", "/indexes/papers/documents", json!([{"id": 1}, {"id": 2}])),
    ]
}

/// Sends a write. Returns its answer and how its task ended.
fn act(client: &Client, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let (status, answer) = client.call(method, path, body);
    match status {
        202 => {
            let task = client.finished(&answer);
            let kept = ["indexUid", "status", "type", "details", "error"];
            let ended = kept.map(|member| (member.to_owned(), task[member].clone()));
            (status, json!({"summary": answer["status"], "task": Value::Object(ended.into_iter().collect())}))
        }
        _ => (status, answer),
    }
}

fn without_dates(mut answer: Value) -> Value {
    let clean = |index: &mut Value| {
        if let Value::Object(members) = index {
            members.remove("createdAt");
            members.remove("updatedAt");
        }
    };
    clean(&mut answer);
    answer["results"].as_array_mut().into_iter().flatten().for_each(clean);
    answer
}

#[test]
fn a_swap_comes_after_the_writes_before_it() {
    let cluster = TestCluster::start(|_| {});
    let client = &cluster.client;
    client.done("POST", "/indexes/live/documents", &json!([{"id": 0, "of": "live"}]));
    for round in 0..4 {
        let fresh = (0..400).map(|id| json!({"id": id, "of": round})).collect::<Vec<_>>();
        let (_, before) = client.call("POST", "/indexes/fresh/documents", &json!(fresh));
        let (_, swap) = client.call("POST", "/swap-indexes", &json!([{"indexes": ["live", "fresh"]}]));
        let (_, after) = client.call("POST", "/indexes/live/documents", &json!([{"id": 400, "of": round}]));
        assert_eq!(client.finished(&swap)["status"], "succeeded");
        assert_eq!(client.read(&format!("/tasks/{}", before["taskUid"]))["status"], "succeeded");
        assert!(client.read("/indexes/live/stats")["numberOfDocuments"].as_u64() >= Some(400));
        assert_eq!(client.finished(&after)["status"], "succeeded");
        let live = client.read("/indexes/live/stats");
        assert_eq!(live["numberOfDocuments"], 401, "round {round}");
        assert_eq!(client.read("/indexes/live/documents/400")["of"], round);
        client.done("DELETE", "/indexes/fresh", &Value::Null);
    }
}

#[test]
fn an_accepted_swap_survives_the_death_of_the_gateway() {
    let mut cluster = TestCluster::start(|options| options.control = options.node_binary.is_none());
    for (uid, id) in [("one", 1), ("two", 2)] {
        cluster.client.done("POST", &format!("/indexes/{uid}/documents"), &json!([{"id": id}]));
    }
    // A stalled node keeps the earlier write, and with it the swap, unfinished, if it has fault switches.
    let control = (0..3).filter_map(|number| cluster.cluster.node(number)?.control()).map(Client::new);
    let control = control.collect::<Vec<_>>();
    for node in &control {
        node.post("/faults", &json!({"stall_tasks": true}));
    }
    let (_, write) = cluster.client.call("POST", "/indexes/one/documents", &json!([{"id": 3}]));
    let (status, swap) = cluster.client.call("POST", "/swap-indexes", &json!([{"indexes": ["one", "two"]}]));
    assert_eq!(status, 202, "{swap}");
    cluster.cluster.kill_gateway().unwrap();
    cluster.cluster.start_gateway().unwrap();
    assert_eq!(cluster.client.finished(&swap)["status"], "succeeded");
    for node in &control {
        assert_eq!(node.call("DELETE", "/faults", &Value::Null).0, 200);
    }
    assert_eq!(cluster.client.finished(&write)["indexUid"], "two", "history follows the names");
    assert_eq!(cluster.client.read("/indexes/one/documents")["results"], json!([{"id": 2}]));
    assert_eq!(cluster.client.read("/indexes/two/stats")["numberOfDocuments"], 2);
}

#[test]
fn many_clients_leave_whole_indexes_and_ended_tasks() {
    let cluster = TestCluster::start(|_| {});
    let url = cluster.cluster.url();
    let (clients, indexes) = (by_hand(CLIENTS_BY_HAND, CLIENTS), by_hand(INDEXES_BY_HAND, INDEXES));
    let started = Instant::now();
    std::thread::scope(|scope| {
        for number in 0..clients {
            let client = Client::new(url.clone());
            scope.spawn(move || live(&client, number, indexes));
        }
    });
    let client = &cluster.client;
    let asked = started.elapsed();
    all_end(client);
    let tasks = client.read("/tasks?limit=0")["total"].clone();
    println!(
        "{clients} clients, {indexes} names: {tasks} tasks asked in {asked:?}, ended in {:?}",
        started.elapsed()
    );
    let list = client.read("/indexes?limit=1000");
    let listed = list["results"].as_array().unwrap();
    // Every index is complete on every node: stats and documents agree, and there are no other indexes.
    for index in listed {
        let uid = index["uid"].as_str().unwrap();
        let count = client.read(&format!("/indexes/{uid}/stats"))["numberOfDocuments"].as_u64().unwrap();
        let documents = client.read(&format!("/indexes/{uid}/documents?limit=1000"));
        assert_eq!(documents["results"].as_array().unwrap().len() as u64, count, "{uid}");
    }
    for indexes in on_nodes(&cluster) {
        assert_eq!(indexes.len(), listed.len(), "nodes have what the gateway lists: {indexes:?}");
    }
    let refused = client.read("/tasks?statuses=failed&limit=1000");
    for task in refused["results"].as_array().unwrap() {
        let code = task["error"]["code"].as_str().unwrap();
        let expected = ["index_not_found", "index_already_exists", "index_primary_key_already_exists"];
        assert!(expected.contains(&code), "{task}");
    }
}

fn by_hand(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

/// Waits until no task is unfinished.
fn all_end(client: &Client) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while client.read("/tasks?statuses=enqueued,processing&limit=0")["total"] != 0 {
        assert!(Instant::now() < deadline, "{}", client.read("/tasks?statuses=enqueued,processing"));
        std::thread::yield_now();
    }
}

/// The names of the indexes on every node.
fn on_nodes(cluster: &TestCluster) -> Vec<BTreeSet<String>> {
    let key = [("Authorization", "Bearer the-key-of-the-nodes")];
    let ask = |url: String| {
        let (status, answer) = Client::new(url).raw("GET", "/indexes?limit=1000", &key, b"").unwrap();
        assert_eq!(status, 200);
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        let indexes = answer["results"].as_array().unwrap();
        indexes.iter().map(|index| index["uid"].as_str().unwrap().to_owned()).collect()
    };
    cluster.cluster.node_urls().into_iter().map(ask).collect()
}

/// Waits until every node has exactly the indexes that the gateway lists.
fn nothing_is_left(cluster: &TestCluster) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let total = cluster.client.read("/indexes?limit=0")["total"].as_u64().unwrap();
        let nodes = on_nodes(cluster);
        if nodes.iter().all(|indexes| indexes.len() as u64 == total && *indexes == nodes[0]) {
            return;
        }
        assert!(Instant::now() < deadline, "the gateway lists {total}, nodes have {nodes:?}");
        std::thread::yield_now();
    }
}

#[test]
fn a_gateway_that_dies_leaves_no_index_on_some_nodes_only() {
    let mut cluster = TestCluster::start(|_| {});
    for round in 0..2 {
        let url = cluster.cluster.url();
        let answered = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for number in 0..CLIENTS {
                let (client, answered) = (Client::new(url.clone()), &answered);
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(SEED + round * CLIENTS + number);
                    let headers = [("Content-Type", "application/json")];
                    loop {
                        let (method, path, body) = step(&mut random, 0, INDEXES);
                        let body = body.to_string();
                        // The first write without an answer: the gateway is dead.
                        let Ok((status, answer)) = client.raw(method, &path, &headers, body.as_bytes())
                        else {
                            return;
                        };
                        let answer = String::from_utf8_lossy(&answer);
                        assert_eq!(status, 202, "{method} {path} {body}: {answer}");
                        answered.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
            let deadline = Instant::now() + Duration::from_secs(60);
            while answered.load(Ordering::SeqCst) < ANSWERED_BEFORE_KILL {
                assert!(Instant::now() < deadline, "writes are not answered");
                std::thread::yield_now();
            }
            cluster.cluster.kill_gateway().unwrap();
        });
        cluster.cluster.start_gateway().unwrap();
        all_end(&cluster.client);
        nothing_is_left(&cluster);
    }
}

#[test]
fn an_index_that_one_node_cannot_make_is_dropped_from_the_others() {
    // Only embedded nodes have fault switches.
    let mut cluster = TestCluster::start(|options| {
        options.control = true;
        options.node_binary = None;
    });
    let control = Client::new(cluster.cluster.node(2).unwrap().control().unwrap());
    control.post("/faults", &json!({"status": 500, "status_requests": 100, "path_prefix": "/indexes"}));
    let (status, refusal) = cluster.client.call("POST", "/indexes", &json!({"uid": "films"}));
    assert_eq!((status, &refusal["code"]), (503, &json!("miroir_no_quorum")));
    assert_eq!(control.call("DELETE", "/faults", &Value::Null).0, 200);
    assert_eq!(cluster.client.read("/indexes")["total"], 0);
    assert_eq!(cluster.client.read("/tasks")["total"], 0, "what was refused was never a task");
    // A starting gateway sweeps immediately.
    cluster.cluster.kill_gateway().unwrap();
    cluster.cluster.start_gateway().unwrap();
    nothing_is_left(&cluster);
    cluster.client.done("POST", "/indexes", &json!({"uid": "films"}));
    nothing_is_left(&cluster);
}

/// Creates, fills, swaps, renames and deletes indexes that other clients work on too.
fn live(client: &Client, number: u64, indexes: u64) {
    let mut random = fastrand::Rng::with_seed(SEED + number);
    for number in 0..STEPS {
        let (method, path, body) = step(&mut random, number, indexes);
        let (status, answer) = client.call(method, &path, &body);
        assert_eq!(status, 202, "{method} {path} {body}: {answer}");
        if random.bool() {
            client.finished(&answer);
        }
    }
}

fn step(random: &mut fastrand::Rng, number: usize, indexes: u64) -> (&'static str, String, Value) {
    let one = format!("index{}", random.u64(..indexes));
    let other = format!("index{}", random.u64(..indexes));
    let documents = (0..20).map(|id| json!({"id": id, "step": number})).collect::<Vec<_>>();
    match random.u8(..10) {
        0 | 1 => ("POST", "/indexes".to_owned(), json!({"uid": one, "primaryKey": "id"})),
        2..=5 => ("POST", format!("/indexes/{one}/documents"), json!(documents)),
        6 | 7 if one != other => ("POST", "/swap-indexes".to_owned(), json!([{"indexes": [one, other]}])),
        8 => ("PATCH", format!("/indexes/{one}"), json!({"uid": other})),
        _ => ("DELETE", format!("/indexes/{one}"), Value::Null),
    }
}
