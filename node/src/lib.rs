//! An embedded Meilisearch-compatible node on the real engine, and the one-command cluster built from it.
//! Invariants: the engine decides, this crate translates; production never needs it, and the gateway never
//! depends on it. Routes, answers, defaults and errors are those of Meilisearch v1.15; what is not there
//! answers 501 with its name.

mod catalog;
pub mod chaos;
mod clock;
pub mod cluster;
pub mod differential;
mod engine;
mod errors;
mod faults;
mod names;
mod node;
pub mod process;
pub mod proxy;
pub mod roles;
mod scheduler;
mod server;
pub mod standalone;
mod tasks;
mod wire;

pub use errors::ApiError;
pub use faults::Faults;
pub use node::NodeOptions;
pub use server::{Server, ServerError};
