//! What operators change through the management API under `/_miroir/`.
//!
//! Invariant: a request that is refused has changed nothing.

pub(crate) mod aliases;
pub(crate) mod ttl;
