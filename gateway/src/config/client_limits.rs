//! The options of the client side: what clients may send, how long they may take, how many they may be.
//!
//! Invariant: all of them can change while the gateway runs. `process::reload` replaces them as a whole, and each
//! connection reads them again before its next request.

use std::{ops::RangeInclusive, time::Duration};

use crate::config::{
    ConfigError,
    limits::{
        BODY_BYTES_DEFAULT, BODY_BYTES_MAX, BODY_BYTES_MIN, BODY_GAP_TIMEOUT_DEFAULT, BODY_TIMEOUT_DEFAULT,
        CONNECTIONS_DEFAULT, CONNECTIONS_MAX, CONNECTIONS_PER_ADDRESS_DEFAULT, FIRST_BYTE_TIMEOUT_DEFAULT,
        HEAD_BYTES_DEFAULT, HEAD_BYTES_MAX, HEAD_BYTES_MIN, HEAD_TIMEOUT_DEFAULT, HEADERS_DEFAULT,
        HEADERS_MAX, HEADERS_MIN, IDLE_TIMEOUT_DEFAULT, IN_FLIGHT_DEFAULT, IN_FLIGHT_MAX, JSON_DEPTH_DEFAULT,
        JSON_DEPTH_MIN, MULTI_SEARCH_QUERIES_DEFAULT, MULTI_SEARCH_QUERIES_MAX, PAGE_DEPTH_DEFAULT,
        QUEUE_DELAY_DEFAULT, REQUEST_LINE_BYTES_DEFAULT, REQUEST_LINE_BYTES_MIN,
        REQUESTS_PER_CONNECTION_DEFAULT,
    },
    option,
    options::RawOptions,
    value,
};

/// The limits for clients; every value is within its bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeConfig {
    pub request_line_bytes_max: usize,
    pub head_bytes_max: usize,
    pub headers_max: usize,
    /// Of the body as it comes, and decompressed.
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
    /// Searches that take longer are logged.
    pub slow_query: Option<Duration>,
}

/// The options of [`EdgeConfig`], and the files of certificates: SIGHUP reads these again.
pub(crate) const RELOADED: [&str; 22] = [
    "request-line-limit",
    "head-limit",
    "headers-max",
    "body-limit",
    "first-byte-timeout",
    "head-timeout",
    "idle-timeout",
    "body-gap-timeout",
    "body-timeout",
    "requests-per-connection-max",
    "connections-max",
    "connections-per-address-max",
    "in-flight-max",
    "queue-delay-max",
    "multi-search-queries-max",
    "json-depth-max",
    "page-depth-max",
    "log-requests",
    "log-queries",
    "tls-certificate",
    "tls-key",
    "tls-client-ca",
];

/// Which requests are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogRequests {
    Off,
    /// Those that are answered with 500 or more.
    Errors,
    All,
}

impl LogRequests {
    pub(crate) const NAMES: [(&'static str, Self); 3] =
        [("off", Self::Off), ("errors", Self::Errors), ("all", Self::All)];
}

impl Default for EdgeConfig {
    fn default() -> Self {
        Self {
            request_line_bytes_max: REQUEST_LINE_BYTES_DEFAULT,
            head_bytes_max: HEAD_BYTES_DEFAULT,
            headers_max: HEADERS_DEFAULT,
            body_bytes_max: usize::try_from(BODY_BYTES_DEFAULT).unwrap_or(usize::MAX),
            first_byte_timeout: FIRST_BYTE_TIMEOUT_DEFAULT,
            head_timeout: HEAD_TIMEOUT_DEFAULT,
            idle_timeout: IDLE_TIMEOUT_DEFAULT,
            body_gap_timeout: BODY_GAP_TIMEOUT_DEFAULT,
            body_timeout: BODY_TIMEOUT_DEFAULT,
            requests_per_connection_max: REQUESTS_PER_CONNECTION_DEFAULT,
            connections_max: CONNECTIONS_DEFAULT,
            connections_per_address_max: CONNECTIONS_PER_ADDRESS_DEFAULT,
            in_flight_max: IN_FLIGHT_DEFAULT,
            queue_delay_max: QUEUE_DELAY_DEFAULT,
            multi_search_queries_max: MULTI_SEARCH_QUERIES_DEFAULT,
            json_depth_max: JSON_DEPTH_DEFAULT,
            page_depth_max: PAGE_DEPTH_DEFAULT,
            log_requests: LogRequests::Off,
            log_queries: false,
            slow_query: None,
        }
    }
}

impl EdgeConfig {
    pub(crate) fn validate(raw: &RawOptions) -> Result<Self, ConfigError> {
        let mut edge = Self::default();
        edge.set_sizes(raw)?;
        edge.set_times(raw)?;
        edge.set_counts(raw)?;
        let names = |text: &str| value::one_of(text, &LogRequests::NAMES);
        edge.log_requests = option("log-requests", &raw.log_requests, edge.log_requests, names)?;
        let switch = |text: &str| value::one_of(text, &value::SWITCH);
        edge.log_queries = option("log-queries", &raw.log_queries, edge.log_queries, switch)?;
        let slow = option("slow-query-log", &raw.slow_query_log, edge.slow_query, value::duration_or_off)?;
        edge.slow_query = slow;
        Ok(edge)
    }

    fn set_sizes(&mut self, raw: &RawOptions) -> Result<(), ConfigError> {
        let set = |name, field: &mut usize, text, least: u64, most: u64| {
            let count = option(name, text, *field as u64, |text| value::bytes(text, least..=most))?;
            *field = usize::try_from(count).unwrap_or(usize::MAX);
            Ok(())
        };
        let (line_least, head_least) = (REQUEST_LINE_BYTES_MIN as u64, HEAD_BYTES_MIN as u64);
        let most = HEAD_BYTES_MAX as u64;
        let line = &mut self.request_line_bytes_max;
        set("request-line-limit", line, &raw.request_line_limit, line_least, most)?;
        set("head-limit", &mut self.head_bytes_max, &raw.head_limit, head_least, most)?;
        let (least, most) = (BODY_BYTES_MIN, BODY_BYTES_MAX);
        set("body-limit", &mut self.body_bytes_max, &raw.body_limit, least, most)
    }

    fn set_times(&mut self, raw: &RawOptions) -> Result<(), ConfigError> {
        let set = |name, field: &mut Duration, text| {
            *field = option(name, text, *field, value::duration)?;
            Ok(())
        };
        set("first-byte-timeout", &mut self.first_byte_timeout, &raw.first_byte_timeout)?;
        set("head-timeout", &mut self.head_timeout, &raw.head_timeout)?;
        set("idle-timeout", &mut self.idle_timeout, &raw.idle_timeout)?;
        set("body-gap-timeout", &mut self.body_gap_timeout, &raw.body_gap_timeout)?;
        set("body-timeout", &mut self.body_timeout, &raw.body_timeout)?;
        set("queue-delay-max", &mut self.queue_delay_max, &raw.queue_delay_max)
    }

    fn set_counts(&mut self, raw: &RawOptions) -> Result<(), ConfigError> {
        let set = |name, field: &mut usize, text, range: RangeInclusive<usize>| {
            *field = option(name, text, *field, |text| value::whole(text, range))?;
            Ok(())
        };
        set("headers-max", &mut self.headers_max, &raw.headers_max, HEADERS_MIN..=HEADERS_MAX)?;
        let connections = 1..=CONNECTIONS_MAX;
        set("connections-max", &mut self.connections_max, &raw.connections_max, connections.clone())?;
        let of_address = &mut self.connections_per_address_max;
        set("connections-per-address-max", of_address, &raw.connections_per_address_max, connections)?;
        set("in-flight-max", &mut self.in_flight_max, &raw.in_flight_max, 1..=IN_FLIGHT_MAX)?;
        let (queries, range) = (&mut self.multi_search_queries_max, 1..=MULTI_SEARCH_QUERIES_MAX);
        set("multi-search-queries-max", queries, &raw.multi_search_queries_max, range)?;
        let range = JSON_DEPTH_MIN..=JSON_DEPTH_DEFAULT;
        set("json-depth-max", &mut self.json_depth_max, &raw.json_depth_max, range)?;
        set("page-depth-max", &mut self.page_depth_max, &raw.page_depth_max, 1..=PAGE_DEPTH_DEFAULT)?;
        let name = "requests-per-connection-max";
        let (text, most) = (&raw.requests_per_connection_max, self.requests_per_connection_max);
        self.requests_per_connection_max = option(name, text, most, |text| value::whole(text, 1..=u32::MAX))?;
        Ok(())
    }
}
