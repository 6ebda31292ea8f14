//! Metrics that nobody's request brings up to date: states and sizes, read at an interval.
//!
//! Invariant: what it costs does not grow with the documents: counts are the store's own.

use std::sync::atomic::Ordering;

use store::{JobState, TaskQuery, TaskStatus};

use crate::{
    clock,
    repair::{copied_anew, queue},
    state::{core::Core, coverage},
    wire::runtime,
};

/// Sets all of them.
#[allow(clippy::cast_precision_loss, reason = "counts of bounded tables")]
pub(super) async fn metrics(core: &Core) {
    let shared = &core.shared;
    shared.prometheus.run_upkeep();
    of_shards(core);
    metrics::gauge!("miroir_session_pinning_active_sessions")
        .set(shared.sessions.active(runtime::now()) as f64);
    let in_flight: usize = shared.in_flight.iter().map(|count| count.load(Ordering::Relaxed)).sum();
    metrics::gauge!("miroir_requests_in_flight").set(in_flight as f64);
    let waiting: usize = core.lanes.iter().map(|lane| lane.max_capacity() - lane.capacity()).sum();
    metrics::gauge!("miroir_request_queue_depth").set(waiting as f64);
    of_tasks(core).await;
    for (name, queue) in [("anti_entropy", queue::PASSES), ("node_copies", copied_anew::COPIES)] {
        if let Ok(jobs) = shared.store.jobs(queue).await {
            let waiting = jobs.iter().filter(|job| job.state == JobState::Queued).count();
            metrics::gauge!("miroir_background_queue_depth", "queue" => name).set(waiting as f64);
        }
    }
}

/// How many shards each node holds, how many are covered, and for how many this pod works.
#[allow(clippy::cast_precision_loss, reason = "at most 65536 shards an index")]
fn of_shards(core: &Core) {
    let shared = &core.shared;
    let snapshot = shared.snapshot();
    let shards = f64::from(shared.config.shards);
    let uncovered = coverage::uncovered_shards(shared, &snapshot);
    metrics::gauge!("miroir_shard_coverage").set((shards - uncovered as f64) / shards.max(1.0));
    let topology = &snapshot.topology;
    if let Some(placement) = topology.placement(shared.config.shards) {
        for node in topology.every_node() {
            let held = f64::from(placement.shards_of(node).len());
            metrics::gauge!("miroir_shard_distribution", "node" => topology.node(node).id.clone()).set(held);
        }
    }
    let owned = snapshot
        .indexes
        .values()
        .filter(|index| shared.coordinator.owns(&format!("drift/{}", index.record.node_uid)));
    let owned = owned.map(|index| u64::from(index.record.shards)).sum::<u64>();
    metrics::gauge!("miroir_owned_shards_count").set(owned as f64);
}

#[allow(clippy::cast_precision_loss, reason = "a bounded registry")]
async fn of_tasks(core: &Core) {
    let store = &core.shared.store;
    if let Ok(page) = store.tasks(TaskQuery { limit: 0, ..TaskQuery::default() }).await {
        metrics::gauge!("miroir_task_registry_size").set(page.total as f64);
    }
    let statuses = Some(vec![TaskStatus::Enqueued, TaskStatus::Processing]);
    let unfinished = TaskQuery { statuses, limit: 1, reverse: true, ..TaskQuery::default() };
    if let Ok(page) = store.tasks(unfinished).await {
        core.shared.tasks_unfinished.store(page.total, Ordering::Relaxed);
        metrics::gauge!("miroir_task_registry_unfinished").set(page.total as f64);
        let age = page.tasks.first().map_or(0.0, |task| (clock::utc() - task.enqueued_at).as_seconds_f64());
        metrics::gauge!("miroir_task_processing_age_seconds").set(age.max(0.0));
    }
}
