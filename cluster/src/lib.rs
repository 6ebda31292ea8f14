//! Whole clusters on one machine: nodes and gateways as child processes, for development, proofs and tests.
//!
//! Invariants: every process ends with its parent; traffic stays on the loopback interface; nothing here is needed in
//! production.

pub mod chaos;
pub mod cluster;
pub mod dev;
pub mod differential;
pub mod faulty_proxy;
pub mod node_process;
pub mod roles;
