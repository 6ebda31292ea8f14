//! The search page of an index.
//!
//! Invariant: an index has no page until an operator has given it one.

pub(crate) mod page;
