//! Deterministic simulations: the coordinator alone, and whole gateways.
//!
//! Invariant: a seed is a run.

pub mod coordinator;
pub mod gateway;
