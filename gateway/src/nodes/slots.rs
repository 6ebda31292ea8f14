//! One value for each node, by position: room for as many nodes as there can be, made as they come.
//!
//! Invariants: a value never moves and never goes, so that readers hold plain references; nothing is locked but for
//! the moment in which the first of a chunk's nodes appears.

use std::sync::OnceLock;

use router::{NODES_MAX, NodeIndex};

/// Values made together.
const CHUNK: usize = 64;

/// By position in the topology.
pub(crate) struct Slots<T> {
    chunks: Box<[OnceLock<Box<[T]>>]>,
}

impl<T: Default> Slots<T> {
    /// With the values of the first `count` nodes made.
    pub(crate) fn new(count: usize) -> Self {
        let slots = Self { chunks: (0..NODES_MAX.div_ceil(CHUNK)).map(|_| OnceLock::new()).collect() };
        (0..count.div_ceil(CHUNK)).for_each(|chunk| {
            slots.chunk(chunk);
        });
        slots
    }

    pub(crate) fn of(&self, node: NodeIndex) -> &T {
        self.at(usize::from(node.0))
    }

    pub(crate) fn at(&self, position: usize) -> &T {
        &self.chunk(position / CHUNK)[position % CHUNK]
    }

    /// The values that are made, some of which are no node's yet.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().filter_map(OnceLock::get).flat_map(|chunk| chunk.iter())
    }

    fn chunk(&self, chunk: usize) -> &[T] {
        self.chunks[chunk].get_or_init(|| (0..CHUNK).map(|_| T::default()).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn values_stay_where_they_are_while_nodes_come() {
        let slots = Slots::<AtomicUsize>::new(1);
        let first = slots.of(NodeIndex(0));
        first.store(7, Ordering::Relaxed);
        assert_eq!(slots.iter().count(), CHUNK);
        slots.of(NodeIndex(4_095)).store(8, Ordering::Relaxed);
        assert_eq!(slots.iter().count(), 2 * CHUNK);
        assert!(std::ptr::eq(first, slots.at(0)));
        assert_eq!(slots.iter().map(|value| value.load(Ordering::Relaxed)).sum::<usize>(), 15);
    }
}
