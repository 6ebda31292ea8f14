//! The gateway: many Meilisearch nodes behind one plain Meilisearch endpoint.
//!
//! Follow a request: `data::connection` reads it, `data::serve` takes it through its steps.
//! `runtime` is the seam to the executors, `control` what runs without a client waiting,
//! `process` puts it all together.

pub mod admin;
pub mod api;
pub mod archive;
pub mod auth;
pub mod clock;
pub mod config;
pub mod control;
pub mod coordinator;
pub mod ctl;
pub mod data;
pub mod follow;
pub mod h1;
pub mod health;
pub mod hints;
pub mod ingest;
pub mod moves;
pub mod notify;
pub mod observe;
pub mod outbound;
pub mod process;
pub mod quorum;
pub mod repair;
pub mod runtime;
pub mod sessions;
pub mod shared;
pub mod snapshot;
pub mod start;
pub mod tls;
