//! Observability: metrics and logs. Other rooms emit them, this room renders them.

pub mod log;
pub mod metrics;
pub mod store_counts;
