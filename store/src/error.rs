//! What can go wrong when a store is opened and when it is asked something.
//! Every `OpenError` prints as one line that names the path.

use std::io;
use std::path::PathBuf;

/// Why a store could not be opened. Nothing was written in any of these cases except, for `Io`,
/// what the failed operation itself left behind.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("store {}: not a directory", path.display())]
    NotADirectory { path: PathBuf },
    #[error("store {}: in use by another process", path.display())]
    Locked { path: PathBuf },
    #[error("store {}: damaged or not a store: {reason}", path.display())]
    Corrupt { path: PathBuf, reason: String },
    #[error("store {}: written in format {found}, this build reads formats up to {known}", path.display())]
    NewerVersion { path: PathBuf, found: u32, known: u32 },
    #[error("store {}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    /// A store on a server; its address without user and password.
    #[error("store {address}: {reason}")]
    Server { address: String, reason: String },
}

/// Why a command was refused or failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The queue to the store is full. Nothing was done; trying again later can help.
    #[error("the store's queue is full")]
    Overloaded,
    /// The store has shut down or its thread has died. A write may or may not have happened.
    #[error("the store is closed")]
    Closed,
    /// The stored record is not what the caller expected, or the change contradicts it. Nothing was done.
    #[error("the stored record has changed")]
    Conflict,
    /// The lease or the claim that the command rests on is another's by now. Nothing was done.
    #[error("the lease is another's by now")]
    Fenced,
    /// The store cannot be reached. A write may or may not have happened; it will be reached again by itself.
    #[error("the store is out of reach: {0}")]
    Unreachable(String),
    /// The client's key stands for the task of the same request. Nothing was done.
    #[error("the request was made before with the same key")]
    Repeated,
    /// The client's key stands for another request's task. Nothing was done.
    #[error("the key was used for another request")]
    Reused,
    /// A bound on records, tasks or uids would be exceeded. Nothing was done.
    #[error("the store is full")]
    Full,
    /// The disk failed, or a stored record cannot be read. After a failed sync the store closes,
    /// because what the disk then holds is unknown; a restart finds out.
    #[error("the store failed: {0}")]
    Io(String),
}
