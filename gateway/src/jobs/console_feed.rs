//! Feeds open consoles: the cluster's health, tasks, what has changed in the store, and a point of the metrics.
//!
//! Invariants: without an open console only the metrics are read, every ten seconds; without a console at all not even
//! these. What fails is looked at again at the next turn.

use std::{collections::BTreeMap, sync::Arc};

use router::{NodeIndex, Standing};
use serde_json::{Value, json};
use store::{Changes, Name, TaskQuery, TaskStatus};

use crate::{
    clock,
    config::{AdminUi, limits},
    console::{live::Topic, metric_history::Reading},
    observe::log,
    state::{
        coverage::{node_state, uncovered_shards},
        shared::Shared,
    },
    wire::runtime,
};

/// Starts what feeds consoles; nothing where there are none.
pub(crate) fn start(shared: &Arc<Shared>) {
    if shared.config.admin_ui == AdminUi::Off {
        return;
    }
    runtime::spawn(measure(Arc::clone(shared)));
    runtime::spawn(look(Arc::clone(shared)));
    runtime::spawn(follow(Arc::clone(shared)));
}

/// Adds a point to the metrics of the last hour, for ever.
async fn measure(shared: Arc<Shared>) {
    let mut earlier = Reading::of_text(&shared.prometheus.render());
    let mut since = runtime::now();
    loop {
        runtime::sleep(limits::CONSOLE_POINT_INTERVAL).await;
        let reading = Reading::of_text(&shared.prometheus.render());
        let now = runtime::now();
        let seconds = now.saturating_duration_since(since).as_secs_f64();
        let point = reading.since(&earlier, seconds, clock::utc().unix_timestamp());
        (earlier, since) = (reading, now);
        shared.console.live.publish(Topic::Metrics, point.view().to_string());
        shared.console.history.store(Arc::new(shared.console.history.load().with(point)));
    }
}

/// Looks at nodes and tasks while somebody watches, for ever.
async fn look(shared: Arc<Shared>) {
    loop {
        if shared.console.live.is_watched() {
            shared.console.live.publish(Topic::Health, health(&shared).to_string());
            match tasks(&shared).await {
                Ok(tasks) => shared.console.live.publish(Topic::Tasks, tasks.to_string()),
                Err(error) => log::warn("console_not_fed", &[("reason", &error.to_string())]),
            }
        }
        runtime::sleep(limits::CONSOLE_LOOK_INTERVAL).await;
    }
}

/// Counts the changes of each table of the store while somebody watches, for ever.
async fn follow(shared: Arc<Shared>) {
    let (mut version, mut counts) = (None, BTreeMap::new());
    loop {
        if !shared.console.live.is_watched() {
            // What is missed meanwhile does not matter: a console that opens reads everything.
            version = None;
            runtime::sleep(limits::CONSOLE_LOOK_INTERVAL).await;
            continue;
        }
        match shared.store.changes(version).await {
            Ok(changes) => {
                version = Some(changes.version);
                count(&mut counts, &changes);
                shared.console.live.publish(Topic::Changes, json!(counts).to_string());
                runtime::sleep(limits::CONSOLE_STREAM_PAUSE).await;
            }
            Err(_) => runtime::sleep(limits::CONSOLE_LOOK_INTERVAL).await,
        }
    }
}

/// Counts one change of each table that is named. After a gap everything may have changed, which `all` stands for.
fn count(counts: &mut BTreeMap<String, u64>, changes: &Changes) {
    let names = changes.names.iter().map(|name| match name {
        Name::Topology => "topology",
        Name::Index(_) => "indexes",
        Name::Record { table, .. } => table,
        Name::Log { log, .. } => log,
    });
    let mut tables = names.collect::<Vec<_>>();
    tables.sort_unstable();
    tables.dedup();
    if changes.incomplete {
        tables.push("all");
    }
    for table in tables {
        *counts.entry(table.to_owned()).or_insert(0) += 1;
    }
}

fn health(shared: &Shared) -> Value {
    let snapshot = shared.snapshot();
    let uncovered = uncovered_shards(shared, &snapshot);
    let hints = &shared.nodes.hints;
    let topology = &snapshot.topology;
    let nodes = topology.nodes.iter().enumerate().filter_map(|(position, node)| {
        let number = NodeIndex(u16::try_from(position).unwrap_or(u16::MAX));
        if topology.standing(number) == Standing::Removed {
            return None;
        }
        Some(json!({
            "id": node.id,
            "state": node_state(shared, topology, number),
            "hints": hints.pending(number),
            "hintBytes": hints.pending_bytes(number),
            "copyNeeded": hints.needs_full_resync(number),
        }))
    });
    json!({
        "ready": uncovered == 0 && !shared.is_draining(),
        "uncoveredShards": uncovered,
        "draining": shared.is_draining(),
        "topologyVersion": topology.version,
        "nodes": nodes.collect::<Vec<_>>(),
        "coordinator": shared.coordinator.view(),
    })
}

async fn tasks(shared: &Shared) -> Result<Value, store::StoreError> {
    let newest = shared.store.tasks(TaskQuery { limit: 1, ..TaskQuery::default() }).await?;
    let statuses = Some(vec![TaskStatus::Enqueued, TaskStatus::Processing]);
    let unfinished = shared.store.tasks(TaskQuery { statuses, limit: 0, ..TaskQuery::default() }).await?;
    Ok(json!({
        "newest": newest.tasks.first().map(|task| task.uid),
        "total": newest.total,
        "unfinished": unfinished.total,
        "ended": shared.tasks_ended(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_count_once_a_table() {
        let record = |key: &str| Name::Record { table: "aliases".to_owned(), key: key.to_owned() };
        let mut counts = BTreeMap::new();
        let names = vec![Name::Index("m".to_owned()), record("a"), record("b")];
        let changes = Changes { version: 3, incomplete: false, incarnation: 0, names };
        count(&mut counts, &changes);
        count(&mut counts, &Changes { incomplete: true, names: vec![record("a")], ..changes });
        assert_eq!(json!(counts), json!({"aliases": 2, "all": 1, "indexes": 1}));
    }
}
