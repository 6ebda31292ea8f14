//! Bounds of traces: how much of a request is kept, and how much waits for the collector.

use std::time::Duration;

/// Share of requests without a trace of their own that are traced.
pub const TRACE_SAMPLE_DEFAULT: f64 = 0.01;
/// Spans of one trace; further legs are left out of it.
pub const SPANS_PER_TRACE_MAX: usize = 256;
/// Traces that wait for the collector; more are dropped and counted.
pub const TRACES_WAITING_MAX: usize = 1024;
/// Traces in one request to the collector, and how long the first of them waits for others.
pub const TRACES_TOGETHER_MAX: usize = 128;
pub const TRACES_WAIT: Duration = Duration::from_secs(1);
/// For one request to the collector.
pub const TRACES_SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// The time between two log lines about a collector that takes nothing.
pub const TRACES_WARNED_EVERY: Duration = Duration::from_secs(60);
/// Bytes of a client's `tracestate` that are handed on.
pub const TRACE_STATE_BYTES_MAX: usize = 512;

const _: () = assert!(TRACES_TOGETHER_MAX <= TRACES_WAITING_MAX);
