//! The names of recent changes, and the watchers that wait for more.
//! - The ring is bounded. A watcher that asks for changes older than the ring is told to read everything anew.
//! - Versions grow by one with every change and are valid in one process only.

use std::collections::VecDeque;

use crate::answer::Answer;
use crate::limits::{CHANGES_KEPT_MAX, WATCHERS_MAX};

/// The name of something that changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    Topology,
    Index(String),
    Record { table: String, key: String },
    Log { log: String, stream: String },
}

/// What has changed since a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// The version to pass to the next call.
    pub version: u64,
    /// Whether more has changed than `names` lists; the watcher then has to read everything.
    pub incomplete: bool,
    /// Counts how often the store was replaced under its followers: it lost its data, or another store took its place.
    pub incarnation: u64,
    pub names: Vec<Name>,
}

#[derive(Default)]
pub(crate) struct ChangeLog {
    version: u64,
    incarnation: u64,
    kept: VecDeque<Name>,
    waiting: Vec<(u64, Answer<Changes>)>,
}

impl ChangeLog {
    pub(crate) fn add(&mut self, names: impl IntoIterator<Item = Name>) {
        for name in names {
            self.version += 1;
            self.kept.push_back(name);
            if self.kept.len() > CHANGES_KEPT_MAX {
                self.kept.pop_front();
            }
        }
        self.wake();
    }

    /// Records that something unnamed has changed: every watcher has to read everything.
    pub(crate) fn lose(&mut self) {
        self.version += 1;
        self.kept.clear();
        self.wake();
    }

    /// Records that the store has lost its data or was replaced by another.
    pub(crate) fn begin_incarnation(&mut self) {
        self.incarnation += 1;
        self.lose();
    }

    /// Answers when something has changed since `after`, immediately if it has already. `None` asks for the version
    /// alone.
    pub(crate) fn watch(&mut self, after: Option<u64>, answer: Answer<Changes>) {
        self.waiting.retain(|(_, answer)| !answer.is_canceled());
        let is_full = self.waiting.len() == WATCHERS_MAX;
        match self.news(after).or_else(|| is_full.then(|| self.since(self.version))) {
            Some(changes) => drop(answer.send(Ok(changes))),
            None => self.waiting.push((self.version, answer)),
        }
    }

    /// What has changed since `after`, if anything has. `None` as `after` yields the version alone.
    pub(crate) fn news(&self, after: Option<u64>) -> Option<Changes> {
        let after = after.unwrap_or(u64::MAX);
        (after != self.version).then(|| self.since(after))
    }

    fn wake(&mut self) {
        for (after, answer) in std::mem::take(&mut self.waiting) {
            if after == self.version {
                self.waiting.push((after, answer));
            } else {
                // A dropped reply is no error: the watcher has gone.
                let _ = answer.send(Ok(self.since(after)));
            }
        }
    }

    fn since(&self, after: u64) -> Changes {
        let Self { version, incarnation, .. } = *self;
        let Some(missed) = version.checked_sub(after) else {
            // `after` is `None`, or a version that this process never gave out.
            return Changes { version, incomplete: after != u64::MAX, incarnation, names: Vec::new() };
        };
        let missed = usize::try_from(missed).unwrap_or(usize::MAX);
        let Some(first) = self.kept.len().checked_sub(missed) else {
            return Changes { version, incomplete: true, incarnation, names: Vec::new() };
        };
        let mut names: Vec<Name> = self.kept.range(first..).cloned().collect();
        names.sort_unstable();
        names.dedup();
        Changes { version, incomplete: false, incarnation, names }
    }
}

#[cfg(test)]
mod tests {
    use futures_channel::oneshot;

    use super::*;

    fn ask(log: &mut ChangeLog, after: Option<u64>) -> oneshot::Receiver<Result<Changes, crate::StoreError>> {
        let (answer, reply) = oneshot::channel();
        log.watch(after, answer);
        reply
    }

    #[test]
    fn whoever_follows_hears_of_every_change_once() {
        let mut log = ChangeLog::default();
        let index = |name: &str| Name::Index(name.to_owned());
        let begun = ask(&mut log, None).try_recv().unwrap().unwrap().unwrap();
        assert_eq!((begun.version, begun.incomplete), (0, false));
        let mut waiting = ask(&mut log, Some(0));
        assert_eq!(waiting.try_recv().unwrap(), None);
        log.add([index("b"), index("a"), index("b")]);
        let heard = waiting.try_recv().unwrap().unwrap().unwrap();
        assert_eq!((heard.version, heard.names), (3, vec![index("a"), index("b")]));
        log.lose();
        assert!(ask(&mut log, Some(3)).try_recv().unwrap().unwrap().unwrap().incomplete);
        log.add((0..=CHANGES_KEPT_MAX).map(|number| index(&number.to_string())));
        assert!(ask(&mut log, Some(4)).try_recv().unwrap().unwrap().unwrap().incomplete);
        let last = 4 + CHANGES_KEPT_MAX as u64;
        let heard = ask(&mut log, Some(last)).try_recv().unwrap().unwrap().unwrap();
        assert_eq!((heard.names.len(), heard.incarnation), (1, 0));
        log.begin_incarnation();
        let heard = ask(&mut log, Some(last + 1)).try_recv().unwrap().unwrap().unwrap();
        assert_eq!((heard.incomplete, heard.incarnation), (true, 1));
    }
}
