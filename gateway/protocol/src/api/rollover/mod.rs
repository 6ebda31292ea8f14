//! Rolling indexes as operators describe them: policies, and the patterns that name their indexes.
//!
//! Invariant: no IO and no clock; dates are given.

pub mod pattern;
pub mod policy;
