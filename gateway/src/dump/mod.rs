//! The whole cluster as one file.
//!
//! Invariant: a dump is one moment of every index: its documents are read while its lane is held.
//! May touch: `read`, `write`, `nodes`, `state`, `auth`, `api` and lower floors.

pub mod archive;
pub mod export;
pub mod format;
