//! What another number of shards will cost: documents, bytes, storage, writes.
//!
//! Invariant: nodes are asked and nothing is changed.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    membership::{
        rebalance::forecast::{self, Counted, DOCUMENTS_PER_SECOND},
        reshard::copies,
    },
    state::{core::Core, snapshot::Index},
};

/// Counts an index's documents, each once; `None` when a node does not say.
pub(crate) async fn count(core: &Core, index: &Arc<Index>) -> Option<Counted> {
    let mut counted = Counted::default();
    if index.record.primary_key.is_none() {
        return Some(counted);
    }
    for (node, shards) in copies::readers(core, index).ok()? {
        let documents = forecast::count(core, index, node, &shards).await?;
        counted.documents += documents;
        counted.bytes += documents * forecast::average_size(core, index, node).await.unwrap_or(0);
    }
    Some(counted)
}

/// What `dryRun` answers.
pub(crate) async fn view(core: &Core, index: &Arc<Index>, shards: u32, throttle: u32) -> Value {
    let counted = count(core, index).await;
    let topology = Arc::clone(&core.shared.snapshot().topology);
    let groups = topology.group_numbers().count() as u64;
    let copies = groups * u64::from(topology.replication_factor);
    let per_second = if throttle == 0 { DOCUMENTS_PER_SECOND } else { u64::from(throttle) };
    let mut warnings = Vec::new();
    if counted.is_none() {
        warnings.push("some node does not say how many documents it has".to_owned());
    }
    if copies::kept(index).is_some() {
        warnings.push("the copies that are kept from before an earlier reshard are dropped".to_owned());
    }
    let nodes = topology.every_node().len();
    if usize::try_from(shards).unwrap_or(usize::MAX) < nodes {
        warnings.push(format!("{shards} shards leave some of {nodes} nodes without documents"));
    }
    let documents = counted.as_ref().map(|counted| counted.documents);
    let bytes = counted.map(|counted| counted.bytes * copies);
    json!({
        "dryRun": true,
        "kind": "reshard",
        "index": index.record.uid,
        "shardsBefore": index.record.shards,
        "shards": shards,
        "documents": documents,
        "copies": copies,
        "bytes": bytes,
        "storageBytes": bytes,
        "seconds": documents.map(|documents| documents.div_ceil(per_second)),
        "writeAmplification": 2.0,
        "keptSeconds": core.shared.config.reshard_keep.as_secs(),
        "warnings": warnings,
    })
}
