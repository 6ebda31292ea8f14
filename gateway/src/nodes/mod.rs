//! Nodes as the gateway sees them: their connections, health, load, and what they have missed.
//!
//! Invariant: nothing here knows of indexes or clients. May touch: `wire`, `config` and lower floors.

pub mod address;
pub mod health;
pub mod hints;
pub(crate) mod load_stats;
pub mod pool;
pub(crate) mod retry_budget;
pub(crate) mod slots;
pub mod table;
