//! What becomes of indexes and documents with time.
//!
//! Invariant: what is done here is done as clients do it, through lanes, so that every copy does it in one order.
//! May touch: `read`, `write`, `state`, `nodes`, `api` and lower floors.

pub(crate) mod ttl;
