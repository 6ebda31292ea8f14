//! The dialect of Meilisearch, as clients speak it and as they hear it, and who may say what.
//!
//! Invariants: nothing here does IO, reads a clock or knows an executor; callers bring the bytes and the time. Of
//! `store` only records and their types are used.

pub mod api;
pub mod auth;
pub mod limits;
