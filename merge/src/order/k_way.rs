//! The order of one node over the hits of many legs.
//!
//! - Hits are pulled lazily: a leg's hit is read when its predecessor has been taken. Where that cannot give the
//!   order (`_geoPoint` rules, pinned hits) the whole lists are arranged instead: `regroup`.
//! - Equal keys: the lower leg first, then the order within the leg.
//! - A leg that gave all it was asked for may have more: beyond its last hit the order is not known.

use std::cmp::Ordering;

use crate::error::MergeError;
use crate::order::buckets::Regrouped;
use crate::order::leg_cursor::{Asked, Ranked, Run};

/// The merged order, hit by hit.
pub(crate) enum Order<'r, 'a> {
    Streamed(Streamed<'r, 'a>),
    Regrouped(Regrouped<'a>),
}

impl<'r, 'a> Order<'r, 'a> {
    pub(crate) fn of(runs: &'r mut [Run<'a>], asked: Asked) -> Result<Self, MergeError> {
        for run in runs.iter_mut() {
            let leg = run.leg;
            run.advance().map_err(|fault| fault.at(leg))?;
        }
        let regrouped = asked.pins || runs.iter().any(|run| run.key.geo_rule(0).is_some());
        if regrouped {
            return Regrouped::new(runs, asked).map(Self::Regrouped);
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
    /// `MergeError::Short` where the order is not known any further, and the faults of legs.
    pub(crate) fn next(&mut self) -> Result<Option<Ranked<'a>>, MergeError> {
        match self {
            Self::Streamed(streamed) => streamed.next(),
            Self::Regrouped(regrouped) => regrouped.next(),
        }
    }
}

/// Merges by keys. `order` holds the runs that still offer a hit, the best one last.
pub(crate) struct Streamed<'r, 'a> {
    runs: &'r mut [Run<'a>],
    order: Vec<usize>,
    /// The run whose hit was given last: its next one is read when another hit is wanted.
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
            } else if run.pulled >= self.asked.hits {
                return Err(MergeError::Short);
            }
        }
        self.taken = self.order.pop();
        Ok(self.taken.map(|at| Ranked { hit: self.runs[at].hit, buckets: Vec::new() }))
    }

    /// Puts the run `at` at its place in `order`.
    fn place(&mut self, at: usize) -> Result<(), MergeError> {
        let leg = self.runs[at].leg;
        let (mut low, mut high) = (0, self.order.len());
        while low < high {
            let middle = low.midpoint(high);
            let other = self.order[middle];
            let ordering = self.runs[at].key.compare(&self.runs[other].key);
            let ordering = ordering.map_err(|fault| fault.at(leg))?;
            // The lower leg comes first among equals, so it stands nearer to the end.
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
