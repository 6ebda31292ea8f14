//! What happened in the cluster, told to others: webhooks today.
//!
//! Invariant: telling never holds up a client; what was told is on record in the store, so that a restart goes on from there.
//! May touch: `write`, `state`, `api` and lower floors.

pub(crate) mod webhook_delivery;
