//! Repair: finding where the copies of a shard differ, and making them equal.
//!
//! `pass` goes over all indexes, `copy` over what one node holds, both by `walk` and as jobs that any pod may do;
//! `verify` compares the copies of one index, `decide` says which of two is right and
//! `mend` writes it; `drift` does the same for settings. `manage` shows it to operators.

pub mod board;
pub mod copy;
mod decide;
mod digest;
pub mod drift;
mod evidence;
pub mod frozen;
pub mod manage;
mod mend;
pub mod pass;
mod reading;
pub mod reconcile;
pub mod report;
mod settings;
pub mod tombstones;
mod verification;
pub mod verify;
mod walk;
