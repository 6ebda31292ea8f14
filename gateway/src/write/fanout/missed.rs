//! What nodes missed of a change: hints and suspicions, to be committed before the client is answered.
//!
//! Invariant: once a node has taken a change, or may have, every other node that it concerns has it or a hint of it.

use std::sync::Arc;

use router::NodeIndex;
use store::Change;

use crate::{
    nodes::hints::{self, Hint},
    observe::log,
    state::{change::NodePart, core::Core, shared::Shared},
    write::{
        changes::Noted,
        fanout::{
            command::NodeCommand,
            delivery::{Delivery, is_taken},
        },
        quorum::Degraded,
    },
};

/// What nodes missed of one change; to be committed before the client is answered.
pub(crate) struct Missed {
    shared: Arc<Shared>,
    task: u32,
    changes: Vec<Change>,
    nodes: Vec<NodeIndex>,
    pub(crate) degraded: Degraded,
    /// What was noted for the stream of changes.
    pub(crate) noted: Vec<Noted>,
}

impl Missed {
    /// Begins empty, for the change of this task.
    pub(crate) fn new(core: &Core, task: u32) -> Self {
        let shared = Arc::clone(&core.shared);
        Self {
            shared,
            task,
            changes: Vec::new(),
            nodes: Vec::new(),
            degraded: Degraded::default(),
            noted: Vec::new(),
        }
    }

    /// Takes out what the caller is to commit.
    pub(crate) fn take(&mut self) -> Vec<Change> {
        self.nodes.clear();
        std::mem::take(&mut self.changes)
    }

    /// Adds changes that have to be durable when the client is answered.
    pub(crate) fn commit_with(&mut self, changes: Vec<Change>) {
        self.changes.extend(changes);
    }

    /// The uid of the gateway's task of the change.
    pub(crate) fn task(&self) -> u32 {
        self.task
    }

    fn keep(&mut self, command: &NodeCommand<'_>, part: &NodePart, ambiguous: bool) {
        let hint = Hint {
            method: command.method.as_str().to_owned(),
            target: command.target.to_owned(),
            task: self.task,
            index: command.index.to_owned(),
            ambiguous,
            once: command.once,
            shards: part.shards.iter().collect(),
        };
        let id = &self.shared.nodes.addresses[usize::from(part.node.0)].id;
        self.changes.extend(self.shared.nodes.hints.keep(part.node, id, &hint, part.body.clone()));
        self.nodes.push(part.node);
        // The node falls behind after its hint is counted, so that the rejoin sees at least one of the two.
        if self.shared.nodes.health.fall_behind(part.node) {
            log::warn("node_lags", &[("node", id), ("reason", "it missed a write")]);
        }
        metrics::counter!("miroir_hints_total", "node" => id.clone()).increment(1);
    }

    fn suspect(&mut self, command: &NodeCommand<'_>, part: &NodePart) {
        let id = &self.shared.nodes.addresses[usize::from(part.node.0)].id;
        self.changes.push(hints::suspect(id, command.index, part.shards.iter().collect()));
    }
}

impl Drop for Missed {
    /// Hints that a panic kept from being stored are a gap in a node's log, so the node needs a full resync.
    fn drop(&mut self) {
        for node in self.nodes.drain(..) {
            let id = &self.shared.nodes.addresses[usize::from(node.0)].id;
            log::error("hint_lost", &[("node", id), ("consequence", "the node is copied anew")]);
            self.shared.nodes.hints.mark_full_resync(node);
        }
    }
}

/// Keeps what nodes missed of a change that is accepted, whoever took the rest.
pub(crate) fn keep_all_missed(
    command: &NodeCommand<'_>,
    parts: &[NodePart],
    deliveries: &[Delivery],
    missed: &mut Missed,
) {
    for (part, delivery) in parts.iter().zip(deliveries) {
        match delivery {
            Delivery::Taken(_) => {}
            Delivery::Missed { ambiguous } => missed.keep(command, part, *ambiguous),
            Delivery::Refused(_) => missed.suspect(command, part),
        }
    }
}

/// Keeps hints of what nodes missed of a change that another node took, or may have taken.
pub(crate) fn keep_missed(
    command: &NodeCommand<'_>,
    parts: &[NodePart],
    deliveries: &[Delivery],
    missed: &mut Missed,
) {
    let taken = deliveries.iter().any(is_taken);
    let refused = deliveries.iter().any(|delivery| matches!(delivery, Delivery::Refused(_)));
    let ambiguous =
        deliveries.iter().any(|delivery| matches!(delivery, Delivery::Missed { ambiguous: true }));
    for (part, delivery) in parts.iter().zip(deliveries) {
        match delivery {
            Delivery::Missed { ambiguous: own } if taken || (ambiguous && !refused) => {
                missed.keep(command, part, *own);
            }
            // Another node refused it, so this one refused it as well or never saw it; it is only suspected.
            Delivery::Missed { ambiguous: true } => missed.suspect(command, part),
            // This copy refused what another took.
            Delivery::Refused(_) if taken => missed.suspect(command, part),
            Delivery::Taken(_) | Delivery::Missed { .. } | Delivery::Refused(_) => {}
        }
    }
}
