//! Tasks by their dates, in memory: 24 bytes a task, in zones of 1024 neighbouring uids that know the range of their
//! dates. Uids and dates grow together, so nearly every zone lies wholly inside or wholly outside a window, and only
//! the few zones at its edges are searched.
//! - `lowest` and `highest` may be wider than the zone's dates, never narrower.

use std::collections::BTreeMap;

use roaring::RoaringBitmap;
use time::OffsetDateTime;

use crate::task::{TaskQuery, TaskRecord};

/// Tasks in a zone.
const ZONE_LENGTH: u32 = 1024;
const ABSENT: i64 = i64::MIN;

/// Nanoseconds since 1970 of enqueued, started and finished; `ABSENT` for a date that is not set.
type Dates = [i64; 3];

#[derive(Default)]
pub(crate) struct TaskDates {
    zones: BTreeMap<u32, Zone>,
}

struct Zone {
    dates: Box<[Dates; ZONE_LENGTH as usize]>,
    lowest: Dates,
    highest: Dates,
    /// A date was replaced since the bounds were computed, so they may be too wide.
    loose: bool,
}

/// Exclusive bounds of one date.
#[derive(Clone, Copy)]
struct Window {
    after: i64,
    before: i64,
}

impl TaskDates {
    pub(crate) fn set(&mut self, task: &TaskRecord) {
        let (zone, slot) = place(task.uid);
        let zone = self.zones.entry(zone).or_insert_with(Zone::empty);
        let dates = [Some(task.enqueued_at), task.started_at, task.finished_at]
            .map(|date| date.map_or(ABSENT, nanoseconds));
        zone.loose |= zone.dates[slot] != [ABSENT; 3];
        zone.dates[slot] = dates;
        zone.widen(dates);
    }

    /// Removes the task's dates. The rest of the index must not list the task any more.
    pub(crate) fn remove(&mut self, uid: u32) {
        let (number, slot) = place(uid);
        if let Some(zone) = self.zones.get_mut(&number) {
            zone.dates[slot] = [ABSENT; 3];
            zone.loose = true;
            if zone.dates.iter().all(|dates| dates[0] == ABSENT) {
                self.zones.remove(&number);
            }
        }
    }

    /// The tasks inside every date window of `query`; `None` when it has no window.
    pub(crate) fn select(&mut self, query: &TaskQuery) -> Option<RoaringBitmap> {
        let windows = [
            Window::new(query.after_enqueued_at, query.before_enqueued_at),
            Window::new(query.after_started_at, query.before_started_at),
            Window::new(query.after_finished_at, query.before_finished_at),
        ];
        if windows.iter().all(Option::is_none) {
            return None;
        }
        let mut selected = RoaringBitmap::new();
        for (&number, zone) in &mut self.zones {
            zone.tighten();
            zone.select(number, &windows, &mut selected);
        }
        Some(selected)
    }
}

impl Zone {
    fn empty() -> Zone {
        Zone {
            dates: Box::new([[ABSENT; 3]; ZONE_LENGTH as usize]),
            lowest: [i64::MAX; 3],
            highest: [i64::MIN; 3],
            loose: false,
        }
    }

    fn widen(&mut self, dates: Dates) {
        for (position, date) in dates.into_iter().enumerate() {
            self.lowest[position] = self.lowest[position].min(date);
            self.highest[position] = self.highest[position].max(date);
        }
    }

    fn tighten(&mut self) {
        if !self.loose {
            return;
        }
        self.loose = false;
        self.lowest = [i64::MAX; 3];
        self.highest = [i64::MIN; 3];
        for slot in 0..self.dates.len() {
            let dates = self.dates[slot];
            if dates[0] != ABSENT {
                self.widen(dates);
            }
        }
    }

    /// Adds the zone's tasks inside `windows`. A wholly covered zone adds its whole uid range, including uids of no
    /// task; the caller intersects with the existing tasks.
    fn select(&self, number: u32, windows: &[Option<Window>; 3], selected: &mut RoaringBitmap) {
        let active =
            || windows.iter().enumerate().filter_map(|(position, window)| Some((position, (*window)?)));
        if active()
            .any(|(date, window)| self.highest[date] <= window.after || self.lowest[date] >= window.before)
        {
            return;
        }
        let first = number * ZONE_LENGTH;
        if active()
            .all(|(date, window)| self.lowest[date] > window.after && self.highest[date] < window.before)
        {
            selected.insert_range(first..=first + (ZONE_LENGTH - 1));
            return;
        }
        let inside = |dates: &Dates| {
            active().all(|(date, window)| dates[date] > window.after && dates[date] < window.before)
        };
        let found = (first..).zip(self.dates.iter()).filter(|(_, dates)| inside(dates)).map(|(uid, _)| uid);
        selected.append(found).expect("zones and their slots are walked in ascending order");
    }
}

impl Window {
    /// A missing date is in no window: `ABSENT` is the lowest number and the bounds are exclusive.
    fn new(after: Option<OffsetDateTime>, before: Option<OffsetDateTime>) -> Option<Window> {
        if after.is_none() && before.is_none() {
            return None;
        }
        Some(Window {
            after: after.map_or(ABSENT, nanoseconds),
            before: before.map_or(i64::MAX, nanoseconds),
        })
    }
}

fn place(uid: u32) -> (u32, usize) {
    (uid / ZONE_LENGTH, (uid % ZONE_LENGTH) as usize)
}

/// Clamps dates before 1677 and after 2262 to those years, which keeps their order.
fn nanoseconds(date: OffsetDateTime) -> i64 {
    let clamped = date.unix_timestamp_nanos().clamp(i128::from(i64::MIN) + 1, i128::from(i64::MAX) - 1);
    i64::try_from(clamped).expect("clamped to the range of i64")
}
