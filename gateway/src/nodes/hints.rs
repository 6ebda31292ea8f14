//! Hints: what nodes missed, durable and in order, until it is replayed (`membership::hint_replay`).
//!
//! Invariants: a hint is counted from before it is stored until the node has taken it and the entry is gone, so that
//! nothing is sent to a node before its hints. When a node's log would grow over its bound, a mark that all the node
//! holds is suspect takes its place. Nothing here is locked. All is loaded before any client is served.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use bytes::Bytes;
use crossbeam::utils::CachePadded;
use router::NodeIndex;
use serde::{Deserialize, Serialize};
use store::{Change, Table};

use crate::nodes::slots::Slots;

/// The log of what each node missed: an entry is a [`Hint`] and the body of its request.
pub const HINTS: Table = Table::named("hints");
/// The log of copies that may differ from others: an entry is a [`SuspectCopies`].
pub const SUSPECT_SHARDS: Table = Table::named("suspect_shards");
/// The log of node tasks that a node has yet to do although the gateway's task has ended: an entry is an
/// [`Unapplied`].
pub const UNAPPLIED: Table = Table::named("unapplied");

/// One request that a node missed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hint {
    pub method: String,
    pub target: String,
    /// The uid of the gateway's task that it belongs to.
    pub task: u32,
    /// The index's name on the nodes.
    pub index: String,
    /// Whether the node may have taken it, or may still take it.
    pub ambiguous: bool,
    /// Whether doing it twice differs from doing it once.
    pub once: bool,
    /// The shards concerned; empty for all that the node holds.
    pub shards: Vec<u32>,
}

/// Copies on one node that must be compared with those on others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SuspectCopies {
    /// Shards of one index, by its name on the nodes; empty for all that the node holds.
    Shards { index: String, shards: Vec<u32> },
    /// Everything that the node holds, indexes and settings included.
    Everything { reason: String },
}

/// The uid of a node's own task that the node must have done before it serves again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unapplied {
    pub task: u32,
}

/// The hints of all nodes, by position in the topology.
pub struct Hints {
    nodes: Slots<CachePadded<NodeHints>>,
    bytes_max: u64,
}

#[derive(Default)]
struct NodeHints {
    pending: AtomicU64,
    bytes: AtomicU64,
    /// All it holds is suspect: it gets nothing until it has had a full resync.
    needs_full_resync: AtomicBool,
    /// Few hints are left: writes wait a moment rather than add to them.
    is_catching_up: AtomicBool,
    /// It has taken all it missed: from here on the gateway's tasks wait for its tasks.
    is_caught_up: AtomicBool,
    is_joining: AtomicBool,
    /// It is the node that was known, as far as was seen since it was last away.
    is_known: AtomicBool,
    /// How often in a row its first hint has failed.
    failures: AtomicU32,
    /// One more than the uid of the last task that it must have done before it serves; 0 for none.
    awaited: AtomicU32,
    /// One more than the newest task uid that it has given out; 0 for none.
    newest: AtomicU32,
}

impl Hints {
    /// `count` nodes without hints; a node's log holds at most `bytes_max`.
    #[must_use]
    pub fn new(count: usize, bytes_max: u64) -> Self {
        Self { nodes: Slots::new(count), bytes_max }
    }

    fn of(&self, node: NodeIndex) -> &NodeHints {
        self.nodes.of(node)
    }

    /// Forgets a node that is no member any more: what is to be committed.
    pub fn forget(&self, node: NodeIndex, id: &str) -> Vec<Change> {
        self.resynced(node);
        self.counts_from(node, None);
        self.of(node).awaited.store(0, Ordering::SeqCst);
        let cut = |log| Change::Truncate { log, stream: id.to_owned(), through: u64::MAX };
        [HINTS, SUSPECT_SHARDS, UNAPPLIED].map(cut).to_vec()
    }

    /// Sets the counts to what the store holds.
    pub fn restore(&self, node: NodeIndex, entries: u64, bytes: u64) {
        self.of(node).pending.store(entries, Ordering::SeqCst);
        self.of(node).bytes.store(bytes, Ordering::SeqCst);
    }

    /// Whether no hint waits for a node, so that a request may be sent at once.
    #[must_use]
    pub fn lets_through(&self, node: NodeIndex) -> bool {
        self.pending(node) == 0 && !self.needs_full_resync(node)
    }

    #[must_use]
    pub fn pending(&self, node: NodeIndex) -> u64 {
        self.of(node).pending.load(Ordering::SeqCst)
    }

    #[must_use]
    pub fn pending_bytes(&self, node: NodeIndex) -> u64 {
        self.of(node).bytes.load(Ordering::SeqCst)
    }

    /// Keeps a hint, which counts from now on; gives the changes to commit for it.
    pub fn keep(&self, node: NodeIndex, id: &str, hint: &Hint, body: Bytes) -> Vec<Change> {
        let mine = self.of(node);
        mine.pending.fetch_add(1, Ordering::SeqCst);
        if self.needs_full_resync(node) {
            // The full resync includes this write.
            return Vec::new();
        }
        let length = body.len() as u64;
        if mine.bytes.fetch_add(length, Ordering::SeqCst) + length > self.bytes_max {
            let reason = format!("it missed more than {} bytes", self.bytes_max);
            return self.require_full_resync(node, id, reason);
        }
        let mut changes = Vec::with_capacity(2);
        if hint.ambiguous {
            changes.push(suspect(id, &hint.index, hint.shards.clone()));
        }
        let header = serde_json::to_value(hint).unwrap_or_default();
        changes.push(Change::Append { log: HINTS, stream: id.to_owned(), header, body });
        changes
    }

    /// Marks all that a node holds as suspect, in place of its hints; gives the changes to commit for it.
    pub fn require_full_resync(&self, node: NodeIndex, id: &str, reason: String) -> Vec<Change> {
        self.mark_full_resync(node);
        let suspicion = SuspectCopies::Everything { reason };
        vec![
            Change::Truncate { log: HINTS, stream: id.to_owned(), through: u64::MAX },
            append(SUSPECT_SHARDS, id, &suspicion),
        ]
    }

    /// Sets that mark in memory.
    pub fn mark_full_resync(&self, node: NodeIndex) {
        self.of(node).needs_full_resync.store(true, Ordering::SeqCst);
    }

    #[must_use]
    pub fn needs_full_resync(&self, node: NodeIndex) -> bool {
        self.of(node).needs_full_resync.load(Ordering::SeqCst)
    }

    /// Removes the mark: the indexes and settings of a resynced node are those of the others, so writes may be sent
    /// to it again. The caller has locked all lanes and truncated the node's log.
    pub fn resynced(&self, node: NodeIndex) {
        self.restore(node, 0, 0);
        self.of(node).needs_full_resync.store(false, Ordering::SeqCst);
    }

    /// No longer counts hints that a node has taken, and that are not stored any more.
    pub fn replayed(&self, node: NodeIndex, entries: u64, bytes: u64) {
        // Another pod may have done so already.
        let less = |count: &AtomicU64, by: u64| {
            let _ =
                count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |now| Some(now.saturating_sub(by)));
        };
        less(&self.of(node).bytes, bytes);
        less(&self.of(node).pending, entries);
    }

    /// Counts that a node answered its first hint with an error of its own; gives how often in a row.
    pub fn fails(&self, node: NodeIndex) -> u32 {
        self.of(node).failures.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Forgets these errors, when a node has taken a hint.
    pub fn succeeds(&self, node: NodeIndex) {
        self.of(node).failures.store(0, Ordering::Relaxed);
    }

    pub fn set_catching_up(&self, node: NodeIndex, is_catching_up: bool) {
        self.of(node).is_catching_up.store(is_catching_up, Ordering::SeqCst);
    }

    /// Whether the last hints of a node are being replayed.
    #[must_use]
    pub fn is_catching_up(&self, node: NodeIndex) -> bool {
        self.of(node).is_catching_up.load(Ordering::SeqCst) && self.pending(node) > 0
    }

    pub fn set_caught_up(&self, node: NodeIndex, is_caught_up: bool) {
        self.of(node).is_caught_up.store(is_caught_up, Ordering::SeqCst);
    }

    #[must_use]
    pub fn is_caught_up(&self, node: NodeIndex) -> bool {
        self.of(node).is_caught_up.load(Ordering::SeqCst)
    }

    /// Sets whether a node is the one that was known.
    pub fn set_known(&self, node: NodeIndex, known: bool) {
        self.of(node).is_known.store(known, Ordering::SeqCst);
    }

    /// Whether a joining node may answer where no other node can: it lacks at most its hints.
    #[must_use]
    pub fn may_stand_in(&self, node: NodeIndex) -> bool {
        self.of(node).is_known.load(Ordering::SeqCst) && !self.needs_full_resync(node)
    }

    /// Begins to bring a node back; `false` when that is under way already. `end_joining` ends it.
    pub fn begin_joining(&self, node: NodeIndex) -> bool {
        !self.of(node).is_joining.swap(true, Ordering::SeqCst)
    }

    pub fn end_joining(&self, node: NodeIndex) {
        self.of(node).is_joining.store(false, Ordering::SeqCst);
    }

    /// Makes a node do its task `uid` before it serves; gives whether that is new.
    pub fn await_task(&self, node: NodeIndex, uid: u32) -> bool {
        self.of(node).awaited.fetch_max(uid.saturating_add(1), Ordering::SeqCst) <= uid
    }

    /// The last task that a node must have done before it serves.
    #[must_use]
    pub fn awaited(&self, node: NodeIndex) -> Option<u32> {
        self.of(node).awaited.load(Ordering::SeqCst).checked_sub(1)
    }

    /// Forgets the awaited task when it is `uid`, which the node has done.
    pub fn has_done(&self, node: NodeIndex, uid: u32) {
        let awaited = &self.of(node).awaited;
        let _ = awaited.compare_exchange(uid.saturating_add(1), 0, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// Records a task uid that a node has given out.
    pub fn saw_task(&self, node: NodeIndex, uid: u32) {
        self.of(node).newest.fetch_max(uid.saturating_add(1), Ordering::Relaxed);
    }

    /// Sets the last task uid that a resynced node has given out.
    pub fn counts_from(&self, node: NodeIndex, uid: Option<u32>) {
        self.of(node).newest.store(uid.map_or(0, |uid| uid.saturating_add(1)), Ordering::Relaxed);
    }

    /// The newest task uid that a node has ever been seen to give out.
    #[must_use]
    pub fn newest_task(&self, node: NodeIndex) -> Option<u32> {
        self.of(node).newest.load(Ordering::Relaxed).checked_sub(1)
    }
}

/// The change that marks shards of an index on a node as suspect.
#[must_use]
pub fn suspect(node_id: &str, index: &str, shards: Vec<u32>) -> Change {
    append(SUSPECT_SHARDS, node_id, &SuspectCopies::Shards { index: index.to_owned(), shards })
}

/// The change that remembers that a node must have done a task before it serves.
#[must_use]
pub fn unapplied(node_id: &str, task: u32) -> Change {
    append(UNAPPLIED, node_id, &Unapplied { task })
}

fn append(log: Table, node_id: &str, header: &impl Serialize) -> Change {
    let header = serde_json::to_value(header).unwrap_or_default();
    Change::Append { log, stream: node_id.to_owned(), header, body: Bytes::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeIndex = NodeIndex(0);

    fn hint(ambiguous: bool) -> Hint {
        Hint {
            method: "POST".to_owned(),
            target: "/indexes/a-1/documents".to_owned(),
            task: 7,
            index: "a-1".to_owned(),
            ambiguous,
            once: false,
            shards: vec![3],
        }
    }

    #[test]
    fn a_hint_waits_until_it_is_replayed() {
        let hints = Hints::new(1, 10);
        assert!(hints.lets_through(NODE));
        let changes = hints.keep(NODE, "n0", &hint(false), Bytes::from_static(b"12345"));
        let [Change::Append { log: HINTS, header, .. }] = changes.as_slice() else { panic!("{changes:?}") };
        assert_eq!(serde_json::from_value::<Hint>(header.clone()).unwrap(), hint(false));
        assert!(!hints.lets_through(NODE));
        hints.replayed(NODE, 1, 5);
        assert!(hints.lets_through(NODE));
    }

    #[test]
    fn what_may_have_been_taken_is_suspect() {
        let hints = Hints::new(1, 10);
        let changes = hints.keep(NODE, "n0", &hint(true), Bytes::new());
        assert_eq!(changes[0], suspect("n0", "a-1", vec![3]));
        assert!(matches!(&changes[1], Change::Append { log: HINTS, .. }));
    }

    #[test]
    fn past_the_bound_all_is_suspect() {
        let hints = Hints::new(1, 10);
        let body = || Bytes::from_static(b"123456");
        assert_eq!(hints.keep(NODE, "n0", &hint(false), body()).len(), 1);
        let changes = hints.keep(NODE, "n0", &hint(false), body());
        let [Change::Truncate { log: HINTS, .. }, Change::Append { log: SUSPECT_SHARDS, header, .. }] =
            changes.as_slice()
        else {
            panic!("{changes:?}")
        };
        assert!(header["everything"]["reason"].is_string(), "{header}");
        assert!(hints.needs_full_resync(NODE) && !hints.lets_through(NODE));
        assert!(hints.keep(NODE, "n0", &hint(false), body()).is_empty(), "the mark covers it");
        hints.resynced(NODE);
        assert!(hints.lets_through(NODE));
    }

    #[test]
    fn tasks_that_must_be_done_are_known() {
        let hints = Hints::new(1, 10);
        assert_eq!(hints.awaited(NODE), None);
        assert!(hints.await_task(NODE, 0) && !hints.await_task(NODE, 0) && hints.await_task(NODE, 5));
        hints.has_done(NODE, 3);
        assert_eq!(hints.awaited(NODE), Some(5), "more is awaited by now");
        hints.has_done(NODE, 5);
        assert_eq!(hints.awaited(NODE), None);
    }
}
