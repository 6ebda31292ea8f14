//! The hybrid logical clock that stamps writes (`_miroir_updated_at`).
//!
//! A stamp is milliseconds since the epoch in its upper 48 bits and a counter in its lower 16.
//! Invariants: no stamp is given out twice, by any core, before or after a restart, and later ones
//! are greater, whatever the wall clock does; nothing here is locked. For that a bound is durable
//! above every stamp: it is moved ahead now and then (`Clock::bound_due`), and a start begins past it.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crossbeam::utils::CachePadded;
use store::{Store, StoreError, Table};

/// Where the bound is stored.
const CLOCK: Table = Table::named("clock");
const BOUND: &str = "bound";

/// How far ahead of the clock its durable bound is moved.
const AHEAD: Duration = Duration::from_secs(60);
/// How often it is moved.
pub const MOVED_EVERY: Duration = Duration::from_secs(10);
/// Where the wall clock is past the bound, the counter alone goes on; so many stamps fit between
/// the bound and where a start begins.
const PAST_BOUND: u64 = stamp(1000);
/// Stamps of others so far ahead of this machine's time are not followed.
const FOLLOWED_AHEAD_MAX: Duration = Duration::from_secs(300);

/// One per process, shared by all cores.
pub struct Clock {
    /// The stamp given out last.
    last: CachePadded<AtomicU64>,
    /// The durable bound.
    bound: AtomicU64,
}

impl Clock {
    /// The clock of a process that is to start, its bound durable.
    ///
    /// # Errors
    /// What the store says.
    pub async fn start(store: &Store) -> Result<Self, StoreError> {
        let stored = store.record(CLOCK, BOUND).await?;
        let bound = stored.and_then(|record| record.value.as_u64());
        let clock = Self::after(bound, wall_clock());
        clock.move_bound(store).await?;
        Ok(clock)
    }

    fn after(bound: Option<u64>, now: u64) -> Self {
        let past = bound.map_or(0, |bound| bound.saturating_add(PAST_BOUND));
        let last = past.max(now);
        Self { last: CachePadded::new(AtomicU64::new(last)), bound: AtomicU64::new(last) }
    }

    /// The next stamp: greater than all before.
    pub fn tick(&self) -> u64 {
        self.tick_at(wall_clock())
    }

    fn tick_at(&self, now: u64) -> u64 {
        let now = now.min(self.bound.load(Ordering::Acquire));
        let next = |last: u64| now.max(last.saturating_add(1));
        let before = self.last.fetch_update(Ordering::AcqRel, Ordering::Acquire, |last| Some(next(last)));
        next(before.unwrap_or_else(|last| last))
    }

    /// Follows a stamp of another pod, so that later stamps here are greater; one far in the future is not
    /// followed, for it says more about that pod's clock than about time.
    pub fn follow(&self, stamp: u64) {
        self.follow_at(stamp, wall_clock());
    }

    fn follow_at(&self, seen: u64, now: u64) {
        let reach = now.saturating_add(stamp(millis(FOLLOWED_AHEAD_MAX)));
        if seen <= reach.min(self.bound.load(Ordering::Acquire)) {
            self.last.fetch_max(seen, Ordering::AcqRel);
        }
    }

    /// Moves the durable bound ahead of the clock.
    ///
    /// # Errors
    /// What the store says; the clock then goes on with the bound it has.
    pub async fn move_bound(&self, store: &Store) -> Result<(), StoreError> {
        let bound = self.bound_due(wall_clock());
        let revision = store.record(CLOCK, BOUND).await?.map(|record| record.revision);
        store.put_record(CLOCK, BOUND, bound.into(), revision).await?;
        self.bound.fetch_max(bound, Ordering::AcqRel);
        Ok(())
    }

    fn bound_due(&self, now: u64) -> u64 {
        now.max(self.last.load(Ordering::Acquire)).saturating_add(stamp(millis(AHEAD)))
    }
}

/// The first stamp of a millisecond.
#[must_use]
pub const fn stamp(millis: u64) -> u64 {
    millis << 16
}

fn wall_clock() -> u64 {
    // A machine whose clock stands before 1970 counts from there.
    stamp(millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeSet, sync::Arc};

    const NOON: u64 = stamp(1_700_000_000_000);

    fn with_bound(stored: Option<u64>, now: u64) -> Clock {
        let clock = Clock::after(stored, now);
        clock.bound.store(clock.bound_due(now), Ordering::Release);
        clock
    }

    #[test]
    fn it_follows_the_wall_clock_and_never_goes_back() {
        let clock = with_bound(None, NOON);
        assert_eq!(clock.tick_at(NOON + stamp(5)), NOON + stamp(5));
        assert_eq!(clock.tick_at(NOON + stamp(5)), NOON + stamp(5) + 1, "one millisecond, two stamps");
        assert_eq!(
            clock.tick_at(NOON - stamp(3_600_000)),
            NOON + stamp(5) + 2,
            "the clock went back an hour"
        );
    }

    #[test]
    fn a_restart_goes_on_above_every_stamp_before() {
        let clock = with_bound(None, NOON);
        // Nobody moves the bound for an hour: the counter alone goes on from there.
        let late = NOON + stamp(3_600_000);
        let before = (0..100_000).map(|_| clock.tick_at(late)).last().unwrap();
        let bound = clock.bound.load(Ordering::Acquire);
        assert!(before >= bound && before < bound + PAST_BOUND, "{before} {bound}");
        for restarted_at in [NOON - stamp(3_600_000), NOON, late] {
            assert!(with_bound(Some(bound), restarted_at).tick_at(restarted_at) > before);
        }
    }

    #[test]
    fn others_are_followed_unless_they_are_far_ahead() {
        let clock = with_bound(None, NOON);
        clock.follow_at(NOON + stamp(7), NOON);
        assert_eq!(clock.tick_at(NOON), NOON + stamp(7) + 1);
        clock.follow_at(NOON + stamp(3_600_000), NOON);
        assert_eq!(clock.tick_at(NOON), NOON + stamp(7) + 2, "an hour ahead is somebody's broken clock");
    }

    #[test]
    fn cores_never_get_the_same_stamp() {
        let clock = Arc::new(with_bound(None, NOON));
        let ticking = (0..4).map(|_| {
            let clock = Arc::clone(&clock);
            std::thread::spawn(move || (0..10_000).map(|_| clock.tick_at(NOON)).collect::<Vec<_>>())
        });
        let ticking = ticking.collect::<Vec<_>>();
        let stamps = ticking.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>();
        assert!(stamps.iter().all(|stamps| stamps.is_sorted()));
        assert_eq!(stamps.into_iter().flatten().collect::<BTreeSet<_>>().len(), 40_000);
    }
}
