//! Probes the health of each node, besides what requests themselves show.
//!
//! Invariants: every node is watched apart from the others, so that none waits for another's silence or joining. A
//! node that answers requests is not probed.

use std::{cell::RefCell, rc::Rc, time::Duration};

use ahash::AHashSet;
use futures_util::future::join_all;
use http::StatusCode;
use router::{NodeIndex, Standing};

use crate::{
    config::limits,
    membership::rejoin,
    nodes::{
        health::{NodeState, Seen},
        pool::{NodeRequest, fault, seen},
    },
    state::core::Core,
    wire::runtime,
};

/// Probes every node once, all at the same time, and begins the rejoin of those that answer.
pub(crate) async fn probe_all(core: &Rc<Core>) {
    let nodes = core.shared.snapshot().topology.every_node();
    join_all(nodes.into_iter().map(|node| async move {
        probe(core, node).await;
        if core.shared.nodes.health.state(node) == NodeState::Joining {
            rejoin::begin(core, node);
        }
    }))
    .await;
}

/// Watches every node for as long as the process lives, those that come later too.
pub(crate) fn watch_all(core: &Rc<Core>) {
    let core = Rc::clone(core);
    runtime::spawn(async move {
        let watched = Rc::new(RefCell::new(AHashSet::new()));
        loop {
            let nodes = core.shared.snapshot().topology.every_node();
            let count = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
            let interval = limits::HEALTH_PROBE_INTERVAL.max(limits::HEALTH_PROBE_SHARE * count);
            for node in nodes {
                if watched.borrow_mut().insert(node) {
                    let (core, watched) = (Rc::clone(&core), Rc::clone(&watched));
                    runtime::spawn(async move {
                        watch(core, node, interval).await;
                        watched.borrow_mut().remove(&node);
                    });
                }
            }
            runtime::sleep(limits::NEW_NODES_LOOK_INTERVAL).await;
        }
    });
}

fn is_member(core: &Core, node: NodeIndex) -> bool {
    core.shared.snapshot().topology.standing(node) != Standing::Removed
}

async fn watch(core: Rc<Core>, node: NodeIndex, interval: Duration) {
    let mut looked_at = runtime::now();
    probe(&core, node).await;
    while is_member(&core, node) {
        let state = core.shared.nodes.health.state(node);
        runtime::sleep(if state == NodeState::Suspect { limits::HEALTH_SUSPECT_INTERVAL } else { interval })
            .await;
        if !is_member(&core, node) {
            return;
        }
        let healthy = core.shared.nodes.health.state(node) == NodeState::Healthy;
        if !healthy || !core.shared.nodes.health.answered_lately(node, runtime::now()) {
            probe(&core, node).await;
        }
        if core.shared.nodes.health.state(node) == NodeState::Joining {
            // Joining takes time, and the node is watched meanwhile.
            rejoin::begin(&core, node);
        }
        rejoin::watch(&core, node).await;
        if runtime::now().saturating_duration_since(looked_at) >= limits::SUSPICION_INTERVAL {
            rejoin::look_again(&core, node).await;
            looked_at = runtime::now();
        }
    }
}

async fn probe(core: &Core, node: NodeIndex) {
    let started = runtime::now();
    let answer = core.pools.exchange(node, NodeRequest::get("/health"), limits::HEALTH_PROBE_TIMEOUT).await;
    let now = runtime::now();
    let id = &core.shared.nodes.addresses[usize::from(node.0)].id;
    let answered = matches!(&answer, Ok(answer) if answer.status == StatusCode::OK);
    let seen = match (answered, seen(&answer)) {
        (true, _) => Seen::ProbeAnswered,
        (false, Seen::Refused) => Seen::Refused,
        (false, _) => Seen::ProbeFailed,
    };
    core.shared.nodes.saw(node, seen, now, || fault(&answer));
    let serves = core.shared.nodes.health.state(node).serves_reads();
    metrics::gauge!("miroir_node_healthy", "node" => id.clone()).set(f64::from(u8::from(serves)));
    if answered {
        let took = now.saturating_duration_since(started);
        metrics::histogram!("miroir_node_request_duration_seconds", "node" => id.clone())
            .record(took.as_secs_f64());
    }
}
