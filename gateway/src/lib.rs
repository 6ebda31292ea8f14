//! The gateway: many Meilisearch nodes behind one plain Meilisearch endpoint.
//!
//! Follow a request: `server::connection` reads it, and `server::pipeline` takes it through its steps.
//! `wire::runtime` is the seam to the executors, `jobs` runs what no client waits for, and `process` puts it all
//! together.

pub mod clock;
pub mod config;
pub mod console;
pub mod dump;
pub mod events;
pub mod handlers;
pub mod jobs;
pub mod lifecycle;
pub mod membership;
pub mod nodes;
pub mod observe;
pub mod operations;
pub(crate) mod pages;
pub mod pods;
pub mod process;
pub mod read;
pub mod repair;
pub mod server;
pub mod state;
pub mod traffic;
pub mod wire;
pub mod write;

pub use protocol::{api, auth};
