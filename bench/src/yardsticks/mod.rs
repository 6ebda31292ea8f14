//! The yardsticks for the gateway: minimal scatters without a gateway's duties.

pub mod hyper;
pub mod monoio;
pub mod score_merge;
