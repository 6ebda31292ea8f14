//! HTTP/1.1 in both directions, on monoio-http's codecs and any runtime of the seam.
//!
//! Invariants: heads are scanned (`scan`) before monoio-http decodes them, and checked (`framing`) after, so that
//! nothing ambiguous is accepted. Every read has a deadline and every buffer a bound. A connection whose exchange was
//! abandoned is never reused.

pub(crate) mod buffer;
pub(crate) mod chunked;
pub(crate) mod client;
pub(crate) mod date;
pub(crate) mod framing;
pub(crate) mod in_memory;
pub(crate) mod message;
pub(crate) mod refusal;
pub(crate) mod scan;
pub(crate) mod server;
pub(crate) mod stream;

pub use crate::wire::h1::client::{ClientConnection, ExchangeError, NodeAnswer};
pub use crate::wire::h1::in_memory::{read_answer, read_request};
pub use crate::wire::h1::message::{Pieces, Request, Response};
pub use crate::wire::h1::refusal::Refusal;
pub use crate::wire::h1::scan::HeadLimits;
pub use crate::wire::h1::server::{Incoming, ServerConnection, ServerLimits};
