//! One core's load statistics of the nodes it reads from: latency, errors, requests in flight. From them follow which
//! nodes are ejected, when a leg is hedged, and how many extra requests are allowed.
//!
//! Invariants: they belong to one core, so nothing is shared or locked, and no borrow lives across an await. Small
//! differences between nodes change no choice, so that the pages of one query meet the same caches. No node is
//! ejected for ever.

use std::{
    cell::{Cell, RefCell, RefMut},
    sync::Arc,
    time::{Duration, Instant},
};

use metrics::{Counter, Histogram};
use router::NodeIndex;

use crate::{
    config::limits,
    nodes::{retry_budget::Budget, table::Nodes},
};

/// A node this many doublings slower than the best is asked only where others do not suffice.
const OUTLYING_LEVEL: u8 = 2;
/// Weights of milliseconds of latency, of requests in flight, and of errors per request.
const WEIGHTS: [f32; 3] = [1.0, 2.0, 10.0];
/// Differences of scores well below this do not matter.
const SCORE_SLACK: f32 = 8.0;
/// Latencies between two computations of the 95th percentile; before the first one nothing is hedged.
const LATENCIES_PER_LOOK: usize = 8;
/// Each core logs a failing node no more often than this.
const LOGGED_EVERY: Duration = Duration::from_secs(1);

/// The statistics of every node, by position in the topology.
pub(crate) struct LoadStats {
    nodes: RefCell<Vec<NodeLoad>>,
    table: Arc<Nodes>,
    levels: RefCell<Levels>,
    retries: RefCell<Budget>,
    hedges: RefCell<Budget>,
    /// The lower median of the nodes' 95th percentiles; zero while none is known.
    usual: Cell<Duration>,
    plans: Cell<usize>,
    adaptive: bool,
}

struct NodeLoad {
    latency_ms: Average,
    errors: Average,
    in_flight: u32,
    latest: Latest,
    /// Legs in a row that failed or were overtaken.
    failures: u32,
    rest: Duration,
    /// When the rest began; the outcome of a leg sent before says nothing new.
    rests_since: Option<Instant>,
    ejected_until: Option<Instant>,
    overloaded_until: Option<Instant>,
    logged_at: Option<Instant>,
    errors_total: Counter,
    duration: Histogram,
}

/// How much worse than the best each node is, in doublings of its score.
#[derive(Default)]
struct Levels {
    of: Vec<u8>,
    made_at: Option<Instant>,
}

/// An average that forgets half of what it knows in a half-life.
#[derive(Default, Clone, Copy)]
struct Average {
    value: f32,
    at: Option<Instant>,
}

impl Average {
    fn add(&mut self, sample: f32, now: Instant) {
        let weight = match self.at {
            None => 1.0,
            Some(at) => {
                let age = now.saturating_duration_since(at).as_secs_f32();
                1.0 - (-age / limits::LOAD_HALF_LIFE.as_secs_f32()).exp2()
            }
        };
        self.value += (sample - self.value) * weight;
        self.at = Some(now);
    }
}

/// The latest latencies, in microseconds, and their 95th percentile.
struct Latest {
    kept: [u32; limits::LATENCIES_KEPT],
    added: usize,
    high: Duration,
}

impl Default for Latest {
    fn default() -> Self {
        Self { kept: [0; limits::LATENCIES_KEPT], added: 0, high: Duration::ZERO }
    }
}

impl Latest {
    /// Adds a latency; gives whether the percentile was computed anew.
    fn add(&mut self, latency: Duration) -> bool {
        self.kept[self.added % limits::LATENCIES_KEPT] =
            u32::try_from(latency.as_micros()).unwrap_or(u32::MAX);
        self.added += 1;
        let looks = self.added.is_multiple_of(LATENCIES_PER_LOOK);
        if looks {
            let mut known = self.kept;
            let known = &mut known[..self.added.min(limits::LATENCIES_KEPT)];
            let (_, high, _) = known.select_nth_unstable(known.len() * 95 / 100);
            self.high = Duration::from_micros(u64::from(*high));
        }
        looks
    }
}

impl LoadStats {
    pub(crate) fn new(table: &Arc<Nodes>, adaptive: bool, now: Instant) -> Self {
        let retries = Budget::new(
            limits::RETRY_SHARE,
            limits::RETRIES_PER_SECOND,
            f32::from(limits::RETRIES_AT_ONCE_MAX),
            now,
        );
        let hedges = Budget::new(limits::HEDGE_SHARE, 0.0, f32::from(limits::HEDGES_AT_ONCE_MAX), now);
        Self {
            nodes: RefCell::default(),
            table: Arc::clone(table),
            levels: RefCell::default(),
            retries: RefCell::new(retries),
            hedges: RefCell::new(hedges),
            usual: Cell::default(),
            plans: Cell::new(0),
            adaptive,
        }
    }

    /// What was seen of a node; nodes come while the core runs.
    fn of(&self, node: NodeIndex) -> RefMut<'_, NodeLoad> {
        RefMut::map(self.nodes.borrow_mut(), |nodes| {
            while nodes.len() <= usize::from(node.0) {
                nodes.push(NodeLoad::new(&self.table.addresses[nodes.len()].id));
            }
            &mut nodes[usize::from(node.0)]
        })
    }

    /// Counts a request to a node. It is in flight until the returned value is dropped.
    pub(crate) fn sends(&self, node: NodeIndex, now: Instant) -> InFlight<'_> {
        let mut load_stats = self.of(node);
        load_stats.in_flight += 1;
        if load_stats.failures >= limits::BREAKER_FAILURES && !load_stats.is_ejected(now) {
            // This request is the node's trial: nothing else is sent before it ends.
            load_stats.ejected_until = Some(now + load_stats.rest.max(limits::BREAKER_REST_MIN));
        }
        drop(load_stats);
        InFlight { load_stats: self, node }
    }

    /// Records that a node has answered in time.
    pub(crate) fn answered(&self, node: NodeIndex, latency: Duration, now: Instant) {
        let computed = {
            let mut load_stats = self.of(node);
            load_stats.errors.add(0.0, now);
            load_stats.failures = 0;
            load_stats.rest = Duration::ZERO;
            load_stats.ejected_until = None;
            load_stats.duration.record(latency.as_secs_f64());
            load_stats.took(latency, now)
        };
        if computed {
            self.update_usual();
        }
    }

    /// Records that another node answered before this one, which was asked at `sent_at`.
    pub(crate) fn overtaken(&self, node: NodeIndex, sent_at: Instant, now: Instant) {
        let computed = {
            let mut load_stats = self.of(node);
            load_stats.failed(sent_at, now);
            load_stats.took(now.saturating_duration_since(sent_at), now)
        };
        if computed {
            self.update_usual();
        }
    }

    /// Records that a node gave no usable answer to what it was asked at `sent_at`; gives whether to log it.
    pub(crate) fn failed(&self, node: NodeIndex, sent_at: Instant, now: Instant) -> bool {
        let mut load_stats = self.of(node);
        load_stats.errors_total.increment(1);
        load_stats.errors.add(1.0, now);
        load_stats.failed(sent_at, now);
        let quiet = |at: Instant| now.saturating_duration_since(at) < LOGGED_EVERY;
        let logs = !load_stats.logged_at.is_some_and(quiet);
        if logs {
            load_stats.logged_at = Some(now);
        }
        logs
    }

    /// Records that a node said it is overloaded.
    pub(crate) fn overloaded(&self, node: NodeIndex, retry_after: Option<u32>, now: Instant) {
        let wanted = retry_after.map(|seconds| Duration::from_secs(u64::from(seconds)));
        let rest = wanted.unwrap_or(limits::OVERLOADED_REST_DEFAULT).min(limits::OVERLOADED_REST_MAX);
        self.of(node).overloaded_until = Some(now + rest);
    }

    /// Whether a node is ejected: it gets no requests for now, where others can answer.
    pub(crate) fn is_ejected(&self, node: NodeIndex, now: Instant) -> bool {
        self.of(node).is_ejected(now)
    }

    /// Begins a plan. One plan in a few ignores how slow nodes are, so that slow ones are measured again.
    pub(crate) fn begin_plan(&self, now: Instant) -> Selection<'_> {
        let plan = self.plans.get();
        self.plans.set(plan.wrapping_add(1));
        let blind = !self.adaptive || plan.is_multiple_of(limits::EXPLORE_EVERY);
        if !blind {
            self.refresh_levels(now);
        }
        Selection { load_stats: self, blind, now }
    }

    /// Makes plans that are not carried out, without counting them: the turn to explore stays as it is.
    pub(crate) fn unseen<T>(&self, look: impl FnOnce() -> T) -> T {
        let plans = self.plans.get();
        let seen = look();
        self.plans.set(plans);
        seen
    }

    /// The 95th percentile of a node's latest latencies; `None` while it is unknown.
    pub(crate) fn high_latency(&self, node: NodeIndex) -> Option<Duration> {
        let high = self.nodes.borrow()[usize::from(node.0)].latest.high;
        (!high.is_zero()).then_some(high)
    }

    /// After how long another node may be asked as well; `None` while nodes' latencies are unknown.
    pub(crate) fn hedge_after(&self, node: NodeIndex) -> Option<Duration> {
        let usual = self.usual.get();
        if usual.is_zero() {
            return None;
        }
        let high = self.of(node).latest.high;
        let high = if high.is_zero() { usual } else { high.min(usual) };
        Some(high.mul_f32(limits::HEDGE_FACTOR).max(limits::HEDGE_AFTER_MIN))
    }

    /// After how long another node is to be asked, hedging or not.
    pub(crate) fn patience(&self, node: NodeIndex) -> Duration {
        let hedge_after = self.hedge_after(node).unwrap_or_default();
        (hedge_after * limits::PATIENCE_FACTOR).max(limits::PATIENCE_MIN)
    }

    pub(crate) fn deposit(&self, legs: usize) {
        self.retries.borrow_mut().deposit(legs);
        self.hedges.borrow_mut().deposit(legs);
    }

    pub(crate) fn may_retry(&self, legs: usize, now: Instant) -> bool {
        self.retries.borrow_mut().withdraw(legs, now)
    }

    pub(crate) fn may_hedge(&self, legs: usize, now: Instant) -> bool {
        self.hedges.borrow_mut().withdraw(legs, now)
    }

    fn update_usual(&self) {
        let nodes = self.nodes.borrow();
        let mut known = nodes.iter().map(|node| node.latest.high).filter(|high| !high.is_zero());
        let mut known = known.by_ref().collect::<Vec<_>>();
        known.sort_unstable();
        self.usual.set(known.get(known.len().saturating_sub(1) / 2).copied().unwrap_or_default());
    }

    fn refresh_levels(&self, now: Instant) {
        let mut levels = self.levels.borrow_mut();
        let fresh = |at: Instant| now.saturating_duration_since(at) < limits::LEVELS_AGE_MAX;
        if levels.made_at.is_some_and(fresh) {
            return;
        }
        levels.made_at = Some(now);
        let nodes = self.nodes.borrow();
        let known = nodes.iter().filter(|node| node.latency_ms.at.is_some());
        let best = known.map(NodeLoad::score).fold(f32::INFINITY, f32::min);
        levels.of.clear();
        levels.of.extend(nodes.iter().map(|node| level(node.score(), best)));
    }
}

/// Doublings between two scores.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "held between 0 and 15")]
fn level(score: f32, best: f32) -> u8 {
    ((score + SCORE_SLACK) / (best + SCORE_SLACK)).log2().clamp(0.0, 15.0) as u8
}

impl NodeLoad {
    fn new(id: &str) -> Self {
        Self {
            latency_ms: Average::default(),
            errors: Average::default(),
            in_flight: 0,
            latest: Latest::default(),
            failures: 0,
            rest: Duration::ZERO,
            rests_since: None,
            ejected_until: None,
            overloaded_until: None,
            logged_at: None,
            errors_total: metrics::counter!("miroir_node_errors_total", "node" => id.to_owned()),
            duration: metrics::histogram!("miroir_node_request_duration_seconds", "node" => id.to_owned()),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a bounded number of requests")]
    fn score(&self) -> f32 {
        let [latency, in_flight, errors] = WEIGHTS;
        latency * self.latency_ms.value + in_flight * self.in_flight as f32 + errors * self.errors.value
    }

    fn took(&mut self, latency: Duration, now: Instant) -> bool {
        self.latency_ms.add(latency.as_secs_f32() * 1000.0, now);
        self.latest.add(latency)
    }

    fn failed(&mut self, sent_at: Instant, now: Instant) {
        if self.rests_since.is_some_and(|since| sent_at < since) {
            return;
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures >= limits::BREAKER_FAILURES {
            self.rest = (self.rest * 2).clamp(limits::BREAKER_REST_MIN, limits::BREAKER_REST_MAX);
            self.rests_since = Some(now);
            self.ejected_until = Some(now + self.rest);
        }
    }

    fn is_ejected(&self, now: Instant) -> bool {
        [self.ejected_until, self.overloaded_until].into_iter().flatten().any(|until| now < until)
    }
}

/// Which nodes one plan prefers.
pub(crate) struct Selection<'v> {
    load_stats: &'v LoadStats,
    blind: bool,
    now: Instant,
}

impl Selection<'_> {
    /// 0 for a node as good as the best.
    pub(crate) fn level(&self, node: NodeIndex) -> u8 {
        if self.blind {
            return 0;
        }
        self.load_stats.levels.borrow().of.get(usize::from(node.0)).copied().unwrap_or(0)
    }

    /// Whether a node is to be asked while others can answer as well.
    pub(crate) fn prefers(&self, node: NodeIndex) -> bool {
        self.level(node) < OUTLYING_LEVEL && !self.load_stats.is_ejected(node, self.now)
    }
}

/// A request in flight to a node.
pub(crate) struct InFlight<'v> {
    load_stats: &'v LoadStats,
    node: NodeIndex,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.load_stats.of(self.node).in_flight -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nodes::{
        address::{Addresses, NodeAddress},
        health::Health,
        hints::Hints,
    };

    const FAST: NodeIndex = NodeIndex(0);
    const SLOW: NodeIndex = NodeIndex(1);
    const THIRD: NodeIndex = NodeIndex(2);
    const MS: Duration = Duration::from_millis(1);

    fn load_stats(now: Instant) -> LoadStats {
        let addresses = Addresses::new(["a", "b", "c"].map(NodeAddress::nowhere).to_vec());
        let table = Nodes::new(addresses, Health::new(3, now), Hints::new(3, 0));
        LoadStats::new(&Arc::new(table), true, now)
    }

    #[test]
    fn an_average_forgets_half_in_a_half_life() {
        let now = Instant::now();
        let mut average = Average::default();
        average.add(100.0, now);
        average.add(0.0, now);
        assert!((average.value - 100.0).abs() < 0.1, "no time has passed: {}", average.value);
        average.add(0.0, now + limits::LOAD_HALF_LIFE);
        assert!((average.value - 50.0).abs() < 0.1, "{}", average.value);
        average.add(0.0, now + limits::LOAD_HALF_LIFE * 3);
        assert!((average.value - 12.5).abs() < 0.1, "{}", average.value);
    }

    #[test]
    fn a_hedge_waits_for_what_is_usual() {
        let now = Instant::now();
        let load_stats = load_stats(now);
        assert_eq!(load_stats.hedge_after(FAST), None, "nothing is known");
        assert_eq!(load_stats.patience(FAST), limits::PATIENCE_MIN);
        for latency in 1..=96 {
            load_stats.answered(FAST, latency * MS, now);
            load_stats.answered(SLOW, 10 * latency * MS, now);
        }
        // Of the 64 latest latencies; a slow node is measured by what is usual, not by its own.
        let expected = (93 * MS).mul_f32(limits::HEDGE_FACTOR);
        assert_eq!(load_stats.hedge_after(FAST), Some(expected));
        assert_eq!(load_stats.hedge_after(SLOW), Some(expected));
        assert_eq!(load_stats.hedge_after(THIRD), Some(expected));
        assert_eq!(load_stats.patience(FAST), expected * limits::PATIENCE_FACTOR);
        for _ in 0..64 {
            load_stats.answered(FAST, MS, now);
        }
        assert_eq!(load_stats.hedge_after(FAST), Some(limits::HEDGE_AFTER_MIN));
    }

    #[test]
    fn small_differences_change_no_choice_and_large_ones_do() {
        let mut now = Instant::now();
        let load_stats = load_stats(now);
        let levels = |load_stats: &LoadStats, now| {
            let selections = (0..2).map(|_| load_stats.begin_plan(now)).collect::<Vec<_>>();
            let selection = selections.iter().find(|selection| !selection.blind).unwrap();
            ([FAST, SLOW].map(|node| selection.level(node)), selection.prefers(SLOW))
        };
        load_stats.answered(FAST, 2 * MS, now);
        load_stats.answered(SLOW, 6 * MS, now);
        let in_flight = [load_stats.sends(SLOW, now), load_stats.sends(SLOW, now)];
        assert_eq!(levels(&load_stats, now), ([0, 0], true));
        drop(in_flight);
        now += Duration::from_millis(500);
        load_stats.answered(SLOW, 500 * MS, now);
        let ([fast, slow], preferred) = levels(&load_stats, now);
        assert!(fast == 0 && slow >= OUTLYING_LEVEL && !preferred, "{fast} {slow}");
        // It is tried again now and then.
        let explored = (0..1000).filter(|_| load_stats.begin_plan(now).prefers(SLOW)).count();
        assert_eq!(explored, 1000 / limits::EXPLORE_EVERY);
        for _ in 0..10 {
            now += Duration::from_secs(5);
            load_stats.answered(SLOW, 2 * MS, now);
        }
        assert_eq!(levels(&load_stats, now), ([0, 0], true));
    }

    #[test]
    fn a_node_that_fails_in_a_row_rests_longer_each_time() {
        let mut now = Instant::now();
        let load_stats = load_stats(now);
        for _ in 1..limits::BREAKER_FAILURES {
            load_stats.failed(FAST, now, now);
        }
        load_stats.answered(FAST, MS, now);
        for _ in 1..limits::BREAKER_FAILURES {
            load_stats.overtaken(FAST, now, now);
            assert!(!load_stats.is_ejected(FAST, now));
        }
        load_stats.failed(FAST, now, now);
        let mut rest = limits::BREAKER_REST_MIN;
        for _ in 0..10 {
            assert!(
                load_stats.is_ejected(FAST, now + rest - MS) && !load_stats.is_ejected(FAST, now + rest),
                "{rest:?}"
            );
            now += rest;
            // One trial is allowed.
            let trial = load_stats.sends(FAST, now);
            assert!(load_stats.is_ejected(FAST, now));
            load_stats.failed(FAST, now, now);
            drop(trial);
            rest = (rest * 2).min(limits::BREAKER_REST_MAX);
        }
        let trial = load_stats.sends(FAST, now + rest);
        load_stats.answered(FAST, MS, now + rest);
        drop(trial);
        assert!(!load_stats.is_ejected(FAST, now + rest));
    }

    #[test]
    fn legs_sent_before_a_node_rests_do_not_make_it_rest_longer() {
        let now = Instant::now();
        let load_stats = load_stats(now);
        for leg in 1..=20 {
            load_stats.failed(FAST, now, now + leg * MS);
        }
        let rested_at = now + limits::BREAKER_FAILURES * MS;
        assert!(load_stats.is_ejected(FAST, rested_at));
        assert!(!load_stats.is_ejected(FAST, rested_at + limits::BREAKER_REST_MIN));
    }

    #[test]
    fn an_overloaded_node_is_set_aside_for_as_long_as_it_says() {
        let now = Instant::now();
        let load_stats = load_stats(now);
        load_stats.overloaded(FAST, Some(3), now);
        load_stats.answered(FAST, MS, now);
        assert!(
            load_stats.is_ejected(FAST, now + 2999 * MS) && !load_stats.is_ejected(FAST, now + 3000 * MS)
        );
        load_stats.overloaded(SLOW, Some(u32::MAX), now);
        assert!(!load_stats.is_ejected(SLOW, now + limits::OVERLOADED_REST_MAX));
        load_stats.overloaded(THIRD, None, now);
        assert!(!load_stats.is_ejected(THIRD, now + limits::OVERLOADED_REST_DEFAULT));
    }
}
