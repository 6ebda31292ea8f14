//! Dumps: the whole cluster as one file; and exports, which send indexes to another server.
//!
//! Invariant: a dump has each index as of one moment: its documents are read while its lane is locked. May touch:
//! `read`, `write`, `nodes`, `state`, `auth`, `api` and lower floors.

pub mod archive;
pub mod backup;
pub mod backup_files;
pub mod contents;
pub mod export;
pub(crate) mod fingerprint;
pub mod format;
mod older;
mod pages;
pub mod reader;
pub(crate) mod remote;
pub(crate) mod spool;
