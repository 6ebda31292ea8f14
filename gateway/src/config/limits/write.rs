//! Bounds of writes: lanes and their leases, batches, owners that are late, hints, and idempotency keys.

use std::time::Duration;

use super::{IN_FLIGHT_DEFAULT, NODE_TIMEOUT_DEFAULT};

/// Writes that wait for the lanes of one core, and in one lane for its lease.
pub const LANE_QUEUE_LENGTH_MAX: usize = 1024;
/// Commands that wait for the store.
pub const STORE_QUEUE_LENGTH_MAX: usize = store::QUEUE_LENGTH_MAX;
/// For how long a dead pod keeps other pods from changing an index, and how often a live pod renews its lane lease.
pub const LANE_LEASE_TTL: Duration = Duration::from_secs(4);
pub const LANE_LEASE_RENEWAL_INTERVAL: Duration = Duration::from_secs(1);
/// For how long a pod changes an index before it checks whether other pods wait.
pub const LANE_LEASE_MIN: Duration = Duration::from_millis(50);
/// For how long that check may take.
pub const LANE_LEASE_CHECK_MAX: Duration = Duration::from_millis(200);
/// For how long a pod keeps a lane lease without work, while no other pod wants it.
pub const LANE_LEASE_IDLE_MAX: Duration = Duration::from_millis(500);
/// For how long writes wait for the lane lease of an index, and how often their pod tries.
pub const LANE_LEASE_WAIT_MAX: Duration = Duration::from_secs(10);
pub const LANE_LEASE_POLL_INTERVAL: Duration = Duration::from_millis(10);
/// For how long writes wait for the store's answer about a lane lease.
pub const LANE_LEASE_STORE_WAIT_MAX: Duration = Duration::from_secs(5);
/// Leases that a sweep of old ones reads at once.
pub const LANE_LEASES_SWEPT_MAX: usize = 1000;
/// For how long the sign holds that a pod waits, unless the pod repeats it.
pub const LANE_LEASE_WANTED_TTL: Duration = Duration::from_millis(100);

/// Documents, and bytes for one node, of waiting writes that become one request.
pub const MERGED_DOCUMENTS_MAX: u64 = 1000;
pub const MERGED_BYTES_MAX: usize = 1 << 20;
/// For how long a write waits for its last owners once the others suffice, besides the time for its bytes; what they
/// miss is kept as hints.
pub const STRAGGLER_WAIT: Duration = Duration::from_secs(2);
/// Bytes per second that such an owner is expected to take at least.
pub const STRAGGLER_BYTES_PER_SECOND: u64 = 10_000_000;
/// For how long a write waits for owners that are coming back, where too few can be written to.
pub const OWNERS_WAIT_MAX: Duration = Duration::from_secs(3);
pub const OWNERS_POLL_INTERVAL: Duration = Duration::from_millis(20);
/// After this time without a write a shortage of owners counts as a new one.
pub const SHORTAGE_FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// Bytes of the hints of one node.
pub const HINT_BYTES_DEFAULT: u64 = 256_000_000;
pub const HINT_BYTES_MIN: u64 = 1024;
pub const HINT_BYTES_MAX: u64 = 1 << 40;
/// Bytes of hints that a replay reads at once.
pub const REPLAY_BYTES_MAX: usize = 8 << 20;
/// How often a node may answer the same hint with an error of its own before its copies are suspect.
pub const REPLAY_ATTEMPTS_MAX: u32 = 60;
/// For how long a write waits for a node whose last hints are being replayed, and how often it checks.
pub const CATCHING_UP_WAIT_MAX: Duration = Duration::from_millis(250);
pub const CATCHING_UP_POLL_INTERVAL: Duration = Duration::from_millis(2);

/// For how long a repeated write waits for the answer to the first one, and how often it checks.
pub const FIRST_ANSWER_WAIT_MAX: Duration = Duration::from_secs(5);
pub const FIRST_ANSWER_POLL_INTERVAL: Duration = Duration::from_millis(20);
/// The time between two tries of a commit whose outcome is not known.
pub const UNSETTLED_COMMIT_INTERVAL: Duration = Duration::from_secs(1);
/// The time between two sweeps of expired idempotency keys and lane leases, and for how long one has expired before it
/// is deleted: clocks of pods may differ by that.
pub const EXPIRED_SWEEP_INTERVAL: Duration = Duration::from_secs(15 * 60);
pub const EXPIRED_SWEEP_LAG: Duration = Duration::from_secs(60 * 60);

const _: () = {
    assert!(3 * LANE_LEASE_RENEWAL_INTERVAL.as_millis() < LANE_LEASE_TTL.as_millis());
    assert!(LANE_LEASE_TTL.as_millis() < LANE_LEASE_WAIT_MAX.as_millis());
    // One core's requests alone overflow neither a lane nor the store.
    assert!(IN_FLIGHT_DEFAULT <= LANE_QUEUE_LENGTH_MAX);
    assert!(IN_FLIGHT_DEFAULT <= STORE_QUEUE_LENGTH_MAX);
    assert!(STRAGGLER_WAIT.as_millis() < NODE_TIMEOUT_DEFAULT.as_millis());
};

/// Changes of one index's settings that have not ended; a further one waits for the first.
pub const SETTINGS_AHEAD_MAX: usize = 64;
/// Writes that name one index's primary key first and have not ended; a further one waits for one of them.
pub const KEY_TASKS_MAX: usize = 256;
/// How often a change of the registry is tried again when other changes come first.
pub const REGISTRY_ATTEMPTS_MAX: u32 = 70;
/// For how long a change of an index waits for earlier ones on which its outcome depends.
pub const EARLIER_TASKS_WAIT_MAX: Duration = Duration::from_secs(20);
/// For how long the gateway watches for the end of an accepted change; later a client's question or the sweep ends
/// it.
pub const TASK_WATCH_MAX: Duration = Duration::from_secs(600);
/// The longest pause of that watch.
pub const TASK_WATCH_INTERVAL_MAX: Duration = Duration::from_secs(1);
/// The time between two sweeps of expired documents, unless a policy sets it.
pub const TTL_SWEEP_INTERVAL: Duration = Duration::from_secs(300);
/// The longest time that a policy may set, in seconds.
pub const TTL_SWEEP_INTERVAL_SECONDS_MAX: u32 = 30 * 24 * 60 * 60;
/// Documents that one sweep deletes.
pub const TTL_DELETES_MAX: u32 = 10_000;
/// The time between two checks for sweeps that are due.
pub const TTL_LOOK_INTERVAL: Duration = Duration::from_secs(1);
