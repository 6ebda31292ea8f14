//! Retry budget: a core may ask nodes for more than clients asked for by a share of the legs, and by a floor.
//!
//! Invariant: however nodes fail, retries and hedges stay a bounded share of the load, so that an outage is not
//! amplified.

use std::time::Instant;

/// The budget of one kind of extra request.
pub(crate) struct Budget {
    share: f32,
    per_second: f32,
    most: f32,
    tokens: f32,
    /// When the floor was last added.
    paid_at: Instant,
}

impl Budget {
    /// Earns `share` per leg asked and `per_second`, saves up to `most`, and begins with `most`.
    pub(crate) fn new(share: f32, per_second: f32, most: f32, now: Instant) -> Self {
        Self { share, per_second, most, tokens: most, paid_at: now }
    }

    /// Adds the share of legs that serve clients' requests.
    #[expect(clippy::cast_precision_loss, reason = "a fan-out is a small number")]
    pub(crate) fn deposit(&mut self, legs: usize) {
        self.tokens = (self.tokens + self.share * legs as f32).min(self.most);
    }

    /// Takes `legs` extra requests from the budget; `false`, and nothing taken, when it has too few.
    #[expect(clippy::cast_precision_loss, reason = "a fan-out is a small number")]
    pub(crate) fn withdraw(&mut self, legs: usize, now: Instant) -> bool {
        let seconds = now.saturating_duration_since(self.paid_at).as_secs_f32();
        self.paid_at = now;
        self.tokens = (self.tokens + self.per_second * seconds).min(self.most);
        let affordable = self.tokens >= legs as f32;
        if affordable {
            self.tokens -= legs as f32;
        }
        affordable
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn extra_requests_are_a_share_and_a_floor() {
        let start = Instant::now();
        let mut budget = Budget::new(0.2, 10.0, 4.0, start);
        let spent = |budget: &mut Budget, now| (0..1000).filter(|_| budget.withdraw(1, now)).count();
        assert_eq!(spent(&mut budget, start), 4, "what was saved");
        budget.deposit(10);
        assert_eq!(spent(&mut budget, start), 2, "the share");
        assert_eq!(spent(&mut budget, start + Duration::from_millis(300)), 3, "the floor");
        budget.deposit(1000);
        assert_eq!(spent(&mut budget, start + Duration::from_secs(60)), 4, "no more than is saved");
        budget.deposit(5);
        assert!(!budget.withdraw(2, start + Duration::from_secs(60)), "all of them or none");
        assert!(budget.withdraw(1, start + Duration::from_secs(60)));
    }
}
