//! What goes over the wire to and from clients: requests read, answers written, errors named.
//!
//! Invariant: nothing here does IO; the data plane calls it with what it has.

pub mod batch;
pub mod body;
pub mod compatible;
pub mod cors;
pub mod depth;
pub mod documents;
pub mod dump;
pub mod edition;
pub mod encoding;
pub mod error;
pub mod facet_search;
pub mod filter;
pub mod multi_search;
pub mod network;
pub mod patch;
pub mod pinned;
pub mod query;
pub mod reserved;
pub mod search;
pub mod search_query;
pub mod search_rule;
pub mod settings;
pub mod similar;
pub mod swap;
pub mod task;
pub mod task_filters;
pub mod webhook;
