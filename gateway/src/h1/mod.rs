//! HTTP/1.1 in both directions, on monoio-http's codecs and any runtime of the seam.
//!
//! Invariants: heads are scanned (`scan`) before monoio-http decodes them and judged (`guard`)
//! after, so that nothing ambiguous gets past; every read has a deadline and every buffer a bound;
//! a connection whose exchange was abandoned is never reused.

mod buffer;
mod chunked;
mod client;
mod date;
mod guard;
mod message;
mod refusal;
mod scan;
mod server;
mod stream;
mod whole;

pub use client::{ClientConnection, ExchangeError, NodeAnswer};
pub use message::{Request, Response};
pub use refusal::Refusal;
pub use scan::HeadLimits;
pub use server::{ServerConnection, ServerLimits};
pub use whole::{read_answer, read_request};
