//! The HTTP side of a Meilisearch request: JSON bodies, query strings, patches.

pub mod json_body;
pub mod json_depth;
pub mod patch;
pub mod query_string;
