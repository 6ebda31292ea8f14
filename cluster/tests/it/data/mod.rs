//! Data in and out, and indexes that roll over.

mod changes;
mod chat;
pub(crate) mod imports;
mod node_routes;
mod receivers;
mod rollover;
