//! What a pod knows of all tasks without asking: the index of tasks, as far as the list of changes was read.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use crate::TaskRecord;
use crate::task_index::{Names, TaskIndex};

/// What is known of all tasks, and up to which change.
#[derive(Default)]
pub(super) struct Followed {
    pub(super) index: TaskIndex,
    names: BTreeMap<u32, Names>,
    index_names: BTreeSet<Arc<str>>,
    /// Of the last entry heard of: the version of the data, and which part of it.
    pub(super) position: (u64, u32),
}

impl Followed {
    /// Nothing is known yet of data that is at this version.
    pub(super) fn at(version: u64) -> Followed {
        Followed { position: (version, u32::MAX), ..Followed::default() }
    }

    /// One more than the highest task uid known.
    pub(super) fn task_uid_next(&self) -> u32 {
        self.names.last_key_value().map_or(0, |(uid, _)| uid + 1)
    }

    /// Up to `count` uids of tasks, intents among them, behind one.
    pub(super) fn uids_after(&self, after: Option<u32>, count: usize) -> Vec<u32> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.names.range((start, Bound::Unbounded)).map(|(uid, _)| *uid).take(count).collect()
    }

    pub(super) fn take_in(&mut self, task: &TaskRecord) {
        let names = Names::sharing(task, |name| match self.index_names.get(name) {
            Some(known) => Arc::clone(known),
            None => {
                let name: Arc<str> = Arc::from(name);
                self.index_names.insert(Arc::clone(&name));
                name
            }
        });
        match self.names.insert(task.uid, names) {
            Some(before) => self.index.replace_named(&before, task),
            None => self.index.insert(task),
        }
    }

    pub(super) fn forget(&mut self, uid: u32) {
        if let Some(names) = self.names.remove(&uid) {
            self.index.remove_named(uid, &names);
        }
    }
}
