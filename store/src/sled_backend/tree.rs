//! One tree of keys and bytes, in sled or in memory.
//!
//! Invariant: both yield keys in the order of their bytes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::ops::RangeBounds;
use std::vec::IntoIter;

use super::{Database, LEAF_FANOUT};

pub(super) type Bytes = sled::InlineArray;
type Pair = io::Result<(Bytes, Bytes)>;

/// Makes trees of one kind.
#[derive(Clone, Copy)]
pub(super) enum Ground<'database> {
    Disk(&'database Database),
    Memory,
}

pub(super) enum Tree {
    Disk(Box<sled::Tree<LEAF_FANOUT>>),
    Memory(RefCell<BTreeMap<Vec<u8>, Bytes>>),
}

/// An iterator over a range. In memory it is a copy of the range at the time of the call.
pub(super) enum Entries {
    Disk(Box<sled::Iter<LEAF_FANOUT>>),
    Memory(IntoIter<Pair>),
}

impl Ground<'_> {
    pub(super) fn tree(self, name: &str) -> io::Result<Tree> {
        match self {
            Ground::Disk(database) => database.open_tree(name).map(|tree| Tree::Disk(Box::new(tree))),
            Ground::Memory => Ok(Tree::Memory(RefCell::default())),
        }
    }

    /// Makes the trees durable, if they are on a disk.
    pub(super) fn flush(self) -> io::Result<()> {
        match self {
            Ground::Disk(database) => database.flush().map(|_statistics| ()),
            Ground::Memory => Ok(()),
        }
    }
}

impl Tree {
    pub(super) fn get(&self, key: impl AsRef<[u8]>) -> io::Result<Option<Bytes>> {
        match self {
            Tree::Disk(tree) => tree.get(key),
            Tree::Memory(tree) => Ok(tree.borrow().get(key.as_ref()).cloned()),
        }
    }

    /// Returns the previous value.
    pub(super) fn insert(&self, key: impl AsRef<[u8]>, value: Vec<u8>) -> io::Result<Option<Bytes>> {
        match self {
            Tree::Disk(tree) => tree.insert(key, value),
            Tree::Memory(tree) => Ok(tree.borrow_mut().insert(key.as_ref().to_vec(), value.into())),
        }
    }

    /// Returns the previous value.
    pub(super) fn remove(&self, key: impl AsRef<[u8]>) -> io::Result<Option<Bytes>> {
        match self {
            Tree::Disk(tree) => tree.remove(key),
            Tree::Memory(tree) => Ok(tree.borrow_mut().remove(key.as_ref())),
        }
    }

    pub(super) fn iter(&self) -> Entries {
        self.range(Vec::new()..)
    }

    pub(super) fn range(&self, range: impl RangeBounds<Vec<u8>>) -> Entries {
        match self {
            Tree::Disk(tree) => Entries::Disk(Box::new(tree.range(range))),
            Tree::Memory(tree) => {
                let tree = tree.borrow();
                let pairs = tree.range(range).map(|(key, value)| Ok((key.as_slice().into(), value.clone())));
                Entries::Memory(pairs.collect::<Vec<_>>().into_iter())
            }
        }
    }
}

impl Iterator for Entries {
    type Item = Pair;

    fn next(&mut self) -> Option<Pair> {
        match self {
            Entries::Disk(entries) => entries.next(),
            Entries::Memory(entries) => entries.next(),
        }
    }
}
