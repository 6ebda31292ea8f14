//! Ends a task by hand that does not end by itself.
//!
//! Invariants: the end is durable before anybody learns of it, and with it the mark that the copies of the task's
//! shards have to be compared: a node may have done, or still do, its part. Nodes are asked to cancel what they have
//! not begun.

use futures_util::future::join_all;
use http::Method;
use serde_json::json;
use store::{Change, StoreError, TaskChange, TaskKind, TaskRecord, TaskStatus};

use crate::{
    api::error::{ApiError, Code},
    clock,
    state::core::Core,
    write::{
        changes::Noted,
        fanout,
        tasks::status::{
            self,
            registry_end::{self, LaneState},
        },
    },
};

/// Fails a task that has not ended, for a reason that clients read as its error.
///
/// # Errors
/// 409 when the task has changed meanwhile, and the store's error.
pub(crate) async fn by_hand(core: &Core, record: TaskRecord, reason: &str) -> Result<TaskRecord, ApiError> {
    let is_of_documents = matches!(
        record.kind,
        TaskKind::DocumentAdditionOrUpdate | TaskKind::DocumentDeletion | TaskKind::DocumentEdition
    );
    if !is_of_documents {
        let message = format!(
            "Task `{}` is a {}: only writes of documents are ended by hand; `POST /tasks/cancel` cancels others.",
            record.uid,
            record.kind.as_str()
        );
        return Err(ApiError::new(Code::MiroirWriteNotPending, message));
    }
    cancel_parts(core, &record).await;
    if !registry_end::settle(core, &record, TaskStatus::Failed, LaneState::Free).await {
        return Err(ApiError::overloaded("The index of the write is being changed; try again shortly."));
    }
    let now = clock::utc();
    let error = ApiError::new(Code::Internal, format!("Ended by an operator: {reason}")).into_task_error();
    let change = TaskChange {
        expected_revision: Some(record.revision),
        // A task that no node knows of yet becomes visible as failed.
        accepted: Some(true),
        status: Some(TaskStatus::Failed),
        error: Some(error),
        started_at: Some(record.started_at.unwrap_or(now)),
        finished_at: Some(now),
        ..TaskChange::default()
    };
    // What a client was not confirmed was not told as a change, so it is not told as undone.
    let undone = status::undone(core, &record, &change).filter(|_| record.accepted);
    let mut changes = vec![Change::UpdateTask { uid: record.uid, change: Box::new(change) }];
    changes.extend(status::suspects(core, &record));
    changes.extend(undone.iter().map(Noted::append));
    core.shared.note_task_end();
    match core.shared.store.commit(changes).await {
        Ok(_) => undone.iter().for_each(|undone| undone.count(&core.shared)),
        Err(StoreError::Conflict) => {
            let message = format!("Task `{}` has changed meanwhile: look at it again.", record.uid);
            return Err(ApiError::new(Code::MiroirWriteNotPending, message));
        }
        Err(error) => return Err(error.into()),
    }
    Ok(core.shared.store.task(record.uid).await?.unwrap_or(record))
}

/// Asks nodes to cancel their parts that have not ended; one that does not answer is left alone.
async fn cancel_parts(core: &Core, record: &TaskRecord) {
    let topology = &core.shared.snapshot().topology;
    let parts = record.node_tasks.iter().filter(|part| !part.status.is_finished() && !part.shared);
    join_all(parts.filter_map(|part| {
        let node = topology.index_of(&part.node)?;
        let takes = core.shared.nodes.health.state(node).takes_writes();
        takes.then_some(async move {
            let target = format!("/tasks/cancel?uids={}", part.uid);
            // What the node does not cancel is compared afterwards.
            let _ = fanout::ask_once(core, node, &Method::POST, &target, json!({}).to_string().into()).await;
        })
    }))
    .await;
}
