//! What open consoles are told while they are open: one value a topic, and each console sends what it has not sent yet.
//!
//! Invariants: a slow console skips values and holds up nobody; nothing queues. While no console is open nothing is
//! published. At most `CONSOLE_STREAMS_MAX` are open in one process.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::watch;

use crate::config::limits;

/// What a value is about; its name is that of the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// Nodes, pods and coverage as this pod sees them.
    Health,
    /// How many tasks there are, and the newest.
    Tasks,
    /// How often each table of the store has changed.
    Changes,
    /// The newest point of the metrics.
    Metrics,
}

impl Topic {
    const ALL: [Self; 4] = [Self::Health, Self::Tasks, Self::Changes, Self::Metrics];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::Tasks => "tasks",
            Self::Changes => "changes",
            Self::Metrics => "metrics",
        }
    }
}

/// One value a topic: its number, which grows with every change, and its text.
type Values = [(u64, Arc<str>); Topic::ALL.len()];

/// One per process.
pub struct Live {
    values: watch::Sender<Values>,
    viewers: Arc<AtomicUsize>,
}

/// One open console; it leaves on drop.
pub struct Viewer {
    values: watch::Receiver<Values>,
    /// The number of each value that it was given.
    seen: [u64; Topic::ALL.len()],
    viewers: Arc<AtomicUsize>,
}

impl Default for Live {
    fn default() -> Self {
        let none: Arc<str> = Arc::from("");
        let values = std::array::from_fn(|_| (0, Arc::clone(&none)));
        Self { values: watch::Sender::new(values), viewers: Arc::default() }
    }
}

impl Live {
    /// Whether somebody wants to know.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.viewers.load(Ordering::Relaxed) > 0
    }

    /// Publishes the value of a topic, unless it is the same as before.
    pub fn publish(&self, topic: Topic, text: String) {
        self.values.send_if_modified(|values| {
            let (number, known) = &mut values[topic as usize];
            let is_new = **known != *text;
            if is_new {
                *number += 1;
                *known = text.into();
            }
            is_new
        });
    }

    /// Opens one more console; `None` when there are enough.
    #[must_use]
    pub fn enter(&self) -> Option<Viewer> {
        let most = limits::CONSOLE_STREAMS_MAX;
        let one_more = |open: usize| (open < most).then_some(open + 1);
        self.viewers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        let values = self.values.subscribe();
        Some(Viewer { values, seen: [0; Topic::ALL.len()], viewers: Arc::clone(&self.viewers) })
    }
}

impl Viewer {
    /// The values that this console was not given yet.
    pub fn news(&mut self) -> Vec<(Topic, Arc<str>)> {
        let values = self.values.borrow_and_update().clone();
        let mut news = Vec::new();
        for topic in Topic::ALL {
            let (number, text) = &values[topic as usize];
            if std::mem::replace(&mut self.seen[topic as usize], *number) != *number {
                news.push((topic, Arc::clone(text)));
            }
        }
        news
    }

    /// Waits until there is something new; for ever once the process publishes nothing any more.
    pub async fn changed(&mut self) {
        if self.values.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.viewers.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_console_gets_the_newest_value_of_each_topic_once() {
        let live = Live::default();
        let mut viewer = live.enter().unwrap();
        assert_eq!(viewer.news(), []);
        live.publish(Topic::Health, "1".to_owned());
        live.publish(Topic::Health, "2".to_owned());
        live.publish(Topic::Tasks, "t".to_owned());
        assert_eq!(viewer.news(), [(Topic::Health, Arc::from("2")), (Topic::Tasks, Arc::from("t"))]);
        live.publish(Topic::Health, "2".to_owned());
        assert_eq!(viewer.news(), [], "the same value is not news");
        assert_eq!(live.enter().unwrap().news().len(), 2, "a new console gets what is known");
    }

    #[test]
    fn consoles_are_counted_and_bounded() {
        let live = Live::default();
        assert!(!live.is_watched());
        let viewers = (0..limits::CONSOLE_STREAMS_MAX).map(|_| live.enter().unwrap()).collect::<Vec<_>>();
        assert!(live.enter().is_none() && live.is_watched());
        drop(viewers);
        assert!(live.enter().is_some() && !live.is_watched());
    }
}
