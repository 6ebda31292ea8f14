//! Bounds of the nodes: what they may answer, their connections, their health, and how a core rates them.

use std::time::Duration;

use super::{HEADERS_MAX, IN_FLIGHT_DEFAULT, REQUEST_TIMEOUT_DEFAULT, TIMEOUT_MIN};

/// Bytes of an answer's status line and headers.
pub const NODE_HEAD_BYTES_MAX: usize = 64 << 10;
pub const NODE_HEADERS_MAX: usize = HEADERS_MAX;
/// Bytes of an answer's body: room for pages of large documents.
pub const NODE_BODY_BYTES_MAX: usize = 1 << 30;
/// Interim answers (1xx) before the final one.
pub const NODE_INTERIM_ANSWERS_MAX: usize = 8;

/// Unused connections that one core keeps to one node.
pub const IDLE_NODE_CONNECTIONS_MAX: usize = 128;
/// A pooled connection is not used again after this; nodes keep theirs for longer.
pub const IDLE_NODE_TIMEOUT: Duration = Duration::from_secs(4);
/// Within this time after an answer a connection is used again without a check whether the node sent more: under load
/// no connection rests longer, and the check is a system call for each leg.
pub const NODE_SILENCE_TRUSTED: Duration = Duration::from_millis(20);
pub const NODE_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// For one request to one node, connecting included.
pub const NODE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// For one small question to a node, such as its version.
pub const NODE_QUESTION_TIMEOUT: Duration = Duration::from_secs(2);
/// The time between two checks whether the node that a request waits for is down by now.
pub const NODE_DOWN_CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// Characters that are kept of the reason why a node does not serve.
pub const NODE_FAULT_CHARACTERS_MAX: usize = 300;

/// The time between two probes of a node that answers no requests, and of one that failed lately.
pub const HEALTH_PROBE_INTERVAL: Duration = Duration::from_millis(200);
pub const HEALTH_SUSPECT_INTERVAL: Duration = Duration::from_millis(100);
pub const HEALTH_PROBE_TIMEOUT: Duration = Duration::from_millis(400);
/// The probe interval per node of the cluster: with many nodes it grows, and the load of probes stays the same.
pub const HEALTH_PROBE_SHARE: Duration = Duration::from_millis(2);
/// Probes in a row after which a node is down, and after which it joins.
pub const PROBES_FAILED_TO_DOWN: u32 = 2;
pub const PROBES_ANSWERED_TO_JOIN: u32 = 2;
/// Requests in a row, within the window, that a node fails before it is down.
pub const FAILURES_TO_DOWN: u32 = 10;
pub const FAILURE_WINDOW: Duration = Duration::from_secs(2);
/// For how long a node that failed is suspect.
pub const SUSPICION: Duration = Duration::from_secs(1);
/// The time between two checks whether what is suspect on a serving node can be compared by now.
pub const SUSPICION_INTERVAL: Duration = Duration::from_secs(1);

/// Legs in a row that a node fails, or answers later than another node, before a core ejects it; and for how long,
/// doubled each time its trial fails.
pub const BREAKER_FAILURES: u32 = 5;
pub const BREAKER_REST_MIN: Duration = Duration::from_millis(500);
pub const BREAKER_REST_MAX: Duration = Duration::from_secs(8);
/// For how long a node is ejected that says it is overloaded: without `Retry-After`, and with it at most.
pub const OVERLOADED_REST_DEFAULT: Duration = Duration::from_secs(1);
pub const OVERLOADED_REST_MAX: Duration = Duration::from_secs(30);
/// Averages of latency and errors lose half of their weight in this time.
pub const LOAD_HALF_LIFE: Duration = Duration::from_secs(5);
/// Latest latencies of which the 95th percentile is taken.
pub const LATENCIES_KEPT: usize = 64;
/// A core compares its nodes again when its last comparison is older.
pub const LEVELS_AGE_MAX: Duration = Duration::from_millis(20);
/// One plan in this many ignores which nodes are slow, so that a node that has recovered is noticed.
pub const EXPLORE_EVERY: usize = 20;

const _: () = {
    // A pool never holds more than could have been in use at once.
    assert!(IDLE_NODE_CONNECTIONS_MAX <= IN_FLIGHT_DEFAULT);
    // A leg ends, and another owner can be asked, before the request's time is over.
    assert!(NODE_CONNECT_TIMEOUT.as_millis() < NODE_TIMEOUT_DEFAULT.as_millis());
    assert!(NODE_TIMEOUT_DEFAULT.as_millis() < REQUEST_TIMEOUT_DEFAULT.as_millis());
    assert!(TIMEOUT_MIN.as_millis() < NODE_TIMEOUT_DEFAULT.as_millis());
    // A silent node is noticed in little more than a second.
    assert!(
        HEALTH_PROBE_INTERVAL.as_millis()
            + PROBES_FAILED_TO_DOWN as u128
                * (HEALTH_PROBE_TIMEOUT.as_millis() + HEALTH_SUSPECT_INTERVAL.as_millis())
            <= 1200
    );
    assert!(HEALTH_SUSPECT_INTERVAL.as_millis() <= HEALTH_PROBE_INTERVAL.as_millis());
    assert!(SUSPICION.as_millis() <= FAILURE_WINDOW.as_millis());
    assert!(BREAKER_REST_MIN.as_millis() <= BREAKER_REST_MAX.as_millis());
};
