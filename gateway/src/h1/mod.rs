//! HTTP/1.1 in both directions, on monoio-http's codecs and any runtime of the seam.
//!
//! Invariants: nothing that frames a message ambiguously gets past `guard`; every read has a
//! deadline and every buffer a bound; a connection whose exchange was abandoned is never reused.

mod buffer;
mod client;
mod guard;
mod message;
mod server;

pub use client::{ClientConnection, ExchangeError, NodeAnswer};
pub use message::{Request, Response};
pub use server::{Refusal, ServerConnection, ServerLimits};
