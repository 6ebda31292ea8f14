//! `kill -9` of the gateway under load: acknowledged writes are there afterwards.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::TestCluster;
use node::test_client::Client;

/// Writes in flight at the same time.
const WRITERS: usize = 200;
/// The number of answers before the kill; the other writes are in flight then.
const ANSWERED_BEFORE_KILL: usize = 60;

#[test]
fn what_was_answered_survives_the_death_of_the_gateway() {
    let mut cluster = TestCluster::on_runtime("monoio");
    cluster.client.done("POST", "/indexes", &json!({"uid": "things", "primaryKey": "id"}));
    for round in 0..3 {
        let answered = write_and_kill(&mut cluster, round);
        assert!(answered.len() >= ANSWERED_BEFORE_KILL, "round {round}: only {} answers", answered.len());
        cluster.cluster.start_gateway().unwrap();
        check(&cluster.client, &answered, round);
    }
    no_task_without_an_end(&cluster.client);
}

/// Returns the acknowledged writes: the document's id and the task's uid.
fn write_and_kill(cluster: &mut TestCluster, round: usize) -> Vec<(usize, u64)> {
    let url = cluster.cluster.url();
    let (barrier, count) = (Barrier::new(WRITERS), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let writers = (0..WRITERS).map(|writer| {
            let (barrier, count, url) = (&barrier, &count, &url);
            let id = round * WRITERS + writer;
            scope.spawn(move || {
                let client = Client::new(url.clone());
                let body = json!([{"id": id, "round": round}]).to_string();
                let headers = [("Content-Type", "application/json")];
                barrier.wait();
                let (status, answer) =
                    client.raw("POST", "/indexes/things/documents", &headers, body.as_bytes()).ok()?;
                assert_eq!(status, 202, "{}", String::from_utf8_lossy(&answer));
                count.fetch_add(1, Ordering::SeqCst);
                let answer: Value = serde_json::from_slice(&answer).ok()?;
                Some((id, answer["taskUid"].as_u64()?))
            })
        });
        let writers = writers.collect::<Vec<_>>();
        let deadline = Instant::now() + Duration::from_secs(60);
        while count.load(Ordering::SeqCst) < ANSWERED_BEFORE_KILL {
            assert!(Instant::now() < deadline, "writes are not answered");
            std::thread::yield_now();
        }
        cluster.cluster.kill_gateway().unwrap();
        writers.into_iter().filter_map(|writer| writer.join().unwrap()).collect()
    })
}

fn check(client: &Client, answered: &[(usize, u64)], round: usize) {
    for (id, uid) in answered {
        let task = client.finished(&json!({"taskUid": uid}));
        assert_eq!(task["status"], "succeeded", "task {uid} of round {round}: {task}");
        let document = client.read(&format!("/indexes/things/documents/{id}"));
        assert_eq!(document, json!({"id": id, "round": round}));
    }
    let mut uids = answered.iter().map(|(_, uid)| uid).collect::<Vec<_>>();
    uids.sort_unstable();
    uids.dedup();
    assert_eq!(uids.len(), answered.len(), "every write has a task of its own");
}

fn no_task_without_an_end(client: &Client) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let open = client.read("/tasks?statuses=enqueued,processing&limit=1000");
        if open["total"] == 0 {
            return;
        }
        assert!(Instant::now() < deadline, "tasks do not end: {open}");
        std::thread::yield_now();
    }
}
