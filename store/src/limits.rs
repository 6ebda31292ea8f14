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

/// Bytes of decoded leaves that sled may keep in memory.
pub(crate) const SLED_CACHE_BYTES: usize = 64 * 1024 * 1024;

const _: () = assert!(WRITE_BATCH_MAX <= QUEUE_LENGTH_MAX);
const _: () = assert!(RECORD_BYTES_MAX <= SLED_CACHE_BYTES / 2);
const _: () = assert!(TASK_COUNT_MAX < u32::MAX as u64);
