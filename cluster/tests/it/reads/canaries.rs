//! Canaries: what they find out, what they keep, and what they are made from.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{failures::failover::metric, support::TestCluster};
use node::test_client::Client;

/// How long a run may be waited for.
const RUN_MAX: Duration = Duration::from_secs(30);

fn films(client: &Client) {
    client.done("POST", "/indexes", &json!({"uid": "films", "primaryKey": "id"}));
    let settings = json!({"sortableAttributes": ["id"], "filterableAttributes": ["id"]});
    client.done("PATCH", "/indexes/films/settings", &settings);
    let films = (0..30).map(|id| json!({"id": id, "title": format!("film {id}")}));
    client.done("POST", "/indexes/films/documents", &films.collect());
}

fn create(client: &Client, name: &str, assertions: Value) {
    let query = json!({"q": "film", "sort": ["id:asc"], "attributesToRetrieve": ["title"]});
    let body = json!({
        "name": name, "index": "films", "intervalSeconds": 1, "query": query, "assertions": assertions,
    });
    let (status, made) = client.call("POST", "/_miroir/canaries", &body);
    assert_eq!((status, &made["name"]), (201, &json!(name)), "{made}");
}

/// The runs of a canary once they satisfy `enough`, oldest first.
fn runs(client: &Client, name: &str, enough: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let deadline = Instant::now() + RUN_MAX;
    loop {
        let status = client.read("/_miroir/canaries/status");
        let canary = status["results"].as_array().unwrap().iter().find(|canary| canary["name"] == name);
        let runs = canary.map(|canary| canary["runs"].as_array().unwrap().clone()).unwrap_or_default();
        if enough(&runs) {
            return runs;
        }
        assert!(Instant::now() < deadline, "{name}: {status}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until a counter has this value: a run is counted after it is stored.
fn counted(cluster: &TestCluster, name: &str, least: f64) {
    let deadline = Instant::now() + RUN_MAX;
    while metric(cluster, name) < least {
        assert!(Instant::now() < deadline, "{name} stays at {}", metric(cluster, name));
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until a failed run of a canary is counted, which is after it is stored.
fn passes_no_more(cluster: &TestCluster, name: &str) {
    let deadline = Instant::now() + RUN_MAX;
    let line = format!("miroir_canary_passing{{canary=\"{name}\"}} 0");
    loop {
        let (_, text) = cluster.client.raw("GET", "/_miroir/metrics", &[], &[]).unwrap();
        if String::from_utf8(text).unwrap().lines().any(|found| found == line) {
            return;
        }
        assert!(Instant::now() < deadline, "no failed run of {name} is counted");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn kinds(run: &Value) -> Vec<&str> {
    run["failures"].as_array().unwrap().iter().map(|failure| failure["type"].as_str().unwrap()).collect()
}

#[test]
fn canaries_run_and_keep_what_they_saw() {
    let mut cluster = TestCluster::start(|_| {});
    films(&cluster.client);
    let holds = json!([
        {"type": "top_hit_id", "value": 0},
        {"type": "top_k_contains", "k": 3, "ids": [2, "1"]},
        {"type": "min_hits", "value": 30},
        {"type": "max_p95_ms", "value": 60_000},
        {"type": "settings_version_at_least", "value": 0},
        {"type": "must_not_contain_id", "ids": [25]},
    ]);
    create(&cluster.client, "holds", holds);
    let fails = json!([
        {"type": "top_hit_id", "value": 5},
        {"type": "top_k_contains", "k": 2, "ids": [2]},
        {"type": "min_hits", "value": 31},
        {"type": "max_p95_ms", "value": 0.000_001},
        {"type": "settings_version_at_least", "value": 1_000_000},
        {"type": "must_not_contain_id", "ids": [7]},
    ]);
    create(&cluster.client, "fails", fails);
    // It is run again and again.
    let run = runs(&cluster.client, "holds", |runs| runs.len() >= 2).pop().unwrap();
    assert_eq!((&run["passed"], &run["failures"]), (&json!(true), &json!([])), "{run}");
    assert!(run["milliseconds"].as_f64().unwrap() > 0.0 && run["at"].is_string(), "{run}");
    let run = runs(&cluster.client, "fails", |runs| !runs.is_empty()).remove(0);
    assert_eq!(run["passed"], false);
    let expected = [
        "top_hit_id",
        "top_k_contains",
        "min_hits",
        "max_p95_ms",
        "settings_version_at_least",
        "must_not_contain_id",
    ];
    assert_eq!(kinds(&run), expected);
    let observed = |number: usize| &run["failures"][number]["observed"];
    assert_eq!((observed(0), observed(2)), (&json!(0), &json!(30)));
    assert_eq!(observed(1), &json!({"missing": [2], "ids": [0, 1]}));
    assert_eq!(observed(5)["found"], json!([7]));
    counted(&cluster, "miroir_canary_runs_total", 3.0);
    counted(&cluster, "miroir_canary_assertion_failures_total", 6.0);
    // What is seen follows what is there: the first film goes.
    cluster.client.done("DELETE", "/indexes/films/documents/0", &Value::Null);
    let failed = runs(&cluster.client, "holds", |runs| runs.last().is_some_and(|run| run["passed"] == false));
    assert_eq!(kinds(failed.last().unwrap()), ["top_hit_id", "min_hits"]);
    passes_no_more(&cluster, "holds");
    // Canaries and their runs outlive the process; an index that goes is a failed run.
    cluster.cluster.kill_gateway().unwrap();
    cluster.cluster.start_gateway().unwrap();
    assert!(runs(&cluster.client, "holds", |_| true).len() >= failed.len());
    cluster.client.done("DELETE", "/indexes/films", &Value::Null);
    let is_gone = |run: &Value| {
        let observed = run["failures"][0]["observed"].as_str().unwrap_or_default();
        kinds(run) == ["search"] && observed.contains("`films` not found")
    };
    runs(&cluster.client, "holds", |runs| runs.last().is_some_and(is_gone));
    assert_eq!(cluster.client.call("DELETE", "/_miroir/canaries/holds", &Value::Null).0, 204);
    let listed = cluster.client.read("/_miroir/canaries")["results"].clone();
    assert_eq!(
        listed.as_array().unwrap().iter().map(|canary| &canary["name"]).collect::<Vec<_>>(),
        ["fails"]
    );
    runs(&cluster.client, "fails", |runs| runs.last().is_some_and(|run| kinds(run) == ["search"]));
    let status = cluster.client.read("/_miroir/canaries/status");
    assert_eq!(status["results"].as_array().unwrap().len(), 1, "a deleted canary leaves nothing: {status}");
}

#[test]
fn searches_are_captured_with_what_they_found() {
    let cluster = TestCluster::start(|_| {});
    films(&cluster.client);
    let wanted = json!({"index": "films", "count": 2, "namePrefix": "seen"});
    let (status, capturing) = cluster.client.call("POST", "/_miroir/canaries/capture", &wanted);
    assert_eq!((status, &capturing["count"]), (202, &json!(2)), "{capturing}");
    let first = json!({"q": "film 7", "limit": 3});
    let found = cluster.client.search("films", &first);
    let names = || {
        let listed = cluster.client.read("/_miroir/canaries")["results"].clone();
        listed.as_array().unwrap().iter().map(|canary| canary["name"].clone()).collect::<Vec<_>>()
    };
    let until = |count: usize| {
        let deadline = Instant::now() + RUN_MAX;
        while names().len() < count {
            assert!(Instant::now() < deadline, "{:?}", names());
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    until(1);
    // The same query once more is no second canary.
    cluster.client.search("films", &first);
    let (status, _) = cluster.client.get("/indexes/films/search?q=film&limit=1");
    assert_eq!(status, 200);
    until(2);
    for query in ["a", "b", "c"] {
        cluster.client.search("films", &json!({"q": query}));
    }
    assert_eq!(names(), ["seen-1", "seen-2"], "the capture is over");
    let canary = cluster.client.read("/_miroir/canaries")["results"][0].clone();
    assert_eq!((&canary["query"], &canary["index"]), (&first, &json!("films")));
    let top = &found["hits"][0]["id"];
    assert_eq!(canary["assertions"][1], json!({"type": "top_hit_id", "value": top}));
    assert_eq!(canary["assertions"][2]["ids"].as_array().unwrap().len(), 3);
    let run = runs(&cluster.client, "seen-1", |runs| !runs.is_empty()).remove(0);
    assert_eq!(run["passed"], true, "{run}");
}

#[test]
fn what_is_wrong_about_canaries_is_said_and_changes_nothing() {
    let cluster = TestCluster::start(|_| {});
    films(&cluster.client);
    let client = &cluster.client;
    let body = |change: Value| {
        let mut body = json!({
            "name": "one", "index": "films", "query": {"q": "a"},
            "assertions": [{"type": "min_hits", "value": 1}],
        });
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        body
    };
    for (change, status, code, words) in [
        (json!({"index": "none"}), 404, "index_not_found", "`none`"),
        (json!({"index": "a/b"}), 400, "invalid_index_uid", "`.index`"),
        (json!({"name": ""}), 400, "bad_request", "`.name`"),
        (json!({"intervalSeconds": 0}), 400, "bad_request", "`.intervalSeconds`"),
        (json!({"query": 7}), 400, "bad_request", "`.query`"),
        (json!({"query": {"limit": "x"}}), 400, "bad_request", "query"),
        (json!({"query": {"filter": "title = a"}}), 400, "invalid_search_filter", "title"),
        (json!({"assertions": []}), 400, "bad_request", "`.assertions`"),
        (json!({"assertions": [{"type": "best"}]}), 400, "bad_request", "`best`"),
        (json!({"assertions": [{"type": "min_hits"}]}), 400, "bad_request", "Missing field `value`"),
        (json!({"extra": 1}), 400, "bad_request", "`extra`"),
    ] {
        let (found, refused) = client.call("POST", "/_miroir/canaries", &body(change.clone()));
        assert_eq!((found, refused["code"].as_str()), (status, Some(code)), "{change}: {refused}");
        assert!(refused["message"].as_str().unwrap().contains(words), "{change}: {refused}");
    }
    for (change, status, code) in [
        (json!({"index": "none", "count": 1, "namePrefix": "a"}), 404, "index_not_found"),
        (json!({"index": "films", "count": 101, "namePrefix": "a"}), 400, "bad_request"),
        (json!({"index": "films", "count": 1}), 400, "bad_request"),
    ] {
        let (found, refused) = client.call("POST", "/_miroir/canaries/capture", &change);
        assert_eq!((found, refused["code"].as_str()), (status, Some(code)), "{change}: {refused}");
    }
    let (status, refused) = client.call("DELETE", "/_miroir/canaries/one", &Value::Null);
    assert_eq!((status, &refused["code"]), (404, &json!("miroir_canary_not_found")));
    assert_eq!(client.read("/_miroir/canaries")["results"], json!([]));
    assert_eq!(client.call("POST", "/_miroir/canaries", &body(json!({}))).0, 201);
    let (status, refused) = client.call("POST", "/_miroir/canaries", &body(json!({"intervalSeconds": 5})));
    assert_eq!((status, &refused["code"]), (409, &json!("miroir_canary_conflict")));
    assert_eq!(client.read("/_miroir/canaries")["results"][0]["intervalSeconds"], 60);
}
