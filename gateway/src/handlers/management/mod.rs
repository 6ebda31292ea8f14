//! What operators change through the management API under `/_miroir/`.
//!
//! Invariant: a refused request changes nothing.

pub(crate) mod aliases;
pub(crate) mod operations;
pub(crate) mod topology_changes;
pub(crate) mod ttl;
