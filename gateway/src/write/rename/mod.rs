//! Indexes that change their names: plans of swaps and renames, and their run.
//!
//! Invariant: one commit moves the records; documents stay where they are.

pub mod plan;
pub mod run;
