//! What the gateway is measured against: bare scatters without a gateway's duties.

pub mod hyper;
pub mod monoio;
pub mod score_merge;
