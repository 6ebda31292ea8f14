//! Seeing it run: metrics and logs. The request path emits, this module renders.

pub mod log;
pub mod metrics;
pub mod store_counts;
