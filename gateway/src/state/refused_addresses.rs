//! Addresses that have asked too often, as one core remembers them, so that a flood costs the store nothing.
//!
//! Invariant: the store's counter decides; what is remembered here only repeats its refusal until the window ends.

use std::{
    cell::RefCell,
    net::IpAddr,
    time::{Duration, Instant},
};

use ahash::AHashMap;

/// Addresses with the time until which they are refused.
#[derive(Debug, Default)]
pub(crate) struct RefusedAddresses {
    until: RefCell<AHashMap<IpAddr, Instant>>,
}

impl RefusedAddresses {
    /// How long an address is still refused.
    pub(crate) fn left(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let until = *self.until.borrow().get(&address)?;
        (until > now).then(|| until - now)
    }

    /// Remembers a refusal. At most `most` are kept; when there is no room, those that have ended go, and then this one
    /// is not remembered.
    pub(crate) fn refuse(&self, address: IpAddr, until: Instant, now: Instant, most: usize) {
        let mut known = self.until.borrow_mut();
        if known.len() >= most {
            known.retain(|_, until| *until > now);
        }
        if known.len() < most {
            known.insert(address, until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_end_and_are_bounded() {
        let refused = RefusedAddresses::default();
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let address = |last: u8| IpAddr::from([10, 0, 0, last]);
        assert_eq!(refused.left(address(1), start), None);
        refused.refuse(address(1), start + second, start, 2);
        refused.refuse(address(2), start + 3 * second, start, 2);
        refused.refuse(address(3), start + 3 * second, start, 2);
        assert_eq!(refused.left(address(1), start), Some(second));
        assert_eq!(refused.left(address(3), start), None);
        assert_eq!(refused.left(address(1), start + second), None);
        refused.refuse(address(3), start + 3 * second, start + second, 2);
        assert_eq!(refused.left(address(3), start + second), Some(2 * second));
    }
}
