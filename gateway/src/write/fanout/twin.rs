//! Writes of an index that has a twin: copies under another number of shards, which get every change as well.
//!
//! Invariants: the twin gets a change after the index's own copies have taken it, in the same lane, so that both see one
//! order. What a node misses of it is kept for the node and durable before the client is answered. No client learns how
//! the twin fared: whoever has the twin serve compares it first.

use bytes::Bytes;
use http::Method;

use crate::{
    state::{change::NodePart, core::Core, snapshot::Index},
    write::fanout::{
        command::{NodeCommand, for_every_node, quorum},
        delivery::deliver_once,
        missed::{Missed, keep_all_missed},
    },
};

/// Method, target below the index, and whether doing it twice differs from doing it once.
type Request<'a> = (&'a Method, &'a str, bool);

/// Sends an accepted change's parts to the nodes of the index's twin.
pub(crate) async fn repeat(
    core: &Core,
    index: &Index,
    (method, suffix, once): Request<'_>,
    parts: &[NodePart],
    missed: &mut Missed,
) {
    let Some(twin) = index.twin.as_ref().filter(|_| !parts.is_empty()) else { return };
    let target = format!("/indexes/{}{suffix}", twin.record.node_uid);
    let command =
        NodeCommand { index: &twin.record.node_uid, method, target: &target, validated: false, once };
    let snapshot = core.shared.snapshot();
    let quorum = quorum(core, &snapshot, &twin.placement);
    let deliveries = deliver_once(core, &quorum, &command, parts).await;
    keep_all_missed(&command, parts, &deliveries, missed);
    metrics::counter!("miroir_reshard_writes_repeated_total").increment(1);
}

/// Sends an accepted change to the twin on every node.
pub(crate) async fn repeat_everywhere(
    core: &Core,
    index: &Index,
    request: Request<'_>,
    body: &Bytes,
    missed: &mut Missed,
) {
    let Some(twin) = &index.twin else { return };
    let snapshot = core.shared.snapshot();
    let parts = for_every_node(&quorum(core, &snapshot, &twin.placement), body);
    repeat(core, index, request, &parts, missed).await;
}
