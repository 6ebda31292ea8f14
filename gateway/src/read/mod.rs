//! One question to many shards: plan, scatter, race, merge.
//!
//! Invariants: a node that is down is never asked; a plan is made anew from the snapshot when a node fails, and what nobody
//! could answer is named in the answer.
//! May touch: `state`, `nodes`, `auth`, `api` and lower floors.

pub mod ask;
pub(crate) mod coalesce;
pub(crate) mod distinct_counts;
pub(crate) mod facet_spelling;
pub(crate) mod federated;
pub(crate) mod foreign_keys;
pub(crate) mod hits;
pub(crate) mod hybrid;
pub mod node_features;
pub mod pins;
pub(crate) mod plan;
pub(crate) mod race;
pub mod refusal;
pub(crate) mod scatter;
pub mod search;
