//! All nodes of the cluster: their addresses, their health, and their hints.
//!
//! Invariant: a node's position is the same in each of these and in the topology, for ever.

use std::time::Instant;

use router::NodeIndex;

use crate::{
    nodes::{
        address::Addresses,
        health::{Health, NodeState, Seen},
        hints::Hints,
    },
    observe::log,
};

/// One per process.
pub struct Nodes {
    pub addresses: Addresses,
    pub health: Health,
    pub hints: Hints,
}

impl Nodes {
    /// Records what was seen of a node, and logs it when that changed the node's state.
    pub fn saw(&self, node: NodeIndex, seen: Seen, now: Instant) {
        let Some(state) = self.health.saw(node, seen, now) else { return };
        let fields = [("node", self.addresses[usize::from(node.0)].id.as_str())];
        match state {
            NodeState::Down => {
                // Another node may come back in its place.
                self.hints.set_known(node, false);
                log::warn("node_down", &fields);
            }
            NodeState::Suspect => log::warn("node_suspect", &fields),
            NodeState::Unknown | NodeState::Healthy | NodeState::Joining | NodeState::Draining => {
                log::info(&format!("node_{}", state.as_str()), &fields);
            }
        }
    }
}
