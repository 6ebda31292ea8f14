//! Adaptive concurrency limit: a core works on as many questions at once as do not make each other wait.
//!
//! Invariants: pure but for its cells. The limit is never below a floor, so that work goes on and is measured, and
//! never above what the operator allows. As in CoDel (RFC 8289) the least delay of an interval counts: a burst
//! passes, a queue that stands is refused. A core that is busy itself cuts the limit at once, by Little's law, else
//! in steps. Where cuts make nothing faster, the work itself is slow, and the limit learns that. Writes are not
//! counted: disks and lanes hold them up, which have bounds of their own.

use std::{cell::Cell, time::Duration};

use crate::api::error::ApiError;

/// The time between two updates of the limit.
pub(crate) const INTERVAL: Duration = Duration::from_millis(100);
/// How often a core measures its lag.
pub(crate) const PROBE_INTERVAL: Duration = Duration::from_millis(10);
/// The limit never falls below this.
const LIMIT_MIN: usize = 16;
/// Answers that an interval needs before its times mean something.
const ANSWERS_MIN: u32 = 8;
/// Probes that must all be late before the core counts as late: a single one shows that the machine was busy
/// elsewhere.
const PROBES_MIN: u32 = 4;
/// A core is busy itself when its lag is over this part (1/n) of the delay that may stand.
const LAG_OF_BUSY_CORE: u32 = 8;
/// This many cuts in a row without gain show that the work itself is slow.
const FUTILE_CUTS_MAX: u32 = 12;

/// What one core has measured, and the limit that follows from it.
#[derive(Debug)]
pub(crate) struct ConcurrencyLimit {
    limit: Cell<usize>,
    /// Questions in flight now, and the most at once during this interval.
    questions: Cell<usize>,
    peak: Cell<usize>,
    /// Measured during this interval; `done` counts questions of every kind.
    quickest: Cell<Duration>,
    answers: Cell<u32>,
    done: Cell<u32>,
    least_lag: Cell<Duration>,
    probes: Cell<u32>,
    /// The core's least lag in the last interval that showed it.
    lag: Cell<Duration>,
    /// The time of an answer that waits for no other one; drifts upwards, so that it follows the work.
    base: Cell<Duration>,
    /// Cuts since the quickest answer last differed from `cut_at`.
    futile_cuts: Cell<u32>,
    cut_at: Cell<Duration>,
}

impl ConcurrencyLimit {
    /// Begins without measurements, so everything is let in.
    pub(crate) fn new() -> Self {
        Self {
            limit: Cell::new(usize::MAX),
            questions: Cell::new(0),
            peak: Cell::new(0),
            quickest: Cell::new(Duration::MAX),
            answers: Cell::new(0),
            done: Cell::new(0),
            least_lag: Cell::new(Duration::MAX),
            probes: Cell::new(0),
            lag: Cell::new(Duration::ZERO),
            base: Cell::new(Duration::MAX),
            futile_cuts: Cell::new(0),
            cut_at: Cell::new(Duration::MAX),
        }
    }

    /// Whether there is room for one more question.
    pub(crate) fn has_room(&self) -> bool {
        self.questions.get() < self.limit.get()
    }

    /// Whether no more than half of the room is taken.
    pub(crate) fn has_plenty_of_room(&self) -> bool {
        self.questions.get() <= self.limit.get() / 2
    }

    /// Counts a question that is let in.
    pub(crate) fn entered(&self) {
        self.questions.set(self.questions.get() + 1);
        self.peak.set(self.peak.get().max(self.questions.get()));
    }

    /// Counts a question that is done.
    pub(crate) fn left(&self) {
        self.questions.set(self.questions.get().saturating_sub(1));
        self.done.set(self.done.get().saturating_add(1));
    }

    /// Records the time of an answer that shows how busy nodes and core are.
    pub(crate) fn answered(&self, took: Duration) {
        self.quickest.set(self.quickest.get().min(took));
        self.answers.set(self.answers.get().saturating_add(1));
    }

    /// Records how late the core was for a task that was due.
    pub(crate) fn was_late(&self, lag: Duration) {
        self.least_lag.set(self.least_lag.get().min(lag));
        self.probes.set(self.probes.get().saturating_add(1));
    }

    /// Ends an interval: derives the limit from it and begins the next. A delay up to `delay_max` may stand.
    pub(crate) fn end_interval(&self, in_flight_max: usize, delay_max: Duration) {
        let in_flight = self.peak.replace(self.questions.get());
        let late = self.is_late(delay_max);
        let quickest = self.quickest.replace(Duration::MAX);
        let (answers, done) = (self.answers.replace(0), self.done.replace(0));
        let known = answers >= ANSWERS_MIN;
        let base = match known {
            true => self.base.get().min(quickest),
            false => self.base.get(),
        };
        // Doubles within a minute, unless an answer shows it to be less.
        self.base.set(base.saturating_add(base / 512));
        // A client waits until its question is read, and for the questions that are answered before it.
        let delay = quickest.saturating_sub(base).saturating_add(self.lag.get());
        let waited = known && delay > delay_max;
        let limit = self.limit.get().min(in_flight_max);
        if !waited && !late {
            self.futile_cuts.set(0);
            self.cut_at.set(Duration::MAX);
            self.limit.set(limit.saturating_add(limit / 32 + 1).min(in_flight_max));
            return;
        }
        if waited && !late && self.is_futile(quickest) {
            self.base.set(quickest);
            return;
        }
        // Cut from what is really in flight: a limit far above that would take long to matter.
        let mut cut = limit.min(in_flight.max(LIMIT_MIN));
        let fitting = fitting(done, base.saturating_add(delay_max).saturating_sub(self.lag.get()));
        // Questions that wait for this core do not wait for slow nodes, which fewer questions would not make faster.
        if waited && self.lag.get() > delay_max / LAG_OF_BUSY_CORE && cut > 2 * fitting {
            cut = fitting;
        }
        self.limit.set((cut - cut / 8).max(LIMIT_MIN));
    }

    /// Whether every probe since the last verdict was late; `false` while there are too few probes.
    fn is_late(&self, delay_max: Duration) -> bool {
        if self.probes.get() < PROBES_MIN {
            return false;
        }
        self.probes.set(0);
        self.lag.set(self.least_lag.replace(Duration::MAX));
        self.lag.get() > delay_max
    }

    /// Whether cuts in a row have made nothing quicker, while nothing became slower either.
    fn is_futile(&self, quickest: Duration) -> bool {
        let before = self.cut_at.get();
        let same = before != Duration::MAX && quickest.abs_diff(before) < before / 8;
        if !same {
            self.cut_at.set(quickest);
            self.futile_cuts.set(0);
            return false;
        }
        self.futile_cuts.set(self.futile_cuts.get() + 1);
        self.futile_cuts.get() > FUTILE_CUTS_MAX
    }
}

/// The refusal of a request for which there is no room.
pub(crate) fn refusal() -> ApiError {
    ApiError::overloaded("Too many requests are in flight; try again shortly.")
}

/// How many are in flight when `done` are done in an interval and each takes `time`. Source: Little's law.
fn fitting(done: u32, time: Duration) -> usize {
    let fitting = u128::from(done) * time.as_micros() / INTERVAL.as_micros();
    usize::try_from(fitting).unwrap_or(usize::MAX).max(LIMIT_MIN)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// A service of `workers`, each busy for `work` per question, with a question every `between`; all in
    /// microseconds.
    struct Service {
        workers: usize,
        work: u64,
        between: u64,
    }

    /// What was measured in the second half of a run.
    struct Seen {
        answered: u64,
        times: Vec<u64>,
    }

    impl Service {
        fn run(&self, limit: &ConcurrencyLimit, seconds: u64, delay_max: Duration) -> Seen {
            let in_flight_max = 1024;
            let (mut queue, mut busy) = (VecDeque::new(), Vec::<(u64, u64)>::new());
            let mut seen = Seen { answered: 0, times: Vec::new() };
            let mut random = 7_u64;
            let (end, interval) = (seconds * 1_000_000, u64::try_from(INTERVAL.as_micros()).unwrap());
            for now in (0..end).step_by(50) {
                busy.retain(|(arrived, done)| {
                    if *done <= now {
                        limit.left();
                        limit.answered(Duration::from_micros(done - arrived));
                        if now > end / 2 {
                            seen.answered += 1;
                            seen.times.push(done - arrived);
                        }
                    }
                    *done > now
                });
                // Clients are independent: any moment is as likely as any other.
                for _ in 0..4 {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let comes = (random >> 33) % (4 * self.between) < 50;
                    if comes && limit.has_room() && queue.len() + busy.len() < in_flight_max {
                        limit.entered();
                        queue.push_back(now);
                    }
                }
                while busy.len() < self.workers && !queue.is_empty() {
                    busy.extend(queue.pop_front().map(|arrived| (arrived, now + self.work)));
                }
                if now % interval == 0 {
                    limit.end_interval(in_flight_max, delay_max);
                }
            }
            seen.times.sort_unstable();
            seen
        }
    }

    impl Seen {
        fn p99(&self) -> u64 {
            self.times[self.times.len() * 99 / 100]
        }
    }

    #[test]
    fn goodput_holds_and_answers_stay_quick_at_three_times_capacity() {
        for (workers, work) in [(8, 4_000), (4, 20_000), (64, 10_000)] {
            let delay_max = Duration::from_micros(3_000.max(work / 4));
            let capacity_between = (work / workers as u64).max(50);
            let calm = Service { workers, work, between: capacity_between * 11 / 10 };
            let peak = calm.run(&ConcurrencyLimit::new(), 20, delay_max);
            let storm = Service { between: (capacity_between / 3).max(50), ..calm };
            let limit = ConcurrencyLimit::new();
            // As in life, the times without load are known before the storm.
            Service { between: capacity_between * 4, ..calm }.run(&limit, 2, delay_max);
            let stormy = storm.run(&limit, 20, delay_max);
            let shown = format!(
                "{workers} workers of {work}: {} {}, {} {}",
                peak.answered,
                peak.p99(),
                stormy.answered,
                stormy.p99()
            );
            assert!(stormy.answered * 10 >= peak.answered * 9, "{shown}");
            assert!(stormy.p99() <= 2 * peak.p99() + 5_000, "{shown}");
        }
    }

    #[test]
    fn a_busy_core_comes_down_at_once() {
        let (limit, delay_max) = (ConcurrencyLimit::new(), Duration::from_millis(50));
        let interval = |took: u64, lag: u64, done: usize| {
            (0..PROBES_MIN).for_each(|_| limit.was_late(Duration::from_millis(lag)));
            (0..done).for_each(|_| limit.entered());
            for _ in 0..done {
                limit.left();
                limit.answered(Duration::from_millis(took));
            }
            limit.end_interval(1024, delay_max);
        };
        interval(1, 0, 200);
        (0..1000).for_each(|_| limit.entered());
        // 200 are done in 100 ms: of 1 + 50 ms in all, 20 pass until a question is read, and 62 are done in the rest.
        interval(90, 20, 200);
        assert_eq!(limit.limit.get(), 62 - 62 / 8);
        // Fewer questions would not make slow nodes faster.
        let limit = ConcurrencyLimit::new();
        (0..1000).for_each(|_| limit.entered());
        (0..200).for_each(|_| limit.answered(Duration::from_millis(1)));
        limit.end_interval(1024, delay_max);
        (0..200).for_each(|_| limit.answered(Duration::from_millis(90)));
        limit.end_interval(1024, delay_max);
        assert_eq!(limit.limit.get(), 1000 - 1000 / 8);
    }

    #[test]
    fn slow_work_is_not_refused() {
        let (limit, delay_max) = (ConcurrencyLimit::new(), Duration::from_millis(50));
        Service { workers: 100, work: 2_000, between: 1000 }.run(&limit, 2, delay_max);
        // Now each question takes a hundred times as long, and there is room for all.
        let slow = Service { workers: 1000, work: 200_000, between: 1000 };
        let seen = slow.run(&limit, 60, delay_max);
        assert!(seen.answered > 29_000, "{}", seen.answered);
    }

    #[test]
    fn a_core_that_is_late_takes_less() {
        let (limit, delay_max) = (ConcurrencyLimit::new(), Duration::from_millis(100));
        let interval = |lag: u64, probes: u32| {
            for _ in 0..probes {
                limit.was_late(Duration::from_millis(lag));
            }
            limit.end_interval(1024, delay_max);
        };
        (0..500).for_each(|_| limit.entered());
        (0..10).for_each(|_| interval(300, PROBES_MIN));
        assert!(limit.limit.get() < 500, "{}", limit.limit.get());
        assert!(!limit.has_room());
        (0..500).for_each(|_| limit.left());
        (0..200).for_each(|_| interval(300, PROBES_MIN));
        assert_eq!(limit.limit.get(), LIMIT_MIN);
        (0..200).for_each(|_| interval(0, PROBES_MIN));
        assert_eq!(limit.limit.get(), 1024);
        // One late probe is not enough, and one probe in time shows that no queue stands.
        interval(300, 1);
        interval(300, PROBES_MIN - 2);
        interval(0, 1);
        assert_eq!(limit.limit.get(), 1024);
    }
}
