//! The options of the side that faces clients: what they may send, how long they may take, how many they may be.
//!
//! Invariant: all of them can change while the gateway runs: `process::reload` replaces them whole, and each
//! connection looks at them again before its next request.

use std::time::Duration;

use super::{
    ConfigError,
    limits::{
        BODY_BYTES_DEFAULT, BODY_BYTES_LEAST, BODY_BYTES_MOST, BODY_GAP_TIMEOUT_DEFAULT,
        BODY_TIMEOUT_DEFAULT, CONNECTIONS_DEFAULT, CONNECTIONS_MOST, CONNECTIONS_PER_ADDRESS_DEFAULT,
        FIRST_BYTE_TIMEOUT_DEFAULT, HEAD_BYTES_DEFAULT, HEAD_BYTES_LEAST, HEAD_BYTES_MOST,
        HEAD_TIMEOUT_DEFAULT, HEADERS_DEFAULT, HEADERS_LEAST, HEADERS_MOST, IDLE_TIMEOUT_DEFAULT,
        IN_FLIGHT_DEFAULT, IN_FLIGHT_MOST, JSON_DEPTH_DEFAULT, JSON_DEPTH_LEAST,
        MULTI_SEARCH_QUERIES_DEFAULT, MULTI_SEARCH_QUERIES_MOST, PAGE_DEPTH_DEFAULT, QUEUE_DELAY_DEFAULT,
        REQUEST_LINE_BYTES_DEFAULT, REQUEST_LINE_BYTES_LEAST, REQUESTS_PER_CONNECTION_DEFAULT,
    },
    option,
    options::RawOptions,
    value,
};

/// What clients may do; every value is within its bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeConfig {
    pub request_line_bytes_max: usize,
    pub head_bytes_max: usize,
    pub headers_max: usize,
    /// As it comes, and decompressed.
    pub body_bytes_max: usize,
    pub first_byte_timeout: Duration,
    pub head_timeout: Duration,
    pub idle_timeout: Duration,
    pub body_gap_timeout: Duration,
    pub body_timeout: Duration,
    pub requests_per_connection_max: u32,
    /// Per core.
    pub connections_max: usize,
    /// Per core.
    pub connections_per_address_max: usize,
    /// Per core.
    pub in_flight_max: usize,
    pub queue_delay_max: Duration,
    pub multi_search_queries_max: usize,
    pub json_depth_max: usize,
    /// Offset and limit together.
    pub page_depth_max: usize,
    pub log_requests: LogRequests,
    pub log_queries: bool,
}

/// Which requests are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogRequests {
    Off,
    /// Those answered with 500 or more.
    Errors,
    All,
}

impl LogRequests {
    pub(super) const NAMES: [(&'static str, Self); 3] =
        [("off", Self::Off), ("errors", Self::Errors), ("all", Self::All)];
}

/// Names of a switch that a file can set.
pub(super) const SWITCH: [(&str, bool); 2] = [("off", false), ("on", true)];

impl EdgeConfig {
    pub(super) fn validate(raw: &RawOptions) -> Result<Self, ConfigError> {
        let bytes = |name, text, default: usize, least: usize, most: u64| {
            let count = option(name, text, default as u64, |text| value::bytes(text, least as u64..=most));
            count.map(|count| usize::try_from(count).unwrap_or(usize::MAX))
        };
        let count = |name, text, default: usize, least: usize, most: usize| {
            option(name, text, default, |text| value::whole(text, least..=most))
        };
        let time = |name, text, default: Duration| option(name, text, default, value::duration);
        let head = HEAD_BYTES_MOST as u64;
        let body_default = usize::try_from(BODY_BYTES_DEFAULT).unwrap_or(usize::MAX);
        let body_least = usize::try_from(BODY_BYTES_LEAST).unwrap_or(usize::MAX);
        let connections = CONNECTIONS_MOST;
        Ok(Self {
            request_line_bytes_max: bytes(
                "request-line-limit",
                &raw.request_line_limit,
                REQUEST_LINE_BYTES_DEFAULT,
                REQUEST_LINE_BYTES_LEAST,
                head,
            )?,
            head_bytes_max: bytes("head-limit", &raw.head_limit, HEAD_BYTES_DEFAULT, HEAD_BYTES_LEAST, head)?,
            headers_max: count(
                "headers-max",
                &raw.headers_max,
                HEADERS_DEFAULT,
                HEADERS_LEAST,
                HEADERS_MOST,
            )?,
            body_bytes_max: bytes("body-limit", &raw.body_limit, body_default, body_least, BODY_BYTES_MOST)?,
            first_byte_timeout: time(
                "first-byte-timeout",
                &raw.first_byte_timeout,
                FIRST_BYTE_TIMEOUT_DEFAULT,
            )?,
            head_timeout: time("head-timeout", &raw.head_timeout, HEAD_TIMEOUT_DEFAULT)?,
            idle_timeout: time("idle-timeout", &raw.idle_timeout, IDLE_TIMEOUT_DEFAULT)?,
            body_gap_timeout: time("body-gap-timeout", &raw.body_gap_timeout, BODY_GAP_TIMEOUT_DEFAULT)?,
            body_timeout: time("body-timeout", &raw.body_timeout, BODY_TIMEOUT_DEFAULT)?,
            requests_per_connection_max: option(
                "requests-per-connection-max",
                &raw.requests_per_connection_max,
                REQUESTS_PER_CONNECTION_DEFAULT,
                |text| value::whole(text, 1..=u32::MAX),
            )?,
            connections_max: count(
                "connections-max",
                &raw.connections_max,
                CONNECTIONS_DEFAULT,
                1,
                connections,
            )?,
            connections_per_address_max: count(
                "connections-per-address-max",
                &raw.connections_per_address_max,
                CONNECTIONS_PER_ADDRESS_DEFAULT,
                1,
                connections,
            )?,
            in_flight_max: count("in-flight-max", &raw.in_flight_max, IN_FLIGHT_DEFAULT, 1, IN_FLIGHT_MOST)?,
            queue_delay_max: time("queue-delay-max", &raw.queue_delay_max, QUEUE_DELAY_DEFAULT)?,
            multi_search_queries_max: count(
                "multi-search-queries-max",
                &raw.multi_search_queries_max,
                MULTI_SEARCH_QUERIES_DEFAULT,
                1,
                MULTI_SEARCH_QUERIES_MOST,
            )?,
            json_depth_max: count(
                "json-depth-max",
                &raw.json_depth_max,
                JSON_DEPTH_DEFAULT,
                JSON_DEPTH_LEAST,
                JSON_DEPTH_DEFAULT,
            )?,
            page_depth_max: count(
                "page-depth-max",
                &raw.page_depth_max,
                PAGE_DEPTH_DEFAULT,
                1,
                PAGE_DEPTH_DEFAULT,
            )?,
            log_requests: option("log-requests", &raw.log_requests, LogRequests::Off, |text| {
                value::one_of(text, &LogRequests::NAMES)
            })?,
            log_queries: option("log-queries", &raw.log_queries, false, |text| value::one_of(text, &SWITCH))?,
        })
    }
}
