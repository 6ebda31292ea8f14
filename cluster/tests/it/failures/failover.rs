//! Reads while one of three nodes fails and every shard has two copies. On every route and under every fault, no read
//! fails, is incomplete or waits long.

use std::time::{Duration, Instant};

use cluster::cluster::ClusterOptions;
use serde_json::{Value, json};

use crate::support::{TestCluster, load_cities};
use node::test_client::Client;

/// The longest duration of a read while a fault is being noticed.
const READ_MAX: Duration = Duration::from_secs(3);
/// How long a node may take until it serves again, or until it reaches a state.
const STATE_MAX: Duration = Duration::from_secs(20);

/// Three embedded nodes with fault switches, two copies of each shard.
pub(crate) fn faulty(options: &mut ClusterOptions) {
    options.node_binary = None;
    options.replication_factor = 2;
    options.control = true;
    options.no_sync = true;
}

/// Sets a node's fault switches.
pub(crate) fn set_faults(cluster: &TestCluster, node: usize, faults: &Value) {
    let control = cluster.cluster.node(node).unwrap().control().unwrap();
    Client::new(control).post("/faults", faults);
}

/// Waits until the gateway reports this state for a node.
pub(crate) fn wait_for_state(cluster: &TestCluster, node: usize, state: &str) {
    let deadline = Instant::now() + STATE_MAX;
    loop {
        let topology = cluster.client.read("/_miroir/topology");
        if topology["nodes"][node]["state"] == state {
            return;
        }
        assert!(Instant::now() < deadline, "node {node} is not {state}: {topology}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The sum of a metric over its labels.
pub(crate) fn metric(cluster: &TestCluster, name: &str) -> f64 {
    let (_, text) = cluster.client.raw("GET", "/_miroir/metrics", &[], b"").unwrap();
    let text = String::from_utf8(text).unwrap();
    let lines = text.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

/// Method, path and body.
type Read = (&'static str, &'static str, Value);

/// Every reading route, with a request.
fn reads() -> Vec<Read> {
    let by_population = json!({"sort": ["population:desc", "name:asc"], "limit": 50});
    let query = |q: &str| json!({"indexUid": "cities", "q": q, "sort": ["population:desc"]});
    vec![
        ("POST", "/indexes/cities/search", by_population),
        ("POST", "/indexes/cities/search", json!({"q": "san", "facets": ["country"], "hitsPerPage": 5})),
        ("POST", "/indexes/cities/facet-search", json!({"facetName": "country", "facetQuery": "a"})),
        ("POST", "/multi-search", json!({"queries": [query("san"), query("new")]})),
        ("POST", "/multi-search", json!({"federation": {}, "queries": [query("san"), query("new")]})),
        ("POST", "/indexes/points/similar", json!({"id": 3, "embedder": "own", "limit": 4})),
        ("POST", "/indexes/cities/documents/fetch", json!({"limit": 7, "offset": 100})),
        ("GET", "/indexes/cities/documents?limit=3", Value::Null),
        ("GET", "/indexes/points/documents/1", Value::Null),
        ("GET", "/indexes/points/documents/2", Value::Null),
        ("GET", "/indexes/cities/stats", Value::Null),
        ("GET", "/indexes/cities", Value::Null),
        ("GET", "/indexes/cities/settings", Value::Null),
        ("GET", "/stats", Value::Null),
        ("GET", "/version", Value::Null),
        ("GET", "/experimental-features", Value::Null),
    ]
}

/// The part of an answer that does not depend on which nodes answered.
fn answer(client: &Client, (method, path, body): &Read) -> Value {
    let headers = [("Content-Type", "application/json")];
    let started = Instant::now();
    let (status, headers, body) =
        client.with_headers(method, path, &headers, body.to_string().as_bytes()).unwrap();
    let took = started.elapsed();
    let mut answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    assert_eq!(status, 200, "{method} {path}: {answer}");
    assert!(!headers.contains_key("x-miroir-degraded"), "{method} {path} is incomplete");
    assert!(took < READ_MAX, "{method} {path} took {took:?}");
    if path.ends_with("stats") {
        // Sizes depend on the answering nodes, and so do counts of replaced documents.
        return answer["numberOfDocuments"].take();
    }
    strip(&mut answer);
    answer
}

fn strip(answer: &mut Value) {
    if let Some(members) = answer.as_object_mut() {
        for name in ["processingTimeMs", "requestUid", "updatedAt"] {
            members.remove(name);
        }
        members.values_mut().for_each(strip);
    }
    answer.as_array_mut().into_iter().flatten().for_each(strip);
}

/// Points with more dimensions than there are points, so that a node examines all of them and misses none.
fn load_points(client: &Client) {
    const DIMENSIONS: u32 = 64;
    let settings = json!({"embedders": {"own": {"source": "userProvided", "dimensions": DIMENSIONS}}});
    client.done("PATCH", "/indexes/points/settings", &settings);
    let points = (0..40_u32).map(|id| {
        let vector = (1..=DIMENSIONS).map(|dimension| (f64::from(id * dimension) * 0.37).sin() + 1.1);
        json!({"id": id, "_vectors": {"own": vector.collect::<Vec<_>>()}})
    });
    client.done("POST", "/indexes/points/documents?primaryKey=id", &points.collect());
}

fn loaded(change: impl FnOnce(&mut ClusterOptions)) -> TestCluster {
    let cluster = TestCluster::start(|options| {
        faulty(options);
        change(options);
    });
    load_cities(&cluster.client);
    load_points(&cluster.client);
    cluster
}

/// Repeats all reads often enough to meet every choice of nodes, under each fault of one node.
fn no_read_notices(cluster: &TestCluster, faults: &[Value]) {
    no_one_notices(cluster, &reads(), faults);
}

/// Like `no_read_notices`, for these reads.
fn no_one_notices(cluster: &TestCluster, reads: &[Read], faults: &[Value]) {
    let expected = reads.iter().map(|read| answer(&cluster.client, read)).collect::<Vec<_>>();
    for (number, faults) in faults.iter().enumerate() {
        let node = number % 3;
        set_faults(cluster, node, faults);
        for _ in 0..4 {
            for (read, expected) in reads.iter().zip(&expected) {
                assert_eq!(&answer(&cluster.client, read), expected, "{faults} at node {node}: {read:?}");
            }
        }
        set_faults(cluster, node, &json!({}));
        wait_for_state(cluster, node, "healthy");
    }
}

#[test]
fn no_read_notices_a_node_that_fails() {
    let cluster = loaded(|_| {});
    no_read_notices(
        &cluster,
        &[
            json!({"refuse": true, "reset": true}),
            json!({"reset": true}),
            json!({"cut_body_bytes": 1}),
            json!({"status": 500, "status_requests": 1_000_000}),
            json!({"status": 503, "status_requests": 1_000_000}),
            json!({"status": 500, "status_requests": 1_000_000, "path_prefix": "/indexes"}),
        ],
    );
}

#[test]
fn no_read_notices_a_node_that_says_nonsense() {
    let cluster = loaded(|_| {});
    no_read_notices(&cluster, &[json!({"distort": "not_json"}), json!({"distort": "half"})]);
    // Only routes that merge lists can recognise an answer of another shape.
    let is_list = |read: &Read| read.0 == "POST" && read.1.starts_with("/indexes/cities/");
    let lists = reads().into_iter().filter(is_list).collect::<Vec<_>>();
    no_one_notices(&cluster, &lists, &[json!({"distort": "other_shape", "path_prefix": "/indexes/"})]);
    no_one_notices(&cluster, &[every_san()], &[json!({"distort": "reversed", "path_prefix": "/indexes/"})]);
}

/// A search that returns every hit, so that every leg is read to its end.
fn every_san() -> Read {
    let body = json!({"q": "san", "sort": ["population:desc", "name:asc"], "limit": 1000});
    ("POST", "/indexes/cities/search", body)
}

#[test]
fn nonsense_without_another_copy_is_a_missing_shard() {
    let cluster = loaded(|options| options.replication_factor = 1);
    let (method, path, body) = every_san();
    let is_degraded = || {
        let headers = [("Content-Type", "application/json")];
        let (status, headers, _) =
            cluster.client.with_headers(method, path, &headers, body.to_string().as_bytes()).unwrap();
        assert_eq!(status, 200);
        headers.contains_key("x-miroir-degraded")
    };
    assert!(!is_degraded());
    for distortion in ["not_json", "half", "other_shape", "reversed"] {
        set_faults(&cluster, 1, &json!({"distort": distortion, "path_prefix": "/indexes/"}));
        assert!(is_degraded(), "{distortion}");
        set_faults(&cluster, 1, &json!({}));
        wait_for_state(&cluster, 1, "healthy");
    }
}

#[test]
fn no_read_waits_for_a_node_that_hangs() {
    let cluster = loaded(|_| {});
    no_read_notices(
        &cluster,
        &[json!({"hang": true}), json!({"hang": true, "path_prefix": "/indexes"}), json!({"delay_ms": 300})],
    );
}

#[test]
fn no_read_notices_faults_without_hedges() {
    let off = ["--hedging", "off", "--adaptive-selection", "off", "--runtime", "glommio"];
    let cluster = loaded(|options| options.gateway_arguments.extend(off.map(str::to_owned)));
    no_read_notices(
        &cluster,
        &[json!({"hang": true}), json!({"reset": true}), json!({"hang": true, "path_prefix": "/indexes"})],
    );
    assert!(metric(&cluster, "miroir_hedge_fired_total") == 0.0);
}

#[test]
fn a_stopped_process_is_noticed_within_little_more_than_a_second() {
    let cluster = loaded(|_| {});
    let pid = cluster.cluster.node(2).unwrap().pid().to_string();
    let signal = |name: &str| {
        assert!(std::process::Command::new("kill").args([name, &pid]).status().unwrap().success());
    };
    signal("-STOP");
    let stopped = Instant::now();
    wait_for_state(&cluster, 2, "down");
    let noticed = stopped.elapsed();
    assert!(noticed < Duration::from_secs(3), "noticed after {noticed:?}");
    for read in reads() {
        answer(&cluster.client, &read);
    }
    signal("-CONT");
    wait_for_state(&cluster, 2, "healthy");
}

#[test]
fn an_outage_of_all_nodes_is_not_amplified() {
    let cluster = loaded(|_| {});
    for node in 0..3 {
        let faults = json!({"status": 500, "status_requests": 1_000_000, "path_prefix": "/indexes"});
        set_faults(&cluster, node, &faults);
    }
    let before = metric(&cluster, "miroir_scatter_retries_total");
    let searches = 400;
    for _ in 0..searches {
        let (status, answer) = cluster.client.call("POST", "/indexes/cities/search", &json!({}));
        assert_eq!((status, &answer["code"]), (503, &json!("miroir_shard_unavailable")), "{answer}");
    }
    let retries = metric(&cluster, "miroir_scatter_retries_total") - before;
    // A search has two legs. After ten failures in a row a node is down and gets no requests.
    assert!(retries < f64::from(searches) / 2.0, "{retries} retries of {searches} searches");
    for node in 0..3 {
        set_faults(&cluster, node, &json!({}));
        wait_for_state(&cluster, node, "healthy");
    }
    answer(&cluster.client, &reads()[0]);
}

#[test]
fn missing_shards_are_named_or_refused_on_every_route() {
    for (policy, refused) in [("partial", false), ("error", true)] {
        let mut cluster = TestCluster::start(|options| {
            faulty(options);
            options.replication_factor = 1;
            options.gateway_arguments.extend(["--unavailable-shard-policy", policy].map(str::to_owned));
        });
        load_cities(&cluster.client);
        cluster.cluster.kill_node(2).unwrap();
        for (method, path, body) in reads() {
            let whole = ["/indexes/cities", "/indexes/cities/settings", "/version", "/stats"].contains(&path);
            if whole || path.contains("points") || path.contains("features") {
                continue;
            }
            let headers = [("Content-Type", "application/json")];
            let body = body.to_string();
            let (status, headers, answer) =
                cluster.client.with_headers(method, path, &headers, body.as_bytes()).unwrap();
            let answer = String::from_utf8(answer).unwrap();
            match refused {
                true => {
                    assert!(status == 503 && answer.contains("miroir_shard_unavailable"), "{path}: {answer}");
                    assert!(answer.contains("`n2` (down)"), "{path}: {answer}");
                }
                false => {
                    assert_eq!(status, 200, "{path}: {answer}");
                    let degraded = headers["x-miroir-degraded"].to_str().unwrap();
                    assert!(degraded.starts_with("shards="), "{path}: {degraded}");
                }
            }
        }
    }
}

#[test]
fn an_operator_reads_why_a_node_is_away() {
    let mut cluster = TestCluster::start(|options| {
        faulty(options);
        options.gateway_arguments.extend(["--admin-key", "the-admins-key"].map(str::to_owned));
    });
    let client = Client::new(cluster.cluster.url()).with_key("the-admins-key");
    let topology = client.read("/_miroir/topology");
    assert_eq!(topology["nodes"][2]["reason"], Value::Null, "{topology}");
    cluster.cluster.kill_node(2).unwrap();
    let deadline = Instant::now() + STATE_MAX;
    let reason = loop {
        let node = client.read("/_miroir/topology")["nodes"][2].clone();
        if node["state"] == "down" {
            break node["reason"].as_str().expect("a reason").to_owned();
        }
        assert!(Instant::now() < deadline, "{node}");
        std::thread::sleep(Duration::from_millis(5));
    };
    let listed = std::process::Command::new(crate::support::PROGRAM)
        .args(["role-ctl", "--url", &cluster.cluster.url(), "node", "list"])
        .env("MIROIR_ADMIN_API_KEY", "the-admins-key")
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.lines().any(|line| line.starts_with("n2 ") && line.ends_with(&reason)), "{listed}");
    cluster.cluster.start_node(2).unwrap();
    let deadline = Instant::now() + STATE_MAX;
    loop {
        let node = client.read("/_miroir/topology")["nodes"][2].clone();
        if node["state"] == "healthy" {
            break assert_eq!(node["reason"], Value::Null, "{node}");
        }
        assert!(Instant::now() < deadline, "{node}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
