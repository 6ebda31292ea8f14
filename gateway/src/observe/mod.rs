//! Observability: metrics and logs. Other rooms emit them, this room renders them.

pub(crate) mod catalogue;
pub mod lane_spans;
pub mod log;
pub mod metrics;
pub mod process_limits;
mod span;
pub mod spans;
pub mod store_counts;
