//! The node's wall clock, which a test can skew.
//! Invariant: every time that a node writes or shows comes from here.

use std::sync::atomic::{AtomicI64, Ordering};

use time::{Duration, OffsetDateTime};

/// The wall clock plus an offset, which is zero unless a fault switch set it.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    skew_ms: AtomicI64,
}

impl Clock {
    /// Now in UTC, skewed.
    pub(crate) fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc() + Duration::milliseconds(self.skew_ms.load(Ordering::Relaxed))
    }

    /// Sets the offset, in milliseconds; negative is in the past.
    pub(crate) fn skew(&self, skew_ms: i64) {
        self.skew_ms.store(skew_ms, Ordering::Relaxed);
    }
}
