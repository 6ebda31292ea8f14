//! A node with damaged answers: documents that it does not hold are read intact, and no client gets another client's
//! document.
//! Invariants: each document contains a word computed from its id, so a mixed-up answer can be told from a damaged one.
//! `MIROIR_TEST_GARBLED_SECONDS` requests a longer run.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use cluster::faulty_proxy::Trouble;
use serde_json::{Value, json};

use crate::support::TestCluster;
use node::test_client::Client;

const DOCUMENTS: u64 = 200;
/// The number of concurrent clients.
const CLIENTS: u64 = 4;
/// The duration of the damage, in seconds.
const SECONDS: u64 = 3;
/// How long the node may take until it serves again.
const AGAIN_MAX: Duration = Duration::from_secs(60);

/// A word that only the document with this id contains.
fn word(id: u64) -> String {
    format!("word-{:x}", id.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn seconds() -> Duration {
    let given = std::env::var("MIROIR_TEST_GARBLED_SECONDS").ok();
    Duration::from_secs(given.map_or(SECONDS, |text| text.parse().expect("a number of seconds")))
}

/// The ids of the documents on a node.
fn held(cluster: &TestCluster, node: usize) -> BTreeSet<u64> {
    let uid = cluster.client.read("/_miroir/topology")["indexes"][0]["nodeUid"].as_str().unwrap().to_owned();
    let url = cluster.cluster.node(node).unwrap().url();
    let documents = Client::new(url)
        .with_key("the-key-of-the-nodes")
        .read(&format!("/indexes/{uid}/documents?limit=1000&fields=id"));
    documents["results"].as_array().unwrap().iter().map(|document| document["id"].as_u64().unwrap()).collect()
}

/// Reads documents one by one. Returns how many answers were sound.
fn ask(cluster: &TestCluster, client: u64, sound: &BTreeSet<u64>, until: Instant) -> u64 {
    let (mut random, mut whole) = (fastrand::Rng::with_seed(client), 0);
    let asker = Client::new(cluster.cluster.url());
    while Instant::now() < until {
        let id = random.u64(0..DOCUMENTS);
        let (status, bytes) = asker.raw("GET", &format!("/indexes/things/documents/{id}"), &[], b"").unwrap();
        let document = serde_json::from_slice::<Value>(&bytes).unwrap_or_default();
        if sound.contains(&id) {
            assert_eq!((status, &document), (200, &json!({"id": id, "word": word(id)})), "document {id}");
        }
        let of = document["id"].as_u64().filter(|of| document["word"] == word(*of));
        assert!(of.is_none_or(|of| of == id), "{document} for document {id}");
        whole += u64::from(of.is_some());
        let _ = asker.raw("POST", "/indexes/things/search", &[], br#"{"q":"word","limit":50}"#).unwrap();
    }
    whole
}

#[test]
fn damaged_answers_of_a_node_reach_nobody_else() {
    for runtime in ["monoio", "glommio"] {
        let cluster = TestCluster::start(|options| {
            options.nodes = 2;
            options.proxied = true;
            options.gateway_arguments.extend(["--runtime", runtime].map(str::to_owned));
        });
        cluster.client.done("POST", "/indexes", &json!({"uid": "things", "primaryKey": "id"}));
        let documents: Vec<Value> = (0..DOCUMENTS).map(|id| json!({"id": id, "word": word(id)})).collect();
        cluster.client.done("POST", "/indexes/things/documents", &json!(documents));
        let sound = held(&cluster, 0);
        assert!((1..DOCUMENTS).contains(&(sound.len() as u64)), "{} documents on one node", sound.len());
        let garbling = cluster.cluster.proxy(1).unwrap();
        garbling.set(Trouble::Garbled);
        let until = Instant::now() + seconds();
        let whole: u64 = std::thread::scope(|scope| {
            let askers: Vec<_> = (0..CLIENTS)
                .map(|client| {
                    scope.spawn({
                        let (cluster, sound) = (&cluster, &sound);
                        move || ask(cluster, client, sound, until)
                    })
                })
                .collect();
            askers.into_iter().map(|asker| asker.join().unwrap()).sum()
        });
        eprintln!("{runtime}: {whole} documents came whole while a node's answers were damaged");
        assert!(whole > 0);
        garbling.set(Trouble::None);
        let deadline = Instant::now() + AGAIN_MAX;
        for id in 0..DOCUMENTS {
            let target = format!("/indexes/things/documents/{id}");
            while cluster.client.get(&target) != (200, json!({"id": id, "word": word(id)})) {
                assert!(Instant::now() < deadline, "document {id} is not there again");
            }
        }
    }
}
