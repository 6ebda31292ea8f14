//! A pod's index of all tasks, as far as it has read the change stream.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use crate::TaskRecord;
use crate::task_index::{Names, TaskIndex};

/// The tasks known so far, and the position in the stream.
#[derive(Default)]
pub(super) struct TaskMirror {
    pub(super) index: TaskIndex,
    names: BTreeMap<u32, Names>,
    index_names: BTreeSet<Arc<str>>,
    /// The last entry taken in: the version of the data, and the entry's part of that version.
    pub(super) position: (u64, u32),
}

impl TaskMirror {
    /// A mirror without tasks, for data at this version.
    pub(super) fn at(version: u64) -> TaskMirror {
        TaskMirror { position: (version, u32::MAX), ..TaskMirror::default() }
    }

    /// One more than the highest task uid known.
    pub(super) fn task_uid_next(&self) -> u32 {
        self.names.last_key_value().map_or(0, |(uid, _)| uid + 1)
    }

    /// Up to `count` uids behind `after`, ascending, including intents.
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
