//! Sessions: with `X-Miroir-Session` a client reads what it has written.

use std::time::{Duration, Instant};

use cluster::cluster::ClusterOptions;
use serde_json::{Value, json};

use crate::{
    failures::failover::{faulty, metric, set_faults},
    support::TestCluster,
};
use node::test_client::Client;

const SESSION: [(&str, &str); 2] =
    [("Content-Type", "application/json"), ("X-Miroir-Session", "of-this-test")];
const NO_SESSION: [(&str, &str); 1] = [("Content-Type", "application/json")];

/// The number of hits of a search, and whether the answer names the session.
fn hits(client: &Client, headers: &[(&str, &str)]) -> (usize, bool) {
    let asked = client.with_headers("POST", "/indexes/films/search", headers, b"{}").unwrap();
    let (status, headers, body) = asked;
    let answer: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(status, 200, "{answer}");
    let named = headers.get("x-miroir-session").is_some_and(|session| session == "of-this-test");
    (answer["hits"].as_array().unwrap().len(), named)
}

/// Writes a document in the session without waiting for its task.
fn write(client: &Client, id: usize) {
    let body = json!([{ "id": id }]).to_string();
    let (status, headers, answer) = client
        .with_headers("POST", "/indexes/films/documents?primaryKey=id", &SESSION, body.as_bytes())
        .unwrap();
    assert_eq!(status, 202, "{}", String::from_utf8_lossy(&answer));
    assert_eq!(headers["x-miroir-session"], "of-this-test");
}

fn stall(cluster: &TestCluster, nodes: std::ops::Range<usize>, stalled: bool) {
    nodes.for_each(|node| set_faults(cluster, node, &json!({"stall_tasks": stalled})));
}

#[test]
fn a_session_reads_what_it_wrote() {
    let cluster = TestCluster::start(faulty);
    cluster.client.done("POST", "/indexes/films/documents?primaryKey=id", &json!([{"id": 0}]));
    for id in 1..20 {
        write(&cluster.client, id);
        assert_eq!(hits(&cluster.client, &SESSION), (id + 1, true));
    }
    stall(&cluster, 0..3, true);
    write(&cluster.client, 20);
    let waiting = Client::new(cluster.cluster.url());
    let reader = std::thread::spawn(move || (hits(&waiting, &SESSION), Instant::now()));
    for _ in 0..20 {
        assert_eq!(hits(&cluster.client, &NO_SESSION), (20, false), "nobody else waits");
    }
    let released = Instant::now();
    stall(&cluster, 0..3, false);
    let (seen, answered) = reader.join().unwrap();
    assert_eq!(seen, (20, true), "the page is full, so the write is looked for by its id");
    assert!(answered >= released, "the read has waited for the write");
    let found = cluster.client.with_headers("GET", "/indexes/films/documents/20", &SESSION, b"").unwrap();
    assert_eq!(found.0, 200);
    let deadline = Instant::now() + Duration::from_secs(20);
    while metric(&cluster, "miroir_session_pinning_active_sessions") != 1.0 {
        assert!(Instant::now() < deadline, "the session is counted");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_read_of_a_session_waits_for_a_bounded_time() {
    let cluster = TestCluster::start(faulty);
    cluster.client.done("POST", "/indexes/films/documents?primaryKey=id", &json!([{"id": 0}]));
    stall(&cluster, 0..3, true);
    write(&cluster.client, 1);
    let started = Instant::now();
    assert_eq!(hits(&cluster.client, &SESSION), (1, true), "as it was before the write");
    let waited = started.elapsed();
    assert!((5..8).contains(&waited.as_secs()), "waited {waited:?}");
    stall(&cluster, 0..3, false);
    assert_eq!(hits(&cluster.client, &SESSION), (2, true));
}

#[test]
fn a_pinned_session_reads_the_group_that_took_its_write() {
    let two_groups = |options: &mut ClusterOptions| {
        faulty(options);
        options.nodes = 2;
        options.groups = 2;
        options.replication_factor = 1;
        options.gateway_arguments.extend(["--session-mode", "route_pin"].map(str::to_owned));
    };
    let cluster = TestCluster::start(two_groups);
    cluster.client.done("POST", "/indexes/films/documents?primaryKey=id", &json!([{"id": 0}]));
    // The second group is late. Both groups accepted the write, and the first one is read.
    stall(&cluster, 1..2, true);
    write(&cluster.client, 1);
    let deadline = Instant::now() + Duration::from_secs(20);
    while hits(&cluster.client, &SESSION).0 < 2 {
        assert!(Instant::now() < deadline, "the first group has the document");
    }
    let status = |headers: &[(&str, &str)]| {
        cluster.client.with_headers("GET", "/indexes/films/documents/1", headers, b"").unwrap().0
    };
    assert!((0..40).all(|_| status(&SESSION) == 200), "a session never goes back");
    assert!((0..40).any(|_| status(&NO_SESSION) == 404), "others read both groups");
    stall(&cluster, 1..2, false);
}
