//! The scope of a comparison of copies, and the report of what it found and did.

use router::NodeIndex;
use serde::{Deserialize, Serialize};
use store::StoreError;

/// How much of a node's time a repair may take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// All of it, because an operator or a joining node waits.
    Full,
    /// This share of it.
    Share(f64),
}

/// What to compare, and how.
#[derive(Debug, Clone, Copy)]
pub struct Scope {
    /// Compare only the shards of this node, which need not serve reads yet.
    pub target: Option<NodeIndex>,
    /// Whether the target's versions must not win.
    pub mark_suspect: bool,
    pub pace: Pace,
    /// Whether to find differences only.
    pub dry_run: bool,
}

/// What a comparison found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Report {
    /// Shards of which at least two copies were compared.
    pub shards: u64,
    /// Shards with only one available copy.
    pub single: u64,
    /// Copies that were not available.
    pub missing: u64,
    /// Documents that an empty copy was filled with before it was compared.
    pub copied: u64,
    /// Bytes of the documents that copies were given, each counted once per copy.
    pub bytes: u64,
    /// Documents compared, each counted once per copy.
    pub compared: u64,
    /// Documents of which copies differed.
    pub differing: u64,
    /// Of those, how many were written again and how many deleted; in a dry run, how many would have been.
    pub rewritten: u64,
    pub deleted: u64,
    /// Of those, how many had no copy that could be trusted.
    pub undecided: u64,
    /// Documents that were on a node or under a shard where they do not belong.
    pub strays: u64,
    /// Shards that could not be compared or repaired.
    pub failed: u64,
    /// Shards with only one available copy, which other nodes should have as well.
    #[serde(skip)]
    pub alone: Vec<u32>,
}

impl Report {
    /// Whether every shard asked about was compared and no difference is left.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.failed == 0 && self.undecided == 0
    }

    pub(crate) fn add(&mut self, other: &Report) {
        self.shards += other.shards;
        self.single += other.single;
        self.missing += other.missing;
        self.copied += other.copied;
        self.bytes += other.bytes;
        self.compared += other.compared;
        self.differing += other.differing;
        self.rewritten += other.rewritten;
        self.deleted += other.deleted;
        self.undecided += other.undecided;
        self.strays += other.strays;
        self.failed += other.failed;
        self.alone.extend(&other.alone);
    }
}

/// Why copies could not be compared or repaired.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    #[error("node {node}: {reason}")]
    Node { node: String, reason: String },
    #[error("the index is gone")]
    IndexGone,
    #[error("the index or a node is busy")]
    Busy,
    #[error("nobody wants it any more")]
    Unwanted,
    #[error("store: {0}")]
    Store(#[from] StoreError),
}
