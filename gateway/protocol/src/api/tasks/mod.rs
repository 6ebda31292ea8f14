//! Tasks and batches in Meilisearch's words.

pub mod batch;
pub mod filters;
pub mod view;
