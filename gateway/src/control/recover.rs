//! What a killed gateway left half done: intents whose fan-out was never confirmed.
//!
//! Invariants: such an intent was never answered, so no client knows it and it may go; settings are
//! first done again on every node, so that no node differs from the others; indexes half made or
//! half dropped are leftovers, swept like others (`data::leftovers`). Documents of such a write may stand on some of their nodes.

use futures_util::future::join_all;
use http::StatusCode;
use serde_json::Value;
use store::{TaskChange, TaskKind, TaskRecord, TaskStatus};
use time::OffsetDateTime;

use crate::{
    api::settings::{Derivation, SettingsChange},
    data::{Core, every_node, pool::NodeRequest},
    observe::log,
    runtime::Runtime,
};

/// Finishes or drops every unconfirmed intent of the last process.
pub(super) async fn interrupted_changes<R: Runtime>(core: &Core<R>, interrupted: Vec<TaskRecord>) {
    for record in interrupted {
        redo(core, &record).await;
        forget(core, &record).await;
    }
}

async fn redo<R: Runtime>(core: &Core<R>, record: &TaskRecord) {
    let Some(uid) = record.index_uid.as_deref() else { return };
    let Some(index) = core.shared.snapshot().indexes.get(uid).cloned() else { return };
    let Some(Value::Object(settings)) = &record.details else { return };
    if record.kind != TaskKind::SettingsUpdate {
        return;
    }
    let request = SettingsChange::Whole(settings.clone()).for_nodes(&Derivation::new(
        &index.record.settings,
        index.record.primary_key.as_deref(),
        core.shared.health.lowest_version(),
    ));
    let target = format!("/indexes/{}{}", index.record.node_uid, request.suffix);
    let body = request.body;
    let nodes = every_node(&core.shared.snapshot().topology);
    join_all(nodes.into_iter().map(|node| {
        let question = NodeRequest {
            method: request.method.clone(),
            target: &target,
            content_type: (!body.is_empty()).then_some("application/json"),
            body: body.clone().into(),
            repeatable: true,
        };
        async move {
            let answer = core.pools.ask(node, question, core.shared.config.node_timeout).await;
            if !matches!(&answer, Ok(answer) if answer.status == StatusCode::ACCEPTED) {
                let node = &core.shared.nodes[usize::from(node.0)].id;
                log::warn("recovery_incomplete", &[("node", node), ("index", uid)]);
            }
        }
    }))
    .await;
}

async fn forget<R: Runtime>(core: &Core<R>, record: &TaskRecord) {
    let change = TaskChange {
        status: Some(TaskStatus::Canceled),
        finished_at: Some(OffsetDateTime::now_utc()),
        ..TaskChange::default()
    };
    if core.shared.store.update_task(record.uid, change).await.is_ok() {
        let _ = core.shared.store.delete_tasks(vec![record.uid]).await;
    }
    log::info("intent_dropped", &[("task", &record.uid.to_string()), ("kind", record.kind.as_str())]);
}
