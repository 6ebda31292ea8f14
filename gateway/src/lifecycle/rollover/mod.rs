//! Rolling indexes: a write alias that moves on to a new index when its index is full or old, and an alias for reading
//! that stands for all that are kept.
//!
//! Invariants: the write alias never stands for an index that is missing. No index younger than the lock is deleted.
//! One pod works on policies, and every phase is stored before it is entered, so another goes on where it ended.

mod measure;
pub(crate) mod run;
mod steps;
