//! Bounds of tasks: how often nodes are asked about them, how many at once, and how long they are kept.

use std::time::Duration;

use super::STORE_QUEUE_LENGTH_MAX;

/// The time between two questions to nodes about a task that something waits for.
pub const NODE_TASK_POLL_INTERVAL: Duration = Duration::from_millis(20);
/// The same once a request's time is over, and other work no longer waits for the task.
pub const LATE_RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// For one question to a node about tasks; it is asked again when a client does.
pub const TASK_QUESTION_TIMEOUT: Duration = Duration::from_secs(5);
/// Task uids in one question to a node, which keeps its request line short.
pub const TASKS_PER_NODE_QUESTION: usize = 200;
/// A list of tasks asks nodes again when its last answers are older: well under what clients notice.
pub const TASK_LIST_AGE_MAX: Duration = Duration::from_millis(50);
/// Unfinished tasks that one list or sweep asks nodes about.
pub const TASKS_REFRESHED_MAX: usize = 1000;
/// Unfinished tasks that one cancelation reads, oldest first.
pub const TASKS_CANCELED_MAX: usize = 10_000;
/// Tasks that one cancelation or deletion changes at once; leaves room in the store's queue.
pub const TASKS_CHANGED_AT_ONCE: usize = 500;
/// For how long a deletion of tasks waits for those that are unfinished.
pub const TASK_DELETION_WAIT_MAX: Duration = Duration::from_secs(5);

/// The time between two sweeps of tasks.
pub const TASK_SWEEP_INTERVAL: Duration = Duration::from_secs(10);
/// Tasks are deleted this long after they ended.
pub const TASK_RETENTION: Duration = Duration::from_secs(7 * 24 * 3600);
/// Tasks kept; beyond it the oldest finished ones are deleted before their time.
pub const TASKS_KEPT_MAX: u64 = 1_000_000;
/// Tasks deleted in one sweep.
pub const TASKS_PRUNED_MAX: usize = 10_000;

const _: () = {
    assert!(TASKS_CHANGED_AT_ONCE < STORE_QUEUE_LENGTH_MAX);
    // There is room for new tasks while old ones are being deleted.
    assert!(TASKS_KEPT_MAX < store::TASK_COUNT_MAX);
};
