//! The handle to a store, the reply to each command, and the owner of the backend's thread.
//! - A call never blocks: a full queue makes an immediate `Overloaded` reply.
//! - A caller may drop a reply; a write that was sent still happens.
//! - After `StoreThread::join`, or the drop of the `StoreThread`, every reply is `Closed`.

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

/// A handle to an open store, cheap to clone.
#[derive(Clone)]
pub struct Store {
    reads: Sender<Read>,
    writes: Sender<Write>,
    pod: Option<Arc<str>>,
    observer: Option<Observer>,
}

/// Is told the kind of each command, on the thread that sends it.
pub type Observer = Arc<dyn Fn(&'static str) + Send + Sync>;

/// The answer to come. It is a future that needs no particular executor.
///
/// # Errors
/// Every command can fail in these ways, and its method names only further ones:
/// - `Overloaded`: the queue is full. Nothing was done.
/// - `Closed`: the store has shut down.
/// - `Io`: the disk failed, or a stored record cannot be read.
/// - `Unreachable` (Redis only): no connection, or no answer in time. A write may or may not have happened.
/// - `Full` (writes only): a record is larger than [`RECORD_BYTES_MAX`](crate::RECORD_BYTES_MAX), or Redis is out of
///   memory.
#[must_use = "a store call's outcome is in its reply"]
pub struct Reply<T>(oneshot::Receiver<Result<T, StoreError>>);

/// Owns the backend's thread. Dropping it stops the store as `join` does, but discards the outcome.
pub struct StoreThread {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<Result<(), StoreError>>>,
}

impl Store {
    /// A handle to the same store that marks the tasks it makes with the name of a pod.
    #[must_use]
    pub fn named(&self, pod: &str) -> Store {
        Store { pod: Some(Arc::from(pod)), ..self.clone() }
    }

    /// A handle to the same store that reports its commands to an observer.
    #[must_use]
    pub fn observed(&self, observer: Observer) -> Store {
        Store { observer: Some(observer), ..self.clone() }
    }

    /// The current topology, if there is one.
    ///
    /// # Errors
    /// Those of every [`Reply`].
    pub fn topology(&self) -> Reply<Option<Versioned<Value>>> {
        self.read(|answer| Read::Topology { answer })
    }

    /// Replaces the topology if its stored version is `expected` (`None`: there is none yet) and `version` is higher.
    ///
    /// # Errors
    /// `Conflict`: the stored version is another one, or `version` is not higher. Also those of every [`Reply`].
    pub fn put_topology(&self, expected: Option<u64>, version: u64, value: Value) -> Reply<()> {
        self.write(|answer| Write::PutTopology { expected, version, value, answer })
    }

    /// All indexes, by uid.
    ///
    /// # Errors
    /// Those of every [`Reply`].
    pub fn indexes(&self) -> Reply<Vec<IndexRecord>> {
        self.read(|answer| Read::Indexes { answer })
    }

    /// The index with this uid, if there is one.
    ///
    /// # Errors
    /// Those of every [`Reply`].
    pub fn index(&self, uid: &str) -> Reply<Option<IndexRecord>> {
        self.read(|answer| Read::Index { uid: uid.to_owned(), answer })
    }

    /// Creates (`None`) or replaces an index if its stored revision is the expected one. The reply is its new revision.
    ///
    /// # Errors
    /// `Conflict`: the stored revision is another one. Also those of every [`Reply`].
    pub fn put_index(&self, record: IndexRecord, expected_revision: Option<u64>) -> Reply<u64> {
        self.write(|answer| Write::PutIndex { record: Box::new(record), expected_revision, answer })
    }

    /// Deletes an index.
    ///
    /// # Errors
    /// `Conflict`: there is no such index, or its revision is not the expected one. Also those of every [`Reply`].
    pub fn delete_index(&self, uid: &str, expected_revision: u64) -> Reply<()> {
        self.write(|answer| Write::DeleteIndex { uid: uid.to_owned(), expected_revision, answer })
    }

    /// Makes all changes durable, or none of them. The reply has a revision for each change: the one that it gave its
    /// record, 0 where it gave none.
    ///
    /// # Errors
    /// `Conflict`: a record is not as one of the changes expects it. `Fenced`: the token of a [`Change::Fence`] or
    /// [`Change::CompleteJob`] is not the newest. Also those of every [`Reply`].
    pub fn commit(&self, changes: Vec<Change>) -> Reply<Vec<u64>> {
        self.write(|answer| Write::Commit { changes, answer })
    }

    /// Registers a task under the next uid.
    ///
    /// # Errors
    /// `Full`: there are `TASK_COUNT_MAX` tasks, or no uids left, or, for a task with an idempotency key,
    /// `IDEMPOTENCY_KEY_COUNT_MAX` keys. `Repeated`: the same request has made a task with the key before. `Reused`:
    /// another request has. Also those of every [`Reply`].
    pub fn create_task(&self, new: NewTask) -> Reply<TaskRecord> {
        let pod = self.pod.as_deref().map(str::to_owned);
        self.write(|answer| Write::CreateTask { new: Box::new(new), pod, answer })
    }

    /// Changes a task. The reply is the new record.
    ///
    /// # Errors
    /// `Conflict`: there is no such task, its revision is not the expected one, its status would move backwards, or it
    /// would be finished without `finished_at` (or the other way round). Also those of every [`Reply`].
    pub fn update_task(&self, uid: u32, change: TaskChange) -> Reply<TaskRecord> {
        self.write(|answer| Write::UpdateTask { uid, change: Box::new(change), answer })
    }

    /// The task with this uid, if there is one.
    ///
    /// # Errors
    /// Those of every [`Reply`].
    pub fn task(&self, uid: u32) -> Reply<Option<TaskRecord>> {
        self.read(|answer| Read::Task { uid, answer })
    }

    /// The task that an idempotency key refers to now, if the key has not expired.
    ///
    /// # Errors
    /// Those of every [`Reply`].
    pub fn first_task(&self, key: &str) -> Reply<Option<FirstTask>> {
        self.read(|answer| Read::FirstTask { key: key.to_owned(), answer })
    }

    /// A page of the accepted tasks that match.
    ///
    /// # Errors
    /// Those of every [`Reply`].
    pub fn tasks(&self, query: TaskQuery) -> Reply<TaskPage> {
        self.read(|answer| Read::Tasks { query, answer })
    }

    /// The uids of all accepted tasks that match, ascending. `from`, `limit` and `reverse` have no effect.
    ///
    /// # Errors
    /// Those of every [`Reply`].
    pub fn task_uids(&self, query: TaskQuery) -> Reply<Vec<u32>> {
        self.read(|answer| Read::TaskUids { query, answer })
    }

    /// Up to `count_max` tasks that are enqueued or processing, including intents, by uid.
    ///
    /// # Errors
    /// Those of every [`Reply`].
    pub fn unfinished_tasks(&self, count_max: usize) -> Reply<Vec<TaskRecord>> {
        self.read(|answer| Read::UnfinishedTasks { count_max, answer })
    }

    /// Deletes the finished ones among the tasks. The reply has their uids, ascending.
    ///
    /// # Errors
    /// Those of every [`Reply`].
    pub fn delete_tasks(&self, uids: Vec<u32>) -> Reply<Vec<u32>> {
        self.write(|answer| Write::DeleteTasks { uids, answer })
    }

    /// Deletes up to `count_max` tasks that finished before a date, lowest uid first. The reply is their number.
    ///
    /// # Errors
    /// Those of every [`Reply`].
    pub fn prune_tasks(&self, finished_before: OffsetDateTime, count_max: usize) -> Reply<usize> {
        self.write(|answer| Write::PruneTasks { finished_before, count_max, answer })
    }

    /// The record of a table with this key, if there is one.
    ///
    /// # Errors
    /// Those of every [`Reply`].
    pub fn record(&self, table: Table, key: &str) -> Reply<Option<Record>> {
        self.read(|answer| Read::Record { table, key: key.to_owned(), answer })
    }

    /// Up to `limit` records of a table in the order of their keys, starting behind the key `after` if it is given.
    ///
    /// # Errors
    /// Those of every [`Reply`].
    pub fn records(&self, table: Table, after: Option<&str>, limit: usize) -> Reply<Vec<Record>> {
        self.read(|answer| Read::Records { table, after: after.map(str::to_owned), limit, answer })
    }

    /// Creates (`None`) or replaces a record if its stored revision is the expected one. The reply is its new revision.
    ///
    /// # Errors
    /// `Conflict`: the stored revision is another one. Also those of every [`Reply`].
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

    /// Deletes a record.
    ///
    /// # Errors
    /// `Conflict`: there is no such record, or its revision is not the expected one. Also those of every [`Reply`].
    pub fn delete_record(&self, table: Table, key: &str, expected_revision: u64) -> Reply<()> {
        self.write(|answer| Write::DeleteRecord { table, key: key.to_owned(), expected_revision, answer })
    }

    /// Entries of a log behind the sequence `after`, in order, up to `LOG_PAGE_MAX` of them or `bytes_max` bytes of
    /// bodies. The first entry is included whatever its size.
    ///
    /// # Errors
    /// Those of every [`Reply`].
    pub fn entries(&self, log: Table, stream: &str, after: u64, bytes_max: usize) -> Reply<Vec<LogEntry>> {
        self.read(|answer| Read::Entries { log, stream: stream.to_owned(), after, bytes_max, answer })
    }

    /// The size of each log of a table that is not empty. Reads every entry's header, so it is not cheap.
    ///
    /// # Errors
    /// Those of every [`Reply`].
    pub fn log_sizes(&self, log: Table) -> Reply<Vec<LogSize>> {
        self.read(|answer| Read::LogSizes { log, answer })
    }

    /// Takes a lease for `ttl`. The reply is `None` while another holder has it. The same holder gets a new token.
    ///
    /// # Errors
    /// Those of every [`Reply`].
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

    /// Extends a lease until `ttl` from now, also an expired one that nobody has taken since.
    ///
    /// # Errors
    /// `Fenced`: the lease was released or taken again. Also those of every [`Reply`].
    pub fn renew_lease(&self, lease: &Lease, ttl: Duration) -> Reply<()> {
        self.step(LEASES, lease.scope.clone(), Act::Renew { token: lease.token, ttl }, done)
    }

    /// Releases a lease before it expires.
    ///
    /// # Errors
    /// `Fenced`: the lease was released or taken again. Also those of every [`Reply`].
    pub fn release_lease(&self, lease: &Lease) -> Reply<()> {
        self.step(LEASES, lease.scope.clone(), Act::Release { token: lease.token }, done)
    }

    /// The leases held now whose scopes begin with `prefix`.
    ///
    /// # Errors
    /// Those of every [`Reply`].
    pub fn leases(&self, prefix: &str) -> Reply<Vec<HeldLease>> {
        self.read(|answer| Read::Leases { prefix: prefix.to_owned(), answer })
    }

    /// Puts a job into a queue. The queue's name must not contain a slash. `attempts_max` is how often it may be
    /// claimed; 0 counts as 1.
    ///
    /// # Errors
    /// `Conflict`: the queue has a job with this key. `Full`: it has `JOBS_MAX` jobs. Also those of every [`Reply`].
    pub fn put_job(&self, queue: &str, key: &str, payload: Value, attempts_max: u32) -> Reply<()> {
        self.on_job(queue, key, Act::Enqueue { payload, attempts_max }, done)
    }

    /// Claims the queued job with the fewest attempts, the longest waiting one of several; `None` if there is none.
    /// Another holder may claim it after `ttl` without a renewal.
    ///
    /// # Errors
    /// Those of every [`Reply`].
    pub fn claim_job(&self, queue: &str, holder: &str, ttl: Duration) -> Reply<Option<Job>> {
        let act = Act::Claim { holder: holder.to_owned(), ttl };
        self.step(JOBS, queue.to_owned(), act, |outcome| match outcome {
            Outcome::Job(job) => Some(job.map(|job| *job)),
            Outcome::Done | Outcome::Token(_) | Outcome::State(_) | Outcome::Count(_) => None,
        })
    }

    /// Extends the claim on a job until `ttl` from now.
    ///
    /// # Errors
    /// `Fenced`: the claim has ended, or the job was claimed again. Also those of every [`Reply`].
    pub fn keep_job(&self, job: &Job, ttl: Duration) -> Reply<()> {
        self.on_job(&job.queue, &job.key, Act::Heartbeat { token: job.token, ttl }, done)
    }

    /// Stores the holder's progress as the job's cursor, and extends the claim until `ttl` from now.
    ///
    /// # Errors
    /// `Fenced`: the claim has ended, or the job was claimed again. Also those of every [`Reply`].
    pub fn advance_job(&self, job: &Job, cursor: Value, ttl: Duration) -> Reply<()> {
        self.on_job(&job.queue, &job.key, Act::Progress { token: job.token, cursor, ttl }, done)
    }

    /// Removes a finished job.
    ///
    /// # Errors
    /// `Fenced`: the claim has ended, or the job was claimed again. Also those of every [`Reply`].
    pub fn complete_job(&self, job: &Job) -> Reply<()> {
        self.on_job(&job.queue, &job.key, Act::Complete { token: job.token }, done)
    }

    /// Ends a failed attempt. The job is queued again, or dead after `attempts_max` attempts; the reply says which.
    ///
    /// # Errors
    /// `Fenced`: the claim has ended, or the job was claimed again. Also those of every [`Reply`].
    pub fn fail_job(&self, job: &Job, reason: &str) -> Reply<JobState> {
        let act = Act::Fail { token: job.token, reason: reason.to_owned() };
        self.on_job(&job.queue, &job.key, act, |outcome| match outcome {
            Outcome::State(state) => Some(state),
            Outcome::Done | Outcome::Token(_) | Outcome::Job(_) | Outcome::Count(_) => None,
        })
    }

    /// Queues a dead job again, with all its attempts.
    ///
    /// # Errors
    /// `Conflict`: there is no such job, or it is not dead. Also those of every [`Reply`].
    pub fn revive_job(&self, queue: &str, key: &str) -> Reply<()> {
        self.on_job(queue, key, Act::Revive, done)
    }

    /// All jobs of a queue, by key.
    ///
    /// # Errors
    /// Those of every [`Reply`].
    pub fn jobs(&self, queue: &str) -> Reply<Vec<Job>> {
        self.read(|answer| Read::Jobs { queue: queue.to_owned(), answer })
    }

    /// Adds to a counter; the reply is the sum. The counter restarts at 0 `ttl` after its first addition. It stops at
    /// `u64::MAX`.
    ///
    /// # Errors
    /// Those of every [`Reply`].
    pub fn count(&self, name: &str, add: u64, ttl: Duration) -> Reply<u64> {
        self.step(COUNTERS, name.to_owned(), Act::Count { add, ttl }, |outcome| match outcome {
            Outcome::Count(count) => Some(count),
            Outcome::Done | Outcome::Token(_) | Outcome::Job(_) | Outcome::State(_) => None,
        })
    }

    /// Reserves `count` consecutive task uids, none below `least`, which no task gets otherwise. The reply is the
    /// first.
    ///
    /// # Errors
    /// `Full`: the uids would not fit 32 bits. Also those of every [`Reply`].
    pub fn take_task_uids(&self, count: u32, least: u32) -> Reply<u32> {
        self.write(|answer| Write::TakeTaskUids { count, least, answer })
    }

    /// A page of everything stored, the first for `None`. Only for a store that nobody else uses (`transfer`).
    ///
    /// # Errors
    /// Those of every [`Reply`].
    pub fn stored(&self, after: Option<Mark>) -> Reply<EntryPage> {
        self.read(|answer| Read::Stored { after, answer })
    }

    /// Stores entries as another store had them. The store must have been empty before the first call.
    ///
    /// # Errors
    /// Those of every [`Reply`]. After one of them the store is incomplete.
    pub fn load(&self, entries: Vec<Entry>) -> Reply<()> {
        self.write(|answer| Write::Load { entries, answer })
    }

    /// What has changed since a version of this handle's store, whoever changed it. The reply waits until something
    /// has. A watcher begins with `None`, which is answered immediately, and then reads what it follows. When
    /// `WATCHERS_MAX` replies wait already, this one comes immediately, perhaps without a change.
    ///
    /// # Errors
    /// Those of every [`Reply`].
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
                // A dropped reply is no error: the caller no longer wants the answer.
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

    /// Commits and acknowledges the writes that wait already, then closes the store. Blocks for a few syncs.
    ///
    /// # Errors
    /// `Io`: the store failed. `Closed`: its thread panicked.
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
        // A caller that wants the outcome calls `join`.
        let _ = self.stop_and_wait();
    }
}

/// A handle and the inbox for its backend. Dropping the sender stops the backend.
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
    // The receiver still exists, so the send cannot fail.
    let _ = answer.send(Err(error));
    Reply(reply)
}
