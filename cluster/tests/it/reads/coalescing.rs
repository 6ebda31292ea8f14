//! Identical concurrent searches share one scatter, and no client gets less than one node would show.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::{
    failures::failover::{faulty, metric, set_faults},
    support::{TestCluster, load_cities},
};

/// After this many rounds without a shared scatter the test fails.
const ROUNDS_MAX: usize = 200;
const CLIENTS: usize = 8;

#[test]
fn identical_searches_share_one_scatter() {
    let cluster = TestCluster::start(faulty);
    load_cities(&cluster.client);
    // Slow enough that concurrent searches meet.
    for node in 0..3 {
        set_faults(&cluster, node, &json!({"delay_ms": 20, "path_prefix": "/indexes"}));
    }
    let question = json!({"q": "san", "limit": 7, "showRankingScore": true});
    let without_time = |mut answer: Value| {
        answer.as_object_mut().unwrap().remove("processingTimeMs");
        answer
    };
    let expected = without_time(cluster.client.search("cities", &question));
    let coalesced = || metric(&cluster, "miroir_coalesced_searches_total");
    let mut rounds = 0;
    while coalesced() == 0.0 {
        rounds += 1;
        assert!(rounds <= ROUNDS_MAX, "no two searches met");
        std::thread::scope(|scope| {
            let ask = || without_time(cluster.client.search("cities", &question));
            let clients = (0..CLIENTS).map(|_| scope.spawn(ask)).collect::<Vec<_>>();
            for client in clients {
                assert_eq!(client.join().unwrap(), expected);
            }
        });
    }
    let scatters = metric(&cluster, "miroir_scatter_fan_out_size_count");
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let searches = (1 + rounds * CLIENTS) as f64;
    assert!(scatters + coalesced() == searches, "{scatters} + {} of {searches}", coalesced());
}

#[test]
fn a_search_after_a_write_shows_it_whoever_else_searches() {
    let cluster = TestCluster::start(faulty);
    let client = &cluster.client;
    let index = client.done("POST", "/indexes", &json!({"uid": "counted", "primaryKey": "id"}));
    assert_eq!(index["status"], "succeeded");
    // Answers in flight are older than the task states that clients read meanwhile.
    for node in 0..3 {
        set_faults(&cluster, node, &json!({"answer_delay_ms": 40, "path_prefix": "/indexes/counted"}));
    }
    let question = json!({"q": "", "page": 1, "hitsPerPage": 1});
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    client.search("counted", &question);
                }
            });
        }
        let write_and_count = |number: u64| {
            client.done("POST", "/indexes/counted/documents", &json!([{"id": number}]));
            (number, client.search("counted", &question)["totalHits"].as_u64().unwrap())
        };
        let seen = (1..=20).map(write_and_count).collect::<Vec<_>>();
        over.store(true, Ordering::Relaxed);
        assert!(seen.iter().all(|(written, counted)| written == counted), "{seen:?}");
    });
}

#[test]
fn switched_off_nobody_shares() {
    let cluster = TestCluster::start(|options| {
        options.gateway_arguments.extend(["--query-coalescing", "off"].map(str::to_owned));
    });
    load_cities(&cluster.client);
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                for _ in 0..20 {
                    cluster.client.search("cities", &json!({"q": "san"}));
                }
            });
        }
    });
    assert!(metric(&cluster, "miroir_coalesced_searches_total") == 0.0);
}
