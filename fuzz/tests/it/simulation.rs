//! The coordinator under simulated faults: a number of seeds at every run of the tests, each the same every time.

use std::time::Instant;

use fuzz::sim;

const SEEDS: std::ops::Range<u64> = 0..60;

#[test]
fn pods_share_work_whatever_happens() {
    let begun = Instant::now();
    let mut sums = (0, 0, 0, 0);
    for seed in SEEDS {
        println!("seed {seed}");
        let outcomes = sim::run(seed);
        assert!(outcomes.jobs_completed > 0 && outcomes.commits > 0, "seed {seed}: {outcomes:?}");
        sums.0 += outcomes.events;
        sums.1 += outcomes.commits;
        sums.2 += outcomes.leaders;
        sums.3 += outcomes.crashes + outcomes.pauses;
    }
    let minutes = begun.elapsed().as_secs_f64() / 60.0;
    #[allow(clippy::cast_precision_loss, reason = "a small count")]
    let rate = SEEDS.end as f64 / minutes;
    println!("{rate:.0} seeds a minute; events, commits, changes of leader, faults: {sums:?}");
    assert!(sums.2 > SEEDS.end && sums.3 > SEEDS.end, "too little happens: {sums:?}");
}

#[test]
fn a_seed_is_a_run() {
    for seed in [3, 77] {
        assert_eq!(sim::run(seed), sim::run(seed));
    }
}
