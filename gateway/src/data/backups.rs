//! Snapshots: each node's own file of all it holds, made by one task.
//!
//! Invariant: the task has succeeded when every node's snapshot has; together they are the documents
//! of the cluster, while the gateway's store is kept by other means.

use http::Method;
use serde_json::Value;
use store::{NewTask, TaskKind};

use super::{change::Accepted, changes, core::Core, fanout, indexes::new_task, tasks};
use crate::{
    api::error::ApiError,
    h1::{Request, Response},
    runtime::Runtime,
};

/// `POST /snapshots`. A body means nothing, as on a node.
///
/// # Errors
/// 503 when a node does not take the task; those that did make a snapshot nobody waits for.
pub(super) async fn snapshot<R: Runtime>(core: &Core<R>, request: &Request) -> Result<Response, ApiError> {
    let task = new_task(request, "", TaskKind::SnapshotCreation, Value::Null);
    let intent = core.shared.store.create_task(NewTask { index_uid: None, details: None, ..task }).await?;
    match fanout::send_to_every_node(core, &Method::POST, "/snapshots").await {
        Ok(node_tasks) => {
            let change = changes::accepted_change(node_tasks);
            let record = core.shared.store.update_task(intent.uid, change).await?;
            Ok(tasks::accepted(Accepted { record, degraded: None }))
        }
        Err(error) => {
            changes::discard(core, &intent).await;
            Err(error)
        }
    }
}
