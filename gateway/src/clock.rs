//! The time of day, and the hybrid logical clock that orders writes: wall time while that moves forward, else a
//! count.
//!
//! Invariants: nothing else in the gateway reads the wall clock. The logical clock never repeats a value nor goes
//! back, also after a restart under a wall clock that was set back, as far as `ceiling` was stored in time. Its value
//! is milliseconds since the epoch and, in the low 16 bits, a count.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use store::Table;
use time::OffsetDateTime;

/// The table with the ceiling: a value above all that may have been given.
pub const CLOCK: Table = Table::named("clock");
pub const CLOCK_KEY: &str = "ceiling";
const COUNT_BITS: u32 = 16;

/// The source of the time of day, when that is not the system.
static WALL: OnceLock<fn() -> SystemTime> = OnceLock::new();

/// Sets another source for the time of day, for as long as the process lives; only the first call counts.
pub fn set_wall(wall: fn() -> SystemTime) {
    // A second caller's source is ignored.
    let _ = WALL.set(wall);
}

/// The time of day.
#[must_use]
pub fn wall() -> SystemTime {
    WALL.get().map_or_else(SystemTime::now, |wall| wall())
}

/// The time of day as a date.
#[must_use]
pub fn utc() -> OffsetDateTime {
    wall().into()
}

/// One per process.
#[derive(Debug, Default)]
pub struct Clock(AtomicU64);

impl Clock {
    /// A clock that continues above a stored ceiling.
    #[must_use]
    pub fn above(ceiling: u64) -> Self {
        Self(AtomicU64::new(ceiling))
    }

    /// Moves the clock to what clocks of this cluster had given when one of them stored this ceiling, which lies
    /// `milliseconds` ahead. A pod that started above the ceiling itself would be ahead of the others, and its writes
    /// would win over later ones.
    pub fn catch_up(&self, ceiling: u64, milliseconds: u64) {
        self.0.fetch_max(ceiling.saturating_sub(milliseconds << COUNT_BITS), Ordering::Relaxed);
    }

    /// The next value.
    pub fn next(&self) -> u64 {
        self.next_at(wall())
    }

    fn next_at(&self, now: SystemTime) -> u64 {
        let now = value_at(now);
        let advance = |last: u64| Some(now.max(last.saturating_add(1)));
        let last = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, advance);
        last.map_or(now, |last| now.max(last.saturating_add(1)))
    }

    /// A value above all that is given within `milliseconds` from now, unless the wall clock is set.
    #[must_use]
    pub fn ceiling(&self, milliseconds: u64) -> u64 {
        let last = self.0.load(Ordering::Relaxed).max(value_at(wall()));
        last.saturating_add(milliseconds << COUNT_BITS)
    }
}

fn value_at(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    u64::try_from(since).unwrap_or(u64::MAX >> COUNT_BITS) << COUNT_BITS
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_only_moves_forward() {
        let clock = Clock::default();
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let first = clock.next_at(at(10));
        assert_eq!(first, 10_000 << COUNT_BITS);
        assert_eq!(clock.next_at(at(10)), first + 1);
        assert_eq!(clock.next_at(at(5)), first + 2, "the wall clock was set back");
        assert_eq!(clock.next_at(at(11)), 11_000 << COUNT_BITS);
        assert!(Clock::above(first).next_at(at(5)) > first);
        assert!(clock.ceiling(1000) > clock.next());
        let other = Clock::default();
        other.catch_up(value_at(at(60)), 30_000);
        assert_eq!(
            other.next_at(at(5)),
            value_at(at(30)) + 1,
            "no further than the ceiling's owner had come"
        );
        other.catch_up(value_at(at(20)), 0);
        assert_eq!(other.next_at(at(5)), value_at(at(30)) + 2, "clocks do not go back");
    }
}
