//! One file per family of routes: takes the request apart, calls the room that does the work, writes the response.
//!
//! Invariant: no algorithm lives here, and no handler calls another's. May touch: `lifecycle`, `read`, `write`, `repair`,
//! `operations`, `state`, `nodes`, `auth`, `api` and lower floors.

pub mod admin;
pub mod anti_entropy;
pub(crate) mod data;
pub(crate) mod document_writes;
pub(crate) mod documents;
pub mod dumps;
pub mod experimental_features;
pub(crate) mod explain;
pub(crate) mod extract;
pub(crate) mod fields;
pub(crate) mod front_page;
pub(crate) mod indexes;
pub(crate) mod keys;
pub(crate) mod management;
pub(crate) mod multi_search;
pub(crate) mod network;
pub(crate) mod node;
pub mod refusal;
pub(crate) mod render_template;
pub(crate) mod search;
pub(crate) mod search_rules;
pub(crate) mod settings;
pub(crate) mod similar;
pub(crate) mod snapshots;
pub(crate) mod stats;
pub(crate) mod tasks;
pub(crate) mod webhooks;
