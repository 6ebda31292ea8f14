//! The bounds of the store's queues, batches and records. Nothing in this crate grows past them.

use std::time::Duration;

/// Commands that may wait in each of the two queues (reads, writes). The handle refuses one more with `Overloaded`.
pub const QUEUE_LENGTH_MAX: usize = 4096;

/// Writes that share one sync. The store's thread serves no reads while it applies them.
pub const WRITE_BATCH_MAX: usize = 1024;

/// How long a group of writes waits at most for the next writes of the callers just answered.
pub(crate) const GATHER_TIME_MAX: Duration = Duration::from_millis(2);

/// Bytes of one encoded record. The store refuses a larger one with `Full`.
pub const RECORD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes of a log entry's body that is stored inside the database; a longer body gets a file of its own.
pub(crate) const INLINE_BODY_BYTES_MAX: usize = 16 * 1024;

/// Entries that one read of a log returns.
pub const LOG_PAGE_MAX: usize = 256;

/// Tasks in the registry. The store refuses a new task with `Full` until some are pruned.
pub const TASK_COUNT_MAX: u64 = 4_000_000;

/// Revisions reserved by one durable write, so that handing one out costs no extra record.
pub(crate) const REVISION_BLOCK: u64 = 1 << 20;

/// How long opening a store waits for another process to release the lock, and the pause between two attempts.
pub(crate) const LOCK_WAIT_MAX: Duration = Duration::from_secs(1);
pub(crate) const LOCK_INTERVAL: Duration = Duration::from_millis(10);

/// Descriptors that must be free to open a sled database: sled holds 78 files of objects, its logs and its directories.
pub(crate) const SLED_DESCRIPTORS_MIN: usize = 96;

/// Names of recent changes that are kept for watchers.
pub(crate) const CHANGES_KEPT_MAX: usize = 8192;

/// Watchers that may wait for changes at a time. The store answers one more immediately.
pub(crate) const WATCHERS_MAX: usize = 64;

/// How long a connection to Redis may take to establish, and an internal command of the client to finish.
pub(crate) const REDIS_CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A Redis command without an answer for this long has failed.
pub(crate) const REDIS_COMMAND_TIMEOUT: Duration = Duration::from_secs(5);
/// How long replicas may take to acknowledge a write.
pub(crate) const REDIS_REPLICAS_TIMEOUT: Duration = Duration::from_secs(2);
/// The interval at which a pod looks for changes by other pods.
pub(crate) const REDIS_FOLLOW_INTERVAL: Duration = Duration::from_millis(100);
/// Changes that Redis keeps for pods to follow. A pod that has missed more reads everything anew.
pub(crate) const REDIS_CHANGES_KEPT: u32 = 20_000;
/// Task uids skipped after a Redis has lost its data. A pod learns of other pods' tasks with a delay, so the lost Redis
/// may have given out uids above the highest known one; the gap keeps them from being used again.
pub(crate) const REDIS_UID_GAP: u32 = 100_000;
/// Entries of the change stream, or tasks or records, read at once.
pub(crate) const REDIS_PAGE: usize = 500;
/// Writes that share one round trip to Redis.
pub(crate) const REDIS_GROUP_MAX: usize = 128;
/// Reads of Redis in flight at a time.
pub(crate) const REDIS_READS_MAX: usize = 128;
/// How often a write is planned again after other pods changed its records in between.
pub(crate) const REDIS_RACES_MAX: u32 = 100;

/// Entries on one page of a whole-store read, and body bytes after which the page ends.
pub(crate) const STORED_PAGE: usize = 256;
pub(crate) const STORED_PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Jobs in one queue, dead ones included. The store refuses one more with `Full`.
pub const JOBS_MAX: usize = 10_000;

/// How long an idempotency key refers to the task that it made.
pub const IDEMPOTENCY_TTL: Duration = Duration::from_secs(24 * 60 * 60);
/// Idempotency keys stored at a time. The store refuses one more with `Full`.
pub const IDEMPOTENCY_KEY_COUNT_MAX: u64 = 1_000_000;
/// Idempotency keys read at once when expired ones are deleted.
pub(crate) const IDEMPOTENCY_KEYS_SWEPT_MAX: usize = 1000;

/// Bytes of decoded leaves that sled may keep in memory. This version of sled also keeps every leaf that was written
/// and not paged out by the very sync of that write (it never clears a leaf's `max_unflushed_epoch`), until the store
/// is opened again: about 450 bytes for each task made since.
pub(crate) const SLED_CACHE_BYTES: usize = 64 * 1024 * 1024;

const _: () = assert!(WRITE_BATCH_MAX <= QUEUE_LENGTH_MAX);
const _: () = assert!(RECORD_BYTES_MAX <= SLED_CACHE_BYTES / 2);
const _: () = assert!(IDEMPOTENCY_KEYS_SWEPT_MAX <= QUEUE_LENGTH_MAX / 2);
const _: () = assert!(TASK_COUNT_MAX < u32::MAX as u64);
