//! The work that pods share: each piece is done once, by some pod, while pods end and are stopped in the middle of it;
//! and what remains when Redis has lost everything.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::pods::coordination::{LEADER_WITHIN, PAUSE, Pods, SETTLED_WITHIN, ask};
use node::test_client::Client;

const NAMES: [&str; 3] = ["a", "b", "c"];
const DOCUMENTS: usize = 40;
/// How long a joining or leaving pod may take to be noticed.
const SEEN_WITHIN: Duration = Duration::from_secs(15);
/// More than any read takes here, and less than any command to a store that hangs.
const READ_WITHIN: Duration = Duration::from_secs(2);

/// Pods over nodes with fault switches, with two copies of everything.
fn start(is_durable: bool) -> Pods {
    let pods = Pods::start_with(is_durable, |options| {
        options.replication_factor = 2;
        options.control = true;
    });
    change(&pods, 0, "POST", "/indexes", &json!({"uid": "films", "primaryKey": "id"}));
    for pod in 0..3 {
        pods.until(pod, "/indexes/films", |index| index["uid"] == "films");
    }
    let films = (0..DOCUMENTS).map(|id| json!({"id": id, "title": format!("film {id}")}));
    change(&pods, 0, "POST", "/indexes/films/documents", &films.collect());
    pods
}

/// Sends a change to a pod and waits until its task is done.
fn change(pods: &Pods, pod: usize, method: &str, path: &str, body: &Value) -> u64 {
    let (status, task) = ask(method, &format!("{}{path}", pods.urls()[pod]), Some(body)).unwrap();
    assert_eq!(status, 202, "{task}");
    let uid = task["taskUid"].as_u64().unwrap();
    pods.until(pod, &format!("/tasks/{uid}"), |task| task["status"] == "succeeded");
    uid
}

/// Delays every request about indexes by `delay_ms` on every node.
fn slow_down(pods: &Pods, delay_ms: u64) {
    for node in 0..3 {
        let control = pods.cluster.node(node).unwrap().control().unwrap();
        Client::new(control).post("/faults", &json!({"delay_ms": delay_ms, "path_prefix": "/indexes"}));
    }
}

/// The pod that works on a pass once it has compared `shards` shards, according to the pod `asked`.
fn worker(pods: &Pods, asked: usize, number: &Value, shards: u64, but: &[usize]) -> usize {
    let mut found = None;
    pods.until(asked, "/_miroir/anti-entropy", |status| {
        let running = &status["running"];
        let is_far = running["report"]["shards"].as_u64().is_some_and(|compared| compared >= shards);
        found = NAMES.iter().position(|name| running["pod"] == *name);
        running["number"] == *number && is_far && found.is_some_and(|pod| !but.contains(&pod))
    });
    found.unwrap()
}

#[test]
fn a_pass_is_done_once_whoever_ends_or_sleeps_meanwhile() {
    let mut pods = start(true);
    slow_down(&pods, 150);
    let (status, asked) =
        ask("POST", &format!("{}/_miroir/anti-entropy", pods.urls()[0]), Some(&json!({}))).unwrap();
    assert_eq!(status, 202, "{asked}");
    let number = asked["pass"].clone();
    // The first pod is asked to stop: the next continues at once from its position.
    let first = worker(&pods, 0, &number, 1, &[]);
    pods.signal(first, "-TERM");
    assert!(pods.pods[first].wait().unwrap().success());
    let rest: Vec<usize> = (0..3).filter(|pod| *pod != first).collect();
    let begun = Instant::now();
    let second = worker(&pods, rest[0], &number, 1, &[first]);
    assert!(begun.elapsed() < LEADER_WITHIN, "{:?}", begun.elapsed());
    // The second pod sleeps past its claim, and finds on waking that another has the pass.
    pods.signal(second, "-STOP");
    let third = rest.into_iter().find(|pod| *pod != second).unwrap();
    assert_eq!(worker(&pods, third, &number, 1, &[first, second]), third);
    pods.signal(second, "-CONT");
    slow_down(&pods, 0);
    pods.until(third, "/_miroir/anti-entropy", |status| status["last"]["number"] == number);
    pods.restart(first);
    for pod in 0..3 {
        pods.until(pod, "/_miroir/anti-entropy", |status| {
            status["running"].is_null() && status["queued"] == json!([])
        });
        let url = format!("{}/_miroir/anti-entropy/history", pods.urls()[pod]);
        let (_, history) = ask("GET", &url, None).unwrap();
        let passes = history["results"].as_array().unwrap();
        assert_eq!(passes.len(), 1, "{history}");
        assert_eq!((&passes[0]["number"], &passes[0]["pod"]), (&number, &json!(NAMES[third])));
        let report = &passes[0]["report"];
        assert_eq!(
            (&report["shards"], &report["failed"], &report["differing"]),
            (&json!(8), &json!(0), &json!(0))
        );
        assert_eq!(report["compared"], 2 * DOCUMENTS, "every copy was compared once: {report}");
    }
}

/// The version of the settings of the only index, according to a pod.
fn settings_version(topology: &Value) -> u64 {
    topology["indexes"][0]["settingsVersion"].as_u64().unwrap_or(0)
}

#[test]
fn a_leader_that_slept_commits_nothing() {
    let pods = start(true);
    let (leader, _) = pods.until_led("settings", &[0, 1, 2]);
    let rest: Vec<usize> = (0..3).filter(|pod| *pod != leader).collect();
    let (_, topology) = ask("GET", &format!("{}/_miroir/topology", pods.urls()[rest[0]]), None).unwrap();
    let before = settings_version(&topology);
    slow_down(&pods, 200);
    change(&pods, rest[0], "PATCH", "/indexes/films/settings", &json!({"sortableAttributes": ["year"]}));
    // Stops the leader at whatever step it has reached.
    pods.signal(leader, "-STOP");
    slow_down(&pods, 0);
    let (_, took) = pods.until_led("settings", &rest);
    assert!(took < LEADER_WITHIN, "{took:?}");
    let took = pods.until(rest[0], "/_miroir/topology", |topology| {
        let peers = topology["coordinator"]["peers"].as_array().unwrap();
        let peer = peers.iter().find(|peer| peer["name"] == NAMES[leader]);
        // A peer that was configured is reported as missing; one that was only seen is forgotten.
        peer.is_none_or(|peer| peer["alive"] == false)
    });
    assert!(took < SEEN_WITHIN, "{took:?}");
    for pod in &rest {
        pods.until(*pod, "/_miroir/topology", |topology| settings_version(topology) == before + 1);
    }
    pods.signal(leader, "-CONT");
    pods.until(leader, "/_miroir/topology", |topology| {
        settings_version(topology) == before + 1
            && topology["coordinator"]["pods"].as_array().unwrap().len() == 3
    });
    // If the old leader had committed anything behind the new leader's back, the next version would be another.
    change(&pods, leader, "PATCH", "/indexes/films/settings", &json!({"sortableAttributes": ["name"]}));
    for pod in 0..3 {
        pods.until(pod, "/_miroir/topology", |topology| settings_version(topology) == before + 2);
        pods.until(pod, "/indexes/films/settings", |settings| {
            settings["sortableAttributes"] == json!(["name"])
        });
    }
}

#[test]
fn a_redis_that_lost_all_is_given_what_pods_know() {
    let mut pods = start(false);
    let key = json!({"actions": ["search"], "indexes": ["*"], "expiresAt": null});
    let (status, key) = ask("POST", &format!("{}/keys", pods.urls()[1]), Some(&key)).unwrap();
    assert_eq!(status, 201, "{key}");
    let path = format!("/keys/{}", key["uid"].as_str().unwrap());
    pods.until(2, &path, |found| found["key"] == key["key"]);
    let last = change(&pods, 2, "PATCH", "/indexes/films/settings", &json!({"sortableAttributes": ["year"]}));
    pods.redis.restart();
    // The first write succeeds once a pod has noticed. Until then it is refused, never half done.
    let begun = Instant::now();
    let task = loop {
        let url = format!("{}/indexes/films/documents", pods.urls()[1]);
        match ask("POST", &url, Some(&json!([{"id": DOCUMENTS}]))) {
            Some((202, task)) => break task,
            answer => assert!(begun.elapsed() < SETTLED_WITHIN, "{answer:?}"),
        }
        std::thread::sleep(PAUSE);
    };
    let uid = task["taskUid"].as_u64().unwrap();
    assert!(uid > last, "a uid is given once: {uid} after {last}");
    for pod in 0..3 {
        pods.until(pod, &format!("/tasks/{uid}"), |task| task["status"] == "succeeded");
        pods.until(pod, &path, |found| found["key"] == key["key"]);
        pods.until(pod, "/indexes/films/settings", |found| found["sortableAttributes"] == json!(["year"]));
        pods.until(pod, "/indexes/films/stats", |stats| stats["numberOfDocuments"] == DOCUMENTS + 1);
        let (status, _) = ask("GET", &format!("{}/tasks/{last}", pods.urls()[pod]), None).unwrap();
        assert_eq!(status, 404, "tasks of before are gone");
    }
    let (_, took) = pods.until_led("settings", &[0, 1, 2]);
    assert!(took < LEADER_WITHIN, "{took:?}");
}

#[test]
fn reads_ask_no_store() {
    let pods = start(true);
    let urls = pods.urls();
    pods.redis.signal("-STOP");
    let slowest = (0..300).map(|number| {
        let begun = Instant::now();
        let (url, question) = (&urls[number % 3], json!({"q": "film", "offset": number % DOCUMENTS}));
        let (status, answer) = match number % 4 {
            0 => ask("GET", &format!("{url}/indexes/films/documents/{}", number % DOCUMENTS), None).unwrap(),
            1 => ask(
                "POST",
                &format!("{url}/multi-search"),
                Some(&json!({"queries": [{"indexUid": "films"}]})),
            )
            .unwrap(),
            _ => ask("POST", &format!("{url}/indexes/films/search"), Some(&question)).unwrap(),
        };
        assert_eq!(status, 200, "{answer}");
        begun.elapsed()
    });
    let slowest = slowest.max().unwrap();
    assert!(slowest < READ_WITHIN, "{slowest:?}");
    // A write is refused with a time to retry, within the time that a store may take to answer.
    let url = format!("{}/indexes/films/documents", urls[0]);
    let (status, answer) = ask("POST", &url, Some(&json!([{"id": 1}]))).unwrap();
    assert_eq!((status, &answer["code"]), (503, &json!("miroir_overloaded")), "{answer}");
    let (_, ready) = ask("GET", &format!("{}/_miroir/ready", urls[0]), None).unwrap();
    assert_eq!(ready["storeReached"], false, "{ready}");
    pods.redis.signal("-CONT");
    for pod in 0..3 {
        pods.until(pod, "/_miroir/ready", |ready| ready["storeReached"] == true);
    }
    let begun = Instant::now();
    while !matches!(ask("POST", &url, Some(&json!([{"id": 1}]))), Some((202, _))) {
        assert!(begun.elapsed() < SETTLED_WITHIN);
        std::thread::sleep(PAUSE);
    }
}
