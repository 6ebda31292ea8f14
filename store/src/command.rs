//! What a handle asks of a backend's thread: two closed sets of commands, each with the sender for its answer. A
//! backend owns an `Inbox`. It must answer every command or drop the sender, which the caller sees as `Closed`.

use crossbeam::channel::Receiver;
use serde_json::Value;
use time::OffsetDateTime;

use crate::answer::{Answer, StepAnswer};
use crate::change_ring::Changes;
use crate::coordination::{HeldLease, Job, Step};
use crate::transfer::{Entry, EntryPage, Mark};
use crate::{
    Change, FirstTask, IndexRecord, LogEntry, LogSize, NewTask, Record, Table, TaskChange, TaskPage,
    TaskQuery, TaskRecord, Versioned,
};

/// A backend answers a read immediately, even during a sync.
pub(crate) enum Read {
    Topology {
        answer: Answer<Option<Versioned<Value>>>,
    },
    Indexes {
        answer: Answer<Vec<IndexRecord>>,
    },
    Index {
        uid: String,
        answer: Answer<Option<IndexRecord>>,
    },
    Task {
        uid: u32,
        answer: Answer<Option<TaskRecord>>,
    },
    /// The task that an idempotency key refers to now.
    FirstTask {
        key: String,
        answer: Answer<Option<FirstTask>>,
    },
    Tasks {
        query: TaskQuery,
        answer: Answer<TaskPage>,
    },
    TaskUids {
        query: TaskQuery,
        answer: Answer<Vec<u32>>,
    },
    UnfinishedTasks {
        count_max: usize,
        answer: Answer<Vec<TaskRecord>>,
    },
    Record {
        table: Table,
        key: String,
        answer: Answer<Option<Record>>,
    },
    Records {
        table: Table,
        after: Option<String>,
        limit: usize,
        answer: Answer<Vec<Record>>,
    },
    Entries {
        log: Table,
        stream: String,
        after: u64,
        bytes_max: usize,
        answer: Answer<Vec<LogEntry>>,
    },
    LogSizes {
        log: Table,
        answer: Answer<Vec<LogSize>>,
    },
    Leases {
        prefix: String,
        answer: Answer<Vec<HeldLease>>,
    },
    Jobs {
        queue: String,
        answer: Answer<Vec<Job>>,
    },
    /// One page of everything that is stored.
    Stored {
        after: Option<Mark>,
        answer: Answer<EntryPage>,
    },
    /// The backend holds it until something has changed.
    Changes {
        after: Option<u64>,
        answer: Answer<Changes>,
    },
}

/// A backend answers a write after the sync that makes it durable.
pub(crate) enum Write {
    PutTopology {
        expected: Option<u64>,
        version: u64,
        value: Value,
        answer: Answer<()>,
    },
    PutIndex {
        record: Box<IndexRecord>,
        expected_revision: Option<u64>,
        answer: Answer<u64>,
    },
    DeleteIndex {
        uid: String,
        expected_revision: u64,
        answer: Answer<()>,
    },
    CreateTask {
        new: Box<NewTask>,
        pod: Option<String>,
        answer: Answer<TaskRecord>,
    },
    UpdateTask {
        uid: u32,
        change: Box<TaskChange>,
        answer: Answer<TaskRecord>,
    },
    DeleteTasks {
        uids: Vec<u32>,
        answer: Answer<Vec<u32>>,
    },
    PruneTasks {
        finished_before: OffsetDateTime,
        count_max: usize,
        answer: Answer<usize>,
    },
    Commit {
        changes: Vec<Change>,
        answer: Answer<Vec<u64>>,
    },
    PutRecord {
        table: Table,
        key: String,
        value: Value,
        expected_revision: Option<u64>,
        answer: Answer<u64>,
    },
    /// Reserves `count` task uids, none below `least`; the answer is the first.
    TakeTaskUids {
        count: u32,
        least: u32,
        answer: Answer<u32>,
    },
    Step {
        step: Box<Step>,
        answer: StepAnswer,
    },
    /// Stores entries of another store as they were there.
    Load {
        entries: Vec<Entry>,
        answer: Answer<()>,
    },
    DeleteRecord {
        table: Table,
        key: String,
        expected_revision: u64,
        answer: Answer<()>,
    },
}

impl Read {
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Read::Topology { .. } => "topology",
            Read::Indexes { .. } => "indexes",
            Read::Index { .. } => "index",
            Read::Task { .. } => "task",
            Read::FirstTask { .. } => "first_task",
            Read::Tasks { .. } => "tasks",
            Read::TaskUids { .. } => "task_uids",
            Read::UnfinishedTasks { .. } => "unfinished_tasks",
            Read::Record { .. } => "record",
            Read::Records { .. } => "records",
            Read::Entries { .. } => "entries",
            Read::LogSizes { .. } => "log_sizes",
            Read::Leases { .. } => "leases",
            Read::Jobs { .. } => "jobs",
            Read::Stored { .. } => "stored",
            Read::Changes { .. } => "changes",
        }
    }
}

impl Write {
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Write::PutTopology { .. } => "put_topology",
            Write::PutIndex { .. } => "put_index",
            Write::DeleteIndex { .. } => "delete_index",
            Write::CreateTask { .. } => "create_task",
            Write::UpdateTask { .. } => "update_task",
            Write::DeleteTasks { .. } => "delete_tasks",
            Write::PruneTasks { .. } => "prune_tasks",
            Write::Commit { .. } => "commit",
            Write::PutRecord { .. } => "put_record",
            Write::TakeTaskUids { .. } => "take_task_uids",
            Write::Step { .. } => "step",
            Write::Load { .. } => "load",
            Write::DeleteRecord { .. } => "delete_record",
        }
    }
}

/// The receiving ends of a `Store`.
pub(crate) struct Inbox {
    pub(crate) reads: Receiver<Read>,
    pub(crate) writes: Receiver<Write>,
    /// Becomes readable or disconnected when the store must stop.
    pub(crate) stop: Receiver<()>,
}
