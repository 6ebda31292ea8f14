//! Questions in Meilisearch's dialect: search, facet search, similar, multi-search, filters, search rules.

pub mod attributes;
pub mod facet_search;
pub mod federation_rules;
pub mod filter;
pub mod key_filter;
pub mod multi_search;
pub mod narrowing;
pub mod query_string;
pub mod request;
pub mod rules;
pub mod similar;

pub use request::nullable;
