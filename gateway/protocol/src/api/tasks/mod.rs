//! Tasks and batches in Meilisearch's dialect.

pub mod batch;
pub mod filters;
pub mod view;
