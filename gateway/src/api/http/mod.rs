//! The HTTP side of a Meilisearch request: compression, CORS, JSON bodies, query strings, patches.

pub mod compression;
pub mod cors;
pub mod json_body;
pub mod json_depth;
pub mod patch;
pub mod query_string;
