//! The trace of a read's legs, for explanations.
//!
//! Invariant: a read that is not explained has no trace, and pays for one check.

use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

use router::{Leg, NodeIndex, ShardSet};

/// What is recorded of one read; belongs to one request on one core.
#[derive(Default)]
pub(crate) struct Trace {
    legs: RefCell<Vec<LegTime>>,
    retries: Cell<usize>,
    hedges: Cell<usize>,
}

/// One leg that was answered or failed.
pub(crate) struct LegTime {
    pub(crate) node: NodeIndex,
    pub(crate) shards: ShardSet,
    /// The status of its answer; `None` without an answer.
    pub(crate) status: Option<u16>,
    pub(crate) took: Duration,
}

impl Trace {
    pub(crate) fn heard(&self, leg: &Leg, status: Option<u16>, took: Duration) {
        let heard = LegTime { node: leg.node, shards: leg.shards.clone(), status, took };
        self.legs.borrow_mut().push(heard);
    }

    /// Records that other nodes were asked as well: because one was late (`hedged`), or had failed.
    pub(crate) fn asked_again(&self, legs: usize, hedged: bool) {
        let counter = if hedged { &self.hedges } else { &self.retries };
        counter.set(counter.get() + legs);
    }

    /// The legs in the order in which they ended.
    pub(crate) fn legs(self) -> Vec<LegTime> {
        self.legs.into_inner()
    }

    pub(crate) fn retries(&self) -> usize {
        self.retries.get()
    }

    pub(crate) fn hedges(&self) -> usize {
        self.hedges.get()
    }
}
