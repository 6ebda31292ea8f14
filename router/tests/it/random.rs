//! A seeded generator (SplitMix64 by G. Steele, D. Lea and C. Flood, 2014) and random clusters made with it.
//!
//! Invariants: the same seed gives the same cluster in every run and on every platform.

use router::Node;
use std::collections::BTreeSet;

pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    pub(crate) fn between(&mut self, least: usize, greatest: usize) -> usize {
        least + self.below(greatest - least + 1)
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for position in (1..items.len()).rev() {
            items.swap(position, self.below(position + 1));
        }
    }

    /// Ids as people choose them: numbered names, addresses, or random strings.
    pub(crate) fn ids(&mut self, count: usize) -> Vec<String> {
        let style = self.below(3);
        let first = self.below(1000);
        let mut ids = BTreeSet::new();
        while ids.len() < count {
            let id = match style {
                0 => format!("node-{}", first + ids.len()),
                1 => format!("10.{}.{}.{}:7700", self.below(256), self.below(256), self.below(256)),
                _ => format!("{:016x}", self.next()),
            };
            ids.insert(id);
        }
        ids.into_iter().collect()
    }

    pub(crate) fn nodes(&mut self, count: usize, group: u16) -> Vec<Node> {
        self.ids(count).into_iter().map(|id| node(&id, group)).collect()
    }
}

pub(crate) fn node(id: &str, group: u16) -> Node {
    Node { id: id.to_owned(), url: format!("http://{id}"), group, capacity: 1.0 }
}
