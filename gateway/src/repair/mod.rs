//! Repair: finding where the copies of a shard differ, and making them equal.
//!
//! `pass` goes over all indexes, `copy` over what one node holds, both by `walk` and as jobs that any pod may do;
//! `verify` compares the copies of one index, `decide` says which of two is right and
//! `mend` writes it; `drift` does the same for settings. `manage` shows it to operators.

pub mod compare;
pub(crate) mod comparison;
pub(crate) mod digest;
pub(crate) mod foreign_tasks;
pub mod index_sync;
pub mod node_copy;
pub(crate) mod node_settings;
pub mod pass;
pub mod queue;
pub(crate) mod repair_documents;
pub(crate) mod replica;
pub mod report;
pub(crate) mod resolve;
pub mod settings_drift;
pub(crate) mod shard_walk;
