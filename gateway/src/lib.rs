//! The gateway: many Meilisearch nodes behind one plain Meilisearch endpoint.
//!
//! Follow a request: `data::connection` reads it, `data::serve` takes it through its steps.
//! `runtime` is the seam to the executors, `control` what runs without a client waiting,
//! `process` puts it all together.

pub mod admin;
pub mod api;
pub mod auth;
pub mod config;
pub mod control;
pub mod data;
pub mod h1;
pub mod health;
pub mod ingest;
pub mod moves;
pub mod notify;
pub mod observe;
pub mod process;
pub mod runtime;
pub mod shared;
pub mod snapshot;
pub mod tls;
