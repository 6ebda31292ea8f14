//! The gateway: many Meilisearch nodes behind one plain Meilisearch endpoint.
//!
//! Follow a request: `data::connection` reads it, `data::serve` takes it through its steps.
//! `runtime` is the seam to the executors, `control` what runs without a client waiting,
//! `process` puts it all together.

pub mod api;
pub mod auth;
pub mod clock;
pub mod config;
pub mod ctl;
pub mod dump;
pub mod events;
pub mod handlers;
pub mod jobs;
pub mod membership;
pub mod nodes;
pub mod observe;
pub mod pods;
pub mod process;
pub mod read;
pub mod repair;
pub mod server;
pub mod state;
pub mod wire;
pub mod write;
