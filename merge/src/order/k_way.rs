//! The order of one node over the hits of many legs.
//!
//! - Hits are pulled lazily: a leg's next hit is read when its predecessor has been taken. Where that cannot produce
//!   the order (`_geoPoint` rules, pinned hits), `buckets` arranges the whole lists instead.
//! - Equal keys: by the identity of the documents, which is the same whichever nodes give them (`json::hit`).
//! - A leg that returned as many hits as it was asked for may have more, so the order behind its last hit is unknown.

use std::cmp::Ordering;
use std::collections::VecDeque;

use crate::error::MergeError;
use crate::json::hit::compare_equals;
use crate::order::buckets::Bucketed;
use crate::order::leg_cursor::{Asked, Hit, LegCursor, Ranked};
use crate::order::ranking_key::Key;

/// The merged order, hit by hit.
pub(crate) enum Order<'r, 'a, 's> {
    Streamed(Streamed<'r, 'a, 's>),
    Bucketed(Bucketed<'a>),
}

impl<'r, 'a, 's> Order<'r, 'a, 's> {
    pub(crate) fn of(runs: &'r mut [LegCursor<'a>], asked: Asked<'s>) -> Result<Self, MergeError> {
        for run in runs.iter_mut() {
            let leg = run.leg;
            run.advance().map_err(|fault| fault.at(leg))?;
        }
        let bucketed = asked.pins || runs.iter().any(|run| run.key.geo_rule(0).is_some());
        if bucketed {
            return Bucketed::new(runs, asked).map(Self::Bucketed);
        }
        let mut streamed = Streamed {
            order: Vec::with_capacity(runs.len()),
            taken: None,
            asked,
            any_equal: false,
            equals: VecDeque::new(),
            end: None,
            runs,
        };
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
pub(crate) struct Streamed<'r, 'a, 's> {
    runs: &'r mut [LegCursor<'a>],
    order: Vec<usize>,
    /// The run whose hit was returned last. Its next hit is read when another is requested.
    taken: Option<usize>,
    asked: Asked<'s>,
    /// Whether two runs have offered equal hits.
    any_equal: bool,
    /// Equal hits of several runs, in their order, that are due next.
    equals: VecDeque<Hit<'a>>,
    /// Why nothing is known of the order behind these.
    end: Option<MergeError>,
}

impl<'a> Streamed<'_, 'a, '_> {
    fn next(&mut self) -> Result<Option<Ranked<'a>>, MergeError> {
        let ranked = |hit| Some(Ranked { hit, buckets: Vec::new() });
        if let Some(hit) = self.equals.pop_front() {
            return Ok(ranked(hit));
        }
        if let Some(end) = self.end.take() {
            return Err(end);
        }
        if let Some(at) = self.taken.take()
            && self.pull(at)?
        {
            self.place(at)?;
        }
        let Some(at) = self.order.pop() else { return Ok(None) };
        if self.any_equal && self.offers_equal(at)? {
            self.gather_equals(at)?;
            return Ok(self.equals.pop_front().and_then(ranked));
        }
        self.taken = Some(at);
        Ok(ranked(self.runs[at].hit))
    }

    /// Pulls the next hit of a run; false at the end of all it has.
    ///
    /// # Errors
    /// `Dry`, `Short`: the leg may have more than it was asked for.
    fn pull(&mut self, at: usize) -> Result<bool, MergeError> {
        let run = &mut self.runs[at];
        let leg = run.leg;
        if run.advance().map_err(|fault| fault.at(leg))? {
            return Ok(true);
        }
        match run.is_dry() {
            true => Err(MergeError::Dry { leg }),
            false if run.pulled >= self.asked.hits => Err(MergeError::Short),
            false => Ok(false),
        }
    }

    /// Whether the best other run offers a hit that is equal to that of the run `at`.
    fn offers_equal(&self, at: usize) -> Result<bool, MergeError> {
        let Some(other) = self.order.last() else { return Ok(false) };
        let ordering = self.runs[at].key.compare(&self.runs[*other].key);
        Ok(ordering.map_err(|fault| fault.at(self.runs[at].leg))?.is_eq())
    }

    /// Gathers all hits that are equal to that of the run `first`, over all runs, and orders them.
    fn gather_equals(&mut self, first: usize) -> Result<(), MergeError> {
        let key = self.runs[first].key.clone();
        let mut equals = vec![self.runs[first].hit];
        let mut next = Some(first);
        while let Some(at) = next.take() {
            loop {
                match self.pull(at) {
                    Ok(false) => break,
                    Ok(true) if self.is_like(at, &key)? => equals.push(self.runs[at].hit),
                    Ok(true) => {
                        self.place(at)?;
                        break;
                    }
                    Err(MergeError::Short)
                        if !self.asked.equals.may_ask || self.runs[at].hit.is_unranked() =>
                    {
                        self.end = Some(MergeError::Short);
                        break;
                    }
                    Err(error) => return Err(error),
                }
            }
            let best = self.order.last().copied();
            if let Some(best) = best
                && self.is_like(best, &key)?
            {
                self.order.pop();
                equals.push(self.runs[best].hit);
                next = Some(best);
            }
        }
        let identity = self.asked.equals.identity;
        equals.sort_by(|one, other| compare_equals(one.text, other.text, identity));
        self.equals = equals.into();
        Ok(())
    }

    fn is_like(&self, at: usize, key: &Key<'a>) -> Result<bool, MergeError> {
        let ordering = self.runs[at].key.compare(key).map_err(|fault| fault.at(self.runs[at].leg))?;
        Ok(ordering.is_eq())
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
            self.any_equal |= ordering.is_eq();
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
