//! Renames and swaps of indexes: their plans and their run.
//!
//! Invariant: one commit moves the index records; documents stay where they are.

pub mod plan;
pub mod run;
