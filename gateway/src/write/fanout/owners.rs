//! Whether enough owners of shards take a write now, and the short wait for them.
//!
//! Invariant: nothing is sent where too few owners could take it.

use router::{NodeIndex, ShardSet};

use crate::{
    api::error::ApiError,
    config::limits,
    nodes::health::NodeState,
    state::core::Core,
    wire::runtime,
    write::{fanout::command::no_quorum, quorum::Quorum},
};

/// Checks whether enough owners of these shards take writes now.
pub(crate) async fn check(core: &Core, quorum: &Quorum<'_>, shards: &ShardSet) -> Result<(), ApiError> {
    wait_for_catch_up(core, &quorum.topology.every_node()).await;
    let nodes = quorum.topology.every_node();
    let enough = || quorum.is_reached(shards, |node| is_direct(core, node));
    let joining = || nodes.iter().any(|node| core.shared.nodes.health.state(*node) == NodeState::Joining);
    match wait_for_owners(core, enough, joining).await {
        true => Ok(()),
        false => Err(no_quorum()),
    }
}

/// Waits a moment where too few owners can be written to: one may come back just while another fails. Only the first
/// write that finds too few waits for nodes that are down; those behind it would wait one after the other.
async fn wait_for_owners(core: &Core, enough: impl Fn() -> bool, joining: impl Fn() -> bool) -> bool {
    let now = runtime::now();
    if enough() {
        core.short_of_owners.set(None);
        return true;
    }
    let known = core.short_of_owners.get();
    let since =
        known.filter(|since| now.saturating_duration_since(*since) < limits::SHORTAGE_FORGOTTEN_AFTER);
    let since = since.unwrap_or(now);
    core.short_of_owners.set(Some(since));
    loop {
        let waited_from = if joining() { now } else { since };
        if runtime::now() >= waited_from + limits::OWNERS_WAIT_MAX {
            return false;
        }
        runtime::sleep(limits::OWNERS_POLL_INTERVAL).await;
        if enough() {
            core.short_of_owners.set(None);
            return true;
        }
    }
}

/// Whether a change is sent to a node at once; else it becomes a hint.
pub(crate) fn is_direct(core: &Core, node: NodeIndex) -> bool {
    core.shared.nodes.health.state(node).takes_writes() && core.shared.nodes.hints.lets_through(node)
}

/// Waits until the last hints of a node are replayed; else new writes would add hints for ever.
async fn wait_for_catch_up(core: &Core, nodes: &[NodeIndex]) {
    let deadline = runtime::now() + limits::CATCHING_UP_WAIT_MAX;
    while nodes.iter().any(|node| core.shared.nodes.hints.is_catching_up(*node)) && runtime::now() < deadline
    {
        runtime::sleep(limits::CATCHING_UP_POLL_INTERVAL).await;
    }
}
