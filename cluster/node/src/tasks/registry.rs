//! The task queue: registers tasks durably, hands them to the scheduler, and answers queries about them.
//! Invariants: a task is in the journal before anyone sees it. Uids grow in the order of the journal. Many writers
//! share one sync: the one that holds the journal writes for all that wait. Locks are taken in the order writer, state,
//! and never is `state` locked during disk work.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock};

use bytes::Bytes;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::journal::{Journal, Record};
use super::{Durable, IndexTable, Status, Task, TaskFilters, TaskPage, Work};
use crate::clock::Clock;
use crate::errors::ApiError;

/// A task to be registered.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) index_uid: Option<String>,
    pub(crate) work: Work,
    pub(crate) details: Option<Value>,
    pub(crate) payload: Option<Bytes>,
    pub(crate) dropped: bool,
}

#[derive(Debug)]
struct Waiting {
    draft: Mutex<Option<Draft>>,
    outcome: OnceLock<Result<Task, ApiError>>,
}

#[derive(Debug, Default)]
struct State {
    tasks: BTreeMap<u32, Arc<Task>>,
    enqueued: BTreeSet<u32>,
    processing: Option<Processing>,
    features: Value,
    next_uid: u32,
    next_batch: u32,
}

#[derive(Debug)]
struct Processing {
    uids: BTreeSet<u32>,
    batch_uid: u32,
    started_at: OffsetDateTime,
}

/// The queue of one node.
#[derive(Debug)]
pub(crate) struct Registry {
    clock: Arc<Clock>,
    waiting: Mutex<Vec<Arc<Waiting>>>,
    writer: Mutex<Journal>,
    state: Mutex<State>,
    changed: Condvar,
    stalled: AtomicBool,
    stopping: AtomicBool,
    /// Set when the running batch has to end early because one of its tasks was canceled.
    abort: AtomicBool,
}

const POISON: &str = "a holder of the lock panicked, so its state cannot be trusted";

impl Registry {
    /// Opens the queue in `directory`; also returns the index table.
    pub(crate) fn open(
        directory: &Path,
        sync: bool,
        clock: Arc<Clock>,
    ) -> std::io::Result<(Self, IndexTable)> {
        let (journal, durable) = Journal::open(directory, sync)?;
        let Durable { tasks, indexes, features, last_uid, last_batch } = durable;
        let enqueued =
            tasks.values().filter(|task| task.finished_at.is_none()).map(|task| task.uid).collect();
        let state = State {
            tasks: tasks.into_iter().map(|(uid, task)| (uid, Arc::new(task))).collect(),
            enqueued,
            processing: None,
            features,
            next_uid: last_uid.map_or(0, |uid| uid + 1),
            next_batch: last_batch.map_or(0, |uid| uid + 1),
        };
        let registry = Self {
            clock,
            waiting: Mutex::default(),
            writer: Mutex::new(journal),
            state: Mutex::new(state),
            changed: Condvar::new(),
            stalled: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            abort: AtomicBool::new(false),
        };
        Ok((registry, indexes))
    }

    /// Registers a task. Returns once it is durable.
    pub(crate) fn register(&self, draft: Draft) -> Result<Task, ApiError> {
        let mine = Arc::new(Waiting { draft: Mutex::new(Some(draft)), outcome: OnceLock::new() });
        self.waiting.lock().expect(POISON).push(Arc::clone(&mine));
        let mut journal = self.writer.lock().expect(POISON);
        if mine.outcome.get().is_none() {
            let group = std::mem::take(&mut *self.waiting.lock().expect(POISON));
            self.write_group(&mut journal, &group);
        }
        drop(journal);
        mine.outcome.get().expect("whoever took the group settled all of it").clone()
    }

    fn write_group(&self, journal: &mut Journal, group: &[Arc<Waiting>]) {
        let mut uid = self.state.lock().expect(POISON).next_uid;
        let mut tasks = Vec::with_capacity(group.len());
        let mut records = Vec::with_capacity(group.len());
        for waiting in group {
            let draft = waiting.draft.lock().expect(POISON).take().expect("a draft is taken once");
            let task = Task {
                uid,
                batch_uid: None,
                index_uid: draft.index_uid,
                status: Status::Enqueued,
                details: draft.details.unwrap_or_else(|| draft.work.details()),
                work: draft.work,
                canceled_by: None,
                error: None,
                enqueued_at: self.clock.now(),
                started_at: None,
                finished_at: None,
                dropped: draft.dropped,
            };
            uid += 1;
            records.push((Record { tasks: vec![task.clone()], ..Record::default() }, draft.payload));
            tasks.push(task);
        }
        let written = journal.append(records);
        let mut state = self.state.lock().expect(POISON);
        for (waiting, task) in group.iter().zip(tasks) {
            let outcome = match &written {
                Ok(()) => {
                    state.enqueued.insert(task.uid);
                    state.tasks.insert(task.uid, Arc::new(task.clone()));
                    self.abort_if_canceled(&state, &task);
                    Ok(task)
                }
                Err(error) => Err(ApiError::new("internal", error.to_string())),
            };
            waiting.outcome.set(outcome).expect("a group is written once");
        }
        if written.is_ok() {
            state.next_uid = uid;
        }
        self.changed.notify_all();
    }

    fn abort_if_canceled(&self, state: &State, task: &Task) {
        if let (Work::TaskCancelation { uids, .. }, Some(processing)) = (&task.work, &state.processing)
            && uids.iter().any(|uid| processing.uids.contains(uid))
        {
            self.abort.store(true, Ordering::Release);
        }
    }

    /// Waits for the next batch; `None` when the node stops. `choose` selects the tasks of one batch from all enqueued
    /// tasks in order.
    pub(crate) fn next_batch(
        &self,
        choose: impl Fn(&mut dyn Iterator<Item = &Task>) -> Vec<u32>,
    ) -> Option<Vec<Arc<Task>>> {
        let mut state = self.state.lock().expect(POISON);
        loop {
            if self.stopping.load(Ordering::Acquire) {
                return None;
            }
            if !self.stalled.load(Ordering::Acquire) && !state.enqueued.is_empty() {
                break;
            }
            state = self.changed.wait(state).expect(POISON);
        }
        let chosen = choose(&mut state.enqueued.iter().map(|uid| state.tasks[uid].as_ref()));
        let batch = chosen.iter().map(|uid| Arc::clone(&state.tasks[uid])).collect();
        self.abort.store(false, Ordering::Release);
        let batch_uid = state.next_batch;
        state.processing =
            Some(Processing { uids: chosen.into_iter().collect(), batch_uid, started_at: self.clock.now() });
        Some(batch)
    }

    /// Records the outcome of a batch's tasks, and the index table if it changed, in one durable step. `others` are
    /// tasks outside the batch (canceled by it), `renamed` finished tasks whose index has been renamed, `deleted` tasks
    /// to forget.
    pub(crate) fn finish(
        &self,
        mut batch: Vec<Task>,
        mut others: Vec<Task>,
        renamed: Vec<Task>,
        deleted: Vec<u32>,
        indexes: Option<IndexTable>,
    ) -> std::io::Result<()> {
        let finished_at = self.clock.now();
        {
            let state = self.state.lock().expect(POISON);
            let processing = state.processing.as_ref().expect("a batch is finished after it was begun");
            for task in &mut batch {
                task.batch_uid = Some(processing.batch_uid);
                task.started_at = Some(processing.started_at);
            }
            for task in &mut others {
                task.batch_uid = Some(processing.batch_uid);
            }
        }
        batch.extend(others);
        for task in &mut batch {
            task.finished_at = Some(finished_at);
            task.work.shrink();
        }
        batch.extend(renamed);
        let record = Record { tasks: batch.clone(), deleted: deleted.clone(), indexes, ..Record::default() };
        let mut journal = self.writer.lock().expect(POISON);
        journal.append(vec![(record, None)])?;
        for uid in batch.iter().map(|task| task.uid).chain(deleted.iter().copied()) {
            journal.release(uid)?;
        }
        let mut state = self.state.lock().expect(POISON);
        state.next_batch += 1;
        state.processing = None;
        for task in batch {
            state.enqueued.remove(&task.uid);
            state.tasks.insert(task.uid, Arc::new(task));
        }
        for uid in deleted {
            state.tasks.remove(&uid);
        }
        self.changed.notify_all();
        Ok(())
    }

    /// Returns an aborted batch to the queue unchanged.
    pub(crate) fn give_back(&self) {
        self.state.lock().expect(POISON).processing = None;
    }

    /// Rewrites the journal if most of it is superseded. `indexes` is the current table.
    pub(crate) fn tidy(&self, indexes: &IndexTable) -> std::io::Result<()> {
        let mut journal = self.writer.lock().expect(POISON);
        if !journal.wants_rewrite() {
            return Ok(());
        }
        let state = self.state.lock().expect(POISON);
        let durable = Durable {
            tasks: state.tasks.iter().map(|(uid, task)| (*uid, Task::clone(task))).collect(),
            indexes: indexes.clone(),
            features: state.features.clone(),
            last_uid: state.next_uid.checked_sub(1),
            last_batch: state.next_batch.checked_sub(1),
        };
        drop(state);
        journal.rewrite(&durable)
    }

    /// The payload of an unfinished task.
    pub(crate) fn payload(&self, uid: u32) -> std::io::Result<Vec<u8>> {
        self.writer.lock().expect(POISON).payload(uid)
    }

    /// Whether the running batch has to stop.
    pub(crate) fn must_abort(&self) -> bool {
        self.abort.load(Ordering::Acquire) || self.stopping.load(Ordering::Acquire)
    }

    /// Ends `next_batch` permanently and aborts the running batch.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        drop(self.state.lock().expect(POISON));
        self.changed.notify_all();
    }

    /// Blocks the scheduler before its next batch, or releases it.
    pub(crate) fn stall(&self, stalled: bool) {
        self.stalled.store(stalled, Ordering::Release);
        drop(self.state.lock().expect(POISON));
        self.changed.notify_all();
    }

    /// One task as it is now.
    pub(crate) fn task(&self, uid: u32) -> Option<Arc<Task>> {
        let state = self.state.lock().expect(POISON);
        state.tasks.get(&uid).map(|task| state.shown(task))
    }

    /// One page of the matching tasks, as `GET /tasks` answers.
    pub(crate) fn list(&self, filters: &TaskFilters, page: &TaskPage) -> Value {
        let state = self.state.lock().expect(POISON);
        let matching: Vec<Arc<Task>> =
            state.tasks.values().map(|task| state.shown(task)).filter(|task| filters.matches(task)).collect();
        drop(state);
        let total = matching.len();
        let in_page = |task: &Task| {
            page.from.is_none_or(|from| if page.reverse { task.uid >= from } else { task.uid <= from })
        };
        let ordered: Box<dyn Iterator<Item = &Arc<Task>>> =
            if page.reverse { Box::new(matching.iter()) } else { Box::new(matching.iter().rev()) };
        let mut shown: Vec<&Arc<Task>> = ordered.filter(|task| in_page(task)).take(page.limit + 1).collect();
        let next = if shown.len() > page.limit { shown.pop().map(|task| task.uid) } else { None };
        json!({
            "results": shown.iter().map(|task| task.view()).collect::<Vec<_>>(),
            "total": total,
            "limit": page.limit,
            "from": shown.first().map(|task| task.uid),
            "next": next,
        })
    }

    /// All matching tasks, oldest first.
    pub(crate) fn matching(&self, filters: &TaskFilters) -> Vec<Arc<Task>> {
        let state = self.state.lock().expect(POISON);
        state.tasks.values().map(|task| state.shown(task)).filter(|task| filters.matches(task)).collect()
    }

    /// Whether the running batch touches this index.
    pub(crate) fn is_indexing(&self, uid: &str) -> bool {
        let state = self.state.lock().expect(POISON);
        state.processing.as_ref().is_some_and(|processing| {
            processing.uids.iter().any(|task| state.tasks[task].index_uid.as_deref() == Some(uid))
        })
    }

    /// The stored experimental features; `null` when never set.
    pub(crate) fn features(&self) -> Value {
        self.state.lock().expect(POISON).features.clone()
    }

    /// Copies everything durable into another directory. No task is registered meanwhile.
    pub(crate) fn copy_to(&self, directory: &Path) -> std::io::Result<()> {
        self.writer.lock().expect(POISON).copy_to(directory)
    }

    /// Stores the experimental features.
    pub(crate) fn put_features(&self, features: Value) -> std::io::Result<()> {
        let record = Record { features: Some(features.clone()), ..Record::default() };
        self.writer.lock().expect(POISON).append(vec![(record, None)])?;
        self.state.lock().expect(POISON).features = features;
        Ok(())
    }
}

impl State {
    /// The task, marked as processing if it is, which only memory knows.
    fn shown(&self, task: &Arc<Task>) -> Arc<Task> {
        let processing = self.processing.as_ref().filter(|processing| processing.uids.contains(&task.uid));
        let Some(processing) = processing else { return Arc::clone(task) };
        let mut shown = Task::clone(task);
        shown.status = Status::Processing;
        shown.batch_uid = Some(processing.batch_uid);
        shown.started_at = Some(processing.started_at);
        Arc::new(shown)
    }
}
