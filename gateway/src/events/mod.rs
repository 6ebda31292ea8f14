//! Events of the cluster, told to others; today to webhooks.
//!
//! Invariant: telling never holds up a client. The store records what was told, so that a restart continues from
//! there. May touch: `write`, `state`, `api` and lower floors.

pub(crate) mod webhook_delivery;
