//! Cancels tasks by having nodes cancel the node tasks that these consist of.
//!
//! Invariants: a target names its canceler before a node is asked, so that no task is canceled by nobody. Only what
//! nodes alone have to do is canceled (`view::is_cancelable`). A node that has done its part of a task already keeps
//! it, and the task is canceled on the nodes that had not.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use http::Method;
use serde_json::json;
use store::{NodeTask, TaskChange, TaskRecord, TaskStatus};

use crate::{
    api::{error::ApiError, tasks::view},
    clock,
    config::limits,
    state::core::Core,
    write::{apply, fanout},
};

/// Asks the nodes to cancel what they have yet to do of the `matched` tasks (uids, ascending).
///
/// # Errors
/// 503 when no node that has something to cancel can be asked.
pub(crate) async fn cancel(core: &Core, intent: TaskRecord, matched: &[u32]) -> Result<TaskRecord, ApiError> {
    let mut targets = core.shared.store.unfinished_tasks(limits::TASKS_CANCELED_MAX).await?;
    targets.retain(|task| {
        task.accepted && view::is_cancelable(task.kind) && matched.binary_search(&task.uid).is_ok()
    });
    mark(core, &targets, intent.uid).await;
    let node_tasks = match ask_nodes(core, &targets).await {
        Ok(node_tasks) => node_tasks,
        Err(error) => {
            apply::discard(core, &intent).await;
            return Err(error);
        }
    };
    let mut change = TaskChange {
        accepted: Some(true),
        targets: Some(targets.iter().map(|target| target.uid).collect()),
        ..TaskChange::default()
    };
    if node_tasks.is_empty() {
        let now = clock::utc();
        change.status = Some(TaskStatus::Succeeded);
        change.started_at = Some(now);
        change.finished_at = Some(now);
        change.details = Some(view::with_member(intent.details.as_ref(), "canceledTasks", 0));
    }
    change.node_tasks = Some(node_tasks);
    Ok(core.shared.store.update_task(intent.uid, change).await?)
}

/// Names the cancelation in its targets. A target that has changed meanwhile is read and tried once more, then left
/// alone: it has ended, another task cancels it, or it is only further on and shows up as canceled without a
/// canceler.
async fn mark(core: &Core, targets: &[TaskRecord], canceler: u32) {
    for chunk in targets.chunks(limits::TASKS_CHANGED_AT_ONCE) {
        join_all(chunk.iter().map(|target| async move {
            let mut known = Some(target.clone());
            for _ in 0..2 {
                let Some(target) = known.filter(|task| !task.status.is_finished()) else { return };
                let change = TaskChange {
                    expected_revision: Some(target.revision),
                    canceled_by: target.canceled_by.or(Some(canceler)),
                    ..TaskChange::default()
                };
                if core.shared.store.update_task(target.uid, change).await.is_ok() {
                    return;
                }
                known = core.shared.store.task(target.uid).await.ok().flatten();
            }
        }))
        .await;
    }
}

async fn ask_nodes(core: &Core, targets: &[TaskRecord]) -> Result<Vec<NodeTask>, ApiError> {
    let mut by_node: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for task in targets.iter().flat_map(|target| &target.node_tasks) {
        // A node task that several clients share is not canceled.
        if !task.status.is_finished() && !task.shared {
            by_node.entry(&task.node).or_default().push(task.uid);
        }
    }
    let topology = &core.shared.snapshot().topology;
    let questions = by_node
        .iter()
        .flat_map(|(node, uids)| uids.chunks(limits::TASKS_PER_NODE_QUESTION).map(move |uids| (*node, uids)));
    let sent = questions.filter_map(|(id, uids)| {
        let node =
            topology.index_of(id).filter(|node| core.shared.nodes.health.state(*node).takes_writes())?;
        let list = uids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        Some(async move {
            let target = format!("/tasks/cancel?uids={list}");
            let body = json!({}).to_string().into();
            let uid = fanout::ask_once(core, node, &Method::POST, &target, body).await?;
            Ok(fanout::node_task(core, node, uid, 0))
        })
    });
    let (taken, failed): (Vec<_>, Vec<_>) = join_all(sent).await.into_iter().partition(Result::is_ok);
    match failed.into_iter().find_map(Result::err) {
        Some(error) if taken.is_empty() => Err(error),
        _ => Ok(taken.into_iter().flatten().collect()),
    }
}
