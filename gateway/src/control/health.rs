//! Health of the nodes: an active probe of each, besides what requests themselves see.

use futures_util::future::join_all;
use http::StatusCode;

use crate::{
    config::limits,
    data::{Core, every_node, pool::NodeRequest},
    health::NodeState,
    observe::log,
    runtime::Runtime,
};

use super::rejoin;

/// Probes every node once, all at the same time.
pub(super) async fn probe_all<R: Runtime>(core: &Core<R>) {
    let nodes = every_node(&core.shared.snapshot().topology);
    join_all(nodes.into_iter().map(|node| async move {
        let started = R::now();
        let answer = core.pools.ask(node, NodeRequest::get("/health"), limits::HEALTH_PROBE_TIMEOUT).await;
        let healthy = matches!(&answer, Ok(answer) if answer.status == StatusCode::OK);
        let id = &core.shared.nodes[usize::from(node.0)].id;
        let health = &core.shared.health;
        if !healthy && health.is_down(node) {
            log::warn("node_down", &[("node", id)]);
        }
        if healthy && (health.answers(node) || health.state(node) == NodeState::Joining) {
            rejoin::admit(core, node).await;
        }
        metrics::gauge!("miroir_node_healthy", "node" => id.clone()).set(if healthy { 1.0 } else { 0.0 });
        if healthy {
            let took = R::now().saturating_duration_since(started);
            metrics::histogram!("miroir_node_request_duration_seconds", "node" => id.clone())
                .record(took.as_secs_f64());
        }
    }))
    .await;
}
