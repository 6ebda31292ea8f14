//! Snapshots: each node makes a file of all that it holds, in one task for all of them.
//!
//! Invariant: the task has succeeded when every node's snapshot has. Together they are the documents of the cluster;
//! the gateway's store is backed up by other means.

use http::Method;
use serde_json::Value;
use store::{NewTask, TaskKind};

use crate::{
    api::error::ApiError,
    handlers::{indexes::new_task, tasks},
    state::{change::Accepted, core::Core},
    wire::h1::{Request, Response},
    write::{apply, fanout},
};

/// `POST /snapshots`. The body is ignored, as on a node.
///
/// # Errors
/// 503 when a node does not take the task; the nodes that did take it make a snapshot all the same.
pub(crate) async fn snapshot(core: &Core, request: &Request) -> Result<Response, ApiError> {
    let task = new_task(request, "", TaskKind::SnapshotCreation, Value::Null);
    let intent = core.shared.store.create_task(NewTask { index_uid: None, details: None, ..task }).await?;
    match fanout::send_to_every_node(core, &Method::POST, "/snapshots").await {
        Ok(node_tasks) => {
            let change = apply::accepted_change(node_tasks);
            let record = core.shared.store.update_task(intent.uid, change).await?;
            Ok(tasks::accepted(Accepted { record, degraded: None }))
        }
        Err(error) => {
            apply::discard(core, &intent).await;
            Err(error)
        }
    }
}
