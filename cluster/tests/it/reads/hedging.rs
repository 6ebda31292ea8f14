//! Hedged requests and adaptive selection: a slow node hardly delays searches, and gets few of them.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{
    failures::failover::{faulty, metric, set_faults},
    support::{TestCluster, load_cities},
};

/// The additional latency of the slow node.
const DELAY: Duration = Duration::from_millis(500);

#[test]
fn a_slow_node_costs_searches_little() {
    let cluster = TestCluster::start(faulty);
    load_cities(&cluster.client);
    let search = |number: usize| {
        let started = Instant::now();
        cluster.client.search(
            "cities",
            &json!({"q": "san", "offset": number % 50, "filter": format!("population > {number}")}),
        );
        started.elapsed()
    };
    let requests = || metric(&cluster, "miroir_scatter_fan_out_size_sum");
    for number in 0..200 {
        search(number);
    }
    set_faults(&cluster, 1, &json!({"delay_ms": DELAY.as_millis(), "path_prefix": "/indexes"}));
    let late = (0..400).map(search).filter(|took| *took >= DELAY).count();
    assert!(late <= 4, "{late} of 400 searches waited for the slow node");
    let (hedges, legs) = (metric(&cluster, "miroir_hedge_fired_total"), requests());
    assert!(hedges >= 1.0, "nobody was hedged");
    // The initial budget of each of two cores, plus the share of the legs.
    assert!(hedges <= 2.0 * 16.0 + 0.05 * legs + 1.0, "{hedges} hedges of {legs} legs");
}

#[test]
fn without_hedges_nobody_is_asked_twice() {
    let off = ["--hedging", "off"].map(str::to_owned);
    let cluster = TestCluster::start(|options| {
        faulty(options);
        options.gateway_arguments.extend(off);
    });
    load_cities(&cluster.client);
    set_faults(&cluster, 1, &json!({"delay_ms": 60, "path_prefix": "/indexes"}));
    for number in 0..50 {
        cluster.client.search("cities", &json!({"filter": format!("population > {number}")}));
    }
    assert!(metric(&cluster, "miroir_hedge_fired_total") == 0.0);
}
