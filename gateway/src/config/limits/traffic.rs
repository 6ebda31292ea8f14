//! Bounds of what hears or imitates the traffic of clients: shadows, canaries, captures.

use std::time::Duration;

use super::{CANARIES_MAX, CAPTURES_MAX, REQUEST_TIMEOUT_DEFAULT};

/// Clusters to which searches are copied.
pub const SHADOWS_MAX: usize = 8;
/// The share of searches that is copied.
pub const SHADOW_SAMPLE_DEFAULT: f64 = 0.05;
/// Threads that send to one shadow, each one search at a time.
pub const SHADOW_THREADS: usize = 2;
/// Searches that wait for one shadow, and the bytes of their queries and answers.
pub const SHADOW_QUEUE_LENGTH_MAX: usize = 256;
pub const SHADOW_QUEUE_BYTES_MAX: usize = 16 << 20;
/// For one answer of a shadow, from connecting to its last byte; and its bytes.
pub const SHADOW_TIMEOUT: Duration = Duration::from_secs(5);
pub const SHADOW_ANSWER_BYTES_MAX: u64 = 4 << 20;
/// Hits of one answer that are compared.
pub const SHADOW_HITS_MAX: usize = 200;
/// Differences that are kept; and what each keeps of ids, of one id, and of the query.
pub const SHADOW_DIFFS_MAX: usize = 10_000;
pub const SHADOW_DIFF_IDS_MAX: usize = 20;
pub const SHADOW_DIFF_ID_BYTES_MAX: usize = 64;
pub const SHADOW_DIFF_QUERY_BYTES_MAX: usize = 1 << 10;
/// Differences that one answer lists.
pub const SHADOW_DIFFS_LISTED_DEFAULT: usize = 100;
/// A shadow is late when it takes this many times as long as this gateway, and at least so much longer.
pub const SHADOW_LATE_FACTOR: u32 = 2;
pub const SHADOW_LATE_MIN: Duration = Duration::from_millis(50);

/// The time between two looks for canaries that are due and searches that were captured.
pub const CANARY_LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// For how long a pod that starts holds its canaries back until every shard has a node that answers.
pub const CANARY_START_WAIT_MAX: Duration = Duration::from_secs(30);
/// Canaries that one pod runs at once.
pub const CANARIES_AT_ONCE_MAX: usize = 10;
/// Tries to store a run while others change the same record.
pub const CANARY_STORE_TRIES_MAX: usize = 8;
/// Searches that wait to become canaries.
pub const CAPTURE_QUEUE_LENGTH_MAX: usize = 64;
/// Bytes of an answer from which a canary is made.
pub const CAPTURE_ANSWER_BYTES_MAX: usize = 1 << 20;
/// For how long a capture waits for searches.
pub const CAPTURE_TIME_MAX: Duration = Duration::from_secs(60 * 60);

const _: () = {
    assert!(CANARIES_AT_ONCE_MAX <= CANARIES_MAX);
    assert!(CAPTURES_MAX <= CANARIES_MAX);
    assert!(CANARY_LOOK_INTERVAL.as_millis() < 1000);
    // A shadow that hangs frees its threads long before a client's request would end.
    assert!(SHADOW_TIMEOUT.as_millis() < REQUEST_TIMEOUT_DEFAULT.as_millis());
    assert!(SHADOW_DIFF_IDS_MAX <= SHADOW_HITS_MAX);
    assert!(SHADOW_DIFFS_LISTED_DEFAULT <= SHADOW_DIFFS_MAX);
};
