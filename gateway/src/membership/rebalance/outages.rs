//! Nodes that have been down for `--replace-after`: they are removed by force, and others get copies of what they had.
//!
//! Invariants: an outage counts from when this pod has seen it first. A node is given up only by the pod that leads,
//! while nothing else is asked for, while all other nodes serve and lack nothing, and if each of its shards has another
//! copy: a pod that is cut off itself gives up nobody. It is asked for again, where that failed or an operator has
//! aborted it, only when the same time has passed once more.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    time::{Duration, Instant},
};

use router::{NodeIndex, Standing, rebalance::ShapeChange};

use crate::{
    membership::rebalance::{operation::Wanted, queue},
    nodes::health::NodeState,
    observe::log,
    state::{core::Core, leadership::scope},
    wire::runtime,
};

/// Since when nodes have been down, as far as this pod has seen.
#[derive(Default)]
pub(crate) struct Outages {
    of: RefCell<BTreeMap<NodeIndex, Outage>>,
}

struct Outage {
    /// When it began, or when the node was given up last.
    since: Instant,
    /// Why the node cannot be given up, as it was said last.
    said: String,
}

impl Outages {
    /// Looks who is down, and asks for the removal of one that has been down for long enough.
    pub(crate) async fn look(&self, core: &Core) {
        let Some(lasts) = core.shared.config.replace_after else { return };
        let Some(node) = self.longest(core, lasts) else { return };
        if core.shared.coordinator.term(scope::TOPOLOGY).is_none() {
            return;
        }
        let id = core.shared.nodes.addresses[usize::from(node.0)].id.clone();
        let given_up = give_up(core, node, &id).await;
        let mut outages = self.of.borrow_mut();
        let Some(outage) = outages.get_mut(&node) else { return };
        match given_up {
            Ok(()) => {
                outage.since = runtime::now();
                let fields = [("node", &*id), ("down_for", &*format!("{}s", lasts.as_secs()))];
                log::warn("node_given_up", &fields);
            }
            Err(reason) => {
                if outage.said != reason {
                    log::warn("node_not_given_up", &[("node", &id), ("reason", &reason)]);
                    outage.said = reason;
                }
            }
        }
    }

    /// The node that has been down longest, if that is long enough.
    fn longest(&self, core: &Core, lasts: Duration) -> Option<NodeIndex> {
        let (now, topology) = (runtime::now(), core.shared.snapshot().topology.clone());
        let is_down = |node: NodeIndex| core.shared.nodes.health.state(node) == NodeState::Down;
        let down = topology.every_node().into_iter().filter(|node| is_down(*node)).collect::<Vec<_>>();
        let mut outages = self.of.borrow_mut();
        outages.retain(|node, _| down.contains(node));
        for node in down {
            outages.entry(node).or_insert(Outage { since: now, said: String::new() });
        }
        let longest = outages.iter().min_by_key(|(_, outage)| outage.since)?;
        (now.saturating_duration_since(longest.1.since) >= lasts).then_some(*longest.0)
    }
}

/// Asks for the removal of a node by force.
///
/// # Errors
/// Why that cannot be asked for now.
async fn give_up(core: &Core, node: NodeIndex, id: &str) -> Result<(), String> {
    let (shared, topology) = (&core.shared, core.shared.snapshot().topology.clone());
    if topology.standing(node) == Standing::Removed {
        return Err("it is being removed".to_owned());
    }
    let known = queue::all(shared).await.map_err(|error| error.to_string())?;
    if let Some(operation) = known.iter().find(|operation| !operation.has_ended()) {
        return Err(format!("operation {} has not ended", operation.operation));
    }
    let lacks = |other: &NodeIndex| {
        let serves = matches!(shared.nodes.health.state(*other), NodeState::Healthy | NodeState::Suspect);
        *other != node && !(serves && shared.nodes.hints.lets_through(*other))
    };
    if let Some(other) = topology.every_node().into_iter().find(lacks) {
        let other = &shared.nodes.addresses[usize::from(other.0)].id;
        return Err(format!("node {other} does not serve either, or has missed writes"));
    }
    let change = ShapeChange::RemoveNode { id: id.to_owned(), force: true };
    topology.plan(&change).map_err(|error| error.to_string())?;
    queue::enqueue(shared, Wanted::Shape(change)).await.map(drop).map_err(|error| error.to_string())
}
