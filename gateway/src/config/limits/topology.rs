//! Bounds of changes of the cluster's shape.

use std::time::Duration;

use super::REQUEST_TIMEOUT_DEFAULT;

/// How long requests that were planned before shards moved are waited for in silence.
pub const MIGRATION_DRAIN_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// How often it is looked for nodes that came.
pub const NEW_NODES_LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// How often a step of an operation is tried before the operation pauses, and the time between.
pub const OPERATION_ATTEMPTS_MAX: u32 = 60;
pub const OPERATION_RETRY_PAUSE: Duration = Duration::from_millis(500);
/// How often operations are looked for.
pub const OPERATION_LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// Operations that are remembered.
pub const OPERATIONS_MAX: usize = 1_000;
/// How long a server that is to become a node may take to answer.
pub const NEW_NODE_TIMEOUT: Duration = Duration::from_secs(5);
/// How often it is looked whether requests that were planned before are over, and how long until the operation pauses.
pub const OLD_PLANS_LOOK_INTERVAL: Duration = Duration::from_millis(50);
pub const OLD_PLANS_WAIT_MAX: Duration = Duration::from_secs(900);
/// How often a pod makes sure that it plans with the newest topology, and the one that leads looks who is gone.
pub const TOPOLOGY_VOUCH_INTERVAL: Duration = Duration::from_secs(2);
/// How long a pod reads while it cannot make sure of that, when no shards moved and when some did.
pub const READS_WITHOUT_STORE_MAX: Duration = Duration::from_secs(120);
pub const MOVING_READS_WITHOUT_STORE_MAX: Duration = Duration::from_secs(20);
/// What is waited beyond that, since clocks differ a little.
pub const VANISHED_POD_MARGIN: Duration = Duration::from_secs(5);
/// Shards of an index that are copied at once under another number of shards, and documents of one page.
pub const BACKFILL_SHARDS_MAX: usize = 4;
pub const BACKFILL_PAGE_DOCUMENTS_MAX: usize = 1_000;
/// How often the copies under both numbers of shards are compared as a whole before the operation waits.
pub const VERIFY_LOOKS_MAX: u32 = 20;
/// How long the copies from before a reshard are kept.
pub const RESHARD_KEEP_DEFAULT: Duration = Duration::from_secs(48 * 3_600);
/// How often it is looked whether their time is over.
pub const KEPT_LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Documents a second that a reshard may be limited to.
pub const THROTTLE_MAX: u32 = 10_000_000;

const _: () = {
    let longest = READS_WITHOUT_STORE_MAX.as_secs() + VANISHED_POD_MARGIN.as_secs();
    assert!(longest + REQUEST_TIMEOUT_DEFAULT.as_secs() < OLD_PLANS_WAIT_MAX.as_secs());
    assert!(TOPOLOGY_VOUCH_INTERVAL.as_secs() * 3 < MOVING_READS_WITHOUT_STORE_MAX.as_secs());
};
