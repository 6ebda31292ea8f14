//! How the pods of one store share work: who lives, who leads, and who does which part.
//!
//! Invariants: what a pod writes to the store by right of a lease is fenced there by the token it began with; a pod
//! alone on its store leads everything and asks nobody; cores read what is known here without a lock.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use ahash::AHashMap;
use arc_swap::ArcSwap;
use serde_json::{Value, json};
use store::Job;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// How often a job may be claimed; then whoever takes it dies of it.
pub const ATTEMPTS_MAX: u32 = 100;

/// Work that one pod does for all: one lease each.
pub mod scope {
    /// Telling webhooks of tasks.
    pub const WEBHOOKS: &str = "webhooks";
    pub const DUMPS: &str = "dumps";
    /// Comparing and repairing copies.
    pub const ANTI_ENTROPY: &str = "anti_entropy";
    /// Committing changed settings, and undoing what changed behind the gateway's back.
    pub const SETTINGS: &str = "settings";
    /// What pods that died have left half done, and indexes that are nobody's.
    pub const RECOVERY: &str = "recovery";
    /// Replaying to nodes what they missed, and copying them anew.
    pub const NODES: &str = "nodes";

    pub const ALL: [&str; 6] = [WEBHOOKS, DUMPS, ANTI_ENTROPY, SETTINGS, RECOVERY, NODES];
}

/// One per process.
pub struct Coordinator {
    pod: String,
    /// There are, or may be, other pods.
    is_shared: bool,
    pub(crate) known: ArcSwap<Known>,
    is_reached: AtomicBool,
    begun: Instant,
    clock: fn() -> Instant,
    is_draining: AtomicBool,
    has_given_back: AtomicBool,
    /// The jobs that this pod works on.
    pub(crate) claimed: ArcSwap<Vec<Job>>,
    /// Pods that should be there: those that were named, and those found last.
    named: Vec<String>,
    found: ArcSwap<Vec<String>>,
}

/// The right to do a scope's work, from when it was begun: it ends with the lease, and does not come back with the
/// next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term(Option<store::Change>);

impl Term {
    /// What every commit by this right begins with, and is `Fenced` by once another pod leads.
    #[must_use]
    pub fn fence(&self) -> Option<store::Change> {
        self.0.clone()
    }

    /// Of work that needs no lease: a pod ends what it has begun itself.
    #[must_use]
    pub const fn own() -> Self {
        Self(None)
    }
}

/// What was last heard of the store.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Known {
    pub(crate) pods: Vec<String>,
    /// The token and the end of each lease held, by scope.
    pub(crate) leases: AHashMap<String, (u64, Duration)>,
}

impl Coordinator {
    /// For a store that no other process can have open.
    #[must_use]
    pub fn alone(pod: String) -> Self {
        Self::new(pod, false)
    }

    /// For a store that other pods share.
    #[must_use]
    pub fn shared(pod: String) -> Self {
        Self::new(pod, true)
    }

    fn new(pod: String, is_shared: bool) -> Self {
        Self {
            known: ArcSwap::from_pointee(Known { pods: vec![pod.clone()], leases: AHashMap::new() }),
            pod,
            is_shared,
            is_reached: AtomicBool::new(true),
            begun: Instant::now(),
            clock: Instant::now,
            is_draining: AtomicBool::new(false),
            has_given_back: AtomicBool::new(false),
            claimed: ArcSwap::default(),
            named: Vec::new(),
            found: ArcSwap::default(),
        }
    }

    /// The same, with the names of other pods that should be there.
    #[must_use]
    pub fn naming(self, named: Vec<String>) -> Self {
        Self { named, ..self }
    }

    /// The same by another clock, that of the executors.
    #[must_use]
    pub fn with_clock(self, clock: fn() -> Instant) -> Self {
        Self { begun: clock(), clock, ..self }
    }

    /// The other pods as the management API shows them: who names them, and whether they live.
    pub(crate) fn peers(&self) -> Value {
        let mut peers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let (found, live) = (self.found.load(), self.pods());
        for (from, names) in [("flag", &self.named), ("dns", &**found), ("store", &live)] {
            for name in names.iter().filter(|name| *name != self.pod()) {
                peers.entry(name).or_default().push(from);
            }
        }
        let peers = peers.into_iter().map(|(name, from)| {
            let lives = live.iter().any(|pod| pod == name);
            json!({"name": name, "knownFrom": from, "alive": lives})
        });
        peers.collect()
    }

    /// Takes in which pods were found that should be there.
    pub(crate) fn expect(&self, found: Vec<String>) {
        if **self.found.load() != found {
            self.found.store(std::sync::Arc::new(found));
        }
    }

    #[must_use]
    pub fn pod(&self) -> &str {
        &self.pod
    }

    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// Whether this pod does what one does for all. What it then commits, it commits by a [`Self::term`].
    #[must_use]
    pub fn leads(&self, scope: &str) -> bool {
        !self.is_shared || self.token(scope).is_some()
    }

    fn token(&self, scope: &str) -> Option<u64> {
        let known = self.known.load();
        let (token, ends) = known.leases.get(scope)?;
        (self.now() < *ends).then_some(*token)
    }

    /// The right to do a scope's work from now on; `None` for a pod that does not lead it.
    #[must_use]
    pub fn term(&self, scope: &str) -> Option<Term> {
        if !self.is_shared {
            return Some(Term(None));
        }
        let token = self.token(scope)?;
        Some(Term(Some(store::Change::Fence { scope: scope.to_owned(), token })))
    }

    /// Whether a part of the work that pods divide among them is this pod's: by rendezvous over those that live.
    #[must_use]
    pub fn owns(&self, part: &str) -> bool {
        !self.is_shared || owner(&self.known.load().pods, part) == Some(self.pod.as_str())
    }

    /// The pods that live, by name.
    #[must_use]
    pub fn pods(&self) -> Vec<String> {
        self.known.load().pods.clone()
    }

    /// Whether the store answers.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.is_reached.load(Ordering::Relaxed)
    }

    /// Asks the shell to give everything back.
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::SeqCst)
    }

    /// Whether nothing is left to give back.
    #[must_use]
    pub fn has_given_back(&self) -> bool {
        self.has_given_back.load(Ordering::SeqCst)
    }

    pub(crate) fn gave_back(&self) {
        self.has_given_back.store(true, Ordering::SeqCst);
    }

    /// Since this pod began.
    pub(crate) fn now(&self) -> Duration {
        (self.clock)().saturating_duration_since(self.begun)
    }

    /// Sets whether the store answers; returns whether it did before.
    pub(crate) fn reached(&self, is_reached: bool) -> bool {
        self.is_reached.swap(is_reached, Ordering::Relaxed)
    }

    /// What the management API shows.
    #[must_use]
    pub fn view(&self) -> Value {
        let known = self.known.load();
        let mut leads: Vec<&str> = scope::ALL.into_iter().filter(|scope| self.leads(scope)).collect();
        leads.sort_unstable();
        json!({
            "pod": self.pod,
            "pods": known.pods,
            "peers": self.peers(),
            "leads": leads,
            "storeReached": self.is_reached(),
        })
    }
}

/// Which of the pods has a part: the one with the highest hash of both.
fn owner<'p>(pods: &'p [String], part: &str) -> Option<&'p str> {
    let score = |pod: &&String| xxh3_64_with_seed(pod.as_bytes(), xxh3_64_with_seed(part.as_bytes(), 0));
    pods.iter().max_by_key(score).map(String::as_str)
}

/// A name for a pod that was given none.
#[must_use]
pub fn fresh_pod_id() -> String {
    format!("pod-{}", &uuid::Uuid::new_v4().simple().to_string()[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_move_only_when_their_pod_goes() {
        let three: Vec<String> = ["a", "b", "c"].map(str::to_owned).to_vec();
        let two = &three[..2];
        let parts: Vec<String> = (0..300).map(|number| format!("index-{number}")).collect();
        let mut counts = [0; 3];
        for part in &parts {
            let owned = owner(&three, part).unwrap();
            counts[three.iter().position(|pod| pod == owned).unwrap()] += 1;
            assert!(owned == "c" || owner(two, part) == Some(owned));
        }
        assert!(counts.iter().all(|count| (60..140).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_pod_alone_leads_everything() {
        let alone = Coordinator::alone("a".to_owned());
        assert!(alone.leads(scope::SETTINGS) && alone.owns("x"));
        assert_eq!(alone.term(scope::SETTINGS), Some(Term::own()));
        let shared = Coordinator::shared("a".to_owned());
        assert!(!shared.leads(scope::SETTINGS) && shared.term(scope::SETTINGS).is_none());
        assert!(shared.owns("x"), "as far as it knows it is the only one");
    }
}
