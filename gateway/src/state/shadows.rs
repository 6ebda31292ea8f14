//! The queues of searches for shadows, and the ring of differences that were found.
//!
//! Invariants: nothing here blocks or grows: a search that finds its queue full, in number or in bytes, is dropped.
//! Cores, the threads of shadows and the management API share it without a lock.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use arc_swap::ArcSwapOption;
use crossbeam::channel::{Receiver, Sender, bounded};
use metrics::Counter;
use serde_json::Value;

use crate::{
    config::{ShadowConfig, limits},
    state::heard::Heard,
};

/// All shadows of the process; empty without the option.
pub struct Shadows {
    pub targets: Vec<Arc<Target>>,
    pub diffs: Diffs,
    /// Counts searches, to choose those that are copied.
    searches: AtomicU64,
}

/// One shadow and the searches that wait for it.
pub struct Target {
    pub config: ShadowConfig,
    queue: (Sender<Arc<Heard>>, Receiver<Arc<Heard>>),
    queued_bytes: AtomicUsize,
    /// Searches that it did not get, because clients needed the gateway or because its queue was full.
    pub dropped_under_load: Counter,
    pub dropped_by_queue: Counter,
}

/// The newest differences.
pub struct Diffs {
    slots: Vec<ArcSwapOption<Diff>>,
    /// How many there have been.
    count: AtomicU64,
}

/// One difference between this gateway's answer and a shadow's.
#[derive(Debug, Clone, PartialEq)]
pub struct Diff {
    /// Counts up from 1.
    pub id: u64,
    pub target: String,
    pub kind: DiffKind,
    pub index: String,
    pub query: Value,
    /// What this gateway answered, as far as it differs.
    pub primary: Value,
    pub shadow: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiffKind {
    /// Other hits, or another total.
    Hits,
    /// The same hits in another order.
    Ranking,
    /// The shadow is much slower.
    Latency,
    /// The shadow gave no answer that can be compared.
    Error,
}

impl DiffKind {
    pub const ALL: [Self; 4] = [Self::Hits, Self::Ranking, Self::Latency, Self::Error];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hits => "hits",
            Self::Ranking => "ranking",
            Self::Latency => "latency",
            Self::Error => "error",
        }
    }
}

impl Shadows {
    #[must_use]
    pub fn new(configs: &[ShadowConfig]) -> Self {
        let target = |config: &ShadowConfig| {
            let queue = bounded(limits::SHADOW_QUEUE_LENGTH_MAX);
            let dropped = |reason: &'static str| {
                let labels = [("target", config.name.clone()), ("reason", reason.to_owned())];
                metrics::counter!("miroir_shadow_dropped_total", &labels)
            };
            Arc::new(Target {
                config: config.clone(),
                queue,
                queued_bytes: AtomicUsize::new(0),
                dropped_under_load: dropped("load"),
                dropped_by_queue: dropped("queue"),
            })
        };
        let kept = if configs.is_empty() { 0 } else { limits::SHADOW_DIFFS_MAX };
        Self {
            targets: configs.iter().map(target).collect(),
            diffs: Diffs::new(kept),
            searches: AtomicU64::new(0),
        }
    }

    /// The shadows that get the next search, by number.
    #[must_use]
    pub fn sample(&self) -> Vec<usize> {
        let search = self.searches.fetch_add(1, Ordering::Relaxed);
        let chosen = |(number, target): (usize, &Arc<Target>)| {
            falls_in(target.config.sample, search, number as u64).then_some(number)
        };
        self.targets.iter().enumerate().filter_map(chosen).collect()
    }
}

/// Whether a search is in the sample: evenly spread, and the same at each run.
fn falls_in(sample: f64, search: u64, target: u64) -> bool {
    let hash = xxhash_rust::xxh3::xxh3_64_with_seed(&search.to_le_bytes(), target);
    #[expect(clippy::cast_precision_loss, reason = "a share of all values needs no more digits")]
    let share = (hash >> 11) as f64 / (1_u64 << 53) as f64;
    share < sample
}

impl Target {
    /// Queues a search; `false` when there is no room.
    pub fn offer(&self, heard: Arc<Heard>) -> bool {
        let bytes = heard.bytes();
        let before = self.queued_bytes.fetch_add(bytes, Ordering::AcqRel);
        if before + bytes <= limits::SHADOW_QUEUE_BYTES_MAX && self.queue.0.try_send(heard).is_ok() {
            return true;
        }
        self.queued_bytes.fetch_sub(bytes, Ordering::AcqRel);
        false
    }

    /// Waits for the next search. Only a thread of the shadow's own may wait.
    #[must_use]
    pub fn take(&self) -> Option<Arc<Heard>> {
        let heard = self.queue.1.recv().ok()?;
        self.queued_bytes.fetch_sub(heard.bytes(), Ordering::AcqRel);
        Some(heard)
    }
}

impl Diffs {
    fn new(kept: usize) -> Self {
        Self { slots: (0..kept).map(|_| ArcSwapOption::empty()).collect(), count: AtomicU64::new(0) }
    }

    /// Keeps a difference in place of the oldest one; gives it its number.
    pub fn add(&self, diff: Diff) {
        let id = self.count.fetch_add(1, Ordering::AcqRel) + 1;
        if let Some(slot) = self.slot(id) {
            slot.store(Some(Arc::new(Diff { id, ..diff })));
        }
    }

    /// Up to `limit` of the wanted differences, oldest first: those that follow the number `since`, else the newest.
    #[must_use]
    pub fn list(&self, since: Option<u64>, limit: usize, wanted: impl Fn(&Diff) -> bool) -> Vec<Arc<Diff>> {
        let newest = self.count.load(Ordering::Acquire);
        let oldest = newest.saturating_sub(self.slots.len() as u64) + 1;
        let held = |id: u64| {
            let diff = self.slot(id)?.load_full()?;
            // A slot may have been given to a newer difference meanwhile, or not be written yet.
            (diff.id == id && wanted(&diff)).then_some(diff)
        };
        if let Some(since) = since {
            return (oldest.max(since.saturating_add(1))..=newest).filter_map(held).take(limit).collect();
        }
        let mut found = (oldest..=newest).rev().filter_map(held).take(limit).collect::<Vec<_>>();
        found.reverse();
        found
    }

    fn slot(&self, id: u64) -> Option<&ArcSwapOption<Diff>> {
        let number = usize::try_from(id).ok()?.checked_rem(self.slots.len())?;
        self.slots.get(number)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use serde_json::json;

    use super::*;

    fn diff(kind: DiffKind) -> Diff {
        let (target, index) = ("t".to_owned(), "i".to_owned());
        Diff { id: 0, target, kind, index, query: json!({}), primary: json!(1), shadow: json!(2) }
    }

    fn heard(bytes: usize) -> Arc<Heard> {
        Arc::new(Heard {
            index: "i".to_owned(),
            primary_key: None,
            body: Bytes::new(),
            rules: None,
            answer: vec![0; bytes].into(),
            took: Duration::ZERO,
        })
    }

    fn shadows(sample: f64) -> Shadows {
        let (name, url) = ("a".to_owned(), "http://a.example".to_owned());
        Shadows::new(&[ShadowConfig { name, url, sample, key_env: None, key: None }])
    }

    #[test]
    fn the_ring_keeps_the_newest_differences() {
        let diffs = Diffs::new(10);
        assert!(diffs.list(None, 5, |_| true).is_empty());
        for _ in 0..25 {
            diffs.add(diff(DiffKind::Hits));
        }
        diffs.add(diff(DiffKind::Error));
        let ids = |since, limit, kind| {
            let wanted = |diff: &Diff| kind == diff.kind || kind == DiffKind::Latency;
            diffs.list(since, limit, wanted).iter().map(|diff| diff.id).collect::<Vec<_>>()
        };
        assert_eq!(ids(None, 100, DiffKind::Latency), (17..=26).collect::<Vec<_>>());
        assert_eq!(ids(None, 3, DiffKind::Latency), [24, 25, 26]);
        assert_eq!(ids(None, 2, DiffKind::Hits), [24, 25]);
        assert_eq!(ids(Some(0), 3, DiffKind::Latency), [17, 18, 19]);
        assert_eq!(ids(Some(24), 100, DiffKind::Latency), [25, 26]);
        assert_eq!(ids(Some(0), 100, DiffKind::Error), [26]);
        assert_eq!(ids(Some(26), 100, DiffKind::Latency), [0; 0]);
        assert_eq!(ids(Some(u64::MAX), 100, DiffKind::Latency), [0; 0]);
        Diffs::new(0).add(diff(DiffKind::Hits));
    }

    #[test]
    fn queues_are_bounded_in_number_and_in_bytes() {
        let shadows = shadows(1.0);
        let target = &shadows.targets[0];
        let offered = (0..limits::SHADOW_QUEUE_LENGTH_MAX + 5).filter(|_| target.offer(heard(10))).count();
        assert_eq!(offered, limits::SHADOW_QUEUE_LENGTH_MAX);
        for _ in 0..offered {
            assert!(target.take().is_some());
        }
        assert!(!target.offer(heard(limits::SHADOW_QUEUE_BYTES_MAX + 1)));
        assert!(target.offer(heard(limits::SHADOW_QUEUE_BYTES_MAX)));
        assert!(!target.offer(heard(1)));
        assert!(target.take().is_some());
        assert!(target.offer(heard(1)));
    }

    #[test]
    fn a_sample_has_its_share() {
        let chosen = |sample: f64| {
            let shadows = shadows(sample);
            (0..20_000).filter(|_| !shadows.sample().is_empty()).count()
        };
        assert_eq!(chosen(1.0), 20_000);
        assert!((800..1200).contains(&chosen(0.05)), "{}", chosen(0.05));
        assert!((9_700..10_300).contains(&chosen(0.5)), "{}", chosen(0.5));
    }
}
