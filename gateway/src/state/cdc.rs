//! What the cores of a process know of the stream of changes: how large it is, and whether writes have to wait for it.
//!
//! Invariant: plain atomics; the pod that leads measures, and every pod adds what it appends meanwhile.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// One per process.
#[derive(Debug, Default)]
pub struct ChangeStream {
    bytes: AtomicU64,
    is_blocked: AtomicBool,
    appended: AtomicU64,
}

impl ChangeStream {
    /// Counts an entry that is about to be stored.
    pub fn added(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.appended.fetch_add(1, Ordering::Release);
    }

    /// Sets the size as the store has it.
    pub fn measured(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    /// The size of the stream in bytes, roughly.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Entries that this process has appended.
    #[must_use]
    pub fn appended(&self) -> u64 {
        self.appended.load(Ordering::Acquire)
    }

    /// Sets whether writes have to wait.
    pub fn block(&self, blocks: bool) {
        self.is_blocked.store(blocks, Ordering::Relaxed);
    }

    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.is_blocked.load(Ordering::Relaxed)
    }
}
