//! Repair: finds where the copies of a shard differ, and makes them equal.
//!
//! `pass` covers all indexes, `node_copy` what one node holds; both use `shard_walk` and are jobs that any pod may
//! do. `compare` compares the copies of one index, `resolve` decides which of two is right, and `repair_documents`
//! writes it. `settings_drift` does the same for settings.

pub(crate) mod bulk_copy;
pub mod compare;
pub(crate) mod comparison;
pub(crate) mod copied_anew;
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
pub(crate) mod watch;
