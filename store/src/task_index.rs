//! The task registry's in-memory index, the same for every backend: one bitmap of uids per status, kind, index and
//! canceler, plus the dates. It is rebuilt when a store opens and never stored.
//! - Every accepted uid is in exactly one status bitmap and one kind bitmap.
//! - An intent (a task not yet accepted) counts as unfinished, and no query finds it.

use std::collections::BTreeMap;
use std::sync::Arc;

use roaring::{MultiOps, RoaringBitmap};
use time::OffsetDateTime;

use crate::task::{TaskKind, TaskQuery, TaskRecord, TaskStatus};
use crate::task_dates::TaskDates;

#[derive(Default)]
pub(crate) struct TaskIndex {
    all: RoaringBitmap,
    accepted: RoaringBitmap,
    statuses: BTreeMap<TaskStatus, RoaringBitmap>,
    kinds: BTreeMap<TaskKind, RoaringBitmap>,
    indexes: BTreeMap<String, RoaringBitmap>,
    cancelers: BTreeMap<u32, RoaringBitmap>,
    dates: TaskDates,
}

/// The uids of a page, the number of matches and the start of the next page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UidPage {
    pub(crate) uids: Vec<u32>,
    pub(crate) total: u64,
    pub(crate) next: Option<u32>,
}

impl TaskIndex {
    pub(crate) fn insert(&mut self, task: &TaskRecord) {
        self.all.insert(task.uid);
        if !task.accepted {
            return;
        }
        self.accepted.insert(task.uid);
        self.statuses.entry(task.status).or_default().insert(task.uid);
        self.kinds.entry(task.kind).or_default().insert(task.uid);
        if let Some(index) = &task.index_uid {
            match self.indexes.get_mut(index) {
                Some(uids) => {
                    uids.insert(task.uid);
                }
                None => {
                    self.indexes.insert(index.clone(), RoaringBitmap::from([task.uid]));
                }
            }
        }
        if let Some(canceler) = task.canceler() {
            self.cancelers.entry(canceler).or_default().insert(task.uid);
        }
        self.dates.set(task);
    }

    pub(crate) fn remove(&mut self, task: &TaskRecord) {
        self.remove_named(task.uid, &Names::of(task));
    }

    pub(crate) fn remove_named(&mut self, uid: u32, names: &Names) {
        self.forget_names(uid, names);
        self.all.remove(uid);
        self.accepted.remove(uid);
        self.dates.remove(uid);
    }

    pub(crate) fn replace(&mut self, before: &TaskRecord, after: &TaskRecord) {
        self.replace_named(&Names::of(before), after);
    }

    pub(crate) fn replace_named(&mut self, before: &Names, after: &TaskRecord) {
        self.forget_names(after.uid, before);
        self.insert(after);
    }

    pub(crate) fn uid_max(&self) -> Option<u32> {
        self.all.max()
    }

    pub(crate) fn len(&self) -> u64 {
        self.all.len()
    }

    /// The uids that match, whatever `from`, `limit` and `reverse` are.
    pub(crate) fn select(&mut self, query: &TaskQuery) -> RoaringBitmap {
        let mut selected = self.accepted.clone();
        if let Some(uids) = &query.uids {
            selected &= uids.iter().copied().collect::<RoaringBitmap>();
        }
        if let Some(statuses) = &query.statuses {
            selected &= statuses.iter().filter_map(|status| self.statuses.get(status)).union();
        }
        if let Some(kinds) = &query.kinds {
            selected &= kinds.iter().filter_map(|kind| self.kinds.get(kind)).union();
        }
        if let Some(indexes) = &query.index_uids {
            selected &= indexes.iter().filter_map(|index| self.indexes.get(index)).union();
        }
        if let Some(cancelers) = &query.canceled_by {
            selected &= cancelers.iter().filter_map(|canceler| self.cancelers.get(canceler)).union();
        }
        if !selected.is_empty()
            && let Some(dated) = self.dates.select(query)
        {
            selected &= dated;
        }
        selected
    }

    pub(crate) fn page(&mut self, query: &TaskQuery) -> UidPage {
        let mut selected = self.select(query);
        let total = selected.len();
        let limit = query.limit as usize;
        let wanted = limit.saturating_add(1);
        let mut uids: Vec<u32> = match (query.reverse, query.from) {
            (true, from) => selected.range(from.unwrap_or(0)..).take(wanted).collect(),
            (false, None) => selected.iter().rev().take(wanted).collect(),
            (false, Some(from)) => {
                selected.remove_range((std::ops::Bound::Excluded(from), std::ops::Bound::Unbounded));
                selected.iter().rev().take(wanted).collect()
            }
        };
        let next = if uids.len() > limit { uids.pop() } else { None };
        UidPage { uids, total, next }
    }

    pub(crate) fn unfinished(&self) -> RoaringBitmap {
        let unfinished = TaskStatus::ALL.into_iter().filter(|status| !status.is_finished());
        let intents = &self.all - &self.accepted;
        unfinished.filter_map(|status| self.statuses.get(&status)).union() | intents
    }

    /// Accepted tasks of one of the indexes, and all swaps, which may name one.
    pub(crate) fn naming(&self, indexes: [&str; 2]) -> RoaringBitmap {
        let of_indexes = indexes.into_iter().filter_map(|index| self.indexes.get(index)).union();
        let swaps = self.kinds.get(&TaskKind::IndexSwap).cloned().unwrap_or_default();
        of_indexes | swaps
    }

    /// Up to `count_max` tasks that finished before the date, lowest uid first.
    pub(crate) fn prunable(&mut self, finished_before: OffsetDateTime, count_max: usize) -> Vec<u32> {
        let finished = TaskStatus::ALL.into_iter().filter(|status| status.is_finished()).collect();
        let query = TaskQuery {
            statuses: Some(finished),
            before_finished_at: Some(finished_before),
            ..TaskQuery::default()
        };
        self.select(&query).iter().take(count_max).collect()
    }

    fn forget_names(&mut self, uid: u32, names: &Names) {
        take_from(&mut self.statuses, &names.status, uid);
        take_from(&mut self.kinds, &names.kind, uid);
        if let Some(index) = &names.index {
            take_from(&mut self.indexes, &**index, uid);
        }
        if let Some(canceler) = names.canceler {
            take_from(&mut self.cancelers, &canceler, uid);
        }
    }
}

/// The names under which the index lists a task.
pub(crate) struct Names {
    status: TaskStatus,
    kind: TaskKind,
    index: Option<Arc<str>>,
    canceler: Option<u32>,
}

impl Names {
    pub(crate) fn of(task: &TaskRecord) -> Names {
        Names::sharing(task, |name| Arc::from(name))
    }

    /// Like `of`, with an index name that many tasks share.
    pub(crate) fn sharing(task: &TaskRecord, share: impl FnOnce(&str) -> Arc<str>) -> Names {
        let index = task.index_uid.as_deref().map(share);
        Names { status: task.status, kind: task.kind, index, canceler: task.canceler() }
    }
}

/// Drops an emptied bitmap together with its name, or names of deleted indexes would pile up.
fn take_from<Name, Key>(bitmaps: &mut BTreeMap<Name, RoaringBitmap>, name: &Key, uid: u32)
where
    Name: Ord + std::borrow::Borrow<Key>,
    Key: Ord + ?Sized,
{
    if let Some(uids) = bitmaps.get_mut(name) {
        uids.remove(uid);
        if uids.is_empty() {
            bitmaps.remove(name);
        }
    }
}
