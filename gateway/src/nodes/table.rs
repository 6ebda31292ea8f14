//! All nodes of the cluster: their addresses, their health, their hints, and why those that do not serve do not.
//!
//! Invariants: a node's position is the same in each of these and in the topology, for ever. A node that serves has no
//! fault; one that is down or waits to join has the newest.

use std::{sync::Arc, time::Instant};

use arc_swap::ArcSwapOption;
use router::NodeIndex;

use crate::{
    config::limits,
    nodes::{
        address::Addresses,
        health::{Health, NodeState, Seen},
        hints::Hints,
        slots::Slots,
    },
    observe::log,
};

/// One per process.
pub struct Nodes {
    pub addresses: Addresses,
    pub health: Health,
    pub hints: Hints,
    faults: Slots<ArcSwapOption<String>>,
}

impl Nodes {
    /// Nodes of which no fault is known yet.
    #[must_use]
    pub fn new(addresses: Addresses, health: Health, hints: Hints) -> Self {
        let faults = Slots::new(addresses.len());
        Self { addresses, health, hints, faults }
    }

    /// Records what was seen of a node, and logs it when that changed the node's state, or the reason why the node is
    /// down. `fault` says what went wrong; it is asked only where that is kept.
    pub fn saw(&self, node: NodeIndex, seen: Seen, now: Instant, fault: impl FnOnce() -> String) {
        let changed = self.health.saw(node, seen, now);
        let failed = matches!(seen, Seen::Failed | Seen::Refused | Seen::ProbeFailed);
        let is_down = failed && self.health.state(node) == NodeState::Down;
        let is_news = (is_down || (failed && changed.is_some())) && self.keep(node, fault());
        let state = match changed {
            Some(state) => state,
            None if is_news => NodeState::Down,
            None => return,
        };
        let id = self.id(node);
        match state {
            NodeState::Down | NodeState::Suspect => {
                if state == NodeState::Down {
                    // Another node may come back in its place.
                    self.hints.set_known(node, false);
                }
                let reason = self.fault(node).unwrap_or_default();
                log::warn(&format!("node_{}", state.as_str()), &[("node", id), ("reason", &reason)]);
            }
            NodeState::Healthy => self.serves(node),
            NodeState::Unknown | NodeState::Joining | NodeState::Draining => {
                log::info(&format!("node_{}", state.as_str()), &[("node", id)]);
            }
        }
    }

    /// Records why a node that answers cannot join; logs it once.
    pub fn holds_back(&self, node: NodeIndex, fault: String) {
        if self.keep(node, fault) {
            let reason = self.fault(node).unwrap_or_default();
            log::warn("node_not_joined", &[("node", self.id(node)), ("reason", &reason)]);
        }
    }

    /// Records that a node serves from now on.
    pub fn serves(&self, node: NodeIndex) {
        self.faults.of(node).store(None);
        log::info("node_healthy", &[("node", self.id(node))]);
    }

    /// Why a node does not serve, as far as that is known.
    #[must_use]
    pub fn fault(&self, node: NodeIndex) -> Option<Arc<String>> {
        self.faults.of(node).load_full()
    }

    /// Keeps a fault; gives whether it is another one than before.
    fn keep(&self, node: NodeIndex, mut fault: String) -> bool {
        if let Some((cut, _)) = fault.char_indices().nth(limits::NODE_FAULT_CHARACTERS_MAX) {
            fault.truncate(cut);
        }
        let kept = self.faults.of(node);
        if kept.load().as_deref() == Some(&fault) {
            return false;
        }
        kept.store(Some(Arc::new(fault)));
        true
    }

    fn id(&self, node: NodeIndex) -> &str {
        &self.addresses[usize::from(node.0)].id
    }
}
