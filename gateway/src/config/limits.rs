//! Every queue, pool and timeout of the gateway has its bound here, and nowhere else.
//! - What one bound presumes of another is asserted at compile time.
//! - Defaults that an option can change are named `..._DEFAULT`, with the option's range beside them.

use std::time::Duration;

// What a client may send.

/// Bytes of a request line; a search by `GET` carries its filter there.
pub const REQUEST_LINE_BYTES_DEFAULT: usize = 16 << 10;
pub const REQUEST_LINE_BYTES_MIN: usize = 256;
/// Bytes of a request line and headers together.
pub const HEAD_BYTES_DEFAULT: usize = 32 << 10;
pub const HEAD_BYTES_MIN: usize = 1024;
pub const HEAD_BYTES_MAX: usize = 1 << 20;
/// Headers of a request; the most that monoio-http's decoder takes.
pub const HEADERS_DEFAULT: usize = 96;
pub const HEADERS_MIN: usize = 8;
pub const HEADERS_MAX: usize = 96;
/// Bytes of a request body, Meilisearch's own default (`--http-payload-size-limit`).
pub const BODY_BYTES_DEFAULT: u64 = 100_000_000;
pub const BODY_BYTES_MIN: u64 = 1024;
pub const BODY_BYTES_MAX: u64 = 4 << 30;
/// Levels of arrays and objects in a JSON body: what Meilisearch's own reader takes.
pub const JSON_DEPTH_DEFAULT: usize = DEPTH_MAX;
pub const JSON_DEPTH_MIN: usize = 4;
/// Offset and limit together of what nodes are asked for: as far as Meilisearch counts.
pub const PAGE_DEPTH_DEFAULT: usize = u32::MAX as usize;

// What a node may answer.

/// Bytes of an answer's status line and headers.
pub const NODE_HEAD_BYTES_MAX: usize = 64 << 10;
pub const NODE_HEADERS_MAX: usize = HEADERS_MAX;
/// Bytes of an answer's body: room for pages of large documents.
pub const NODE_BODY_BYTES_MAX: usize = 1 << 30;
/// Interim answers (1xx) in front of the final one.
pub const NODE_INTERIM_ANSWERS_MAX: usize = 8;

// What a core holds at once.

/// Data cores of one process.
pub const CORES_MAX: usize = 1024;
/// Requests one core works on; the next one is answered 503 `miroir_overloaded`.
pub const IN_FLIGHT_DEFAULT: usize = 1024;
pub const IN_FLIGHT_MAX: usize = 65_536;
/// Connections one core keeps open to clients.
pub const CONNECTIONS_DEFAULT: usize = 16_384;
pub const CONNECTIONS_MAX: usize = 1_000_000;
/// Those of one address; of IPv6 one network of 64 bits.
pub const CONNECTIONS_PER_ADDRESS_DEFAULT: usize = 4096;
/// Requests on one connection.
pub const REQUESTS_PER_CONNECTION_DEFAULT: u32 = 1_000_000;
/// Unused connections one core keeps to one node.
pub const IDLE_NODE_CONNECTIONS_MAX: usize = 128;
/// Writes waiting in one lane, the ordered stream to one index of one node.
pub const LANE_QUEUE_LENGTH_MAX: usize = 1024;
/// How long a pod that died keeps the turn to change an index from others, and how often one that lives renews it.
pub const LANE_LEASE_TTL: Duration = Duration::from_secs(4);
pub const LANE_LEASE_RENEWAL_INTERVAL: Duration = Duration::from_secs(1);
/// How long a pod changes an index before it looks whether others wait.
pub const LANE_LEASE_MIN: Duration = Duration::from_millis(50);
/// How long that look may take.
pub const LANE_LEASE_CHECK_MAX: Duration = Duration::from_millis(200);
/// How long a pod keeps a turn that it has no work for, while nobody else wants it.
pub const LANE_LEASE_IDLE_MAX: Duration = Duration::from_millis(500);
/// How long writes wait for the turn of an index, and how often their pod tries.
pub const LANE_LEASE_WAIT_MAX: Duration = Duration::from_secs(10);
pub const LANE_LEASE_POLL_INTERVAL: Duration = Duration::from_millis(10);
/// How long writes wait for the store to say whose turn it is.
pub const LANE_LEASE_STORE_WAIT_MAX: Duration = Duration::from_secs(5);
/// Turns looked at together when old ones are forgotten.
pub const LANE_LEASES_SWEPT_MAX: usize = 1000;
/// How long it is known that a pod waits which has not said so again.
pub const LANE_LEASE_WANTED_TTL: Duration = Duration::from_millis(100);
/// How long a pod may take to read the store when it starts, while others wait.
pub const POD_START_MAX: Duration = Duration::from_secs(30);
/// How often it is looked for what pods that died have left half done.
pub const POD_RECOVERY_INTERVAL: Duration = Duration::from_secs(2);

/// Commands waiting for the store.
pub const STORE_QUEUE_LENGTH_MAX: usize = store::QUEUE_LENGTH_MAX;

/// Bytes of what is kept for one node that is down.
pub const HINT_BYTES_DEFAULT: u64 = 256_000_000;
pub const HINT_BYTES_MIN: u64 = 1024;
pub const HINT_BYTES_MAX: u64 = 1 << 40;
/// Bytes of hints read at once for a replay.
pub const REPLAY_BYTES_MAX: usize = 8 << 20;
/// How often a node may answer the same hint with an error of its own before its copies are suspect.
pub const REPLAY_ATTEMPTS_MAX: u32 = 60;
/// Documents, and bytes for one node, of waiting writes that become one request.
pub const MERGED_DOCUMENTS_MAX: u64 = 1000;
pub const MERGED_BYTES_MAX: usize = 1 << 20;

// How long anything may take.

/// From accepting a connection to its first byte.
pub const FIRST_BYTE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// From the first byte of a request to the end of its headers.
pub const HEAD_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// A client connection between two requests is closed after this.
pub const IDLE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(75);
/// Between two pieces of a body, either way.
pub const BODY_GAP_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// A body as a whole, either way.
pub const BODY_TIMEOUT_DEFAULT: Duration = Duration::from_secs(300);
/// For a client to take note that the connection ends.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long searches may wait for each other, at the least for an interval, before some are refused.
pub const QUEUE_DELAY_DEFAULT: Duration = Duration::from_millis(50);
/// A pooled node connection is not used again after this; shorter than what nodes allow theirs.
pub const IDLE_NODE_TIMEOUT: Duration = Duration::from_secs(4);
/// For so long after an answer a connection is used again without a look at whether the node said more: under load
/// none rests longer, and a look is a system call for each leg.
pub const NODE_SILENCE_TRUSTED: Duration = Duration::from_millis(20);
pub const NODE_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// One request to one node, connecting included.
pub const NODE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// How long a write waits for its last owners once those that took it suffice, besides the time for
/// its bytes; what they miss is kept for them.
pub const STRAGGLER_WAIT: Duration = Duration::from_secs(2);
/// Bytes a second that such an owner is expected to take at least.
pub const STRAGGLER_BYTES_PER_SECOND: u64 = 10_000_000;
/// How long after it began a search may be joined by identical ones.
pub const QUERY_COALESCING_WINDOW: Duration = Duration::from_millis(50);
/// How long a write waits for owners that are coming back, where too few can be written to.
pub const OWNERS_WAIT_MAX: Duration = Duration::from_secs(3);
pub const OWNERS_POLL_INTERVAL: Duration = Duration::from_millis(20);
/// After so long without a write a shortage of owners counts as a new one.
pub const SHORTAGE_FORGOTTEN_AFTER: Duration = Duration::from_secs(60);
/// How long a write waits for a node whose last hints are being replayed, and how often it looks.
pub const CATCHING_UP_WAIT_MAX: Duration = Duration::from_millis(250);
pub const CATCHING_UP_POLL_INTERVAL: Duration = Duration::from_millis(2);
/// One client request, all its legs and retries included.
pub const REQUEST_TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);
/// The range of both options.
pub const TIMEOUT_MIN: Duration = Duration::from_millis(10);
pub const TIMEOUT_MAX: Duration = Duration::from_secs(3600);

// What a cluster is made of.

pub const NODES_MAX: usize = 4096;
/// Bytes of a node's id.
pub const NODE_ID_BYTES_MAX: usize = 64;
/// Group numbers are below this.
pub const GROUPS_MAX: u16 = 64;
pub const CAPACITY_DEFAULT: f64 = 1.0;
pub const CAPACITY_MIN: f64 = 0.001;
pub const CAPACITY_MAX: f64 = 1000.0;
pub const SHARDS_DEFAULT: u32 = 64;
pub const SHARDS_MAX: u32 = 65_536;
/// Bytes of a master key in production, Meilisearch's own bound.
pub const MASTER_KEY_BYTES_MIN: usize = 16;
/// API keys, all of them known to every core.
pub const KEYS_MAX: usize = 10_000;
/// Keys read from the store at once when the gateway starts.
pub const KEYS_PER_READ: usize = 1000;
pub const REPLICATION_FACTOR_DEFAULT: u16 = 1;

/// Webhooks and the headers of one, Meilisearch's own bounds.
pub const WEBHOOKS_MAX: usize = 20;
pub const WEBHOOK_HEADERS_MAX: usize = 200;

// How often the gateway does what nobody waits for, and how much of it at once.

/// Queries of one multi-search, and how many of them are worked on at once.
pub const MULTI_SEARCH_QUERIES_DEFAULT: usize = 100;
pub const MULTI_SEARCH_QUERIES_MAX: usize = 10_000;
pub const MULTI_SEARCH_QUERIES_AT_ONCE: usize = 8;
/// Vectors of one document whose neighbours are searched at once.
pub const SIMILAR_VECTORS_MAX: usize = 16;
/// Nodes, or sets of nodes, that a read asks for the same shards.
pub const SCATTER_ATTEMPTS_MAX: usize = 4;
/// A leg is hedged after so many times its node's 95th percentile, but not earlier than the least.
pub const HEDGE_FACTOR: f32 = 1.2;
pub const HEDGE_AFTER_MIN: Duration = Duration::from_millis(15);
/// Legs of one query that are hedged.
pub const HEDGES_PER_QUERY_MAX: usize = 2;
/// Hedges per leg asked, and how many at once, per core.
pub const HEDGE_SHARE: f32 = 0.05;
pub const HEDGES_AT_ONCE_MAX: u16 = 16;
/// Somebody else is asked after so many times the time of a hedge, but not earlier than the least, hedges or not.
pub const PATIENCE_FACTOR: u32 = 4;
pub const PATIENCE_MIN: Duration = Duration::from_millis(250);
/// Nodes that are asked what no other can answer instead get at least this once others have answered.
pub const STRAGGLER_PATIENCE_MIN: Duration = Duration::from_millis(500);
/// Between two looks at the legs of a read that has waited for long enough to hedge.
pub const LEG_CHECK_INTERVAL: Duration = Duration::from_millis(50);
/// Retries per leg asked, per second, and at once, per core: as many as a node that dies can leave behind.
pub const RETRY_SHARE: f32 = 0.2;
pub const RETRIES_PER_SECOND: f32 = 10.0;
pub const RETRIES_AT_ONCE_MAX: u16 = 2048;
/// Legs in a row that a node fails, or answers later than another one, before a core sets it aside; for how long,
/// doubled each time its trial fails.
pub const BREAKER_FAILURES: u32 = 5;
pub const BREAKER_REST_MIN: Duration = Duration::from_millis(500);
pub const BREAKER_REST_MAX: Duration = Duration::from_secs(8);
/// How long a node is set aside that says it is overloaded: without `Retry-After`, and with it at most.
pub const OVERLOADED_REST_DEFAULT: Duration = Duration::from_secs(1);
pub const OVERLOADED_REST_MAX: Duration = Duration::from_secs(30);
/// Averages of latency and errors forget half of what they know in this time.
pub const LOAD_HALF_LIFE: Duration = Duration::from_secs(5);
/// Latest latencies of which the 95th percentile is taken.
pub const LATENCIES_KEPT: usize = 64;
/// A core compares its nodes again when what it knows is older.
pub const LEVELS_AGE_MAX: Duration = Duration::from_millis(20);
/// One plan of so many ignores which nodes are slow, so that a node that has recovered is noticed.
pub const EXPLORE_EVERY: usize = 20;
/// Times a read asks its legs again because what they gave does not suffice; each time for four times as much.
pub const SCATTER_REACH_MAX: u32 = 8;
/// Hits of one leg whose distinct values are counted for exact totals and facets; above, these are sums of the legs'.
pub const DISTINCT_COUNTED_MAX: usize = 20_000;
/// Hits of one leg that are looked at first where a page and its last bucket decide what is counted.
pub const DISTINCT_WALKED_MIN: usize = 100;
/// Writes that sessions are to see, and for how long; what a read waits for one at most.
pub const SESSION_WRITES_MAX: usize = 1 << 15;
pub const SESSION_TTL: Duration = Duration::from_secs(15 * 60);
pub const SESSION_WAIT_MAX: Duration = Duration::from_secs(5);
/// Of the header `Idempotency-Key`.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;
/// How long a repeated write waits for the answer to the first one, and how often it looks.
pub const FIRST_ANSWER_WAIT_MAX: Duration = Duration::from_secs(5);
pub const FIRST_ANSWER_POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Between two tries of a commit whose end is not known.
pub const UNSETTLED_COMMIT_INTERVAL: Duration = Duration::from_secs(1);
/// Between two looks at keys and turns that are over, and how long one is over before it goes: clocks of pods may differ by that.
pub const EXPIRED_SWEEP_INTERVAL: Duration = Duration::from_secs(15 * 60);
pub const EXPIRED_SWEEP_LAG: Duration = Duration::from_secs(60 * 60);
/// Facet values of one answer whose spelling is looked up in documents, where nodes disagree.
pub const SPELLINGS_MAX: usize = 20;
/// How many of them at a time.
pub const SPELLINGS_AT_ONCE: usize = 4;
/// Documents of one node that are looked at for the spelling of one value, where they come by rank.
pub const SPELLING_HITS_MAX: u64 = 5_000;
/// How long a deletion of tasks waits for those that are still at work.
pub const TASK_DELETION_WAIT_MAX: Duration = Duration::from_secs(5);
/// Between two questions to nodes about a task that a lane waits for.
pub const NODE_TASK_POLL_INTERVAL: Duration = Duration::from_millis(20);
/// A list of tasks asks nodes again when what it knows is older: well under what clients notice.
pub const TASK_LIST_AGE_MAX: Duration = Duration::from_millis(50);
/// Unfinished tasks one cancelation looks at, oldest first.
pub const TASKS_CANCELED_MAX: usize = 10_000;
/// Tasks that one cancelation or deletion changes at once; leaves the store room for others.
pub const TASKS_CHANGED_AT_ONCE: usize = 500;
/// Unfinished tasks one list or sweep asks nodes about.
pub const TASKS_REFRESHED_MAX: usize = 1000;
/// One question to a node about tasks; it is asked again when somebody wants to know.
pub const TASK_QUESTION_TIMEOUT: Duration = Duration::from_secs(5);
/// Task uids in one question to a node: keeps its request line short.
pub const TASKS_PER_NODE_QUESTION: usize = 200;
pub const TASK_SWEEP_INTERVAL: Duration = Duration::from_secs(10);
/// Tasks are forgotten so long after they ended.
pub const TASK_RETENTION: Duration = Duration::from_secs(7 * 24 * 3600);
/// Tasks kept, finished ones that is; past it the oldest go before their time.
pub const TASKS_KEPT_MAX: u64 = 1_000_000;
/// Tasks forgotten in one sweep.
pub const TASKS_PRUNED_MAX: usize = 10_000;
/// Between two probes of a node that answers no requests, and of one that failed lately.
pub const HEALTH_PROBE_INTERVAL: Duration = Duration::from_millis(200);
pub const HEALTH_SUSPECT_INTERVAL: Duration = Duration::from_millis(100);
pub const HEALTH_PROBE_TIMEOUT: Duration = Duration::from_millis(400);
/// How often it is seen whether what is suspect on a serving node can be compared by now.
pub const SUSPICION_INTERVAL: Duration = Duration::from_secs(1);
/// Per node of the cluster, so that probes of many nodes stay few: a longer interval, the same load.
pub const HEALTH_PROBE_SHARE: Duration = Duration::from_millis(2);
/// Probes in a row after which a node is down, or joins.
pub const PROBES_FAILED_TO_DOWN: u32 = 2;
pub const PROBES_ANSWERED_TO_JOIN: u32 = 2;
/// Requests in a row, within the window, that a node fails before it is down.
pub const FAILURES_TO_DOWN: u32 = 10;
pub const FAILURE_WINDOW: Duration = Duration::from_secs(2);
/// A node that failed is suspect for so long.
pub const SUSPICION: Duration = Duration::from_secs(1);
/// Between two looks whether the node that a request waits for is down by now.
pub const NODE_DOWN_CHECK_INTERVAL: Duration = Duration::from_millis(250);
/// One small question to a node, such as its version.
pub const NODE_QUESTION_TIMEOUT: Duration = Duration::from_secs(2);
/// Between two looks at changes that wait for something to come back.
pub const LATE_RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Between two looks for dumps that were asked for.
pub const DUMP_INTERVAL: Duration = Duration::from_millis(200);
/// Documents and tasks that a dump reads at once.
pub const DOCUMENTS_PER_DUMP_READ: usize = 500;
pub const TASKS_PER_DUMP_READ: u32 = 1000;
/// Between two looks for tasks that webhooks have to be told of; nothing is looked for without webhooks.
pub const WEBHOOK_INTERVAL: Duration = Duration::from_millis(100);
/// Times one message is sent to a webhook that does not take it, and the pause in between.
pub const WEBHOOK_ATTEMPTS_MAX: u32 = 3;
pub const WEBHOOK_RETRY_PAUSE: Duration = Duration::from_secs(1);
/// One request to an address that a client has named.
pub const OUTBOUND_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two clean-ups of recorded histograms; without them samples pile up.
pub const METRICS_UPKEEP_INTERVAL: Duration = Duration::from_secs(5);
/// Requests in flight may take so long to end once the process is asked to.
pub const DRAIN_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

// How copies are compared and mended.

/// Documents on the first page of a shard, when nobody knows yet how large they are.
pub const REPAIR_PAGE_FIRST: usize = 100;
pub const REPAIR_PAGE_DOCUMENTS_MAX: usize = 5000;
/// What a page should weigh.
pub const REPAIR_PAGE_BYTES: usize = 4 << 20;
/// Documents whose keys and hashes are in memory together, all copies counted.
pub const REPAIR_KEYS_LOOKED_AT: u64 = 200_000;
/// Documents looked at in one hold of a lane.
pub const REPAIR_KEYS_PER_HOLD: usize = 1000;
/// Bytes of one body that repair gives a node, unless one document is larger.
pub const REPAIR_BODY_BYTES: usize = 8 << 20;
/// A question to a node while a lane is held.
pub const REPAIR_HELD_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long nodes may still be at work while a lane is held for them, and how often that is tried.
pub const REPAIR_HELD_WAIT_MAX: Duration = Duration::from_secs(2);
pub const REPAIR_HOLD_ATTEMPTS: u32 = 20;
/// How long repair waits for a node to be done with what it was given.
pub const REPAIR_TASK_TIMEOUT: Duration = Duration::from_secs(600);
/// Misplaced documents that one pass takes from one node.
pub const REPAIR_STRAYS_MAX: usize = 100_000;
/// A node's newest tasks, and the gateway's, among which foreign ones are looked for.
pub const FOREIGN_TASKS_LOOKED_AT: u32 = 1000;
pub const GATEWAY_TASKS_LOOKED_AT: u32 = 10_000;
/// Ids of one stored tombstone, and ids that tombstones remember in all; past it the oldest go.
pub const TOMBSTONE_KEYS_PER_RECORD: usize = 10_000;
pub const TOMBSTONES_MAX: usize = 1_000_000;
/// Between two passes, unless the option says otherwise.
pub const ANTI_ENTROPY_INTERVAL_DEFAULT: Duration = Duration::from_secs(6 * 3600);
/// The longest between two looks at whether a periodic pass is due.
pub const ANTI_ENTROPY_POLL_INTERVAL: Duration = Duration::from_secs(60);
/// The share of a node's time that a periodic pass takes.
pub const ANTI_ENTROPY_SHARE: f64 = 0.02;
/// Between two periodic passes at least.
pub const REPAIR_PASS_PAUSE: Duration = Duration::from_millis(100);
/// Passes remembered.
pub const ANTI_ENTROPY_HISTORY_MAX: usize = 100;
pub const INTERVAL_MIN: Duration = Duration::from_millis(100);
pub const INTERVAL_MAX: Duration = Duration::from_secs(720 * 3600);
/// Between two looks at changes of settings that are pending, and between tries where nodes disagree.
pub const SETTINGS_TEND_INTERVAL: Duration = Duration::from_millis(100);
pub const SETTINGS_BACKOFF_MIN: Duration = Duration::from_millis(500);
/// An index whose settings could not be made equal so often takes no writes.
pub const SETTINGS_ATTEMPTS_MAX: u32 = 5;
/// Changes of one index's settings that wait for their end; who comes later waits for the first.
pub const SETTINGS_AHEAD_MAX: usize = 64;
/// Writes that bring one index's primary key and have not ended; who comes later waits for one of them.
pub const KEY_TASKS_MAX: usize = 256;
/// How often the registry is written again where others change it at the same time.
pub const REGISTRY_ATTEMPTS_MAX: u32 = 70;
/// How long a change of an index waits for earlier ones that it is judged by.
pub const EARLIER_TASKS_WAIT_MAX: Duration = Duration::from_secs(20);
/// How long the end of an accepted change is watched for; then it is left to whoever asks, and to the sweep.
pub const TASK_WATCH_MAX: Duration = Duration::from_secs(600);
/// The longest pause of that watch.
pub const TASK_WATCH_INTERVAL_MAX: Duration = Duration::from_secs(1);
/// Between two looks at whether nodes' settings are what they should be, unless the option says otherwise.
pub const SETTINGS_DRIFT_INTERVAL_DEFAULT: Duration = Duration::from_secs(300);

/// How far ahead the ceiling of the clock is stored.
pub const CLOCK_AHEAD_MS: u64 = 30_000;

const _: () = {
    assert!(REQUEST_LINE_BYTES_DEFAULT < HEAD_BYTES_DEFAULT && HEAD_BYTES_DEFAULT <= HEAD_BYTES_MAX);
    assert!(HEADERS_MIN <= HEADERS_DEFAULT && HEADERS_DEFAULT <= HEADERS_MAX);
    assert!(CONNECTIONS_PER_ADDRESS_DEFAULT <= CONNECTIONS_DEFAULT && CONNECTIONS_DEFAULT <= CONNECTIONS_MAX);
    // The ceiling is stored well before it is reached.
    assert!(2 * TASK_SWEEP_INTERVAL.as_millis() <= CLOCK_AHEAD_MS as u128);
    assert!((HEAD_BYTES_DEFAULT as u64) < BODY_BYTES_DEFAULT);
    assert!(BODY_BYTES_MIN <= BODY_BYTES_DEFAULT && BODY_BYTES_DEFAULT <= BODY_BYTES_MAX);
    assert!(IN_FLIGHT_DEFAULT <= IN_FLIGHT_MAX);
    // Every request in flight may come on a connection of its own.
    assert!(IN_FLIGHT_DEFAULT <= CONNECTIONS_DEFAULT);
    // A pool never holds more than could have been in use at once.
    assert!(IDLE_NODE_CONNECTIONS_MAX <= IN_FLIGHT_DEFAULT);
    assert!(3 * LANE_LEASE_RENEWAL_INTERVAL.as_millis() < LANE_LEASE_TTL.as_millis());
    assert!(LANE_LEASE_TTL.as_millis() < LANE_LEASE_WAIT_MAX.as_millis());
    // One core's requests alone overflow neither a lane nor the store.
    assert!(IN_FLIGHT_DEFAULT <= LANE_QUEUE_LENGTH_MAX);
    assert!(IN_FLIGHT_DEFAULT <= STORE_QUEUE_LENGTH_MAX);
    assert!(MULTI_SEARCH_QUERIES_AT_ONCE <= MULTI_SEARCH_QUERIES_DEFAULT);
    // A leg ends, and another owner can be asked, before the request's time is over.
    assert!(NODE_CONNECT_TIMEOUT.as_millis() < NODE_TIMEOUT_DEFAULT.as_millis());
    assert!(NODE_TIMEOUT_DEFAULT.as_millis() < REQUEST_TIMEOUT_DEFAULT.as_millis());
    assert!(TIMEOUT_MIN.as_millis() < NODE_TIMEOUT_DEFAULT.as_millis());
    assert!(REQUEST_TIMEOUT_DEFAULT.as_millis() <= TIMEOUT_MAX.as_millis());
    // A connection does not time out as idle while its request is still being worked on.
    assert!(REQUEST_TIMEOUT_DEFAULT.as_millis() < IDLE_TIMEOUT_DEFAULT.as_millis());
    assert!(HEAD_TIMEOUT_DEFAULT.as_millis() < IDLE_TIMEOUT_DEFAULT.as_millis());
    // A node that says nothing is noticed in little more than a second.
    assert!(
        HEALTH_PROBE_INTERVAL.as_millis()
            + PROBES_FAILED_TO_DOWN as u128
                * (HEALTH_PROBE_TIMEOUT.as_millis() + HEALTH_SUSPECT_INTERVAL.as_millis())
            <= 1200
    );
    assert!(HEALTH_SUSPECT_INTERVAL.as_millis() <= HEALTH_PROBE_INTERVAL.as_millis());
    assert!(SUSPICION.as_millis() <= FAILURE_WINDOW.as_millis());
    // Somebody else is asked long before a leg has to end.
    assert!(HEDGE_AFTER_MIN.as_millis() < PATIENCE_MIN.as_millis());
    assert!(PATIENCE_MIN.as_millis() < NODE_TIMEOUT_DEFAULT.as_millis());
    assert!(BREAKER_REST_MIN.as_millis() <= BREAKER_REST_MAX.as_millis());
    assert!(IN_FLIGHT_DEFAULT <= RETRIES_AT_ONCE_MAX as usize);
    assert!(STRAGGLER_WAIT.as_millis() < NODE_TIMEOUT_DEFAULT.as_millis());
    assert!(TASKS_CHANGED_AT_ONCE < STORE_QUEUE_LENGTH_MAX);
    // There is room for new tasks while old ones are on their way out.
    assert!(TASKS_KEPT_MAX < store::TASK_COUNT_MAX);
    assert!(NODES_MAX < u16::MAX as usize);
    assert!(SHARDS_DEFAULT <= SHARDS_MAX);
};

/// Levels of arrays and objects a request body may have; Meilisearch's own reader stops at 128.
pub const DEPTH_MAX: usize = 128;
