//! The lifecycle of indexes and documents: what happens to them with time.
//!
//! Invariant: changes are made as clients make them, through lanes, so that every copy gets them in one order. May
//! touch: `read`, `write`, `state`, `nodes`, `api` and lower floors.

pub(crate) mod rollover;
pub(crate) mod ttl;
