//! The errors of opening a store and of its commands.
//! Every `OpenError` prints as one line that names the path or the server's address.

use std::io;
use std::path::PathBuf;

/// Why a store could not be opened. Nothing was written, except that a failed operation (`Io`) may have left something
/// behind.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The path names a file.
    #[error("store {}: not a directory", path.display())]
    NotADirectory { path: PathBuf },
    /// Another process has the store open.
    #[error("store {}: in use by another process", path.display())]
    Locked { path: PathBuf },
    /// Stored bytes cannot be read, or the directory holds something else.
    #[error("store {}: damaged or not a store: {reason}", path.display())]
    Corrupt { path: PathBuf, reason: String },
    /// A later build wrote the store.
    #[error(
        "store {}: written in format {found}, this build reads formats up to {known}; start the release that wrote it, or a newer one",
        path.display()
    )]
    NewerVersion { path: PathBuf, found: u32, known: u32 },
    /// The operating system refused a file operation.
    #[error("store {}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    /// A server refused the store or was not reached. `address` has no user and no password.
    #[error("store {address}: {reason}")]
    Server { address: String, reason: String },
}

/// Why a command was refused or failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The queue to the store is full, or, on Redis, other pods changed the same records at every attempt. Nothing was
    /// done; a later attempt can succeed.
    #[error("the store's queue is full")]
    Overloaded,
    /// The store has shut down or its thread has died. A write may or may not have happened.
    #[error("the store is closed")]
    Closed,
    /// The stored record is not what the caller expected, or the change contradicts it. Nothing was done.
    #[error("the stored record has changed")]
    Conflict,
    /// Another holder has the lease or the claim that the command relies on. Nothing was done.
    #[error("the lease is another's by now")]
    Fenced,
    /// The store cannot be reached. A write may or may not have happened. The store reconnects by itself.
    #[error("the store is out of reach: {0}")]
    Unreachable(String),
    /// The same request has made a task with this idempotency key before. Nothing was done.
    #[error("the request was made before with the same key")]
    Repeated,
    /// A different request has used this idempotency key. Nothing was done.
    #[error("the key was used for another request")]
    Reused,
    /// A bound on records, tasks, uids or keys would be exceeded. Nothing was done.
    #[error("the store is full")]
    Full,
    /// The disk failed, or a stored record cannot be read. After a failed sync the store closes, because the state of
    /// the disk is unknown until the store is opened again.
    #[error("the store failed: {0}")]
    Io(String),
}
