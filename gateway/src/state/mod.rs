//! The state that one core owns, and the state that the process shares.
//!
//! Invariant: what cores share is atomic or replaced as a whole by pointer. Nothing here asks a node or commits to
//! the store on its own. May touch: `nodes`, `auth`, `api` and lower floors.

pub mod canaries;
pub mod cdc;
pub mod change;
pub(crate) mod concurrency_limit;
pub mod core;
pub mod coverage;
pub(crate) mod error_response;
pub mod heard;
pub mod heartbeats;
pub mod leadership;
pub(crate) mod merged_answer;
pub mod network;
pub mod placed;
pub(crate) mod read_preference;
pub mod refresh;
pub(crate) mod refused_addresses;
pub mod sessions;
pub mod shadows;
pub mod shared;
pub(crate) mod single_flight;
pub mod snapshot;
pub(crate) mod tenants;
pub mod wakeups;
pub mod write_block;

pub use snapshot::aliases;
