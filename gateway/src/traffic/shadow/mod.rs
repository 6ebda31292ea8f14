//! Shadows: clusters that get a copy of searches after the client has its answer, and whose answers are compared.
//!
//! Invariants: only searches are copied, never writes. A shadow has threads of its own, so that one that hangs holds
//! up neither clients nor other shadows. An answer of a shadow is bounded in time and in size.

mod compare;
mod target;

pub(crate) use target::start;
