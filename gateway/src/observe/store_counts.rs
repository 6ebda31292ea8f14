//! Counts what data cores ask of the store: reads that are planned from the snapshot ask nothing.
//!
//! Invariant: a thread counts only once it has said that it is a data core.

use std::{cell::RefCell, sync::Arc};

use ahash::AHashMap;
use metrics::Counter;
use store::Observer;

thread_local! {
    /// By kind of command; there on data cores.
    static COUNTERS: RefCell<Option<AHashMap<&'static str, Counter>>> = const { RefCell::new(None) };
}

/// From now on this thread is a data core.
pub fn count_here() {
    COUNTERS.set(Some(AHashMap::new()));
}

/// What a store handle is to be observed by.
#[must_use]
pub fn observer() -> Observer {
    Arc::new(|kind| {
        COUNTERS.with_borrow_mut(|counters| {
            if let Some(counters) = counters {
                let counter = || metrics::counter!("miroir_store_commands_total", "kind" => kind);
                counters.entry(kind).or_insert_with(counter).increment(1);
            }
        });
    })
}
