//! What clients write through a cluster.

mod atomicity;
mod idempotency;
mod index_life;
mod replicas;
mod replicas_writes;
mod sessions;
mod tasks;
mod turns;
