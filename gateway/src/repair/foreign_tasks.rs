//! Detects writes behind the gateway's back: a node's tasks that the gateway has not made are foreign.
//!
//! Invariant: a task that repair made on a node is on record before foreign tasks are looked for.

use ahash::AHashSet;
use serde_json::{Value, json};
use store::{Table, TaskKind, TaskQuery};

use crate::{
    config::limits,
    repair::{replica::Replica, report::RepairError},
};

/// Node tasks that repair made, by node and uid.
const REPAIR_TASKS: Table = Table::named("repair_tasks");

fn key(node: &str, task: u32) -> String {
    format!("{node}/{task:010}")
}

/// Records a task that repair made.
pub(crate) async fn note(replica: &Replica<'_>, task: u32) -> Result<(), RepairError> {
    let key = key(replica.id(), task);
    let store = &replica.core.shared.store;
    let known = store.record(REPAIR_TASKS, &key).await?.map(|record| record.revision);
    store.put_record(REPAIR_TASKS, &key, json!({}), known).await?;
    Ok(())
}

/// Whether the node took a change of this index's documents that the gateway had not made.
pub(crate) async fn has_foreign_tasks(replica: &Replica<'_>, uid: &str) -> Result<bool, RepairError> {
    const TYPES: &str = "documentAdditionOrUpdate,documentDeletion,documentEdition";
    let target = format!(
        "/tasks?limit={}&types={TYPES}&indexUids={}",
        limits::FOREIGN_TASKS_LOOKED_AT,
        replica.node_uid
    );
    let page = replica.read(&target, limits::REPAIR_HELD_REQUEST_TIMEOUT).await?;
    let uid_of = |task: &Value| task["uid"].as_u64().and_then(|uid| u32::try_from(uid).ok());
    let on_node = page["results"].as_array().into_iter().flatten().filter_map(uid_of).collect::<Vec<_>>();
    let query = TaskQuery {
        index_uids: Some(vec![uid.to_owned()]),
        kinds: Some(vec![
            TaskKind::DocumentAdditionOrUpdate,
            TaskKind::DocumentDeletion,
            TaskKind::DocumentEdition,
        ]),
        limit: limits::GATEWAY_TASKS_LOOKED_AT,
        ..TaskQuery::default()
    };
    let store = &replica.core.shared.store;
    let known = store.tasks(query).await?;
    let is_whole = known.total <= u64::from(limits::GATEWAY_TASKS_LOOKED_AT);
    let of_node =
        known.tasks.iter().flat_map(|task| &task.node_tasks).filter(|task| task.node == replica.id());
    let known = of_node.map(|task| task.uid).collect::<AHashSet<_>>();
    // Before the first task that is still known nothing can be told.
    let first = if is_whole { 0 } else { known.iter().min().copied().unwrap_or(u32::MAX) };
    for task in on_node.into_iter().filter(|task| *task >= first && !known.contains(task)) {
        if store.record(REPAIR_TASKS, &key(replica.id(), task)).await?.is_none() {
            return Ok(true);
        }
    }
    Ok(false)
}
