//! The order of one node over the hits of many legs.
//!
//! - Hits are pulled lazily: a leg's next hit is read when its predecessor has been taken. Where that cannot produce
//!   the order (`_geoPoint` rules, pinned hits), `buckets` arranges the whole lists instead.
//! - Equal keys: the lower leg first, then the order within the leg.
//! - A leg that returned as many hits as it was asked for may have more, so the order behind its last hit is unknown.

use std::cmp::Ordering;

use crate::error::MergeError;
use crate::order::buckets::Bucketed;
use crate::order::leg_cursor::{Asked, LegCursor, Ranked};

/// The merged order, hit by hit.
pub(crate) enum Order<'r, 'a> {
    Streamed(Streamed<'r, 'a>),
    Bucketed(Bucketed<'a>),
}

impl<'r, 'a> Order<'r, 'a> {
    pub(crate) fn of(runs: &'r mut [LegCursor<'a>], asked: Asked) -> Result<Self, MergeError> {
        for run in runs.iter_mut() {
            let leg = run.leg;
            run.advance().map_err(|fault| fault.at(leg))?;
        }
        let bucketed = asked.pins || runs.iter().any(|run| run.key.geo_rule(0).is_some());
        if bucketed {
            return Bucketed::new(runs, asked).map(Self::Bucketed);
        }
        let mut streamed = Streamed { order: Vec::with_capacity(runs.len()), taken: None, asked, runs };
        for at in 0..streamed.runs.len() {
            if streamed.runs[at].started {
                streamed.place(at)?;
            }
        }
        Ok(Self::Streamed(streamed))
    }

    /// The next hit; `None` at the end.
    ///
    /// # Errors
    /// `Dry`, `Short`: the order is not known any further. `Leg`: a leg's answer is unusable.
    pub(crate) fn next(&mut self) -> Result<Option<Ranked<'a>>, MergeError> {
        match self {
            Self::Streamed(streamed) => streamed.next(),
            Self::Bucketed(bucketed) => bucketed.next(),
        }
    }
}

/// Merges by keys. `order` has the runs that still offer a hit, the best one last.
pub(crate) struct Streamed<'r, 'a> {
    runs: &'r mut [LegCursor<'a>],
    order: Vec<usize>,
    /// The run whose hit was returned last. Its next hit is read when another is requested.
    taken: Option<usize>,
    asked: Asked,
}

impl<'a> Streamed<'_, 'a> {
    fn next(&mut self) -> Result<Option<Ranked<'a>>, MergeError> {
        if let Some(at) = self.taken.take() {
            let run = &mut self.runs[at];
            let leg = run.leg;
            if run.advance().map_err(|fault| fault.at(leg))? {
                self.place(at)?;
            } else if run.is_dry() {
                return Err(MergeError::Dry { leg });
            } else if run.pulled >= self.asked.hits {
                return Err(MergeError::Short);
            }
        }
        self.taken = self.order.pop();
        Ok(self.taken.map(|at| Ranked { hit: self.runs[at].hit, buckets: Vec::new() }))
    }

    /// Inserts the run `at` into `order`.
    fn place(&mut self, at: usize) -> Result<(), MergeError> {
        let leg = self.runs[at].leg;
        let (mut low, mut high) = (0, self.order.len());
        while low < high {
            let middle = low.midpoint(high);
            let other = self.order[middle];
            let ordering = self.runs[at].key.compare(&self.runs[other].key);
            let ordering = ordering.map_err(|fault| fault.at(leg))?;
            // Among equals the lower leg comes first, so it is nearer to the end.
            if ordering.then_with(|| other.cmp(&at)) == Ordering::Greater {
                low = middle + 1
            } else {
                high = middle
            }
        }
        self.order.insert(low, at);
        Ok(())
    }
}
