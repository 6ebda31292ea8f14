//! Bounds of reads: hedges, retries, deeper rounds, counts under `distinct`, spellings and sessions.

use std::time::Duration;

use super::{IN_FLIGHT_DEFAULT, NODE_TIMEOUT_DEFAULT};

/// Nodes, or sets of nodes, that a read asks for the same shards.
pub const SCATTER_ATTEMPTS_MAX: usize = 4;
/// Rounds in which a read asks its legs again because their hits do not suffice; each for four times as many.
pub const SCATTER_REACH_MAX: u32 = 8;
/// Rounds in which a read asks legs that ran dry: one leg for the rest, then all that were asked for less than the page.
pub const LEG_REFILLS_MAX: usize = 2;
/// In what share of searches a leg may run dry.
pub const LEG_MISS_RATE_DEFAULT: f64 = 0.005;
pub const LEG_MISS_RATE_MAX: f64 = 0.5;
/// For how long after it began a search may be joined by identical ones.
pub const QUERY_COALESCING_WINDOW: Duration = Duration::from_millis(50);

/// A leg is hedged after this many times its node's 95th percentile, but not earlier than the least.
pub const HEDGE_FACTOR: f32 = 1.2;
pub const HEDGE_AFTER_MIN: Duration = Duration::from_millis(15);
/// Hedged legs of one query.
pub const HEDGES_PER_QUERY_MAX: usize = 2;
/// Hedges per leg asked, and how many at once, per core.
pub const HEDGE_SHARE: f32 = 0.05;
pub const HEDGES_AT_ONCE_MAX: u16 = 16;
/// With or without hedging, another node is asked after this many times the time of a hedge, but not earlier than the
/// least.
pub const PATIENCE_FACTOR: u32 = 4;
pub const PATIENCE_MIN: Duration = Duration::from_millis(250);
/// The least time that nodes whose answer no other node can give get once others have answered.
pub const STRAGGLER_PATIENCE_MIN: Duration = Duration::from_millis(500);
/// The time between two checks of the legs of a read that has waited long enough to hedge.
pub const LEG_CHECK_INTERVAL: Duration = Duration::from_millis(50);
/// Retries per leg asked, per second, and at once, per core: as many as the death of a node can make necessary.
pub const RETRY_SHARE: f32 = 0.2;
pub const RETRIES_PER_SECOND: f32 = 10.0;
pub const RETRIES_AT_ONCE_MAX: u16 = 2048;

/// Vectors of one document whose neighbours are searched at once.
pub const SIMILAR_VECTORS_MAX: usize = 16;
/// Hits of one leg whose distinct values are counted for exact totals and facets; beyond, the legs' sums are used.
pub const DISTINCT_COUNTED_MAX: usize = 20_000;
/// Hits of one leg that are walked first where a page and its last bucket decide what is counted.
pub const DISTINCT_WALKED_MIN: usize = 100;
/// Facet values of one answer whose spelling is looked up in documents, where nodes disagree.
pub const SPELLINGS_MAX: usize = 20;
/// How many of them are looked up at the same time.
pub const SPELLINGS_AT_ONCE: usize = 4;
/// Documents of one node that are read for the spelling of one value, where they come by rank.
pub const SPELLING_HITS_MAX: u64 = 5_000;

/// Documents of a list that is put into the order of their keys, where several nodes have a copy of each. Longer lists
/// are merged as nodes number documents.
pub const ORDERED_DOCUMENTS_MAX: usize = 10_000;
/// Fields of one search about which nodes are asked whether they know them, and fields that a core remembers.
pub const FIELDS_IN_DOUBT_MAX: usize = 32;
pub const FIELDS_REMEMBERED_MAX: usize = 4096;
/// For how long a core remembers that every node knows a field.
pub const FIELDS_REMEMBERED_FOR: Duration = Duration::from_secs(60);
/// For how long a core remembers that not every node knows a field.
pub const FIELDS_IN_DOUBT_FOR: Duration = Duration::from_secs(1);

/// Writes that sessions are to see, and for how long.
pub const SESSION_WRITES_MAX: usize = 1 << 15;
pub const SESSION_TTL: Duration = Duration::from_secs(15 * 60);
/// For how long a read waits for a write of its session.
pub const SESSION_WAIT_MAX: Duration = Duration::from_secs(5);

/// The time between two checks for requested dumps.
pub const DUMP_INTERVAL: Duration = Duration::from_millis(200);
/// Documents and tasks that a dump reads at once.
pub const DOCUMENTS_PER_DUMP_READ: usize = 500;
pub const TASKS_PER_DUMP_READ: u32 = 1000;

/// The hits up to the end of a page beyond which an explanation warns.
pub const EXPLAINED_PAGE_DEPTH_MAX: usize = 10_000;

const _: () = {
    // Another node is asked long before a leg has to end.
    assert!(HEDGE_AFTER_MIN.as_millis() < PATIENCE_MIN.as_millis());
    assert!(PATIENCE_MIN.as_millis() < NODE_TIMEOUT_DEFAULT.as_millis());
    assert!(IN_FLIGHT_DEFAULT <= RETRIES_AT_ONCE_MAX as usize);
};
