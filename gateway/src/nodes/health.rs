//! Health: what this pod has seen of every node, its state and its version.
//!
//! Invariants: nothing here is locked. Probes and requests report to one place (`saw`). A node that was unreachable
//! serves no reads before it has joined again, since it may have missed writes; only `membership::rejoin` makes it
//! healthy. A node that was only suspect becomes healthy by itself. One failure takes no node down, unless nobody
//! listens at its address.

use std::{
    sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering},
    time::Instant,
};

use crossbeam::utils::CachePadded;
use router::NodeIndex;

use crate::{api::node_version::NodeVersion, config::limits, nodes::slots::Slots};

/// States and versions of all nodes, by position in the topology.
pub struct Health {
    nodes: Slots<CachePadded<NodeHealth>>,
    /// Times are kept in milliseconds since then.
    epoch: Instant,
}

#[derive(Default)]
struct NodeHealth {
    state: AtomicU8,
    /// Packed; 0 while unknown.
    version: AtomicU32,
    answered_at: AtomicU64,
    failed_at: AtomicU64,
    /// Requests that failed since the last answered one, and when the first of them failed.
    failures: AtomicU32,
    failing_since: AtomicU64,
    /// Probes in a row that failed, and that were answered.
    probes_failed: AtomicU32,
    probes_answered: AtomicU32,
}

/// What a request or a probe shows of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// A complete answer that does not say the node is broken.
    Answered,
    /// No answer in time, an incomplete one, or one that says the node is broken.
    Failed,
    /// Nobody listens at its address.
    Refused,
    ProbeAnswered,
    ProbeFailed,
}

/// Cores record that a node answers no more often than this.
const ANSWERS_NOTED_EVERY_MS: u64 = 20;

/// From these versions on nodes' totals go beyond `maxTotalHits`, and their ranking scores cover all rules.
const TOTALS_UNCLIPPED_SINCE: NodeVersion = NodeVersion(1, 47);
const SCORES_OF_ALL_RULES_SINCE: NodeVersion = NodeVersion(1, 24);

/// State of one node as this pod sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum NodeState {
    /// Not yet probed.
    Unknown,
    Healthy,
    /// It failed lately, but not often enough to be down.
    Suspect,
    /// It gets nothing but probes.
    Down,
    /// It answers again and catches up.
    Joining,
    /// It is about to leave, and serves until others hold what it holds.
    Draining,
}

impl NodeState {
    const ALL: [Self; 6] =
        [Self::Unknown, Self::Healthy, Self::Suspect, Self::Down, Self::Joining, Self::Draining];

    /// Whether it may be read while other nodes can answer as well.
    #[must_use]
    pub fn serves_reads(self) -> bool {
        matches!(self, Self::Unknown | Self::Healthy | Self::Suspect | Self::Draining)
    }

    /// Whether it may be sent a write, when no hint waits for it.
    #[must_use]
    pub fn takes_writes(self) -> bool {
        self != Self::Down
    }

    /// The name in the management API and in logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Suspect => "suspect",
            Self::Down => "down",
            Self::Joining => "joining",
            Self::Draining => "draining",
        }
    }
}

impl Health {
    /// Health of `count` nodes that nobody has probed yet.
    #[must_use]
    pub fn new(count: usize, now: Instant) -> Self {
        Self { nodes: Slots::new(count), epoch: now }
    }

    fn node(&self, node: NodeIndex) -> &NodeHealth {
        self.nodes.of(node)
    }

    /// The lowest version among the nodes whose version is known.
    #[must_use]
    pub fn lowest_version(&self) -> Option<NodeVersion> {
        let known = self.nodes.iter().map(|node| node.version.load(Ordering::Relaxed));
        known.filter(|packed| *packed != 0).min().map(NodeVersion::unpack)
    }

    /// Whether some node's totals end at `maxTotalHits`.
    #[must_use]
    pub fn clips_totals(&self) -> bool {
        self.lowest_version() < Some(TOTALS_UNCLIPPED_SINCE)
    }

    /// Whether some node's ranking scores cover only the rules up to the first sort.
    #[must_use]
    pub fn scores_end_at_sorts(&self) -> bool {
        self.lowest_version() < Some(SCORES_OF_ALL_RULES_SINCE)
    }

    /// A node's version, once it is known.
    #[must_use]
    pub fn version(&self, node: NodeIndex) -> Option<NodeVersion> {
        let packed = self.node(node).version.load(Ordering::Relaxed);
        (packed != 0).then(|| NodeVersion::unpack(packed))
    }

    /// Whether a node's version is known.
    #[must_use]
    pub fn knows_version(&self, node: NodeIndex) -> bool {
        self.node(node).version.load(Ordering::Relaxed) != 0
    }

    pub fn set_version(&self, node: NodeIndex, version: NodeVersion) {
        self.node(node).version.store(version.pack(), Ordering::Relaxed);
    }

    #[must_use]
    pub fn state(&self, node: NodeIndex) -> NodeState {
        NodeState::ALL[usize::from(self.node(node).state.load(Ordering::Acquire))]
    }

    /// Forgets a node that is no member any more: it may come back as another version.
    pub fn forget(&self, node: NodeIndex) {
        self.node(node).version.store(0, Ordering::Relaxed);
        self.node(node).state.store(NodeState::Unknown as u8, Ordering::Release);
    }

    /// Records what was seen of a node; gives its new state when that changed.
    pub fn saw(&self, node: NodeIndex, seen: Seen, now: Instant) -> Option<NodeState> {
        let now = u64::try_from(now.saturating_duration_since(self.epoch).as_millis()).unwrap_or(u64::MAX);
        match seen {
            Seen::Answered | Seen::ProbeAnswered => self.saw_answer(node, seen, now),
            Seen::Refused => self.goes_down(node),
            Seen::Failed | Seen::ProbeFailed => self.saw_failure(node, seen, now),
        }
    }

    /// Whether a node has answered lately, so that it needs no probe.
    #[must_use]
    pub fn answered_lately(&self, node: NodeIndex, now: Instant) -> bool {
        let answered_at = self.node(node).answered_at.load(Ordering::Relaxed);
        let now = now.saturating_duration_since(self.epoch).as_millis();
        answered_at > 0 && now < u128::from(answered_at) + limits::HEALTH_PROBE_INTERVAL.as_millis()
    }

    /// Makes a joining node healthy; `false` when it has gone down meanwhile.
    pub fn has_joined(&self, node: NodeIndex) -> bool {
        self.node(node).forget_failures();
        self.change(node, NodeState::Joining, NodeState::Healthy).is_some()
    }

    /// Makes a serving node join again, since it has missed something or is known to lack something. Gives whether it
    /// was serving.
    pub fn fall_behind(&self, node: NodeIndex) -> bool {
        let serving = [NodeState::Unknown, NodeState::Healthy, NodeState::Suspect, NodeState::Draining];
        serving.into_iter().any(|before| self.change(node, before, NodeState::Joining).is_some())
    }

    fn saw_answer(&self, node: NodeIndex, seen: Seen, now: u64) -> Option<NodeState> {
        let health = self.node(node);
        let of_probe = seen == Seen::ProbeAnswered;
        // Requests of every core come by here, so what is known already is not written again.
        if health.answered_at.load(Ordering::Relaxed) + ANSWERS_NOTED_EVERY_MS < now || of_probe {
            health.answered_at.store(now.max(1), Ordering::Relaxed);
            health.probes_failed.store(0, Ordering::Relaxed);
        }
        // Answered probes alone do not show that a node has recovered from failing requests.
        if !of_probe && health.failures.load(Ordering::Relaxed) > 0 {
            health.failures.store(0, Ordering::Relaxed);
        }
        match self.state(node) {
            NodeState::Suspect => {
                let trusted_at = health.failed_at.load(Ordering::Relaxed) + millis(limits::SUSPICION);
                (now >= trusted_at).then(|| self.change(node, NodeState::Suspect, NodeState::Healthy))?
            }
            NodeState::Unknown if of_probe => self.change(node, NodeState::Unknown, NodeState::Joining),
            NodeState::Down if of_probe => {
                let answered = health.probes_answered.fetch_add(1, Ordering::Relaxed) + 1;
                (answered >= limits::PROBES_ANSWERED_TO_JOIN)
                    .then(|| self.change(node, NodeState::Down, NodeState::Joining))?
            }
            NodeState::Unknown
            | NodeState::Healthy
            | NodeState::Down
            | NodeState::Joining
            | NodeState::Draining => None,
        }
    }

    fn saw_failure(&self, node: NodeIndex, seen: Seen, now: u64) -> Option<NodeState> {
        let health = self.node(node);
        health.failed_at.store(now, Ordering::Relaxed);
        let given_up = match seen {
            Seen::ProbeFailed => {
                health.probes_answered.store(0, Ordering::Relaxed);
                let failed = health.probes_failed.fetch_add(1, Ordering::Relaxed) + 1;
                failed >= limits::PROBES_FAILED_TO_DOWN || self.state(node) == NodeState::Unknown
            }
            Seen::Failed | Seen::Answered | Seen::Refused | Seen::ProbeAnswered => {
                let since = health.failing_since.load(Ordering::Relaxed);
                let recent = now < since + millis(limits::FAILURE_WINDOW);
                if !recent || health.failures.load(Ordering::Relaxed) == 0 {
                    health.failing_since.store(now, Ordering::Relaxed);
                    health.failures.store(0, Ordering::Relaxed);
                }
                health.failures.fetch_add(1, Ordering::Relaxed) + 1 >= limits::FAILURES_TO_DOWN
            }
        };
        match given_up {
            true => self.goes_down(node),
            false => self.change(node, NodeState::Healthy, NodeState::Suspect),
        }
    }

    fn goes_down(&self, node: NodeIndex) -> Option<NodeState> {
        let health = self.node(node);
        health.forget_failures();
        health.probes_answered.store(0, Ordering::Relaxed);
        let before = health.state.swap(NodeState::Down as u8, Ordering::AcqRel);
        (before != NodeState::Down as u8).then_some(NodeState::Down)
    }

    fn change(&self, node: NodeIndex, before: NodeState, after: NodeState) -> Option<NodeState> {
        let state = &self.node(node).state;
        let changed = state.compare_exchange(before as u8, after as u8, Ordering::AcqRel, Ordering::Relaxed);
        changed.is_ok().then_some(after)
    }
}

impl NodeHealth {
    fn forget_failures(&self) {
        self.failures.store(0, Ordering::Relaxed);
        self.probes_failed.store(0, Ordering::Relaxed);
    }
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NODE: NodeIndex = NodeIndex(0);

    /// One node, and a clock that the test moves.
    struct Clock {
        health: Health,
        now: Instant,
    }

    impl Clock {
        /// A healthy node.
        fn new() -> Self {
            let now = Instant::now();
            let clock = Self { health: Health::new(1, now), now };
            assert_eq!(clock.saw(Seen::ProbeAnswered), Some(NodeState::Joining));
            assert!(clock.health.has_joined(NODE));
            clock
        }

        fn saw(&self, seen: Seen) -> Option<NodeState> {
            self.health.saw(NODE, seen, self.now)
        }

        fn after(&mut self, time: Duration) -> &Self {
            self.now += time;
            self
        }
    }

    #[test]
    fn the_lowest_version_of_a_fleet_is_known() {
        let health = Health::new(3, Instant::now());
        assert_eq!(health.lowest_version(), None);
        for (node, text) in [(0, "1.50.0"), (2, "1.15.1-rc.1")] {
            health.set_version(NodeIndex(node), NodeVersion::parse(text).unwrap());
        }
        assert_eq!(health.lowest_version(), Some(NodeVersion(1, 15)));
        assert!(health.knows_version(NodeIndex(0)) && !health.knows_version(NodeIndex(1)));
        assert!(NodeVersion::parse("one").is_none());
    }

    #[test]
    fn a_node_joins_before_it_serves() {
        let clock = Clock::new();
        assert_eq!(clock.saw(Seen::ProbeAnswered), None, "it is healthy already");
        assert_eq!(clock.saw(Seen::Refused), Some(NodeState::Down));
        assert_eq!(clock.saw(Seen::Refused), None, "news once");
        assert_eq!(clock.saw(Seen::Answered), None, "what a request hears does not bring it back");
        assert_eq!(clock.saw(Seen::ProbeAnswered), None, "nor does one probe");
        assert_eq!(clock.saw(Seen::ProbeAnswered), Some(NodeState::Joining));
        assert!(!clock.health.state(NODE).serves_reads() && clock.health.state(NODE).takes_writes());
        assert_eq!(clock.saw(Seen::Refused), Some(NodeState::Down));
        assert!(!clock.health.has_joined(NODE), "down while it joined");
        // One failed probe between two answered ones begins the count anew.
        assert_eq!(clock.saw(Seen::ProbeAnswered), None);
        assert_eq!(clock.saw(Seen::ProbeFailed), None);
        assert_eq!(clock.saw(Seen::ProbeAnswered), None);
        assert_eq!(clock.saw(Seen::ProbeAnswered), Some(NodeState::Joining));
        assert!(clock.health.has_joined(NODE));
        assert!(clock.health.fall_behind(NODE) && !clock.health.fall_behind(NODE), "news once");
        assert_eq!(clock.health.state(NODE), NodeState::Joining);
        assert_eq!(clock.saw(Seen::Refused), Some(NodeState::Down));
        assert!(
            !clock.health.fall_behind(NODE) && clock.health.state(NODE) == NodeState::Down,
            "it is away already"
        );
    }

    #[test]
    fn a_new_node_that_does_not_answer_is_down() {
        let now = Instant::now();
        let health = Health::new(1, now);
        assert!(health.state(NODE).serves_reads(), "nobody knows yet");
        assert_eq!(health.saw(NODE, Seen::ProbeFailed, now), Some(NodeState::Down));
    }

    #[test]
    fn one_failure_makes_a_node_suspect_for_a_while() {
        let mut clock = Clock::new();
        assert_eq!(clock.saw(Seen::Failed), Some(NodeState::Suspect));
        assert!(clock.health.state(NODE).serves_reads());
        assert_eq!(clock.saw(Seen::Answered), None);
        assert_eq!(clock.after(limits::SUSPICION / 2).saw(Seen::Failed), None);
        assert_eq!(clock.after(limits::SUSPICION / 2).saw(Seen::Answered), None, "it failed since");
        assert_eq!(clock.after(limits::SUSPICION / 2).saw(Seen::Answered), Some(NodeState::Healthy));
    }

    #[test]
    fn failures_in_a_row_take_a_node_down() {
        let mut clock = Clock::new();
        for _ in 1..limits::FAILURES_TO_DOWN {
            assert_ne!(clock.saw(Seen::Failed), Some(NodeState::Down));
        }
        // An answer in between, or time, begins the count anew.
        clock.saw(Seen::Answered);
        for _ in 1..limits::FAILURES_TO_DOWN {
            assert_eq!(clock.saw(Seen::Failed), None);
        }
        clock.after(limits::FAILURE_WINDOW);
        for _ in 1..limits::FAILURES_TO_DOWN {
            assert_eq!(clock.saw(Seen::Failed), None);
        }
        // Answered probes alone do not begin it anew.
        assert_eq!(clock.saw(Seen::ProbeAnswered), None);
        assert_eq!(clock.saw(Seen::Failed), Some(NodeState::Down));
    }

    #[test]
    fn a_silent_node_is_down_after_two_probes() {
        let mut clock = Clock::new();
        assert_eq!(clock.saw(Seen::ProbeFailed), Some(NodeState::Suspect));
        clock.after(Duration::from_millis(ANSWERS_NOTED_EVERY_MS + 2));
        assert_eq!(clock.saw(Seen::Answered), None, "it does answer");
        assert_eq!(clock.saw(Seen::ProbeFailed), None);
        assert_eq!(clock.saw(Seen::ProbeFailed), Some(NodeState::Down));
    }

    #[test]
    fn whoever_answers_requests_needs_no_probe() {
        let mut clock = Clock::new();
        assert!(clock.health.answered_lately(NODE, clock.now));
        clock.after(limits::HEALTH_PROBE_INTERVAL + Duration::from_millis(1));
        assert!(!clock.health.answered_lately(NODE, clock.now));
        clock.saw(Seen::Answered);
        assert!(clock.health.answered_lately(NODE, clock.now));
    }
}
