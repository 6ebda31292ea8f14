//! What is seen of a comparison while it runs, and what holds it back: how much was copied, whether anybody still wants
//! it, and how fast an operator lets it copy.
//!
//! Invariant: over any stretch of time no more is copied than the throttle allows, but for what was under way when it
//! began.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use crate::{config::limits, wire::runtime};

/// How many documents a second may be copied.
#[derive(Debug)]
pub(crate) struct Throttle {
    per_second: u32,
    /// When more may follow.
    next: Cell<Instant>,
}

/// One comparison, as whoever wants it sees it.
#[derive(Debug)]
pub(crate) struct Watch<'a> {
    throttle: &'a Throttle,
    documents: Cell<u64>,
    bytes: Cell<u64>,
    is_over: Cell<bool>,
}

impl Throttle {
    /// `per_second` is in documents; 0 for as many as go.
    pub(crate) fn new(per_second: u32) -> Self {
        Self { per_second, next: Cell::new(runtime::now()) }
    }

    /// How long the copying of so many documents is to be followed by nothing.
    pub(crate) fn rest(&self, documents: u64) -> Duration {
        if self.per_second == 0 {
            return Duration::ZERO;
        }
        let now = runtime::now();
        let seconds = documents as f64 / f64::from(self.per_second);
        let next = self.next.get().max(now) + Duration::from_secs_f64(seconds);
        self.next.set(next);
        next - now
    }
}

impl<'a> Watch<'a> {
    pub(crate) fn new(throttle: &'a Throttle) -> Self {
        Self { throttle, documents: Cell::new(0), bytes: Cell::new(0), is_over: Cell::new(false) }
    }

    /// Notes what was copied, and waits for as long as it is to be followed by nothing.
    pub(super) async fn copied(&self, documents: u64, bytes: u64) {
        self.documents.set(self.documents.get() + documents);
        self.bytes.set(self.bytes.get() + bytes);
        let until = runtime::now() + self.throttle.rest(documents);
        while !self.is_over() && runtime::now() < until {
            let left = until.saturating_duration_since(runtime::now());
            runtime::sleep(left.min(limits::OPERATION_LOOK_INTERVAL)).await;
        }
    }

    /// Documents and bytes that were copied since the last call.
    pub(crate) fn take_copied(&self) -> (u64, u64) {
        (self.documents.take(), self.bytes.take())
    }

    /// Nobody wants the comparison any more: it ends at the next page or part.
    pub(crate) fn end(&self) {
        self.is_over.set(true);
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_throttle_adds_up_what_several_copy() {
        let throttle = Throttle::new(10);
        let rests = [throttle.rest(10), throttle.rest(20), throttle.rest(5)];
        for (rest, seconds) in rests.into_iter().zip([1.0, 3.0, 3.5]) {
            assert!(rest <= Duration::from_secs_f64(seconds), "{rest:?}");
        }
        assert!(rests.is_sorted() && rests[1] - rests[0] <= Duration::from_secs(2), "{rests:?}");
        assert_eq!(Throttle::new(0).rest(1_000_000), Duration::ZERO);
    }

    #[test]
    fn what_was_copied_is_told_once() {
        let throttle = Throttle::new(0);
        let watch = Watch::new(&throttle);
        futures_lite::future::block_on(async {
            watch.copied(3, 30).await;
            watch.copied(4, 40).await;
        });
        assert_eq!((watch.take_copied(), watch.take_copied()), ((7, 70), (0, 0)));
        watch.end();
        assert!(watch.is_over());
    }
}
