//! The gateway: many Meilisearch nodes behind one plain Meilisearch endpoint.

pub mod ingest;
