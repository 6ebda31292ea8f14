//! The stream of changes: read by whoever asks, and delivered to sinks.
//!
//! Invariants: entries are in the order of their commits, so the changes of a document are in order. An entry is
//! delivered at least once; an event has one id, however often it is delivered and by which pod. One pod delivers.

pub(crate) mod deliver;
pub(crate) mod events;
mod nats;
pub(crate) mod status;
mod trim;
pub(crate) mod webhook;
