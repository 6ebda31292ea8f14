//! How many questions a core works on at once: as many as do not make each other wait.
//!
//! Invariants: pure but for its cells; the limit is never below a floor, so that work always goes on and is measured, and
//! never above what the operator allows. As in CoDel (RFC 8289) it is the least delay of an interval that counts: a
//! burst passes, a queue that stands is refused: a core that is busy itself comes down at once, by Little's law, else in
//! steps. What refusals do not make faster is slow by itself, and learnt as such.
//! Writes are not counted: what holds them up is disks and lanes, which have bounds of their own.

use std::{cell::Cell, time::Duration};

use crate::api::error::ApiError;

/// Between two looks at what was measured.
pub(crate) const INTERVAL: Duration = Duration::from_millis(100);
/// How often a core is asked how late it is.
pub(crate) const PROBE_INTERVAL: Duration = Duration::from_millis(10);
/// The limit never falls below.
const LIMIT_MIN: usize = 16;
/// Answers an interval must have before their times mean something.
const ANSWERS_MIN: u32 = 8;
/// Probes that must all have been late before the core is: one alone shows that the machine was busy elsewhere.
const PROBES_MIN: u32 = 4;
/// A core is busy itself whose lag is over this part of the delay that may stand.
const LAG_OF_BUSY_CORE: u32 = 8;
/// So many cuts in a row without gain show that the work itself is slow.
const FUTILE_CUTS_MAX: u32 = 12;

/// What one core has measured, and what follows from it.
#[derive(Debug)]
pub(crate) struct Overload {
    limit: Cell<usize>,
    /// In flight now, and at most during this interval.
    questions: Cell<usize>,
    peak: Cell<usize>,
    /// Of this interval; `done` counts questions of every kind.
    quickest: Cell<Duration>,
    answers: Cell<u32>,
    done: Cell<u32>,
    least_lag: Cell<Duration>,
    probes: Cell<u32>,
    /// How late the core was at the least when that was last known.
    lag: Cell<Duration>,
    /// The time of an answer that waits for no other; drifts upwards, so that it follows the work.
    base: Cell<Duration>,
    /// Cuts since the quickest answer last took another time than `cut_at`.
    futile_cuts: Cell<u32>,
    cut_at: Cell<Duration>,
}

impl Overload {
    /// Nothing is known yet: everything is let in.
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

    /// A question was let in.
    pub(crate) fn entered(&self) {
        self.questions.set(self.questions.get() + 1);
        self.peak.set(self.peak.get().max(self.questions.get()));
    }

    /// A question that was let in is done with.
    pub(crate) fn left(&self) {
        self.questions.set(self.questions.get().saturating_sub(1));
        self.done.set(self.done.get().saturating_add(1));
    }

    /// A question that shows how busy everybody is was answered in this time.
    pub(crate) fn answered(&self, took: Duration) {
        self.quickest.set(self.quickest.get().min(took));
        self.answers.set(self.answers.get().saturating_add(1));
    }

    /// The core was so late for a task that was due.
    pub(crate) fn was_late(&self, lag: Duration) {
        self.least_lag.set(self.least_lag.get().min(lag));
        self.probes.set(self.probes.get().saturating_add(1));
    }

    /// Ends an interval: draws the limit from it and begins the next. A delay up to `delay_max` may stand.
    pub(crate) fn turn(&self, in_flight_max: usize, delay_max: Duration) {
        let in_flight = self.peak.replace(self.questions.get());
        let late = self.is_late(delay_max);
        let quickest = self.quickest.replace(Duration::MAX);
        let (answers, done) = (self.answers.replace(0), self.done.replace(0));
        let known = answers >= ANSWERS_MIN;
        let base = match known {
            true => self.base.get().min(quickest),
            false => self.base.get(),
        };
        // Doubles within a minute, if nothing shows it to be less.
        self.base.set(base.saturating_add(base / 512));
        // What a client waits for: until its question is read, and for the others that are answered first.
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
        // From what is really in flight: a limit far above it would take long to matter.
        let mut cut = limit.min(in_flight.max(LIMIT_MIN));
        let fitting = fitting(done, base.saturating_add(delay_max).saturating_sub(self.lag.get()));
        // Who waits for this core itself does not wait for slow nodes, which fewer questions would not make faster.
        if waited && self.lag.get() > delay_max / LAG_OF_BUSY_CORE && cut > 2 * fitting {
            cut = fitting;
        }
        self.limit.set((cut - cut / 8).max(LIMIT_MIN));
    }

    /// Whether every probe since the last verdict was late, of which there must be enough for one.
    fn is_late(&self, delay_max: Duration) -> bool {
        if self.probes.get() < PROBES_MIN {
            return false;
        }
        self.probes.set(0);
        self.lag.set(self.least_lag.replace(Duration::MAX));
        self.lag.get() > delay_max
    }

    /// Whether cut after cut has made nothing quicker, while nothing became slower either.
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

/// What a client hears for whom there is no room.
pub(crate) fn refusal() -> ApiError {
    ApiError::overloaded("Too many requests are in flight; try again shortly.")
}

/// How many are in flight when so many are done in an interval and each takes `time`. Source: Little's law.
fn fitting(done: u32, time: Duration) -> usize {
    let fitting = u128::from(done) * time.as_micros() / INTERVAL.as_micros();
    usize::try_from(fitting).unwrap_or(usize::MAX).max(LIMIT_MIN)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// A service with so many workers, asked every so often, for a time; all in microseconds.
    struct Service {
        workers: usize,
        work: u64,
        between: u64,
    }

    /// What came of it in the second half.
    struct Seen {
        answered: u64,
        times: Vec<u64>,
    }

    impl Service {
        fn run(&self, overload: &Overload, seconds: u64, delay_max: Duration) -> Seen {
            let in_flight_max = 1024;
            let (mut queue, mut busy) = (VecDeque::new(), Vec::<(u64, u64)>::new());
            let mut seen = Seen { answered: 0, times: Vec::new() };
            let mut random = 7_u64;
            let (end, interval) = (seconds * 1_000_000, u64::try_from(INTERVAL.as_micros()).unwrap());
            for now in (0..end).step_by(50) {
                busy.retain(|(arrived, done)| {
                    if *done <= now {
                        overload.left();
                        overload.answered(Duration::from_micros(done - arrived));
                        if now > end / 2 {
                            seen.answered += 1;
                            seen.times.push(done - arrived);
                        }
                    }
                    *done > now
                });
                // Clients do not know of each other: any moment is as likely as any other.
                for _ in 0..4 {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let comes = (random >> 33) % (4 * self.between) < 50;
                    if comes && overload.has_room() && queue.len() + busy.len() < in_flight_max {
                        overload.entered();
                        queue.push_back(now);
                    }
                }
                while busy.len() < self.workers && !queue.is_empty() {
                    busy.extend(queue.pop_front().map(|arrived| (arrived, now + self.work)));
                }
                if now % interval == 0 {
                    overload.turn(in_flight_max, delay_max);
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
            let peak = calm.run(&Overload::new(), 20, delay_max);
            let storm = Service { between: (capacity_between / 3).max(50), ..calm };
            let overload = Overload::new();
            // What it is like without load is known before the storm, as in life.
            Service { between: capacity_between * 4, ..calm }.run(&overload, 2, delay_max);
            let stormy = storm.run(&overload, 20, delay_max);
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
        let (overload, delay_max) = (Overload::new(), Duration::from_millis(50));
        let interval = |took: u64, lag: u64, done: usize| {
            (0..PROBES_MIN).for_each(|_| overload.was_late(Duration::from_millis(lag)));
            (0..done).for_each(|_| overload.entered());
            for _ in 0..done {
                overload.left();
                overload.answered(Duration::from_millis(took));
            }
            overload.turn(1024, delay_max);
        };
        interval(1, 0, 200);
        (0..1000).for_each(|_| overload.entered());
        // 200 in 100 ms: of 1 + 50 ms in all, 20 pass until a question is read, and 62 are done in the others.
        interval(90, 20, 200);
        assert_eq!(overload.limit.get(), 62 - 62 / 8);
        // Nodes that are slow would not be faster for it.
        let overload = Overload::new();
        (0..1000).for_each(|_| overload.entered());
        (0..200).for_each(|_| overload.answered(Duration::from_millis(1)));
        overload.turn(1024, delay_max);
        (0..200).for_each(|_| overload.answered(Duration::from_millis(90)));
        overload.turn(1024, delay_max);
        assert_eq!(overload.limit.get(), 1000 - 1000 / 8);
    }

    #[test]
    fn slow_work_is_not_refused() {
        let (overload, delay_max) = (Overload::new(), Duration::from_millis(50));
        Service { workers: 100, work: 2_000, between: 1000 }.run(&overload, 2, delay_max);
        // Now each takes a hundred times as long, and there is room for all.
        let slow = Service { workers: 1000, work: 200_000, between: 1000 };
        let seen = slow.run(&overload, 60, delay_max);
        assert!(seen.answered > 29_000, "{}", seen.answered);
    }

    #[test]
    fn a_core_that_is_late_takes_less() {
        let (overload, delay_max) = (Overload::new(), Duration::from_millis(100));
        let turn = |lag: u64, probes: u32| {
            for _ in 0..probes {
                overload.was_late(Duration::from_millis(lag));
            }
            overload.turn(1024, delay_max);
        };
        (0..500).for_each(|_| overload.entered());
        (0..10).for_each(|_| turn(300, PROBES_MIN));
        assert!(overload.limit.get() < 500, "{}", overload.limit.get());
        assert!(!overload.has_room());
        (0..500).for_each(|_| overload.left());
        (0..200).for_each(|_| turn(300, PROBES_MIN));
        assert_eq!(overload.limit.get(), LIMIT_MIN);
        (0..200).for_each(|_| turn(0, PROBES_MIN));
        assert_eq!(overload.limit.get(), 1024);
        // Once late is not always late, and one probe in time shows that nothing stands.
        turn(300, 1);
        turn(300, PROBES_MIN - 2);
        turn(0, 1);
        assert_eq!(overload.limit.get(), 1024);
    }
}
