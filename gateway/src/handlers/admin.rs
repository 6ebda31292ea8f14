//! The management API under `/_miroir/`: what an operator can see of the cluster.
//!
//! Invariant: keys are never shown. What is reported is this pod's view, from its current snapshot.

use std::sync::atomic::Ordering;

use http::StatusCode;
use router::NodeIndex;
use serde_json::{Value, json};

use crate::{
    nodes::health::NodeState,
    state::{
        coverage::{node_state, uncovered_shards},
        shared::Shared,
        snapshot::Snapshot,
    },
    wire::h1::Response,
};

/// `GET /_miroir/topology`: nodes, groups and indexes.
pub fn topology(shared: &Shared) -> Response {
    let snapshot = shared.snapshot();
    let topology = &snapshot.topology;
    let nodes = topology.nodes.iter().enumerate().map(|(position, node)| {
        let hints = &shared.nodes.hints;
        let number = index(position);
        json!({
            "id": node.id,
            "url": node.url,
            "group": node.group,
            "capacity": node.capacity,
            "state": node_state(shared, topology, number),
            "reason": reason(shared, number),
            "nodeVersion": shared.nodes.health.version(number).map(|version| version.to_string()),
            "hints": {
                "count": hints.pending(number),
                "bytes": hints.pending_bytes(number),
                "copyNeeded": hints.needs_full_resync(number),
            },
        })
    });
    let answer = json!({
        "version": topology.version,
        "replicationFactor": topology.replication_factor,
        "shards": shared.config.shards,
        "nodes": nodes.collect::<Vec<_>>(),
        "indexes": indexes(&snapshot),
        "coordinator": shared.coordinator.view(),
        "gatewayVersion": env!("CARGO_PKG_VERSION"),
        "tasks": {"unfinished": shared.tasks_unfinished.load(Ordering::Relaxed)},
    });
    Response::json(StatusCode::OK, answer.to_string())
}

/// `GET /_miroir/shards`: which nodes hold each shard, best first, per group.
pub fn shards(shared: &Shared) -> Response {
    let snapshot = shared.snapshot();
    let topology = &snapshot.topology;
    let placements = topology.placements().iter().map(|placement| {
        let groups = (0..topology.groups().len()).map(|group| {
            let owners = (0..placement.shards()).map(|shard| {
                let owners = placement.owners(group, shard).iter();
                owners.map(|node| topology.node(*node).id.as_str()).collect::<Vec<_>>()
            });
            json!({"group": group, "owners": owners.collect::<Vec<_>>()})
        });
        json!({"shards": placement.shards(), "groups": groups.collect::<Vec<_>>()})
    });
    let answer = json!({
        "version": topology.version,
        "placements": placements.collect::<Vec<_>>(),
        "indexes": indexes(&snapshot),
    });
    Response::json(StatusCode::OK, answer.to_string())
}

/// `GET /_miroir/ready`: 200 once every shard has a healthy owner, else 503.
pub fn ready(shared: &Shared) -> Response {
    let snapshot = shared.snapshot();
    let uncovered = uncovered_shards(shared, &snapshot);
    let ready = uncovered == 0 && !shared.is_draining();
    let answer = json!({
        "ready": ready,
        "uncoveredShards": uncovered,
        "draining": shared.is_draining(),
        "storeReached": shared.coordinator.is_reached(),
    });
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Response::json(status, answer.to_string())
}

/// `GET /_miroir/metrics`: Prometheus text.
pub fn metrics(shared: &Shared) -> Response {
    let mut response = Response::json(StatusCode::OK, shared.prometheus.render());
    response.content_type = Some("text/plain; version=0.0.4");
    response
}

fn indexes(snapshot: &Snapshot) -> Value {
    let mut records = snapshot.indexes.values().map(|index| &index.record).collect::<Vec<_>>();
    records.sort_by(|one, other| one.uid.cmp(&other.uid));
    let views = records.into_iter().map(|record| {
        json!({
            "uid": record.uid,
            "nodeUid": record.node_uid,
            "primaryKey": record.primary_key,
            "shards": record.shards,
            "settingsVersion": record.settings_version,
        })
    });
    views.collect()
}

/// Why a node does not serve; `None` while it does.
fn reason(shared: &Shared, node: NodeIndex) -> Option<String> {
    let serves = shared.nodes.health.state(node) == NodeState::Healthy;
    shared.nodes.fault(node).filter(|_| !serves).map(|fault| fault.as_ref().clone())
}

fn index(position: usize) -> NodeIndex {
    NodeIndex(u16::try_from(position).unwrap_or(u16::MAX))
}
