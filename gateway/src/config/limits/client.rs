//! Bounds of the client side: what clients may send, how many they may be, and how long they may take.

use std::time::Duration;

/// The bounds that the protocol states itself.
pub use protocol::limits::{
    CANARIES_MAX, CANARY_QUERY_BYTES_MAX, CAPTURES_MAX, DEPTH_MAX, WEBHOOK_HEADERS_MAX, WEBHOOKS_MAX,
};

/// Bytes of a request line; a search by `GET` carries its filter there.
pub const REQUEST_LINE_BYTES_DEFAULT: usize = 16 << 10;
pub const REQUEST_LINE_BYTES_MIN: usize = 256;
/// Bytes of a request line and headers together.
pub const HEAD_BYTES_DEFAULT: usize = 32 << 10;
pub const HEAD_BYTES_MIN: usize = 1024;
pub const HEAD_BYTES_MAX: usize = 1 << 20;
/// Headers of a request; monoio-http's decoder takes no more.
pub const HEADERS_DEFAULT: usize = 96;
pub const HEADERS_MIN: usize = 8;
pub const HEADERS_MAX: usize = 96;
/// Bytes of a request body; the default is Meilisearch's (`--http-payload-size-limit`).
pub const BODY_BYTES_DEFAULT: u64 = 100_000_000;
pub const BODY_BYTES_MIN: u64 = 1024;
pub const BODY_BYTES_MAX: u64 = 4 << 30;
/// Levels of arrays and objects in a request body, which an option can only lower.
pub const JSON_DEPTH_DEFAULT: usize = DEPTH_MAX;
pub const JSON_DEPTH_MIN: usize = 4;
/// Offset and limit together; the default is as far as Meilisearch counts.
pub const PAGE_DEPTH_DEFAULT: usize = u32::MAX as usize;
/// Queries of one multi-search, and how many of them run at the same time.
pub const MULTI_SEARCH_QUERIES_DEFAULT: usize = 100;
pub const MULTI_SEARCH_QUERIES_MAX: usize = 10_000;
pub const MULTI_SEARCH_QUERIES_AT_ONCE: usize = 8;
/// Bytes of the header `Idempotency-Key`.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

/// Bytes of a master key in production; Meilisearch has the same bound.
pub const MASTER_KEY_BYTES_MIN: usize = 16;
/// API keys; every core knows all of them.
pub const KEYS_MAX: usize = 10_000;
/// Keys read from the store at once when the gateway starts.
pub const KEYS_PER_READ: usize = 1000;

/// Requests that one core works on; the next one is answered 503 `miroir_overloaded`.
pub const IN_FLIGHT_DEFAULT: usize = 1024;
pub const IN_FLIGHT_MAX: usize = 65_536;
/// The delay that searches may cause each other, as the least of an interval, before some are refused.
pub const QUEUE_DELAY_DEFAULT: Duration = Duration::from_millis(50);
/// Connections that one core keeps open to clients.
pub const CONNECTIONS_DEFAULT: usize = 16_384;
pub const CONNECTIONS_MAX: usize = 1_000_000;
/// Connections from one address; of IPv6 from one network of 64 bits.
pub const CONNECTIONS_PER_ADDRESS_DEFAULT: usize = 4096;
/// Requests on one connection.
pub const REQUESTS_PER_CONNECTION_DEFAULT: u32 = 1_000_000;

/// From accepting a connection to its first byte.
pub const FIRST_BYTE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// From the first byte of a request to the end of its headers.
pub const HEAD_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// A client connection without a request is closed after this.
pub const IDLE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(75);
/// Between two pieces of a body, in either direction.
pub const BODY_GAP_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// For a whole body, in either direction.
pub const BODY_TIMEOUT_DEFAULT: Duration = Duration::from_secs(300);
/// For a client to notice that the connection ends.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// For one client request, all its legs and retries included.
pub const REQUEST_TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);
/// The range of options that are timeouts.
pub const TIMEOUT_MIN: Duration = Duration::from_millis(10);
pub const TIMEOUT_MAX: Duration = Duration::from_secs(3600);
/// For requests in flight to end once the process has been asked to end.
pub const DRAIN_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// How often a change is cut anew for nodes between which shards move.
pub const CUTS_MAX: usize = 8;

/// For one request to an address that a client has named.
pub const OUTBOUND_TIMEOUT: Duration = Duration::from_secs(10);
/// The time between two checks for tasks that webhooks have to be told of; without webhooks nothing is checked.
pub const WEBHOOK_INTERVAL: Duration = Duration::from_millis(100);
/// How often one message is sent to a webhook that does not accept it, and the pause in between.
pub const WEBHOOK_ATTEMPTS_MAX: u32 = 3;
pub const WEBHOOK_RETRY_PAUSE: Duration = Duration::from_secs(1);

const _: () = {
    assert!(REQUEST_LINE_BYTES_DEFAULT < HEAD_BYTES_DEFAULT && HEAD_BYTES_DEFAULT <= HEAD_BYTES_MAX);
    assert!(HEADERS_MIN <= HEADERS_DEFAULT && HEADERS_DEFAULT <= HEADERS_MAX);
    assert!((HEAD_BYTES_DEFAULT as u64) < BODY_BYTES_DEFAULT);
    assert!(BODY_BYTES_MIN <= BODY_BYTES_DEFAULT && BODY_BYTES_DEFAULT <= BODY_BYTES_MAX);
    assert!(MULTI_SEARCH_QUERIES_AT_ONCE <= MULTI_SEARCH_QUERIES_DEFAULT);
    assert!(CONNECTIONS_PER_ADDRESS_DEFAULT <= CONNECTIONS_DEFAULT && CONNECTIONS_DEFAULT <= CONNECTIONS_MAX);
    assert!(IN_FLIGHT_DEFAULT <= IN_FLIGHT_MAX);
    // Every request in flight may come on a connection of its own.
    assert!(IN_FLIGHT_DEFAULT <= CONNECTIONS_DEFAULT);
    assert!(REQUEST_TIMEOUT_DEFAULT.as_millis() <= TIMEOUT_MAX.as_millis());
    // A connection does not time out as idle while its request is being served.
    assert!(REQUEST_TIMEOUT_DEFAULT.as_millis() < IDLE_TIMEOUT_DEFAULT.as_millis());
    assert!(HEAD_TIMEOUT_DEFAULT.as_millis() < IDLE_TIMEOUT_DEFAULT.as_millis());
};
