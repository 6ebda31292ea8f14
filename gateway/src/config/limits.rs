//! Every queue, pool and timeout of the gateway has its bound here, and nowhere else.
//! - What one bound presumes of another is asserted at compile time.
//! - Defaults that an option can change are named `..._DEFAULT`, with the option's range beside them.

use std::time::Duration;

// What a client may send.

/// Bytes of a request line; a search by `GET` carries its filter there.
pub const REQUEST_LINE_BYTES_DEFAULT: usize = 16 << 10;
pub const REQUEST_LINE_BYTES_LEAST: usize = 256;
/// Bytes of a request line and headers together.
pub const HEAD_BYTES_DEFAULT: usize = 32 << 10;
pub const HEAD_BYTES_LEAST: usize = 1024;
pub const HEAD_BYTES_MOST: usize = 1 << 20;
/// Headers of a request; the most that monoio-http's decoder takes.
pub const HEADERS_DEFAULT: usize = 96;
pub const HEADERS_LEAST: usize = 8;
pub const HEADERS_MOST: usize = 96;
/// Bytes of a request body, Meilisearch's own default (`--http-payload-size-limit`).
pub const BODY_BYTES_DEFAULT: u64 = 100_000_000;
pub const BODY_BYTES_LEAST: u64 = 1024;
pub const BODY_BYTES_MOST: u64 = 4 << 30;
/// Levels of arrays and objects in a JSON body: what Meilisearch's own reader takes.
pub const JSON_DEPTH_DEFAULT: usize = crate::api::depth::DEPTH_MAX;
pub const JSON_DEPTH_LEAST: usize = 4;
/// Offset and limit together of what nodes are asked for: as far as Meilisearch counts.
pub const PAGE_DEPTH_DEFAULT: usize = u32::MAX as usize;

// What a node may answer.

/// Bytes of an answer's status line and headers.
pub const NODE_HEAD_BYTES_MAX: usize = 64 << 10;
pub const NODE_HEADERS_MAX: usize = HEADERS_MOST;
/// Bytes of an answer's body: room for pages of large documents.
pub const NODE_BODY_BYTES_MAX: usize = 1 << 30;
/// Interim answers (1xx) in front of the final one.
pub const NODE_INTERIM_ANSWERS_MAX: usize = 8;

// What a core holds at once.

/// Data cores of one process.
pub const CORES_MOST: usize = 1024;
/// Requests one core works on; the next one is answered 503 `miroir_overloaded`.
pub const IN_FLIGHT_DEFAULT: usize = 1024;
pub const IN_FLIGHT_MOST: usize = 65_536;
/// Connections one core keeps open to clients.
pub const CONNECTIONS_DEFAULT: usize = 16_384;
pub const CONNECTIONS_MOST: usize = 1_000_000;
/// Those of one address; of IPv6 one network of 64 bits.
pub const CONNECTIONS_PER_ADDRESS_DEFAULT: usize = 4096;
/// Requests on one connection.
pub const REQUESTS_PER_CONNECTION_DEFAULT: u32 = 1_000_000;
/// Unused connections one core keeps to one node.
pub const IDLE_NODE_CONNECTIONS_MAX: usize = 128;
/// Writes waiting in one lane, the ordered stream to one index of one node.
pub const LANE_QUEUE_LENGTH_MAX: usize = 1024;
/// Commands waiting for the store.
pub const STORE_QUEUE_LENGTH_MAX: usize = store::QUEUE_LENGTH_MAX;

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
pub const NODE_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// One request to one node, connecting included.
pub const NODE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// One client request, all its legs and retries included.
pub const REQUEST_TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);
/// The range of both options.
pub const TIMEOUT_LEAST: Duration = Duration::from_millis(10);
pub const TIMEOUT_MOST: Duration = Duration::from_secs(3600);

// What a cluster is made of.

pub const NODES_MOST: usize = 4096;
/// Bytes of a node's id.
pub const NODE_ID_BYTES_MOST: usize = 64;
/// Group numbers are below this.
pub const GROUPS_MOST: u16 = 64;
pub const CAPACITY_DEFAULT: f64 = 1.0;
pub const CAPACITY_LEAST: f64 = 0.001;
pub const CAPACITY_MOST: f64 = 1000.0;
pub const SHARDS_DEFAULT: u32 = 64;
pub const SHARDS_MOST: u32 = 65_536;
/// Bytes of a master key in production, Meilisearch's own bound.
pub const MASTER_KEY_BYTES_LEAST: usize = 16;
/// API keys, all of them known to every core.
pub const KEYS_MAX: usize = 10_000;
/// Keys read from the store at once when the gateway starts.
pub const KEYS_PER_READ: usize = 1000;
pub const REPLICATION_FACTOR_DEFAULT: u16 = 1;

// How often the gateway does what nobody waits for, and how much of it at once.

/// Queries of one multi-search, and how many of them are worked on at once.
pub const MULTI_SEARCH_QUERIES_DEFAULT: usize = 100;
pub const MULTI_SEARCH_QUERIES_MOST: usize = 10_000;
pub const MULTI_SEARCH_QUERIES_AT_ONCE: usize = 8;
/// Vectors of one document whose neighbours are searched at once.
pub const SIMILAR_VECTORS_MAX: usize = 16;
/// Times a read asks for the shards that are still missing.
pub const SCATTER_ATTEMPTS_MAX: usize = 4;
/// Times a read asks its legs again because what they gave does not suffice; each time for four times as much.
pub const SCATTER_REACH_MAX: u32 = 8;
/// Hits whose distinct values are counted for the exact total of a page; above, the total is an estimate.
pub const DISTINCT_COUNTED_MAX: usize = 10_000;
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
/// Task uids in one question to a node: keeps its request line short.
pub const TASKS_PER_NODE_QUESTION: usize = 200;
pub const TASK_SWEEP_INTERVAL: Duration = Duration::from_secs(10);
/// Tasks are forgotten so long after they ended.
pub const TASK_RETENTION: Duration = Duration::from_secs(7 * 24 * 3600);
/// Tasks kept, finished ones that is; past it the oldest go before their time.
pub const TASKS_KEPT_MAX: u64 = 1_000_000;
/// Tasks forgotten in one sweep.
pub const TASKS_PRUNED_MAX: usize = 10_000;
pub const HEALTH_PROBE_INTERVAL: Duration = Duration::from_secs(1);
pub const HEALTH_PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// Between two clean-ups of recorded histograms; without them samples pile up.
pub const METRICS_UPKEEP_INTERVAL: Duration = Duration::from_secs(5);
/// Requests in flight may take so long to end once the process is asked to.
pub const DRAIN_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

const _: () = {
    assert!(REQUEST_LINE_BYTES_DEFAULT < HEAD_BYTES_DEFAULT && HEAD_BYTES_DEFAULT <= HEAD_BYTES_MOST);
    assert!(HEADERS_LEAST <= HEADERS_DEFAULT && HEADERS_DEFAULT <= HEADERS_MOST);
    assert!(
        CONNECTIONS_PER_ADDRESS_DEFAULT <= CONNECTIONS_DEFAULT && CONNECTIONS_DEFAULT <= CONNECTIONS_MOST
    );
    assert!(BODY_BYTES_LEAST <= BODY_BYTES_DEFAULT && BODY_BYTES_DEFAULT <= BODY_BYTES_MOST);
    assert!(IN_FLIGHT_DEFAULT <= IN_FLIGHT_MOST);
    // Every request in flight may come on a connection of its own.
    assert!(IN_FLIGHT_DEFAULT <= CONNECTIONS_DEFAULT);
    // A pool never holds more than could have been in use at once.
    assert!(IDLE_NODE_CONNECTIONS_MAX <= IN_FLIGHT_DEFAULT);
    // One core's requests alone overflow neither a lane nor the store.
    assert!(IN_FLIGHT_DEFAULT <= LANE_QUEUE_LENGTH_MAX);
    assert!(IN_FLIGHT_DEFAULT <= STORE_QUEUE_LENGTH_MAX);
    assert!(MULTI_SEARCH_QUERIES_AT_ONCE <= MULTI_SEARCH_QUERIES_DEFAULT);
    // A leg ends, and another owner can be asked, before the request's time is over.
    assert!(NODE_CONNECT_TIMEOUT.as_millis() < NODE_TIMEOUT_DEFAULT.as_millis());
    assert!(NODE_TIMEOUT_DEFAULT.as_millis() < REQUEST_TIMEOUT_DEFAULT.as_millis());
    assert!(TIMEOUT_LEAST.as_millis() < NODE_TIMEOUT_DEFAULT.as_millis());
    assert!(REQUEST_TIMEOUT_DEFAULT.as_millis() <= TIMEOUT_MOST.as_millis());
    // A connection does not time out as idle while its request is still being worked on.
    assert!(REQUEST_TIMEOUT_DEFAULT.as_millis() < IDLE_TIMEOUT_DEFAULT.as_millis());
    assert!(HEAD_TIMEOUT_DEFAULT.as_millis() < IDLE_TIMEOUT_DEFAULT.as_millis());
    assert!(TASKS_CHANGED_AT_ONCE < STORE_QUEUE_LENGTH_MAX);
    // There is room for new tasks while old ones are on their way out.
    assert!(TASKS_KEPT_MAX < store::TASK_COUNT_MAX);
    assert!(NODES_MOST < u16::MAX as usize);
    assert!(SHARDS_DEFAULT <= SHARDS_MOST);
};
