//! The handle that everything else holds, the reply it gives, and the thread's owner.
//! - A call never blocks: a full queue is an `Overloaded` reply at once.
//! - A reply may be dropped; a write that was sent still happens.
//! - After `StoreThread::join` or its drop, every reply is `Closed`.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread::JoinHandle;

use crossbeam::channel::{Sender, TrySendError, bounded};
use futures_channel::oneshot;
use serde_json::Value;
use time::OffsetDateTime;

use crate::command::{Answer, Inbox, Read, Write};
use crate::limits::QUEUE_LENGTH_MAX;
use crate::{
    Change, IndexRecord, LogEntry, LogSize, NewTask, Record, StoreError, Table, TaskChange, TaskPage,
    TaskQuery, TaskRecord, Versioned,
};

/// A cheap, `Send + Sync` handle to an open store.
#[derive(Clone)]
pub struct Store {
    reads: Sender<Read>,
    writes: Sender<Write>,
}

/// The answer to come. Needs no particular executor.
#[must_use = "a store call's outcome is in its reply"]
pub struct Reply<T>(oneshot::Receiver<Result<T, StoreError>>);

/// Owns the backend's thread. Dropping it stops the store as `join` does, without the outcome.
pub struct StoreThread {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<Result<(), StoreError>>>,
}

impl Store {
    /// The topology last put, if any.
    pub fn topology(&self) -> Reply<Option<Versioned<Value>>> {
        self.read(|answer| Read::Topology { answer })
    }

    /// Replaces the topology if its version is still `expected` (`None`: there is none yet) and
    /// `version` is higher; else `Conflict`.
    pub fn put_topology(&self, expected: Option<u64>, version: u64, value: Value) -> Reply<()> {
        self.write(|answer| Write::PutTopology { expected, version, value, answer })
    }

    /// All indexes, by uid.
    pub fn indexes(&self) -> Reply<Vec<IndexRecord>> {
        self.read(|answer| Read::Indexes { answer })
    }

    pub fn index(&self, uid: &str) -> Reply<Option<IndexRecord>> {
        self.read(|answer| Read::Index { uid: uid.to_owned(), answer })
    }

    /// Creates (`None`) or replaces the index if its revision is still the expected one, and
    /// answers its new revision; else `Conflict`.
    pub fn put_index(&self, record: IndexRecord, expected_revision: Option<u64>) -> Reply<u64> {
        self.write(|answer| Write::PutIndex { record: Box::new(record), expected_revision, answer })
    }

    pub fn delete_index(&self, uid: &str, expected_revision: u64) -> Reply<()> {
        self.write(|answer| Write::DeleteIndex { uid: uid.to_owned(), expected_revision, answer })
    }

    /// Makes all of the changes durable, or none of them: `Conflict` when any of them is one. Answers
    /// the revision that each change gave its record; 0 where it has none.
    pub fn commit(&self, changes: Vec<Change>) -> Reply<Vec<u64>> {
        self.write(|answer| Write::Commit { changes, answer })
    }

    /// Registers a task under the next uid. `Full` past `TASK_COUNT_MAX`.
    pub fn create_task(&self, new: NewTask) -> Reply<TaskRecord> {
        self.write(|answer| Write::CreateTask { new: Box::new(new), answer })
    }

    /// Changes a task and answers the new record. `Conflict` when there is no such task, its
    /// revision is not the expected one, or its status would move backwards.
    pub fn update_task(&self, uid: u32, change: TaskChange) -> Reply<TaskRecord> {
        self.write(|answer| Write::UpdateTask { uid, change: Box::new(change), answer })
    }

    pub fn task(&self, uid: u32) -> Reply<Option<TaskRecord>> {
        self.read(|answer| Read::Task { uid, answer })
    }

    /// A page of the accepted tasks that match.
    pub fn tasks(&self, query: TaskQuery) -> Reply<TaskPage> {
        self.read(|answer| Read::Tasks { query, answer })
    }

    /// The uids of all accepted tasks that match, ascending; `from`, `limit` and `reverse` do not count.
    pub fn task_uids(&self, query: TaskQuery) -> Reply<Vec<u32>> {
        self.read(|answer| Read::TaskUids { query, answer })
    }

    /// Up to `count_max` tasks that are enqueued or processing, intents among them, oldest first.
    pub fn unfinished_tasks(&self, count_max: usize) -> Reply<Vec<TaskRecord>> {
        self.read(|answer| Read::UnfinishedTasks { count_max, answer })
    }

    /// Deletes those of the tasks that are finished and answers their uids, ascending.
    pub fn delete_tasks(&self, uids: Vec<u32>) -> Reply<Vec<u32>> {
        self.write(|answer| Write::DeleteTasks { uids, answer })
    }

    /// Deletes up to `count_max` tasks that finished before a date, lowest uid first, and answers
    /// how many it was.
    pub fn prune_tasks(&self, finished_before: OffsetDateTime, count_max: usize) -> Reply<usize> {
        self.write(|answer| Write::PruneTasks { finished_before, count_max, answer })
    }

    pub fn record(&self, table: Table, key: &str) -> Reply<Option<Record>> {
        self.read(|answer| Read::Record { table, key: key.to_owned(), answer })
    }

    /// Up to `limit` records of a table by key, those after the key `after` if one is given.
    pub fn records(&self, table: Table, after: Option<&str>, limit: usize) -> Reply<Vec<Record>> {
        self.read(|answer| Read::Records { table, after: after.map(str::to_owned), limit, answer })
    }

    /// Creates (`None`) or replaces a record if its revision is still the expected one, and
    /// answers its new revision; else `Conflict`.
    pub fn put_record(
        &self,
        table: Table,
        key: &str,
        value: Value,
        expected_revision: Option<u64>,
    ) -> Reply<u64> {
        let key = key.to_owned();
        self.write(|answer| Write::PutRecord { table, key, value, expected_revision, answer })
    }

    pub fn delete_record(&self, table: Table, key: &str, expected_revision: u64) -> Reply<()> {
        self.write(|answer| Write::DeleteRecord { table, key: key.to_owned(), expected_revision, answer })
    }

    /// Entries of a log behind the sequence `after`, in order, until their bodies have `bytes_max` bytes
    /// or there are `LOG_PAGE_MAX` of them; the first one whatever its length.
    pub fn entries(&self, log: Table, stream: &str, after: u64, bytes_max: usize) -> Reply<Vec<LogEntry>> {
        self.read(|answer| Read::Entries { log, stream: stream.to_owned(), after, bytes_max, answer })
    }

    /// How long each log of a table is; empty ones are left out. Reads all of their headers.
    pub fn log_sizes(&self, log: Table) -> Reply<Vec<LogSize>> {
        self.read(|answer| Read::LogSizes { log, answer })
    }

    fn read<T>(&self, command: impl FnOnce(Answer<T>) -> Read) -> Reply<T> {
        send(&self.reads, command)
    }

    fn write<T>(&self, command: impl FnOnce(Answer<T>) -> Write) -> Reply<T> {
        send(&self.writes, command)
    }
}

impl<T> Future for Reply<T> {
    type Output = Result<T, StoreError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|answer| answer.unwrap_or(Err(StoreError::Closed)))
    }
}

impl StoreThread {
    pub(crate) fn new(stop: Sender<()>, thread: JoinHandle<Result<(), StoreError>>) -> StoreThread {
        StoreThread { stop: Some(stop), thread: Some(thread) }
    }

    /// Commits and answers the writes that already wait, closes the store and waits for that.
    /// Blocks for a few syncs. Fails when the store had failed before or its thread had panicked.
    pub fn join(mut self) -> Result<(), StoreError> {
        self.stop_and_wait()
    }

    fn stop_and_wait(&mut self) -> Result<(), StoreError> {
        drop(self.stop.take());
        match self.thread.take() {
            Some(thread) => thread.join().unwrap_or(Err(StoreError::Closed)),
            None => Ok(()),
        }
    }
}

impl Drop for StoreThread {
    fn drop(&mut self) {
        // Whoever wants the outcome calls `join`.
        let _ = self.stop_and_wait();
    }
}

/// A handle and the ends its backend serves; dropping the sender stops the backend.
pub(crate) fn connect() -> (Store, Inbox, Sender<()>) {
    let (reads, reads_inbox) = bounded(QUEUE_LENGTH_MAX);
    let (writes, writes_inbox) = bounded(QUEUE_LENGTH_MAX);
    let (stop, stop_inbox) = bounded(0);
    (Store { reads, writes }, Inbox { reads: reads_inbox, writes: writes_inbox, stop: stop_inbox }, stop)
}

fn send<Command, T>(queue: &Sender<Command>, command: impl FnOnce(Answer<T>) -> Command) -> Reply<T> {
    let (answer, reply) = oneshot::channel();
    match queue.try_send(command(answer)) {
        Ok(()) => Reply(reply),
        Err(TrySendError::Full(_)) => refused(StoreError::Overloaded),
        Err(TrySendError::Disconnected(_)) => refused(StoreError::Closed),
    }
}

fn refused<T>(error: StoreError) -> Reply<T> {
    let (answer, reply) = oneshot::channel();
    // The receiver is right here, so the send cannot fail.
    let _ = answer.send(Err(error));
    Reply(reply)
}
