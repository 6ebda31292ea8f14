//! Bounds of the protocol itself; the gateway's own are in its `config::limits`, which re-exports these.

/// Levels of arrays and objects in a request body; Meilisearch's own reader stops at 128.
pub const DEPTH_MAX: usize = 128;
/// Webhooks, and headers of one; Meilisearch has the same bounds.
pub const WEBHOOKS_MAX: usize = 20;
pub const WEBHOOK_HEADERS_MAX: usize = 200;
/// Canaries, assertions of one, bytes of its query, ids of one assertion, and hits that one looks at.
pub const CANARIES_MAX: usize = 1_000;
pub const CANARY_ASSERTIONS_MAX: usize = 20;
pub const CANARY_QUERY_BYTES_MAX: usize = 64 << 10;
pub const CANARY_IDS_MAX: usize = 100;
pub const CANARY_TOP_MAX: usize = 1_000;
/// The longest time between two runs of a canary.
pub const CANARY_INTERVAL_SECONDS_MAX: u32 = 24 * 60 * 60;
/// Runs that a canary keeps, and ids of hits that a failure keeps.
pub const CANARY_RUNS_MAX: usize = 100;
pub const CANARY_IDS_SEEN_MAX: usize = 20;
/// Searches that one capture makes canaries of.
pub const CAPTURES_MAX: usize = 100;
/// Tenants that are assigned to groups, and keys that are given to tenants.
pub const TENANTS_MAX: usize = 10_000;
/// Bytes of a tenant's name.
pub const TENANT_BYTES_MAX: usize = 128;
