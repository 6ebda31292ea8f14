//! How a node that answers again, or for the first time, comes to serve reads.
//!
//! Invariant: it is healthy only after everything here has succeeded while it stayed reachable; what
//! fails is tried again at the next probe.

use router::NodeIndex;

use crate::{
    data::{Core, features, learn_version, rules},
    observe::log,
    runtime::Runtime,
};

/// Lets a joining node serve.
pub(super) async fn admit<R: Runtime>(core: &Core<R>, node: NodeIndex) {
    // It may have come back as another version.
    learn_version(core, node).await;
    if !features::restore(core, node).await || !rules::restore(core, node).await {
        log::warn("node_not_restored", &[("node", &core.shared.nodes[usize::from(node.0)].id)]);
        return;
    }
    if core.shared.health.has_joined(node) {
        log::info("node_healthy", &[("node", &core.shared.nodes[usize::from(node.0)].id)]);
    }
}
