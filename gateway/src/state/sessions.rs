//! The last write of each session to each index, for reads that must see it.
//!
//! Invariants: all cores share it without a lock. It is bounded: a session that writes to many indexes, or one of too
//! many sessions, may lose its oldest write. It never takes another session's write for its own: names are hashed
//! with keys of this process. A write is forgotten after its time.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use ahash::{AHashSet, RandomState};

use crate::config::limits;

/// Writes kept for the sessions that share a set.
const SLOTS_PER_SET: usize = 8;
/// The task uid of a write that is applied: no task has it.
const APPLIED: u32 = u32::MAX;
/// Stands for all indexes, when a write is not about a single one.
const EVERY_INDEX: u64 = 0;

/// One per process.
pub struct Sessions {
    slots: Vec<Slot>,
    hasher: RandomState,
    epoch: Instant,
}

/// One write: its session and index (both hashed; session 0 marks an empty slot), and its task with the second of the
/// write.
#[derive(Default)]
struct Slot {
    session: AtomicU64,
    index: AtomicU64,
    write: AtomicU64,
}

/// A session's last write to an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastWrite {
    pub task_uid: u32,
    slot: usize,
    write: u64,
}

impl Sessions {
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            slots: (0..limits::SESSION_WRITES_MAX).map(|_| Slot::default()).collect(),
            hasher: RandomState::new(),
            epoch: now,
        }
    }

    /// Records that a session's write to an index, or to several, was accepted as this task.
    pub fn wrote(&self, session: &str, index: Option<&str>, task_uid: u32, now: Instant) {
        let (session, index, seconds) = (self.hash(session), self.index(index), self.seconds(now));
        let write = u64::from(seconds) << 32 | u64::from(task_uid);
        let set = self.set(session);
        let known = set.clone().find(|slot| self.is(*slot, session, index));
        let slot = known.unwrap_or_else(|| self.oldest(set, seconds));
        let slot = &self.slots[slot];
        if known.is_none() {
            // A concurrent reader finds an empty slot meanwhile.
            slot.session.store(0, Ordering::Release);
            slot.index.store(index, Ordering::Release);
            slot.write.store(write, Ordering::Release);
            slot.session.store(session, Ordering::Release);
            return;
        }
        // Two cores may answer writes of one session at once: the later write counts.
        let later = |seen: u64| (task_of(seen) == APPLIED || task_of(seen) < task_uid).then_some(write);
        let _ = slot.write.try_update(Ordering::AcqRel, Ordering::Acquire, later);
    }

    /// The writes that a read of an index, or of all, has to see; none that is applied.
    #[must_use]
    pub fn to_see(&self, session: &str, index: Option<&str>, now: Instant) -> Vec<LastWrite> {
        let (session, index, seconds) = (self.hash(session), self.index(index), self.seconds(now));
        let found = self.set(session).filter_map(|slot| {
            let seen = &self.slots[slot];
            let write = seen.write.load(Ordering::Acquire);
            let of = seen.index.load(Ordering::Acquire);
            let matches = index == EVERY_INDEX || of == EVERY_INDEX || of == index;
            let own = seen.session.load(Ordering::Acquire) == session;
            let task_uid = task_of(write);
            let open = task_uid != APPLIED && is_alive(write, seconds);
            (own && matches && open).then_some(LastWrite { task_uid, slot, write })
        });
        found.collect()
    }

    /// Marks a write as applied, so that no read waits for it any more.
    pub fn applied(&self, last: LastWrite) {
        let applied = last.write | u64::from(APPLIED);
        let write = &self.slots[last.slot].write;
        // A later write in its slot stays.
        let _ = write.compare_exchange(last.write, applied, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// How many sessions wrote within their time.
    #[must_use]
    pub fn active(&self, now: Instant) -> usize {
        let seconds = self.seconds(now);
        let alive = self.slots.iter().filter(|slot| is_alive(slot.write.load(Ordering::Relaxed), seconds));
        let sessions = alive.map(|slot| slot.session.load(Ordering::Relaxed)).filter(|session| *session != 0);
        sessions.collect::<AHashSet<_>>().len()
    }

    fn hash(&self, name: &str) -> u64 {
        self.hasher.hash_one(name).max(1)
    }

    fn index(&self, index: Option<&str>) -> u64 {
        index.map_or(EVERY_INDEX, |index| self.hash(index))
    }

    /// Seconds since the process began, from 1 on.
    fn seconds(&self, now: Instant) -> u32 {
        u32::try_from(now.saturating_duration_since(self.epoch).as_secs() + 1).unwrap_or(u32::MAX)
    }

    fn set(&self, session: u64) -> std::ops::Range<usize> {
        let sets = self.slots.len() / SLOTS_PER_SET;
        let set = usize::try_from(session >> 32).unwrap_or_default() % sets;
        set * SLOTS_PER_SET..(set + 1) * SLOTS_PER_SET
    }

    fn is(&self, slot: usize, session: u64, index: u64) -> bool {
        let slot = &self.slots[slot];
        slot.session.load(Ordering::Acquire) == session && slot.index.load(Ordering::Acquire) == index
    }

    /// The slot whose loss is least: an empty one, one whose write is applied, else the oldest.
    fn oldest(&self, mut set: std::ops::Range<usize>, seconds: u32) -> usize {
        let first = set.start;
        let loss = |slot: &usize| {
            let write = self.slots[*slot].write.load(Ordering::Acquire);
            (is_alive(write, seconds) && task_of(write) != APPLIED, write >> 32)
        };
        set.by_ref().min_by_key(loss).unwrap_or(first)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half of the word")]
fn task_of(write: u64) -> u32 {
    write as u32
}

fn is_alive(write: u64, seconds: u32) -> bool {
    let made = write >> 32;
    made > 0 && u64::from(seconds) < made + limits::SESSION_TTL.as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks(sessions: &Sessions, session: &str, index: Option<&str>, now: Instant) -> Vec<u32> {
        let mut tasks =
            sessions.to_see(session, index, now).iter().map(|last| last.task_uid).collect::<Vec<_>>();
        tasks.sort_unstable();
        tasks
    }

    #[test]
    fn a_session_sees_its_own_last_writes() {
        let now = Instant::now();
        let sessions = Sessions::new(now);
        sessions.wrote("a", Some("films"), 0, now);
        sessions.wrote("a", Some("films"), 7, now);
        sessions.wrote("a", Some("films"), 5, now);
        sessions.wrote("a", Some("books"), 6, now);
        sessions.wrote("b", Some("films"), 8, now);
        assert_eq!(tasks(&sessions, "a", Some("films"), now), [7], "the last one, however late it is told");
        assert_eq!(tasks(&sessions, "a", Some("books"), now), [6]);
        assert_eq!(tasks(&sessions, "a", None, now), [6, 7]);
        assert_eq!(tasks(&sessions, "a", Some("other"), now), [0; 0]);
        assert_eq!(tasks(&sessions, "c", None, now), [0; 0]);
        assert_eq!(sessions.active(now), 2);
        // A write to several indexes is one to each of them.
        sessions.wrote("b", None, 9, now);
        assert_eq!(tasks(&sessions, "b", Some("other"), now), [9]);
    }

    #[test]
    fn what_is_applied_is_waited_for_no_more() {
        let now = Instant::now();
        let sessions = Sessions::new(now);
        sessions.wrote("a", Some("films"), 1, now);
        let first = sessions.to_see("a", Some("films"), now)[0];
        sessions.wrote("a", Some("films"), 2, now);
        sessions.applied(first);
        assert_eq!(tasks(&sessions, "a", Some("films"), now), [2], "a later write stays");
        sessions.applied(sessions.to_see("a", Some("films"), now)[0]);
        assert_eq!(tasks(&sessions, "a", Some("films"), now), [0; 0]);
        sessions.wrote("a", Some("films"), 3, now);
        assert_eq!(tasks(&sessions, "a", Some("films"), now), [3]);
    }

    #[test]
    fn a_session_ends_and_there_are_never_too_many() {
        let now = Instant::now();
        let sessions = Sessions::new(now);
        for write in 0..20 {
            sessions.wrote("a", Some(&format!("index {write}")), write, now);
        }
        assert_eq!(tasks(&sessions, "a", None, now).len(), SLOTS_PER_SET);
        for session in 0..100_000 {
            sessions.wrote(&format!("session {session}"), Some("films"), session, now);
        }
        assert!(sessions.active(now) <= limits::SESSION_WRITES_MAX);
        assert_eq!(tasks(&sessions, "session 99999", Some("films"), now), [99_999]);
        let later = now + limits::SESSION_TTL;
        assert_eq!(sessions.active(later), 0);
        assert_eq!(tasks(&sessions, "session 99999", Some("films"), later), [0; 0]);
    }
}
