//! The election state machine, without IO: what to ask the store, and what follows from its answers. The simulator in
//! `fuzz` runs this very code.
//!
//! Invariants: a lease counts from when it was asked for, not from when the answer came, and its holder uses less
//! than its whole time. One question about a scope is under way at a time. A draining pod gives everything back and
//! asks for nothing.

use std::{collections::BTreeMap, time::Duration};

use store::{HeldLease, Lease, StoreError};

/// How long a lease lasts without being renewed.
pub const LEASE_TTL: Duration = Duration::from_secs(10);
/// How often the holder of a lease renews it.
pub const RENEWAL_INTERVAL: Duration = Duration::from_secs(3);
/// How often other pods ask for a lease.
pub const ATTEMPT_INTERVAL: Duration = Duration::from_secs(1);
/// The part of a lease's time that its holder does not use, so that clocks may differ a little.
pub const LEASE_MARGIN: Duration = Duration::from_secs(1);
/// The prefix of the leases by which pods tell that they are alive.
pub const PODS: &str = "pod/";

const _: () = assert!(RENEWAL_INTERVAL.as_secs() * 3 <= LEASE_TTL.as_secs());
const _: () = assert!(LEASE_TTL.as_secs() + ATTEMPT_INTERVAL.as_secs() < 12);

/// What has happened; times are of one clock that only moves forward.
#[derive(Debug)]
pub enum Event {
    Tick,
    Acquired { scope: String, asked_at: Duration, answer: Result<Option<Lease>, StoreError> },
    Renewed { scope: String, asked_at: Duration, answer: Result<(), StoreError> },
    Listed { answer: Result<Vec<HeldLease>, StoreError> },
    Drain,
}

/// What to ask the store.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    Acquire {
        scope: String,
    },
    Renew {
        lease: Lease,
    },
    Release {
        lease: Lease,
    },
    /// Lists the leases of all pods.
    List,
}

/// One pod's state in the election.
#[derive(Debug)]
pub struct Machine {
    pod: String,
    scopes: BTreeMap<String, Scope>,
    pods: Vec<String>,
    listed_at: Option<Duration>,
    is_listing: bool,
    is_draining: bool,
    is_reached: bool,
}

#[derive(Debug, Default)]
struct Scope {
    lease: Option<Lease>,
    /// From then on the lease may be another pod's.
    ends: Duration,
    /// When to ask for the lease, or renew it, next.
    next: Duration,
    is_asking: bool,
}

impl Machine {
    /// A pod that tries for these scopes, and holds a lease for itself.
    #[must_use]
    pub fn new(pod: &str, scopes: &[&str]) -> Self {
        let all = scopes.iter().map(|scope| (*scope).to_owned()).chain([format!("{PODS}{pod}")]);
        Self {
            pod: pod.to_owned(),
            scopes: all.map(|scope| (scope, Scope::default())).collect(),
            pods: vec![pod.to_owned()],
            listed_at: None,
            is_listing: false,
            is_draining: false,
            is_reached: true,
        }
    }

    /// Handles an event; adds the questions to ask.
    pub fn step(&mut self, now: Duration, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::Tick => self.tick(now, actions),
            Event::Acquired { scope, asked_at, answer } => self.acquired(&scope, asked_at, answer, actions),
            Event::Renewed { scope, asked_at, answer } => self.renewed(now, &scope, asked_at, &answer),
            Event::Listed { answer } => {
                self.is_listing = false;
                self.is_reached = answer.is_ok();
                // While the store does not answer, the other pods are taken to be alive.
                if let Ok(held) = answer {
                    self.pods = held.into_iter().map(|lease| lease.holder).collect();
                    if !self.pods.contains(&self.pod) {
                        self.pods.push(self.pod.clone());
                    }
                    self.pods.sort_unstable();
                }
            }
            Event::Drain => {
                self.is_draining = true;
                let held = self.scopes.values_mut().filter_map(|scope| scope.lease.take());
                actions.extend(held.map(|lease| Action::Release { lease }));
            }
        }
    }

    fn tick(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if self.is_draining {
            return;
        }
        for (name, scope) in &mut self.scopes {
            if scope.lease.is_some() && now >= scope.ends {
                // Its time is over without a renewal: it may be another pod's.
                scope.lease = None;
            }
            if scope.is_asking || now < scope.next {
                continue;
            }
            scope.is_asking = true;
            actions.push(match &scope.lease {
                Some(lease) => Action::Renew { lease: lease.clone() },
                None => Action::Acquire { scope: name.clone() },
            });
        }
        if !self.is_listing && self.listed_at.is_none_or(|listed| now >= listed + ATTEMPT_INTERVAL) {
            self.listed_at = Some(now);
            self.is_listing = true;
            actions.push(Action::List);
        }
    }

    fn acquired(
        &mut self,
        name: &str,
        asked_at: Duration,
        answer: Result<Option<Lease>, StoreError>,
        actions: &mut Vec<Action>,
    ) {
        self.is_reached = !matches!(answer, Err(StoreError::Unreachable(_)));
        let Some(scope) = self.scopes.get_mut(name) else { return };
        scope.is_asking = false;
        scope.next = asked_at + ATTEMPT_INTERVAL;
        let Ok(Some(lease)) = answer else { return };
        if self.is_draining {
            actions.push(Action::Release { lease });
            return;
        }
        scope.next = asked_at + RENEWAL_INTERVAL;
        scope.ends = asked_at + LEASE_TTL - LEASE_MARGIN;
        scope.lease = Some(lease);
    }

    fn renewed(&mut self, now: Duration, name: &str, asked_at: Duration, answer: &Result<(), StoreError>) {
        self.is_reached = !matches!(answer, Err(StoreError::Unreachable(_)));
        let Some(scope) = self.scopes.get_mut(name) else { return };
        scope.is_asking = false;
        match answer {
            Ok(()) => {
                scope.next = asked_at + RENEWAL_INTERVAL;
                scope.ends = scope.ends.max(asked_at + LEASE_TTL - LEASE_MARGIN);
            }
            Err(StoreError::Fenced) => {
                scope.lease = None;
                scope.next = now + ATTEMPT_INTERVAL;
            }
            // The lease is held until its time is over.
            Err(_) => scope.next = now + ATTEMPT_INTERVAL,
        }
    }

    /// The lease of a scope, while it is certainly this pod's.
    #[must_use]
    pub fn held(&self, scope: &str, now: Duration) -> Option<&Lease> {
        let scope = self.scopes.get(scope)?;
        scope.lease.as_ref().filter(|_| now < scope.ends)
    }

    /// The leases held, and when each ends.
    pub fn all_held(&self) -> impl Iterator<Item = (&Lease, Duration)> {
        self.scopes.values().filter_map(|scope| Some((scope.lease.as_ref()?, scope.ends)))
    }

    /// The live pods, this one among them, by name.
    #[must_use]
    pub fn pods(&self) -> &[String] {
        &self.pods
    }

    /// Whether the store has answered the last question.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.is_reached
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn step(machine: &mut Machine, now: Duration, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        machine.step(now, event, &mut actions);
        actions
    }

    fn lease(scope: &str, token: u64) -> Lease {
        Lease { scope: scope.to_owned(), token }
    }

    fn leader(at: Duration) -> Machine {
        let mut machine = Machine::new("p1", &["settings"]);
        let actions = step(&mut machine, at, Event::Tick);
        let scope = "settings".to_owned();
        assert!(actions.contains(&Action::Acquire { scope: scope.clone() }));
        let answer = Ok(Some(lease("settings", 7)));
        step(&mut machine, at, Event::Acquired { scope, asked_at: at, answer });
        machine
    }

    #[test]
    fn a_lease_is_renewed_in_time_and_given_up_before_its_end() {
        let mut machine = leader(seconds(100));
        assert!(machine.held("settings", seconds(108)).is_some());
        assert!(machine.held("settings", seconds(109)).is_none(), "one second early");
        let renew = Action::Renew { lease: lease("settings", 7) };
        assert!(!step(&mut machine, seconds(102), Event::Tick).contains(&renew));
        assert!(step(&mut machine, seconds(103), Event::Tick).contains(&renew));
        assert!(!step(&mut machine, seconds(104), Event::Tick).contains(&renew), "one question at a time");
        let renewed = |at, answer| Event::Renewed { scope: "settings".to_owned(), asked_at: at, answer };
        step(&mut machine, seconds(106), renewed(seconds(103), Ok(())));
        assert!(machine.held("settings", seconds(111)).is_some());
        assert!(machine.held("settings", seconds(112)).is_none(), "it counts from the question");
        step(&mut machine, seconds(107), renewed(seconds(106), Err(StoreError::Fenced)));
        assert!(machine.held("settings", seconds(107)).is_none());
    }

    #[test]
    fn a_store_out_of_reach_costs_the_lease_when_its_time_is_over() {
        let mut machine = leader(seconds(0));
        let answer = Err(StoreError::Unreachable("gone".to_owned()));
        step(&mut machine, seconds(3), Event::Tick);
        let event = Event::Renewed { scope: "settings".to_owned(), asked_at: seconds(3), answer };
        step(&mut machine, seconds(5), event);
        assert!(machine.held("settings", seconds(8)).is_some());
        assert!(!machine.is_reached());
        let actions = step(&mut machine, seconds(9), Event::Tick);
        assert!(actions.contains(&Action::Acquire { scope: "settings".to_owned() }), "{actions:?}");
    }

    #[test]
    fn draining_gives_everything_back() {
        let mut machine = leader(seconds(0));
        let actions = step(&mut machine, seconds(1), Event::Drain);
        assert_eq!(actions, [Action::Release { lease: lease("settings", 7) }]);
        assert!(step(&mut machine, seconds(20), Event::Tick).is_empty());
        let answer = Ok(Some(lease("pod/p1", 3)));
        let late = Event::Acquired { scope: "pod/p1".to_owned(), asked_at: seconds(0), answer };
        let late = step(&mut machine, seconds(2), late);
        assert_eq!(
            late,
            [Action::Release { lease: lease("pod/p1", 3) }],
            "what comes late is given back, too"
        );
    }
}
