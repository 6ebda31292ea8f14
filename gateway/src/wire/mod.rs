//! Bytes: the runtime seam, HTTP/1.1, TLS, where a request comes from, and the guarded client for addresses that
//! clients name.
//!
//! Invariant: nothing here knows of Meilisearch. May touch: `config`, `observe`, `clock`.

pub mod client_address;
pub mod h1;
pub mod outbound;
pub mod runtime;
pub mod tls;
