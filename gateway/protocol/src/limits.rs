//! Bounds of the protocol itself; the gateway's own are in its `config::limits`, which re-exports these.

/// Levels of arrays and objects in a request body; Meilisearch's own reader stops at 128.
pub const DEPTH_MAX: usize = 128;
/// Webhooks, and headers of one; Meilisearch has the same bounds.
pub const WEBHOOKS_MAX: usize = 20;
pub const WEBHOOK_HEADERS_MAX: usize = 200;
