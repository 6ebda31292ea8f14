//! Bounds of the pods of one store: their start, their recovery, and their clocks.

use std::time::Duration;

use super::TASK_SWEEP_INTERVAL;

/// For how long a pod may read the store when it starts, while other pods wait.
pub const POD_START_MAX: Duration = Duration::from_secs(30);
/// The time between two checks for what dead pods have left half done.
pub const POD_RECOVERY_INTERVAL: Duration = Duration::from_secs(2);
/// How far ahead, in milliseconds, the ceiling of the write clock is stored.
pub const CLOCK_AHEAD_MS: u64 = 30_000;

const _: () = {
    // The ceiling is stored well before it is reached: the task sweep stores it.
    assert!(2 * TASK_SWEEP_INTERVAL.as_millis() <= CLOCK_AHEAD_MS as u128);
};
