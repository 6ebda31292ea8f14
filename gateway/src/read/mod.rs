//! Reads: one question to many shards, in the steps plan, scatter, race, merge.
//!
//! Invariants: a node that is down is never asked. When a node fails, the plan is made anew from the snapshot. The
//! answer names the shards that no node could answer for. May touch: `state`, `nodes`, `auth`, `api` and lower
//! floors.

pub mod ask;
pub(crate) mod coalesce;
pub(crate) mod context;
pub(crate) mod count;
pub(crate) mod distinct_counts;
pub(crate) mod expiry;
pub(crate) mod explain;
pub(crate) mod facet_spelling;
pub(crate) mod federated;
pub(crate) mod foreign_keys;
pub(crate) mod hits;
pub(crate) mod hybrid;
pub(crate) mod key_order;
pub(crate) mod known_fields;
pub(crate) mod leg_depth;
pub mod node_features;
pub mod pins;
pub(crate) mod plan;
pub(crate) mod race;
pub mod refusal;
pub(crate) mod scatter;
pub mod search;
pub(crate) mod trace;
