//! Repair: finding where the copies of a shard differ, and making them equal.
//!
//! `pass` goes over all indexes, `verify` compares the copies of one, `decide` says which of two is right and
//! `mend` writes it; `drift` does the same for settings. `manage` shows it to operators.

pub mod board;
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
