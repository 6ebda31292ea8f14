//! What clients write through a cluster.

pub(crate) mod atomicity;
mod embedders;
pub(crate) mod idempotency;
pub(crate) mod index_life;
pub(crate) mod replicas;
pub(crate) mod replicas_writes;
pub(crate) mod sessions;
pub(crate) mod tasks;
pub(crate) mod turns;
