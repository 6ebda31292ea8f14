//! A write with an `Idempotency-Key` is done once: whichever pods receive its repetitions, however many arrive
//! concurrently, and while pods die between the write and its acknowledgement.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::pods::coordination::{PAUSE, Pods, SETTLED_WITHIN, ask, ask_once};

/// Writes of each client while pods die.
const WRITES: usize = 40;

fn start() -> Pods {
    let pods = Pods::start();
    let url = format!("{}/indexes", pods.urls()[0]);
    let index = json!({"uid": "films", "primaryKey": "id"});
    let (status, task) = ask_once("POST", &url, Some(&index), Some("the index")).unwrap();
    assert_eq!((status, task["taskUid"].as_u64()), (202, Some(0)), "{task}");
    for pod in 0..3 {
        pods.until(pod, "/tasks/0", |task| task["status"] == "succeeded");
        let url = format!("{}/indexes", pods.urls()[pod]);
        assert_eq!(ask_once("POST", &url, Some(&index), Some("the index")), Some((202, task.clone())));
        pods.until(pod, "/indexes/films", |index| index["uid"] == "films");
    }
    pods
}

#[test]
fn a_repeated_write_is_done_once_through_any_pod() {
    let pods = start();
    let urls = pods.urls();
    let on = |pod: usize, method: &str, path: &str, body: &Value, key: &str| {
        ask_once(method, &format!("{}{path}", urls[pod]), Some(body), Some(key)).unwrap()
    };
    let count = || ask("GET", &format!("{}/tasks", urls[0]), None).unwrap().1["total"].as_u64().unwrap();
    let documents = json!([{"id": 1, "title": "one"}]);
    let path = "/indexes/films/documents";
    let first = on(0, "POST", path, &documents, "k1");
    assert_eq!(first.0, 202, "{}", first.1);
    for pod in [1, 2, 0] {
        assert_eq!(on(pod, "POST", path, &documents, "k1"), first);
    }
    // The key of another request: another body, method, target, or client.
    for (method, path, body) in [
        ("POST", path, json!([{"id": 1, "title": "two"}])),
        ("PUT", path, documents.clone()),
        ("POST", "/indexes/films/documents?primaryKey=id", documents.clone()),
        ("PATCH", "/indexes/films/settings", json!({"sortableAttributes": ["title"]})),
    ] {
        let (status, error) = on(1, method, path, &body, "k1");
        assert_eq!((status, error["code"].as_str()), (409, Some("miroir_idempotency_key_reused")), "{error}");
        assert_eq!(error["type"], "invalid_request");
    }
    let (status, error) = on(1, "POST", path, &documents, &"x".repeat(256));
    assert_eq!((status, error["code"].as_str()), (400, Some("bad_request")), "{error}");
    // A refused request releases its key.
    let by_filter = "/indexes/films/documents/delete";
    assert_eq!(on(0, "POST", by_filter, &json!({"filter": "title ="}), "k2").0, 400);
    assert_eq!(on(1, "POST", path, &documents, "k2").0, 202);
    // A read ignores a key, even one of a write.
    assert_eq!(on(2, "POST", "/indexes/films/search", &json!({"q": "one"}), "k1").0, 200);
    assert_eq!(count(), 3);
    // The task may be deleted: the write was done all the same.
    let uid = first.1["taskUid"].as_u64().unwrap();
    pods.until(0, &format!("/tasks/{uid}"), |task| task["status"] == "succeeded");
    let deletion = on(1, "DELETE", &format!("/tasks?uids={uid}"), &Value::Null, "k3");
    assert_eq!(deletion.0, 200, "{}", deletion.1);
    assert_eq!(on(2, "DELETE", &format!("/tasks?uids={uid}"), &Value::Null, "k3"), deletion);
    assert_eq!(ask("GET", &format!("{}/tasks/{uid}", urls[2]), None).unwrap().0, 404);
    assert_eq!(on(2, "POST", path, &documents, "k1"), first);
    many_at_once(&pods);
}

/// Sends each of many keys through all pods concurrently.
fn many_at_once(pods: &Pods) {
    let urls = pods.urls();
    for round in 0..10 {
        let documents = json!([{"id": format!("round-{round}")}]);
        let key = format!("round {round}");
        let answers: Vec<(u16, Value)> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..6)
                .map(|client| {
                    let url = format!("{}/indexes/films/documents", urls[client % urls.len()]);
                    let (documents, key) = (&documents, &key);
                    scope.spawn(move || ask_once("POST", &url, Some(documents), Some(key)).unwrap())
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(answers.iter().all(|answer| answer.0 == 202 && *answer == answers[0]), "{answers:?}");
    }
}

/// Writes with a different key each, through any available pod, until all are answered with a task. Sometimes does not
/// wait for the answer.
fn write_all(urls: &[String], writer: usize, done: &AtomicUsize) -> BTreeMap<String, (Value, u64)> {
    let mut tasks = BTreeMap::new();
    let mut turn = writer;
    for number in 0..WRITES {
        let (key, documents) = (format!("{writer}-{number}"), json!([{"id": format!("{writer}-{number}")}]));
        let begun = Instant::now();
        loop {
            let url = format!("{}/indexes/films/documents", urls[turn % urls.len()]);
            match ask_once("POST", &url, Some(&documents), Some(&key)) {
                Some((202, answer)) => {
                    tasks.insert(key, (documents, answer["taskUid"].as_u64().unwrap()));
                    break;
                }
                Some((503, _)) | None => {}
                other => panic!("{other:?}"),
            }
            assert!(begun.elapsed() < SETTLED_WITHIN, "{key} is not answered");
            turn += 1;
            std::thread::sleep(PAUSE);
        }
        done.fetch_add(1, Ordering::SeqCst);
    }
    tasks
}

#[test]
fn a_pod_that_dies_leaves_no_write_done_twice() {
    let mut pods = start();
    let urls = pods.urls();
    let (done, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let all = std::thread::scope(|scope| {
        let (urls, done, over) = (&urls, &done, &over);
        let writers: Vec<_> =
            (0..3).map(|writer| scope.spawn(move || write_all(urls, writer, done))).collect();
        let killing = scope.spawn(|| {
            for pod in 0.. {
                let before = done.load(Ordering::SeqCst);
                while done.load(Ordering::SeqCst) < before + WRITES / 2 {
                    if over.load(Ordering::SeqCst) {
                        return pod;
                    }
                    std::thread::sleep(Duration::from_millis(2));
                }
                pods.signal(pod % 3, "-KILL");
                pods.pods[pod % 3].wait().unwrap();
                pods.restart(pod % 3);
            }
            0
        });
        let mut all = BTreeMap::new();
        for writer in writers {
            all.extend(writer.join().unwrap());
        }
        over.store(true, Ordering::SeqCst);
        assert!(killing.join().unwrap() > 1, "no pod died");
        all
    });
    assert_eq!(all.len(), 3 * WRITES);
    for pod in 0..3 {
        pods.until(pod, "/tasks?statuses=enqueued,processing", |page| page["total"] == 0);
    }
    let (_, page) = ask("GET", &format!("{}/tasks?limit=1000", urls[0]), None).unwrap();
    let kinds = page["results"].as_array().unwrap().iter().map(|task| &task["type"]);
    let writes = kinds.filter(|kind| **kind == "documentAdditionOrUpdate").count();
    assert_eq!(writes, all.len(), "as many tasks as keys");
    for (turn, (key, (documents, task))) in all.iter().enumerate() {
        let url = format!("{}/indexes/films/documents", urls[turn % 3]);
        let (status, answer) = ask_once("POST", &url, Some(documents), Some(key)).unwrap();
        assert_eq!((status, answer["taskUid"].as_u64()), (202, Some(*task)), "{key}: {answer}");
    }
}
