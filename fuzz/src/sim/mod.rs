//! Deterministic simulations: the coordinator alone, and whole gateways.
//!
//! Invariant: the seed determines the whole run.

pub mod coordinator;
pub mod gateway;
