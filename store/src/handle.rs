//! The handle that everything else holds, the reply it gives, and the thread's owner.
//! - A call never blocks: a full queue is an `Overloaded` reply at once.
//! - A reply may be dropped; a write that was sent still happens.
//! - After `StoreThread::join` or its drop, every reply is `Closed`.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::channel::{Sender, TrySendError, bounded};
use futures_channel::oneshot;
use serde_json::Value;
use time::OffsetDateTime;

use crate::answer::Answer;
use crate::change_ring::Changes;
use crate::command::{Inbox, Read, Write};
use crate::coordination::{
    Act, COUNTERS, HeldLease, JOBS, Job, JobState, LEASES, Lease, Outcome, Step, queue_prefix,
};
use crate::limits::QUEUE_LENGTH_MAX;
use crate::transfer::{Entry, EntryPage, Mark};
use crate::{
    Change, FirstTask, IndexRecord, LogEntry, LogSize, NewTask, Record, StoreError, Table, TaskChange,
    TaskPage, TaskQuery, TaskRecord, Versioned,
};

/// A cheap, `Send + Sync` handle to an open store.
#[derive(Clone)]
pub struct Store {
    reads: Sender<Read>,
    writes: Sender<Write>,
    pod: Option<Arc<str>>,
    observer: Option<Observer>,
}

/// Hears the kind of each command on the thread that asks.
pub type Observer = Arc<dyn Fn(&'static str) + Send + Sync>;

/// The answer to come. Needs no particular executor.
#[must_use = "a store call's outcome is in its reply"]
pub struct Reply<T>(oneshot::Receiver<Result<T, StoreError>>);

/// Owns the backend's thread. Dropping it stops the store as `join` does, without the outcome.
pub struct StoreThread {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<Result<(), StoreError>>>,
}

impl Store {
    /// The same store, whose new tasks bear the name of the pod that makes them.
    #[must_use]
    pub fn named(&self, pod: &str) -> Store {
        Store { pod: Some(Arc::from(pod)), ..self.clone() }
    }

    /// The same store, whose commands an observer hears of.
    #[must_use]
    pub fn observed(&self, observer: Observer) -> Store {
        Store { observer: Some(observer), ..self.clone() }
    }

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

    /// Registers a task under the next uid. `Full` past `TASK_COUNT_MAX`, and past `ONCE_COUNT_MAX` for one with a
    /// client's key; `Repeated` or `Reused` when that stands for a task already.
    pub fn create_task(&self, new: NewTask) -> Reply<TaskRecord> {
        let pod = self.pod.as_deref().map(str::to_owned);
        self.write(|answer| Write::CreateTask { new: Box::new(new), pod, answer })
    }

    /// Changes a task and answers the new record. `Conflict` when there is no such task, its
    /// revision is not the expected one, or its status would move backwards.
    pub fn update_task(&self, uid: u32, change: TaskChange) -> Reply<TaskRecord> {
        self.write(|answer| Write::UpdateTask { uid, change: Box::new(change), answer })
    }

    pub fn task(&self, uid: u32) -> Reply<Option<TaskRecord>> {
        self.read(|answer| Read::Task { uid, answer })
    }

    /// What a client's key stands for now.
    pub fn first_task(&self, key: &str) -> Reply<Option<FirstTask>> {
        self.read(|answer| Read::FirstTask { key: key.to_owned(), answer })
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

    /// Takes a lease that nobody else holds; `None` when somebody does. The same holder gets a new token.
    pub fn acquire_lease(
        &self,
        scope: &str,
        holder: &str,
        about: Value,
        ttl: Duration,
    ) -> Reply<Option<Lease>> {
        let (act, named) = (Act::Acquire { holder: holder.to_owned(), about, ttl }, scope.to_owned());
        self.step(LEASES, scope.to_owned(), act, move |outcome| match outcome {
            Outcome::Token(token) => Some(token.map(|token| Lease { scope: named, token })),
            Outcome::Done | Outcome::Job(_) | Outcome::State(_) | Outcome::Count(_) => None,
        })
    }

    /// Holds a lease for `ttl` from now; `Fenced` when it is another's by now.
    pub fn renew_lease(&self, lease: &Lease, ttl: Duration) -> Reply<()> {
        self.step(LEASES, lease.scope.clone(), Act::Renew { token: lease.token, ttl }, done)
    }

    /// Gives a lease back before its time.
    pub fn release_lease(&self, lease: &Lease) -> Reply<()> {
        self.step(LEASES, lease.scope.clone(), Act::Release { token: lease.token }, done)
    }

    /// The leases that are held now, of the scopes that begin so.
    pub fn leases(&self, prefix: &str) -> Reply<Vec<HeldLease>> {
        self.read(|answer| Read::Leases { prefix: prefix.to_owned(), answer })
    }

    /// Puts a job into a queue, whose name has no slash. `Conflict` when the queue has one of this key.
    pub fn put_job(&self, queue: &str, key: &str, payload: Value, attempts_max: u32) -> Reply<()> {
        self.on_job(queue, key, Act::Enqueue { payload, attempts_max }, done)
    }

    /// Claims the job that has waited longest, if there is one; it is another's after `ttl` without a sign of life.
    pub fn claim_job(&self, queue: &str, holder: &str, ttl: Duration) -> Reply<Option<Job>> {
        let act = Act::Claim { holder: holder.to_owned(), ttl };
        self.step(JOBS, queue.to_owned(), act, |outcome| match outcome {
            Outcome::Job(job) => Some(job.map(|job| *job)),
            Outcome::Done | Outcome::Token(_) | Outcome::State(_) | Outcome::Count(_) => None,
        })
    }

    /// A sign of life of a job's holder; `Fenced` when the job is another's by now, as for all that follow.
    pub fn keep_job(&self, job: &Job, ttl: Duration) -> Reply<()> {
        self.on_job(&job.queue, &job.key, Act::Heartbeat { token: job.token, ttl }, done)
    }

    /// Stores where the holder has come to; a sign of life as well.
    pub fn advance_job(&self, job: &Job, cursor: Value, ttl: Duration) -> Reply<()> {
        self.on_job(&job.queue, &job.key, Act::Progress { token: job.token, cursor, ttl }, done)
    }

    /// The job is done and goes.
    pub fn complete_job(&self, job: &Job) -> Reply<()> {
        self.on_job(&job.queue, &job.key, Act::Complete { token: job.token }, done)
    }

    /// The job is queued again, or dead when it has been claimed as often as it may.
    pub fn fail_job(&self, job: &Job, reason: &str) -> Reply<JobState> {
        let act = Act::Fail { token: job.token, reason: reason.to_owned() };
        self.on_job(&job.queue, &job.key, act, |outcome| match outcome {
            Outcome::State(state) => Some(state),
            Outcome::Done | Outcome::Token(_) | Outcome::Job(_) | Outcome::Count(_) => None,
        })
    }

    /// Queues a dead job again.
    pub fn revive_job(&self, queue: &str, key: &str) -> Reply<()> {
        self.on_job(queue, key, Act::Revive, done)
    }

    /// All jobs of a queue, by key.
    pub fn jobs(&self, queue: &str) -> Reply<Vec<Job>> {
        self.read(|answer| Read::Jobs { queue: queue.to_owned(), answer })
    }

    /// Adds to a counter that starts anew `ttl` after its first addition; answers what it has come to.
    pub fn count(&self, name: &str, add: u64, ttl: Duration) -> Reply<u64> {
        self.step(COUNTERS, name.to_owned(), Act::Count { add, ttl }, |outcome| match outcome {
            Outcome::Count(count) => Some(count),
            Outcome::Done | Outcome::Token(_) | Outcome::Job(_) | Outcome::State(_) => None,
        })
    }

    /// Sets task uids aside that no task will get otherwise, all of them `least` or more; answers the first.
    pub fn take_task_uids(&self, count: u32, least: u32) -> Reply<u32> {
        self.write(|answer| Write::TakeTaskUids { count, least, answer })
    }

    /// Everything stored, page by page, beginning with `None`: for moving a store that nobody uses (`transfer`).
    pub fn stored(&self, after: Option<Mark>) -> Reply<EntryPage> {
        self.read(|answer| Read::Stored { after, answer })
    }

    /// Puts things in as they were stored elsewhere, into a store that was empty.
    pub fn load(&self, entries: Vec<Entry>) -> Reply<()> {
        self.write(|answer| Write::Load { entries, answer })
    }

    /// What has changed since a version of this handle's store, by anybody; held until something has. Begin
    /// with `None`, which is answered at once, and then read what you follow.
    pub fn changes(&self, after: Option<u64>) -> Reply<Changes> {
        self.read(|answer| Read::Changes { after, answer })
    }

    fn on_job<T: Send + 'static>(
        &self,
        queue: &str,
        key: &str,
        act: Act,
        take: impl FnOnce(Outcome) -> Option<T> + Send + 'static,
    ) -> Reply<T> {
        self.step(JOBS, queue_prefix(queue) + key, act, take)
    }

    fn step<T: Send + 'static>(
        &self,
        table: Table,
        key: String,
        act: Act,
        take: impl FnOnce(Outcome) -> Option<T> + Send + 'static,
    ) -> Reply<T> {
        self.write(|answer: Answer<T>| {
            let answer = Box::new(move |outcome: Result<Outcome, StoreError>| {
                let strange = || StoreError::Io("a step had another step's outcome".to_owned());
                // A caller that no longer listens is free to.
                let _ = answer.send(outcome.and_then(|outcome| take(outcome).ok_or_else(strange)));
            });
            Write::Step { step: Box::new(Step { table, key, act }), answer }
        })
    }

    fn read<T>(&self, command: impl FnOnce(Answer<T>) -> Read) -> Reply<T> {
        let (answer, reply) = oneshot::channel();
        let command = command(answer);
        self.observe(command.kind());
        send(&self.reads, command, Reply(reply))
    }

    fn write<T>(&self, command: impl FnOnce(Answer<T>) -> Write) -> Reply<T> {
        let (answer, reply) = oneshot::channel();
        let command = command(answer);
        self.observe(command.kind());
        send(&self.writes, command, Reply(reply))
    }

    fn observe(&self, kind: &'static str) {
        if let Some(observer) = &self.observer {
            observer(kind);
        }
    }
}

fn done(outcome: Outcome) -> Option<()> {
    (outcome == Outcome::Done).then_some(())
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
    (
        Store { reads, writes, pod: None, observer: None },
        Inbox { reads: reads_inbox, writes: writes_inbox, stop: stop_inbox },
        stop,
    )
}

fn send<Command, T>(queue: &Sender<Command>, command: Command, reply: Reply<T>) -> Reply<T> {
    match queue.try_send(command) {
        Ok(()) => reply,
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
