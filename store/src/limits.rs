//! The bounds of the store's queues, batches and records. Nothing in this crate grows past them.

use std::time::Duration;

/// Commands that may wait in each of the two queues (reads, writes); one more is `Overloaded`.
pub const QUEUE_LENGTH_MAX: usize = 4096;

/// Writes that share one sync. Bounds how long the thread is away from reads while it applies them.
pub const WRITE_BATCH_MAX: usize = 1024;

/// The longest that a group of writes waits for the callers of the group before to come back.
pub(crate) const GATHER_TIME_MAX: Duration = Duration::from_millis(2);

/// Bytes of one encoded record; a larger one is refused with `Full`.
pub const RECORD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes of a log entry's body that lies in the database; a longer one has a file of its own.
pub(crate) const INLINE_BODY_BYTES_MAX: usize = 16 * 1024;

/// Entries of a log read at once.
pub const LOG_PAGE_MAX: usize = 256;

/// Tasks the registry holds; past it a new task is refused with `Full` until some are pruned.
pub const TASK_COUNT_MAX: u64 = 4_000_000;

/// Revisions set aside by one durable write, so that handing one out costs no extra record.
pub(crate) const REVISION_BLOCK: u64 = 1 << 20;

/// How long opening a store waits for whoever still holds it, and how often it looks.
pub(crate) const LOCK_WAIT_MAX: Duration = Duration::from_secs(1);
pub(crate) const LOCK_INTERVAL: Duration = Duration::from_millis(10);

/// Names of changes that are kept for those who follow the store.
pub(crate) const CHANGES_KEPT_MAX: usize = 8192;

/// Who may wait for changes at a time; one more is answered at once.
pub(crate) const WATCHERS_MAX: usize = 64;

/// Of Redis.
pub(crate) const REDIS_CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A command without an answer for so long has failed.
pub(crate) const REDIS_COMMAND_TIMEOUT: Duration = Duration::from_secs(5);
/// How long replicas may take to have a write.
pub(crate) const REDIS_REPLICAS_TIMEOUT: Duration = Duration::from_secs(2);
/// How often it is looked whether other pods have changed something.
pub(crate) const REDIS_FOLLOW_INTERVAL: Duration = Duration::from_millis(100);
/// Changes that Redis keeps for pods to follow; who has missed more reads everything anew.
pub(crate) const REDIS_CHANGES_KEPT: u32 = 20_000;
/// Task uids left out after a Redis has lost its data: pods hear of each other's a little late, and none is used again.
pub(crate) const REDIS_UID_GAP: u32 = 100_000;
/// Entries of the list of changes, or tasks or records, read at once.
pub(crate) const REDIS_PAGE: usize = 500;
/// Writes that share one round trip.
pub(crate) const REDIS_GROUP_MAX: usize = 128;
/// Reads under way at a time.
pub(crate) const REDIS_READS_MAX: usize = 128;
/// How often a write is tried again that other pods get in the way of.
pub(crate) const REDIS_RACES_MAX: u32 = 100;

/// Things of one page of all that is stored, and bytes after which it ends.
pub(crate) const STORED_PAGE: usize = 256;
pub(crate) const STORED_PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Jobs of one queue, dead ones included; one more is refused with `Full`.
pub const JOBS_MAX: usize = 10_000;

/// How long a client's key stands for the task that it made.
pub const ONCE_TTL: Duration = Duration::from_secs(24 * 60 * 60);
/// Keys of clients that stand at a time; one more is refused with `Full`.
pub const ONCE_COUNT_MAX: u64 = 1_000_000;
/// Keys looked at together when old ones are forgotten.
pub(crate) const ONCE_SWEPT_MAX: usize = 1000;

/// Bytes of decoded leaves that sled may keep in memory. Beside them this version keeps every leaf that was written and
/// not paged out by the very sync of that write (it never clears a leaf's `max_unflushed_epoch`), until the store is
/// opened again: some 450 bytes for each task made since.
pub(crate) const SLED_CACHE_BYTES: usize = 64 * 1024 * 1024;

const _: () = assert!(WRITE_BATCH_MAX <= QUEUE_LENGTH_MAX);
const _: () = assert!(RECORD_BYTES_MAX <= SLED_CACHE_BYTES / 2);
const _: () = assert!(ONCE_SWEPT_MAX <= QUEUE_LENGTH_MAX / 2);
const _: () = assert!(TASK_COUNT_MAX < u32::MAX as u64);
