//! Data in and out, and indexes that roll over.

mod changes;
mod changes_to_nats;
mod chat;
pub(crate) mod imports;
mod nats_server;
mod node_routes;
mod receivers;
mod rollover;
