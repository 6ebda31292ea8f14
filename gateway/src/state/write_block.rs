//! Write blocks: indexes that take no writes, because their settings cannot be made equal on all nodes.
//!
//! Invariant: every core reads them without a lock. A restart forgets them, and the check of settings finds them
//! again.

use std::sync::Arc;

use ahash::AHashSet;
use arc_swap::ArcSwap;

/// The blocked indexes' names on the nodes.
#[derive(Default)]
pub struct WriteBlocks(ArcSwap<AHashSet<String>>);

impl WriteBlocks {
    #[must_use]
    pub fn contains(&self, node_uid: &str) -> bool {
        self.0.load().contains(node_uid)
    }

    /// Blocks an index; gives whether it was not blocked before.
    pub fn block(&self, node_uid: &str) -> bool {
        let is_news = !self.contains(node_uid);
        self.change(|blocked| blocked.insert(node_uid.to_owned()));
        is_news
    }

    pub fn unblock(&self, node_uid: &str) {
        if self.contains(node_uid) {
            self.change(|blocked| blocked.remove(node_uid));
        }
    }

    fn change(&self, change: impl Fn(&mut AHashSet<String>) -> bool) {
        self.0.rcu(|blocked| {
            let mut blocked = AHashSet::clone(blocked);
            change(&mut blocked);
            Arc::new(blocked)
        });
        #[allow(clippy::cast_precision_loss, reason = "a count of indexes")]
        metrics::gauge!("miroir_settings_frozen_indexes").set(self.0.load().len() as f64);
    }
}
