//! Events of the cluster, told to others: ended tasks to webhooks, changes of documents to sinks and to whoever asks.
//!
//! Invariant: telling never holds up a client. The store records what was told, so that a restart continues from
//! there. May touch: `write`, `state`, `api` and lower floors.

pub(crate) mod cdc;
pub(crate) mod webhook_delivery;
