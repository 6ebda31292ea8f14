//! A look at a server before it becomes a node.
//!
//! Invariant: nothing is changed on it; every reason against it is named with what to do.

use router::Node;
use serde_json::Value;

use crate::{
    api::node_version::NodeVersion,
    config::limits,
    nodes::{address::NodeAddress, pool::NodeRequest},
    state::{core::Core, placed},
    write::orphan_indexes,
};

/// Whether a server can become a node.
///
/// # Errors
/// Why it cannot.
pub(crate) async fn inspect(core: &Core, node: &Node) -> Result<(), String> {
    let address = placed::find(&core.shared, node).await?;
    let snapshot = core.shared.snapshot();
    for known in snapshot.topology.every_node() {
        let other = &core.shared.nodes.addresses[usize::from(known.0)];
        if other.address == address.address && other.id != node.id {
            return Err(format!("{} is where node `{}` listens", node.url, other.id));
        }
    }
    drop(snapshot);
    ask(core, &address, "/health").await?;
    let version = ask(core, &address, "/version").await?;
    let version = version["pkgVersion"].as_str().and_then(NodeVersion::parse);
    let version =
        version.ok_or_else(|| format!("{} does not say its version as Meilisearch does", node.url))?;
    if let Some(lowest) = core.shared.nodes.health.lowest_version()
        && version != lowest
    {
        let shown = |version: NodeVersion| format!("{}.{}", version.0, version.1);
        return Err(format!(
            "{} is version {}, the cluster's nodes are {}; give the new node that version first",
            node.url,
            shown(version),
            shown(lowest)
        ));
    }
    let indexes = ask(core, &address, "/indexes?limit=1000000").await?;
    let names = indexes["results"].as_array().into_iter().flatten().filter_map(|index| index["uid"].as_str());
    let foreign = names.filter(|uid| !orphan_indexes::is_given(uid)).collect::<Vec<_>>();
    match foreign.first() {
        None => Ok(()),
        Some(first) => Err(format!(
            "{} has {} indexes of somebody else's, `{first}` among them; delete them or give an empty node",
            node.url,
            foreign.len()
        )),
    }
}

async fn ask(core: &Core, address: &NodeAddress, target: &str) -> Result<Value, String> {
    let answer = core.pools.ask_stranger(address, NodeRequest::get(target), limits::NEW_NODE_TIMEOUT).await;
    let answer = answer.map_err(|error| format!("{} does not answer {target}: {error}", address.host))?;
    if !answer.status.is_success() {
        let status = answer.status.as_u16();
        let advice = if status == 401 || status == 403 { "; give it the key of the other nodes" } else { "" };
        return Err(format!("{} answers {target} with status {status}{advice}", address.host));
    }
    serde_json::from_slice(&answer.body)
        .map_err(|error| format!("{} answers {target} with {error}", address.host))
}
