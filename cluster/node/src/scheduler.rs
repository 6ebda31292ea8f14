//! Applies tasks, in order, on one thread.
//! Invariants: cancelations come first, then deletions of tasks, then all others in the order of uids. Consecutive
//! additions, or deletions, of one index form one batch and one transaction. A task that panics the engine fails, and
//! the node continues. A batch interrupted by a crash is applied again: all work is idempotent.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::catalog::Catalog;
use crate::engine::{NewSettings, Operation};
use crate::errors::ApiError;
use crate::tasks::{Registry, Status, Swap, Task, TaskFilters, Work};

/// The most tasks of a batch, which bounds how long a client waits for the first of them.
const BATCH_TASKS_MAX: usize = 4096;
/// The most documents of a batch of additions, beyond its first task.
const BATCH_DOCUMENTS_MAX: u64 = 100_000;

pub(crate) struct Scheduler {
    /// The directory of everything durable.
    data: PathBuf,
    registry: Arc<Registry>,
    catalog: Arc<Catalog>,
}

/// The result of a batch.
#[derive(Default)]
struct Outcome {
    tasks: Vec<Task>,
    others: Vec<Task>,
    /// Older tasks whose indexes have been renamed.
    renamed: Vec<Task>,
    deleted: Vec<u32>,
    /// Directories without a name, to delete.
    leftovers: Vec<PathBuf>,
}

impl Scheduler {
    pub(crate) fn new(data: PathBuf, registry: Arc<Registry>, catalog: Arc<Catalog>) -> Self {
        Self { data, registry, catalog }
    }

    /// Works until the registry stops. An error means that the disk failed.
    pub(crate) fn run(&self) -> std::io::Result<()> {
        let mut durable_table = self.catalog.table();
        while let Some(batch) = self.registry.next_batch(choose) {
            let tasks: Vec<Task> = batch.iter().map(|task| Task::clone(task)).collect();
            let attempt = catch_unwind(AssertUnwindSafe(|| self.process(tasks.clone())));
            let outcome = match attempt {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) if self.registry.must_abort() => {
                    self.registry.give_back();
                    continue;
                }
                Ok(Err(error)) => fail_all(tasks, &error),
                Err(panic) => fail_all(tasks, &crash(panic.as_ref())),
            };
            let table = self.catalog.table();
            let changed = (table != durable_table).then(|| table.clone());
            let Outcome { tasks, others, renamed, deleted, leftovers } = outcome;
            self.registry.finish(tasks, others, renamed, deleted, changed)?;
            for directory in leftovers {
                std::fs::remove_dir_all(directory)?;
            }
            self.registry.tidy(&table)?;
            durable_table = table;
        }
        Ok(())
    }

    /// An `Err` fails every task of the batch.
    fn process(&self, mut tasks: Vec<Task>) -> Result<Outcome, ApiError> {
        if tasks.iter().all(|task| task.dropped) {
            for task in &mut tasks {
                let details = task.work.details_if_done();
                task.succeed(details);
            }
            return Ok(Outcome { tasks, ..Outcome::default() });
        }
        let first = tasks.first().expect("a batch is never empty");
        let uid = first.index_uid.clone().unwrap_or_default();
        match first.work.clone() {
            Work::DocumentAddition { .. } | Work::DocumentDeletion { .. } => {
                self.change_documents(&uid, tasks)
            }
            Work::DocumentDeletionByFilter { filter } => {
                let index = self.catalog.get(&uid)?;
                let deleted = index.delete_by_filter(&uid, &filter, &|| self.registry.must_abort())?;
                Ok(succeed(tasks, &json!({ "deletedDocuments": deleted })))
            }
            Work::DocumentClear => {
                let deleted = self.catalog.get(&uid)?.clear(&uid)?;
                Ok(succeed(tasks, &json!({ "deletedDocuments": deleted })))
            }
            Work::Settings { new, reset } => self.change_settings(&uid, tasks, new, reset),
            Work::IndexCreation { primary_key } => {
                if self.catalog.find(&uid).is_some() {
                    let text = format!("Index `{uid}` already exists.");
                    return Err(ApiError::new("index_already_exists", text));
                }
                let index = self.catalog.get_or_create(&uid)?;
                if let Some(key) = primary_key {
                    index.change_primary_key(&uid, &key)?;
                }
                Ok(succeed(tasks, &json!({})))
            }
            Work::IndexUpdate { primary_key, new_uid } => {
                self.update_index(&uid, tasks, primary_key, new_uid)
            }
            Work::IndexDeletion => self.delete_index(&uid, tasks),
            Work::IndexCompaction => self.compact_index(&uid, tasks),
            Work::SnapshotCreation => self.create_snapshot(tasks),
            Work::Swap { swaps } => self.swap(tasks, &swaps),
            Work::TaskCancelation { uids, .. } => Ok(self.cancel(tasks, &uids)),
            Work::TaskDeletion { uids, .. } => Ok(self.forget(tasks, &uids)),
        }
    }

    fn change_documents(&self, uid: &str, mut tasks: Vec<Task>) -> Result<Outcome, ApiError> {
        let adds = tasks.iter().any(|task| matches!(task.work, Work::DocumentAddition { .. }));
        let index = if adds { self.catalog.get_or_create(uid)? } else { self.catalog.get(uid)? };
        let mut primary_key = None;
        let mut operations = Vec::with_capacity(tasks.len());
        for task in &tasks {
            operations.push(match &task.work {
                Work::DocumentAddition { update, primary_key: key, .. } => {
                    primary_key = primary_key.or_else(|| key.clone());
                    let payload = self.registry.payload(task.uid)?;
                    if *update { Operation::Update(payload) } else { Operation::Replace(payload) }
                }
                Work::DocumentDeletion { ids } => Operation::Delete(ids.clone()),
                Work::DocumentDeletionByFilter { .. }
                | Work::DocumentClear
                | Work::Settings { .. }
                | Work::IndexCreation { .. }
                | Work::IndexUpdate { .. }
                | Work::IndexDeletion
                | Work::IndexCompaction
                | Work::SnapshotCreation
                | Work::Swap { .. }
                | Work::TaskCancelation { .. }
                | Work::TaskDeletion { .. } => {
                    let text = "a batch of document changes holds another task";
                    return Err(ApiError::new("internal", text));
                }
            });
        }
        let outcomes =
            index.apply(uid, &operations, primary_key.as_deref(), &|| self.registry.must_abort())?;
        for (task, outcome) in tasks.iter_mut().zip(outcomes) {
            match outcome {
                Err(error) => task.fail(&error),
                Ok(count) if matches!(task.work, Work::DocumentDeletion { .. }) => {
                    task.succeed(json!({ "deletedDocuments": count }));
                }
                Ok(count) => task.succeed(json!({ "indexedDocuments": count })),
            }
        }
        Ok(Outcome { tasks, ..Outcome::default() })
    }

    fn change_settings(
        &self,
        uid: &str,
        tasks: Vec<Task>,
        new: Value,
        reset: bool,
    ) -> Result<Outcome, ApiError> {
        let must_abort = || self.registry.must_abort();
        if reset && new.as_object().is_none_or(serde_json::Map::is_empty) {
            self.catalog.get(uid)?.reset_settings(uid, &must_abort)?;
            return Ok(succeed(tasks, &json!({})));
        }
        let index = if reset { self.catalog.get(uid)? } else { self.catalog.get_or_create(uid)? };
        index.change_settings(uid, NewSettings::read(new)?, &must_abort)?;
        Ok(succeed(tasks, &json!({})))
    }

    fn delete_index(&self, uid: &str, tasks: Vec<Task>) -> Result<Outcome, ApiError> {
        let deleted = self.catalog.get(uid)?.stats(false)?["numberOfDocuments"].clone();
        let leftovers = self.catalog.remove(uid).into_iter().collect();
        let outcome = succeed(tasks, &json!({ "deletedDocuments": deleted }));
        Ok(Outcome { leftovers, ..outcome })
    }

    fn compact_index(&self, uid: &str, tasks: Vec<Task>) -> Result<Outcome, ApiError> {
        let before = self.catalog.get(uid)?.sizes()?.0;
        let leftovers = vec![self.catalog.compact(uid)?];
        let after = self.catalog.get(uid)?.sizes()?.0;
        let [before, after] = [before, after].map(|bytes| format!("{} KiB", bytes / 1024));
        let sizes = json!({ "preCompactionSize": before, "postCompactionSize": after });
        Ok(Outcome { leftovers, ..succeed(tasks, &sizes) })
    }

    /// Creates a directory on which a node can be started; it replaces the previous snapshot.
    fn create_snapshot(&self, tasks: Vec<Task>) -> Result<Outcome, ApiError> {
        let unfinished = self.data.join("snapshot.new");
        let finished = self.data.join("snapshot");
        for directory in [&unfinished, &finished] {
            match std::fs::remove_dir_all(directory) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        // Only this thread changes indexes, so both copies are of the same moment.
        self.catalog.copy_to(&unfinished)?;
        self.registry.copy_to(&unfinished.join("tasks"))?;
        std::fs::rename(&unfinished, &finished)?;
        Ok(succeed(tasks, &Value::Null))
    }

    fn update_index(
        &self,
        uid: &str,
        tasks: Vec<Task>,
        primary_key: Option<String>,
        new_uid: Option<String>,
    ) -> Result<Outcome, ApiError> {
        let index = self.catalog.get(uid)?;
        let mut renamed = Vec::new();
        if let Some(new_uid) = new_uid.as_deref().filter(|new_uid| *new_uid != uid) {
            if self.catalog.find(new_uid).is_some() {
                let text = format!("Index `{new_uid}` already exists.");
                return Err(ApiError::new("index_already_exists", text));
            }
            self.catalog.rename(uid, new_uid);
            let swap = Swap { indexes: (uid.to_owned(), new_uid.to_owned()), rename: true };
            renamed = self.older_renamed(tasks[0].uid, &[swap]);
        }
        if let Some(key) = primary_key {
            index.change_primary_key(new_uid.as_deref().unwrap_or(uid), &key)?;
        }
        Ok(Outcome { renamed, ..succeed(tasks, &json!({})) })
    }

    /// The tasks before `below` that name an index which has been renamed.
    fn older_renamed(&self, below: u32, swaps: &[Swap]) -> Vec<Task> {
        let mut renamed = Vec::new();
        for task in self.registry.matching(&TaskFilters::default()) {
            let mut changed = Task::clone(&task);
            for Swap { indexes: (left, right), .. } in swaps {
                changed.exchange_names(left, right);
            }
            if task.uid < below && (changed.index_uid != task.index_uid || changed.details != task.details) {
                renamed.push(changed);
            }
        }
        renamed
    }

    fn swap(&self, tasks: Vec<Task>, swaps: &[Swap]) -> Result<Outcome, ApiError> {
        let mut missing: BTreeSet<&String> = BTreeSet::new();
        let mut taken = None;
        for Swap { indexes: (left, right), rename } in swaps {
            missing.extend(self.catalog.find(left).is_none().then_some(left));
            match (self.catalog.find(right), rename) {
                (None, false) => drop(missing.insert(right)),
                (Some(_), true) => taken = Some((left, right)),
                (Some(_), false) | (None, true) => {}
            }
        }
        let mut missing = missing.into_iter();
        match (missing.next(), missing.next()) {
            (None, _) => {}
            (Some(uid), None) => return Err(ApiError::index_not_found(uid)),
            (Some(first), Some(second)) => {
                let names: Vec<String> =
                    [first, second].into_iter().chain(missing).map(|uid| format!("`{uid}`")).collect();
                let text = format!("Indexes {} not found.", names.join(", "));
                return Err(ApiError::new("index_not_found", text));
            }
        }
        if let Some((left, right)) = taken {
            let text = format!(
                "Cannot rename `{left}` to `{right}` as the index already exists. Hint: You can remove `{right}` \
                 first and then do your remove."
            );
            return Err(ApiError::new("index_already_exists", text));
        }
        for Swap { indexes: (left, right), rename } in swaps {
            match rename {
                true => self.catalog.rename(left, right),
                false => self.catalog.swap(left, right),
            }
        }
        let renamed = self.older_renamed(tasks[0].uid, swaps);
        Ok(Outcome { renamed, ..succeed(tasks, &json!({})) })
    }

    fn cancel(&self, tasks: Vec<Task>, uids: &[u32]) -> Outcome {
        let by = tasks[0].uid;
        let mut others: Vec<Task> = uids
            .iter()
            .filter_map(|uid| self.registry.task(*uid))
            .filter(|task| task.uid != by && task.finished_at.is_none())
            .map(|task| Task::clone(&task))
            .collect();
        for task in &mut others {
            task.cancel(by);
        }
        let outcome = succeed(tasks, &json!({ "canceledTasks": others.len() }));
        Outcome { others, ..outcome }
    }

    fn forget(&self, tasks: Vec<Task>, uids: &[u32]) -> Outcome {
        let named = TaskFilters::of_uids(uids);
        let deleted: Vec<u32> = self
            .registry
            .matching(&named)
            .into_iter()
            .filter(|task| !matches!(task.status, Status::Enqueued | Status::Processing))
            .map(|task| task.uid)
            .collect();
        let outcome = succeed(tasks, &json!({ "deletedTasks": deleted.len() }));
        Outcome { deleted, ..outcome }
    }
}

/// Picks the next batch from the enqueued tasks, oldest first.
fn choose(enqueued: &mut dyn Iterator<Item = &Task>) -> Vec<u32> {
    let enqueued: Vec<&Task> = enqueued.collect();
    let urgent = |wanted: fn(&Work) -> bool| enqueued.iter().find(|task| wanted(&task.work));
    if let Some(task) = urgent(|work| matches!(work, Work::TaskCancelation { .. }))
        .or_else(|| urgent(|work| matches!(work, Work::TaskDeletion { .. })))
    {
        return vec![task.uid];
    }
    let Some(first) = enqueued.first() else { return Vec::new() };
    let mut batch = vec![first.uid];
    let change = DocumentChange::of(first);
    if change == DocumentChange::Other {
        return batch;
    }
    let mut documents = 0;
    for task in enqueued[1..].iter().take(BATCH_TASKS_MAX - 1) {
        let Some(index) = &task.index_uid else { break };
        if Some(index) != first.index_uid.as_ref() {
            continue;
        }
        if DocumentChange::of(task) != change {
            break;
        }
        if let Work::DocumentAddition { documents: more, .. } = &task.work {
            documents += more;
        }
        if documents > BATCH_DOCUMENTS_MAX || task.dropped != first.dropped {
            break;
        }
        batch.push(task.uid);
    }
    batch
}

/// Tasks share a transaction if these are equal: deletions with deletions, additions with additions that name the same
/// primary key.
#[derive(PartialEq, Eq)]
enum DocumentChange<'a> {
    Addition(Option<&'a String>),
    Deletion,
    Other,
}

impl<'a> DocumentChange<'a> {
    fn of(task: &'a Task) -> Self {
        match &task.work {
            Work::DocumentAddition { primary_key, .. } => Self::Addition(primary_key.as_ref()),
            Work::DocumentDeletion { .. } => Self::Deletion,
            Work::DocumentDeletionByFilter { .. }
            | Work::DocumentClear
            | Work::Settings { .. }
            | Work::IndexCreation { .. }
            | Work::IndexUpdate { .. }
            | Work::IndexDeletion
            | Work::IndexCompaction
            | Work::SnapshotCreation
            | Work::Swap { .. }
            | Work::TaskCancelation { .. }
            | Work::TaskDeletion { .. } => Self::Other,
        }
    }
}

fn succeed(mut tasks: Vec<Task>, details: &Value) -> Outcome {
    for task in &mut tasks {
        task.succeed(details.clone());
    }
    Outcome { tasks, ..Outcome::default() }
}

fn fail_all(mut tasks: Vec<Task>, error: &ApiError) -> Outcome {
    for task in &mut tasks {
        task.fail(error);
    }
    Outcome { tasks, ..Outcome::default() }
}

fn crash(panic: &(dyn std::any::Any + Send)) -> ApiError {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no reason given".to_owned());
    ApiError::new("internal", format!("An unexpected crash occurred when processing the task: {text}"))
}
