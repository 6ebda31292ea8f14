//! What a plan will cost: documents and bytes of the shards that get new copies.
//!
//! Invariant: nodes are asked and nothing is changed.

use std::collections::BTreeMap;

use router::{NodeIndex, ShardSet, rebalance::Plan, shard_filter};
use serde_json::{Value, json};

use crate::{
    config::limits,
    nodes::pool::NodeRequest,
    state::{core::Core, snapshot::Index},
};

/// Documents a second that a node is expected to take in, where nothing is known.
pub(crate) const DOCUMENTS_PER_SECOND: u64 = 5_000;

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) documents: u64,
    pub(crate) bytes: u64,
}

/// The shards that get new copies, ascending.
pub(crate) fn shards(plan: &Plan) -> Vec<u32> {
    let mut shards = plan.moves.iter().map(|each| each.shard).collect::<Vec<_>>();
    shards.sort_unstable();
    shards.dedup();
    shards
}

/// Counts the documents that will be copied; `None` when a node does not say.
pub(crate) async fn documents(core: &Core, plan: &Plan) -> Option<Counted> {
    let snapshot = core.shared.snapshot();
    let mut counted = Counted::default();
    for index in &snapshot.with_twins() {
        if index.record.primary_key.is_none() {
            continue;
        }
        // A shard that goes to two nodes counts twice.
        let mut by_owner: BTreeMap<NodeIndex, BTreeMap<u32, u64>> = BTreeMap::new();
        for each in plan.moves.iter().filter(|each| each.shards == index.record.shards) {
            let groups = snapshot.topology.groups().len();
            let mut owners =
                (0..groups).flat_map(|group| index.placement.owners(group, each.shard).iter().copied());
            let owner = owners.find(|node| core.shared.nodes.health.state(*node).serves_reads())?;
            *by_owner.entry(owner).or_default().entry(each.shard).or_default() += 1;
        }
        for (node, shards) in by_owner {
            let most = shards.values().copied().max().unwrap_or(0);
            for copies in 1..=most {
                let set = shards.iter().filter(|(_, count)| **count >= copies);
                let documents = count(core, index, node, &set.map(|(shard, _)| *shard).collect()).await?;
                counted.documents += documents;
                counted.bytes += documents * average_size(core, index, node).await.unwrap_or(0);
            }
        }
    }
    Some(counted)
}

pub(crate) async fn count(core: &Core, index: &Index, node: NodeIndex, shards: &ShardSet) -> Option<u64> {
    let target = format!("/indexes/{}/documents/fetch", index.record.node_uid);
    let body = json!({"filter": shard_filter(shards), "limit": 0}).to_string();
    let asked = core.pools.ask(node, NodeRequest::post_json(&target, body), limits::NEW_NODE_TIMEOUT);
    let answer = asked.await.ok().filter(|answer| answer.status.is_success())?;
    serde_json::from_slice::<Value>(&answer.body).ok()?["total"].as_u64()
}

pub(crate) async fn average_size(core: &Core, index: &Index, node: NodeIndex) -> Option<u64> {
    let target = format!("/indexes/{}/stats", index.record.node_uid);
    let answer = core.pools.ask(node, NodeRequest::get(&target), limits::NEW_NODE_TIMEOUT).await.ok()?;
    serde_json::from_slice::<Value>(&answer.body).ok()?["avgDocumentSize"].as_u64()
}

/// What `dryRun` answers.
pub(crate) async fn view(core: &Core, kind: &str, plan: &Plan) -> Value {
    let counted = documents(core, plan).await;
    let mut warnings = Vec::new();
    if counted.is_none() {
        warnings.push("some node does not say how many documents it has");
    }
    if !core.shared.config.anti_entropy {
        warnings.push("anti-entropy is off: what differs between copies afterwards is not found");
    }
    let documents = counted.as_ref().map(|counted| counted.documents);
    let throttle = u64::from(core.shared.config.migration_throttle);
    let per_second = if throttle == 0 { DOCUMENTS_PER_SECOND } else { throttle.min(DOCUMENTS_PER_SECOND) };
    let node = |node: &NodeIndex| plan.target.node(*node).id.as_str();
    let moves = plan.moves.iter().map(|each| {
        let from = each.from.iter().map(node).collect::<Vec<_>>();
        json!({"shards": each.shards, "shard": each.shard, "group": each.group, "to": node(&each.to), "from": from})
    });
    json!({
        "dryRun": true,
        "kind": kind,
        "shards": shards(plan),
        "moves": moves.collect::<Vec<_>>(),
        "documents": documents,
        "bytes": counted.map(|counted| counted.bytes),
        "seconds": documents.map(|documents| documents.div_ceil(per_second)),
        "warnings": warnings,
    })
}
