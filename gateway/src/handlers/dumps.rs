//! `POST /dumps`: accepts the task; the control executor makes the dump.

use serde_json::json;
use store::{NewTask, TaskKind};

use crate::{
    api::error::ApiError,
    handlers::{indexes::new_task, tasks},
    state::{change::Accepted, core::Core},
    wire::h1::message::{Request, Response},
};

/// `POST /dumps`.
pub(crate) async fn create(core: &Core, request: &Request) -> Result<Response, ApiError> {
    let task = new_task(request, "", TaskKind::DumpCreation, json!({"dumpUid": null}));
    let new = NewTask { index_uid: None, accepted: true, ..task };
    let record = core.shared.store.create_task(new).await?;
    Ok(tasks::accepted(Accepted { record, degraded: None }))
}
