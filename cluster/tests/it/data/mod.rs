//! Data in and out, and indexes that roll over.

mod changes;
mod chat;
mod node_routes;
mod receivers;
mod rollover;
