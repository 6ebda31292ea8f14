//! Counts what data cores ask of the store; a read that is planned from the snapshot asks nothing.
//!
//! Invariant: only threads that have declared themselves data cores are counted.

use std::{cell::RefCell, sync::Arc};

use ahash::AHashMap;
use metrics::Counter;
use store::Observer;

thread_local! {
    /// By kind of command; present on data cores only.
    static COUNTERS: RefCell<Option<AHashMap<&'static str, Counter>>> = const { RefCell::new(None) };
}

/// Declares this thread a data core.
pub fn count_here() {
    COUNTERS.set(Some(AHashMap::new()));
}

/// The observer for a store handle.
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
