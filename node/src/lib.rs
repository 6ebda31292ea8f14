//! An embedded Meilisearch-compatible node on the real engine, and the one-command cluster built from it.
