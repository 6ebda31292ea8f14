//! Seeing it run: metrics and logs. The request path emits, this module renders.

pub mod endpoint;
pub mod log;
pub mod metrics;
pub mod store;
