//! An embedded Meilisearch-compatible node on the real engine.
//! Invariants: the engine decides, this crate translates. Production never needs it, and the gateway never depends on
//! it. Routes, answers, defaults and errors are those of Meilisearch v1.15; a missing route answers 501 with its name.

mod catalog;
mod clock;
mod engine;
mod errors;
mod faults;
mod names;
mod node;
mod scheduler;
mod server;
pub mod standalone;
mod tasks;
pub mod test_client;
mod wire;

pub use errors::ApiError;
pub use faults::Faults;
pub use node::NodeOptions;
pub use server::{Server, ServerError};
