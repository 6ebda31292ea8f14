//! How the pods of one store share work: which are alive, which one leads, and which one does which part.
//!
//! Invariants: what a pod writes under a lease is fenced in the store by the token with which it began. A pod alone
//! on its store leads everything and asks nobody. Cores read this state without a lock.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use ahash::AHashMap;
use arc_swap::ArcSwap;
use serde_json::{Value, json};
use store::Job;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// How often a job may be claimed: after that the job itself is taken to kill the pods that claim it.
pub const ATTEMPTS_MAX: u32 = 100;

/// Scopes of work that one pod does for all, under one lease each.
pub mod scope {
    /// Telling webhooks of ended tasks.
    pub const WEBHOOKS: &str = "webhooks";
    pub const DUMPS: &str = "dumps";
    /// Comparing and repairing copies.
    pub const ANTI_ENTROPY: &str = "anti_entropy";
    /// Committing changed settings, and undoing changes made behind the gateway's back.
    pub const SETTINGS: &str = "settings";
    /// Finishing what dead pods left half done, and dropping orphan indexes.
    pub const RECOVERY: &str = "recovery";
    /// Replaying hints to nodes, and resyncing nodes.
    pub const NODES: &str = "nodes";

    /// Changing which nodes there are and where shards are.
    pub const TOPOLOGY: &str = "topology";
    /// Rolling indexes over.
    pub const ROLLOVER: &str = "rollover";

    /// Delivering the stream of changes.
    pub const CDC: &str = "cdc";

    pub const ALL: [&str; 9] =
        [WEBHOOKS, DUMPS, ANTI_ENTROPY, SETTINGS, RECOVERY, NODES, TOPOLOGY, ROLLOVER, CDC];
}

/// The coordination of one process with other pods.
pub struct Coordinator {
    pod: String,
    /// Whether there are, or may be, other pods.
    is_shared: bool,
    pub(crate) known: ArcSwap<Known>,
    is_reached: AtomicBool,
    /// When the newest topology was last known to be this pod's, in milliseconds since it began.
    vouched_ms: AtomicU64,
    begun: Instant,
    clock: fn() -> Instant,
    is_draining: AtomicBool,
    has_given_back: AtomicBool,
    /// The jobs that this pod works on.
    pub(crate) claimed: ArcSwap<Vec<Job>>,
    /// Other pods that should exist: those that the operator named, and those that discovery found last.
    named: Vec<String>,
    found: ArcSwap<Vec<String>>,
}

/// The right to do a scope's work, from when the work began. It ends with the lease, and the next lease does not
/// renew it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term(Option<store::Change>);

impl Term {
    /// The change with which every commit under this term begins; it fails as `Fenced` once another pod leads.
    #[must_use]
    pub fn fence(&self) -> Option<store::Change> {
        self.0.clone()
    }

    /// The term of work that needs no lease: a pod ends what it has begun itself.
    #[must_use]
    pub const fn own() -> Self {
        Self(None)
    }
}

/// What the store last said of pods and leases.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Known {
    pub(crate) pods: Vec<String>,
    /// The token and the end of each lease that this pod holds, by scope.
    pub(crate) leases: AHashMap<String, (u64, Duration)>,
}

impl Coordinator {
    /// A coordinator of a store that no other process can have open.
    #[must_use]
    pub fn alone(pod: String) -> Self {
        Self::new(pod, false)
    }

    /// A coordinator of a store that other pods share.
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
            vouched_ms: AtomicU64::new(0),
            begun: Instant::now(),
            clock: Instant::now,
            is_draining: AtomicBool::new(false),
            has_given_back: AtomicBool::new(false),
            claimed: ArcSwap::default(),
            named: Vec::new(),
            found: ArcSwap::default(),
        }
    }

    /// Adds the names of other pods that should exist.
    #[must_use]
    pub fn naming(self, named: Vec<String>) -> Self {
        Self { named, ..self }
    }

    /// Takes another clock, that of the executors.
    #[must_use]
    pub fn with_clock(self, clock: fn() -> Instant) -> Self {
        Self { begun: clock(), clock, ..self }
    }

    /// The other pods as the management API shows them: what names them, and whether they are alive.
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

    /// Sets the pods that discovery found.
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

    /// Whether this pod does a scope's work for all. It commits that work under a [`Self::term`].
    #[must_use]
    pub fn leads(&self, scope: &str) -> bool {
        !self.is_shared || self.token(scope).is_some()
    }

    fn token(&self, scope: &str) -> Option<u64> {
        let known = self.known.load();
        let (token, ends) = known.leases.get(scope)?;
        (self.now() < *ends).then_some(*token)
    }

    /// The right to do a scope's work from now on; `None` when this pod does not lead it.
    #[must_use]
    pub fn term(&self, scope: &str) -> Option<Term> {
        if !self.is_shared {
            return Some(Term(None));
        }
        let token = self.token(scope)?;
        Some(Term(Some(store::Change::Fence { scope: scope.to_owned(), token })))
    }

    /// Whether this pod does a part of divided work, by rendezvous hashing over the live pods.
    #[must_use]
    pub fn owns(&self, part: &str) -> bool {
        !self.is_shared || owner(&self.known.load().pods, part) == Some(self.pod.as_str())
    }

    /// The live pods, by name.
    #[must_use]
    pub fn pods(&self) -> Vec<String> {
        self.known.load().pods.clone()
    }

    /// Whether the store answers.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.is_reached.load(Ordering::Relaxed)
    }

    /// Asks the election's shell to give all leases and jobs back.
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

    /// The time since this pod began.
    pub(crate) fn now(&self) -> Duration {
        (self.clock)().saturating_duration_since(self.begun)
    }

    /// When this pod last knew that it plans with the newest topology.
    pub(crate) fn vouched_at(&self) -> Duration {
        Duration::from_millis(self.vouched_ms.load(Ordering::Relaxed))
    }

    /// Notes that this pod planned with the newest topology at a time.
    pub(crate) fn vouch(&self, at: Duration) {
        self.vouched_ms.fetch_max(u64::try_from(at.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Sets whether the store answers; gives whether it did before.
    pub(crate) fn reached(&self, is_reached: bool) -> bool {
        self.is_reached.swap(is_reached, Ordering::Relaxed)
    }

    /// The coordination as the management API shows it.
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

/// The pod that owns a part: the one with the highest hash of both.
fn owner<'p>(pods: &'p [String], part: &str) -> Option<&'p str> {
    let score = |pod: &&String| xxh3_64_with_seed(pod.as_bytes(), xxh3_64_with_seed(part.as_bytes(), 0));
    pods.iter().max_by_key(score).map(String::as_str)
}

/// A random name for a pod that was given none.
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
