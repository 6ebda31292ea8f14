//! Meilisearch's dialect: reads requests, writes responses, names errors.
//!
//! Invariant: nothing here does IO; the gateway calls it with what it has.

pub mod alias;
pub mod canary;
pub mod chat;
pub mod documents;
pub mod embedder_templates;
pub mod error;
pub mod http;
pub mod index_rules;
pub mod network;
pub mod node_version;
pub mod reserved_fields;
pub mod rollover;
pub mod search;
pub mod secrets;
pub mod settings;
mod settings_details;
pub mod swap;
pub mod tasks;
pub mod tenant;
pub mod webhook;
