//! The coordinator under simulated faults: fixed seeds at every run of the tests, and the checkers themselves, which
//! must find every planted bug.

use std::panic::catch_unwind;
use std::time::Instant;

use fuzz::sim::coordinator::{self, Bug};

/// Seeds that every run of the tests tries; `MIROIR_SIMULATION_SEEDS` sets another number.
const SEEDS: u64 = 300;
/// The number of seeds within which each planted bug must be found.
const FOUND_WITHIN: u64 = 200;

#[test]
fn pods_share_work_whatever_happens() {
    let seeds = std::env::var("MIROIR_SIMULATION_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    let seeds: u64 = seeds.unwrap_or(SEEDS);
    let begun = Instant::now();
    let mut sums = (0, 0, 0, 0);
    for seed in 0..seeds {
        println!("seed {seed}");
        let outcomes = coordinator::run(seed);
        assert!(outcomes.jobs_completed > 0 && outcomes.commits > 0, "seed {seed}: {outcomes:?}");
        sums.0 += outcomes.events;
        sums.1 += outcomes.commits;
        sums.2 += outcomes.leaders;
        sums.3 += outcomes.crashes + outcomes.pauses;
    }
    let minutes = begun.elapsed().as_secs_f64() / 60.0;
    #[allow(clippy::cast_precision_loss, reason = "a small count")]
    let rate = seeds as f64 / minutes;
    println!("{rate:.0} seeds a minute; events, commits, changes of leader, faults: {sums:?}");
    assert!(sums.2 > seeds && sums.3 > seeds, "too little happens: {sums:?}");
}

#[test]
fn every_planted_bug_is_found() {
    for bug in Bug::ALL {
        let found =
            (0..FOUND_WITHIN).find(|seed| catch_unwind(|| coordinator::run_with(*seed, Some(bug))).is_err());
        println!("{bug:?}: found at seed {found:?}");
        assert!(found.is_some(), "{bug:?} is not found within {FOUND_WITHIN} seeds");
    }
}

#[test]
fn a_seed_is_a_run() {
    for seed in [3, 77] {
        assert_eq!(coordinator::run(seed), coordinator::run(seed));
    }
}
