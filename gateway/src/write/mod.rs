//! Writes: one change of an index, in the steps lane, batch, apply, fan-out, quorum, task.
//!
//! Invariants: an intent is durable before the first node is asked. All owners get the changes of an index in one
//! order. May touch: `read::ask`, `state`, `nodes`, `api` and lower floors.

pub mod apply;
pub(crate) mod batch;
pub mod changes;
pub(crate) mod fanout;
pub(crate) mod idempotency;
pub mod index_life;
pub mod lane;
pub mod node_features;
pub mod orphan_indexes;
pub mod quorum;
pub mod rename;
pub mod rule_copies;
pub mod tasks;
pub mod tombstones;
pub(crate) mod trial;
