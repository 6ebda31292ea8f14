//! Documents that end, by a seed: made, renewed, changed and replaced while sweeps run, a node dies and returns, and
//! somebody reads all the time.
//! Invariant: a document says in a field of its own when it ends, so that a reader can judge each hit.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use fastrand::Rng;
use serde_json::{Value, json};

use crate::{
    failures::failover::{faulty, wait_for_state},
    support::TestCluster,
};
use node::test_client::Client;

const SEED: u64 = 0x711;
/// Rounds of writes, and documents that each one touches: every touch is one case.
const ROUNDS: usize = 60;
const TOUCHED: usize = 20;
const IDS: u64 = 400;
/// How far ahead ends are, in milliseconds.
const AHEAD_MS: u64 = 2_500;
const FAR_MS: u64 = 3_600_000;
const SWEPT_MAX: Duration = Duration::from_secs(60);

fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// A document's expected state: when it ends, if it does.
type Model = BTreeMap<u64, Option<u64>>;

/// One round: a request of random touches, and what the model is after it.
fn touch(random: &mut Rng, model: &mut Model) -> (&'static str, Vec<Value>) {
    let replaces = random.bool();
    let mut documents = BTreeMap::new();
    for _ in 0..TOUCHED {
        let id = random.u64(..IDS);
        if documents.contains_key(&id) {
            continue;
        }
        let mut document = json!({"id": id, "word": "lasting"});
        let end = match random.u8(..4) {
            0 => Some(now_ms() + FAR_MS),
            1 => None,
            _ => Some(now_ms() + AHEAD_MS + random.u64(..AHEAD_MS)),
        };
        match end {
            Some(end) => {
                (document["_miroir_expires_at"], document["until"]) = (json!(end), json!(end));
                model.insert(id, Some(end));
            }
            // A replacement without the field lasts. A change keeps what the document has, if it is still there.
            None if replaces => drop(model.insert(id, None)),
            None => match model.get(&id).copied() {
                // Whether the end comes before this change, nobody knows: such a document is left alone.
                Some(Some(end)) if end < now_ms() + FAR_MS / 2 => continue,
                Some(_) => {}
                None => drop(model.insert(id, None)),
            },
        }
        documents.insert(id, document);
    }
    (if replaces { "POST" } else { "PUT" }, documents.into_values().collect())
}

/// Reads until told to stop: no hit has ended before its search was sent.
fn watch(url: &str, over: &AtomicBool, read: &AtomicUsize) {
    let client = Client::new(url);
    while !over.load(Ordering::Relaxed) {
        let sent = now_ms();
        let search = client.search("things", &json!({"limit": IDS}));
        let list = client.read(&format!("/indexes/things/documents?limit={IDS}"));
        let hits = search["hits"].as_array().unwrap().iter().chain(list["results"].as_array().unwrap());
        for hit in hits {
            assert!(hit["until"].as_u64().is_none_or(|until| until > sent), "seen after {sent}: {hit}");
            assert!(hit.get("_miroir_expires_at").is_none(), "{hit}");
        }
        read.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn what_has_ended_is_never_seen_and_what_was_renewed_never_lost() {
    let mut cluster = TestCluster::start(faulty);
    cluster.client.done("POST", "/indexes", &json!({"uid": "things", "primaryKey": "id"}));
    let policy = json!({"sweepIntervalSeconds": 1, "maxDeletesPerSweep": 25});
    cluster.client.post("/_miroir/indexes/things/ttl-policy", &policy);
    let (mut random, mut model) = (Rng::with_seed(SEED), Model::new());
    let (url, over, read) = (cluster.cluster.url(), AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(&url, &over, &read));
        for round in 0..ROUNDS {
            let (method, documents) = touch(&mut random, &mut model);
            cluster.client.done(method, "/indexes/things/documents", &documents.into());
            match round {
                20 => {
                    cluster.cluster.kill_node(1).unwrap();
                    wait_for_state(&cluster, 1, "down");
                }
                35 => {
                    cluster.cluster.start_node(1).unwrap();
                    wait_for_state(&cluster, 1, "healthy");
                    let asked =
                        cluster.client.call("POST", "/_miroir/anti-entropy", &json!({"index": "things"}));
                    assert_eq!(asked.0, 202, "{}", asked.1);
                }
                _ => assert!(!watcher.is_finished(), "the watcher has failed"),
            }
        }
        over.store(true, Ordering::Relaxed);
        watcher.join().unwrap();
    });
    assert!(read.load(Ordering::Relaxed) > 3, "somebody has read meanwhile");
    // In the end those are there that last or end much later, whatever sweeps and repair did meanwhile.
    let late = now_ms() + FAR_MS / 2;
    let lasting = model.iter().filter(|(_, end)| end.is_none_or(|end| end > late)).map(|(id, _)| *id);
    let lasting = lasting.collect::<Vec<_>>();
    let deadline = Instant::now() + SWEPT_MAX;
    loop {
        let list = cluster.client.read(&format!("/indexes/things/documents?limit={IDS}&fields=id"));
        let found = list["results"].as_array().unwrap().iter().map(|one| one["id"].as_u64().unwrap());
        let mut found = found.collect::<Vec<_>>();
        found.sort_unstable();
        let lost = lasting.iter().filter(|id| !found.contains(id)).collect::<Vec<_>>();
        assert!(lost.is_empty(), "these were renewed or last, and are gone: {lost:?}");
        if found == lasting {
            return;
        }
        assert!(Instant::now() < deadline, "{} are left over", found.len() - lasting.len());
        std::thread::sleep(Duration::from_millis(50));
    }
}
