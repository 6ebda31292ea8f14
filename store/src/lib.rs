//! The only durable writer: index registry, task registry, topology, small named tables and logs behind one handle.
//!
//! - A `Store` is a pair of bounded channels to a backend's thread; it never blocks its caller.
//! - The backend acknowledges a write after the disk has synced it, so an acknowledged write survives `kill -9`.
//! - A read never waits for a sync. It sees every write that was acknowledged before the read was sent, and may see one
//!   that is applied but not acknowledged yet.
//! - Every change of a record is a compare-and-swap: on its revision, its version or its status.
//! - The crate knows no HTTP and reads no calendar; callers bring the dates.

pub(crate) mod answer;
pub(crate) mod change_ring;
pub(crate) mod command;
pub mod coordination;
pub(crate) mod error;
pub(crate) mod handle;
pub mod idempotency;
pub(crate) mod limits;
pub(crate) mod location;
pub(crate) mod record;
pub(crate) mod redis_backend;
pub(crate) mod sled_backend;
pub(crate) mod task;
pub(crate) mod task_dates;
pub(crate) mod task_index;
pub mod transfer;

pub use crate::change_ring::{Changes, Name};
pub use crate::idempotency::{FirstTask, IDEMPOTENCY_KEYS, IdempotencyKey};
pub use coordination::{HeldLease, Job, JobState, Lease};
pub use error::{OpenError, StoreError};
pub use handle::{Observer, Reply, Store, StoreThread};
pub use limits::{
    IDEMPOTENCY_KEY_COUNT_MAX, IDEMPOTENCY_TTL, JOBS_MAX, LOG_PAGE_MAX, QUEUE_LENGTH_MAX, RECORD_BYTES_MAX,
    TASK_COUNT_MAX, WRITE_BATCH_MAX,
};
pub use location::StoreLocation;
pub use record::{
    Change, IndexRecord, LogEntry, LogSize, Record, SettingsAhead, Table, TtlPolicy, Twin, Versioned,
};
pub use redis_backend::{RedisOptions, open_redis};
pub use sled_backend::{inspect_sled, memory, open_sled, open_sled_with_clock};
/// Tells the time since 1970.
pub type Clock = std::sync::Arc<dyn Fn() -> std::time::Duration + Send + Sync>;

pub use task::{
    NewTask, NodeTask, TaskChange, TaskError, TaskKind, TaskOwner, TaskPage, TaskQuery, TaskRecord,
    TaskStatus, UnknownName,
};
