//! Measurements of the gateway: canned nodes, a load generator, yardsticks, and the comparison that runs them.
//!
//! Invariants: figures come from the kernel's counters (`/proc`), every peer must give the right answer before it is
//! measured, and traffic never leaves the loopback interface.

pub mod canned_node;
pub mod changes;
pub mod client;
pub mod compare;
pub mod corpus;
pub mod load;
pub(crate) mod load_worker;
pub mod plot;
pub mod process;
pub(crate) mod real_nodes;
pub mod rebalance;
pub mod wire;
pub mod writes;
pub mod yardsticks;
