//! Meilisearch's dialect: what clients send, what they get, and what each of them may do.
//!
//! Invariants: nothing here does IO, reads a clock or knows an executor; callers bring the bytes and the time. Of
//! `store` only records and their types are used.

pub mod api;
pub mod auth;
pub mod limits;
