//! Pods that write the same documents concurrently: every copy gets the writes in the order of the tasks, and a pod
//! that dies or sleeps while it has the lane delays the others only for a bounded time.

use std::{
    collections::BTreeMap,
    sync::{Barrier, Mutex},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::pods::coordination::{PAUSE, Pods, SETTLED_WITHIN, ask};
use node::test_client::Client;

/// Documents that all writers write, one after the other.
const DOCUMENTS: u64 = 40;
const WRITERS: usize = 6;
/// A lane lease's time to live, plus a margin for a busy machine.
const TURN_WITHIN: Duration = Duration::from_secs(9);

fn start() -> Pods {
    let pods = Pods::start_with(true, |options| {
        options.replication_factor = 2;
        options.control = true;
    });
    let (status, task) = ask(
        "POST",
        &format!("{}/indexes", pods.urls()[0]),
        Some(&json!({"uid": "films", "primaryKey": "id"})),
    )
    .unwrap();
    assert_eq!(status, 202, "{task}");
    for pod in 0..3 {
        pods.until(pod, "/indexes/films", |index| index["uid"] == "films");
    }
    pods
}

/// The last write of each document, by task.
type Written = Mutex<BTreeMap<u64, (u64, String)>>;

/// Writes each of the documents through one pod, at the same time as the other writers.
fn write(url: &str, writer: usize, together: &Barrier, written: &Written) {
    let url = format!("{url}/indexes/films/documents");
    for id in 0..DOCUMENTS {
        together.wait();
        let value = format!("by {writer}");
        let (status, answer) = ask("POST", &url, Some(&json!([{"id": id, "value": value}]))).unwrap();
        assert_eq!(status, 202, "{answer}");
        written.lock().unwrap().insert(answer["taskUid"].as_u64().unwrap(), (id, value));
    }
}

/// Delays every request about indexes by `delay_ms` on one node.
fn slow_down(pods: &Pods, node: usize, delay_ms: u64) {
    let control = pods.cluster.node(node).unwrap().control().unwrap();
    Client::new(control).post("/faults", &json!({"delay_ms": delay_ms, "path_prefix": "/indexes"}));
}

/// The documents on each node.
fn copies(pods: &Pods) -> Vec<BTreeMap<u64, Value>> {
    let read = |url: String| {
        let node = Client::new(url).with_key("the-key-of-the-nodes");
        let indexes = node.read("/indexes");
        let uid = indexes["results"][0]["uid"].as_str().unwrap().to_owned();
        let page = node.read(&format!("/indexes/{uid}/documents?limit=1000"));
        let documents = page["results"].as_array().unwrap().iter();
        documents.map(|document| (document["id"].as_u64().unwrap(), document.clone())).collect()
    };
    pods.cluster.node_urls().into_iter().map(read).collect()
}

#[test]
fn all_copies_have_the_order_of_the_tasks_whichever_pods_write() {
    let pods = start();
    let urls = pods.urls();
    let (written, together) = (Written::default(), Barrier::new(WRITERS));
    std::thread::scope(|scope| {
        let writer = |writer: usize| {
            let (url, together, written) = (&urls[writer % 3], &together, &written);
            scope.spawn(move || write(url, writer, together, written))
        };
        let writers: Vec<_> = (0..WRITERS).map(writer).collect();
        // The nodes are slow in turn, so that a later write may overtake an earlier one.
        for round in 0_usize.. {
            if writers.iter().all(|writer| writer.is_finished()) {
                break;
            }
            (0..3).for_each(|node| {
                slow_down(&pods, node, if (round + node).is_multiple_of(3) { 40 } else { 0 })
            });
            std::thread::sleep(PAUSE);
        }
    });
    (0..3).for_each(|node| slow_down(&pods, node, 0));
    for pod in 0..3 {
        pods.until(pod, "/tasks?statuses=enqueued,processing", |page| page["total"] == 0);
    }
    let written = written.into_inner().unwrap();
    assert_eq!(written.len() as u64, WRITERS as u64 * DOCUMENTS, "every write has a task of its own");
    let last: BTreeMap<u64, String> = written.into_values().collect();
    let copies = copies(&pods);
    for (id, value) in last {
        let of_id: Vec<&Value> = copies.iter().filter_map(|copy| copy.get(&id)).collect();
        assert_eq!(of_id.len(), 2, "{id} has two copies");
        assert_eq!(of_id[0], of_id[1], "copies of {id}");
        assert_eq!(of_id[0]["value"], value, "the last task about {id}");
    }
}

/// Writes through a pod until the write is acknowledged. Returns how long that took.
fn until_written(url: &str, value: &str) -> Duration {
    let begun = Instant::now();
    let url = format!("{url}/indexes/films/documents");
    while !matches!(ask("POST", &url, Some(&json!([{"id": 1, "value": value}]))), Some((202, _))) {
        assert!(begun.elapsed() < SETTLED_WITHIN, "{value} is not acknowledged");
        std::thread::sleep(PAUSE);
    }
    begun.elapsed()
}

#[test]
fn a_pod_that_dies_or_sleeps_in_its_turn_does_not_keep_it() {
    let mut pods = start();
    let urls = pods.urls();
    until_written(&urls[0], "first");
    pods.signal(0, "-KILL");
    pods.pods[0].wait().unwrap();
    let took = until_written(&urls[1], "second");
    assert!(took < TURN_WITHIN, "{took:?}");
    pods.signal(1, "-STOP");
    let took = until_written(&urls[2], "third");
    assert!(took < TURN_WITHIN, "{took:?}");
    pods.signal(1, "-CONT");
    until_written(&urls[1], "fourth");
    // A pod that is asked to stop releases its lane: another pod may hold it by then, for the tasks that were left.
    pods.signal(1, "-TERM");
    assert!(pods.pods[1].wait().unwrap().success());
    let lease = pods.redis.asked(&["HGET", "{miroir}:t:leases", "lane/films"]);
    assert!(lease.contains("expires_ms") && !lease.contains(r#""holder":"b""#), "{lease}");
    until_written(&urls[2], "fifth");
    pods.until(2, "/tasks?statuses=enqueued,processing", |page| page["total"] == 0);
    let copies = copies(&pods);
    let of_one: Vec<&Value> = copies.iter().filter_map(|copy| copy.get(&1)).collect();
    assert_eq!(of_one.len(), 2);
    assert!(of_one.iter().all(|copy| copy["value"] == "fifth"), "{of_one:?}");
}
