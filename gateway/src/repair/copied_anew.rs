//! Which nodes are being copied anew: those with a job of their own.

use router::NodeIndex;
use store::StoreError;

use crate::{nodes::health::NodeState, state::core::Core};

/// The queue of nodes to be copied.
pub(crate) const COPIES: &str = "node_copies";

/// The nodes that are being copied anew, and answer.
///
/// # Errors
/// The store's error.
pub(crate) async fn under_way(core: &Core) -> Result<Vec<NodeIndex>, StoreError> {
    let jobs = core.shared.store.jobs(COPIES).await?;
    let topology = core.shared.snapshot().topology.clone();
    let nodes = jobs.iter().filter_map(|job| topology.index_of(job.payload.as_str()?));
    Ok(nodes.filter(|node| core.shared.nodes.health.state(*node) == NodeState::Joining).collect())
}
