//! Sweeps expired documents: the pod that owns an index deletes them in one deletion through the index's lane.
//!
//! Invariants: reads hide expired documents long before the sweep (`read::expiry`), so a late sweep shows nothing.
//! Every copy checks the expiry that it holds when the deletion runs, so a document that was renewed before is kept.
//! A sweep deletes the oldest documents first, and no more than its policy allows unless they expire in the same
//! millisecond.

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use ahash::AHashMap;
use bytes::Bytes;
use http::Method;
use serde_json::json;
use store::{NewTask, TaskKind, TtlPolicy};

use crate::{
    api::error::ApiError,
    clock,
    observe::log,
    read::{count, expiry},
    state::{
        change::{Action, Repetition},
        core::Core,
        snapshot::{Index, Snapshot},
    },
    wire::runtime,
    write::{changes::SWEEP, lane},
};

/// When this process last swept each index, by the index's name on the nodes.
#[derive(Default)]
pub(crate) struct Sweeps {
    last: RefCell<AHashMap<String, Instant>>,
}

/// Sweeps every index of this pod whose sweep is due.
pub(crate) async fn sweep_due(core: &Core, sweeps: &Sweeps) {
    if !core.shared.config.ttl {
        return;
    }
    let snapshot = core.shared.snapshot();
    sweeps
        .last
        .borrow_mut()
        .retain(|name, _| snapshot.indexes.values().any(|index| index.record.node_uid == *name));
    for index in snapshot.in_order() {
        let Some(policy) = index.record.ttl.filter(|policy| policy.enabled) else { continue };
        let name = &index.record.node_uid;
        let interval = Duration::from_secs(u64::from(policy.sweep_interval_seconds));
        let now = runtime::now();
        let is_due = sweeps
            .last
            .borrow()
            .get(name)
            .is_none_or(|last| now.saturating_duration_since(*last) >= interval);
        if !is_due || !core.shared.coordinator.owns(&format!("ttl/{name}")) {
            continue;
        }
        sweeps.last.borrow_mut().insert(name.clone(), now);
        if let Err(error) = sweep(core, &snapshot, index, policy).await {
            let message = error.into_task_error().message;
            log::warn("ttl_sweep_failed", &[("index", &index.record.uid), ("reason", &message)]);
        }
    }
}

async fn sweep(core: &Core, snapshot: &Snapshot, index: &Index, policy: TtlPolicy) -> Result<(), ApiError> {
    let most = u64::from(policy.max_deletes_per_sweep);
    let mut before = expiry::now_ms() + 1;
    let mut count = ended(core, snapshot, index, before).await?;
    if count == 0 {
        return Ok(());
    }
    if count > most {
        // Finds the latest moment before which no more than one sweep's share has expired.
        let (mut low, mut high) = (0, before);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            match ended(core, snapshot, index, middle).await? <= most {
                true => low = middle,
                false => high = middle,
            }
        }
        before = low;
        count = ended(core, snapshot, index, before).await?;
        if count == 0 {
            // More than one share expires in a single millisecond.
            before = high;
            count = ended(core, snapshot, index, before).await?;
        }
    }
    let body = json!({"filter": expiry::ended_before(before)}).to_string();
    let details = json!({"providedIds": 0, "deletedDocuments": null, "originalFilter": null});
    let task = NewTask {
        index_uid: Some(index.record.uid.clone()),
        named: None,
        kind: TaskKind::DocumentDeletion,
        accepted: false,
        details: Some(details),
        custom_metadata: Some(SWEEP.to_owned()),
        enqueued_at: clock::utc(),
        owners: Vec::new(),
        idempotency_key: None,
    };
    let action = Action::OnExisting(Box::new(Action::OnEveryNode {
        method: Method::POST,
        suffix: "/documents/delete",
        body: Bytes::from(body),
        repetition: Repetition::Harmless,
    }));
    lane::submit(core, &index.record.uid, task, action).await?;
    metrics::counter!("miroir_ttl_documents_expired_total").increment(count);
    metrics::counter!("miroir_ttl_sweeps_total").increment(1);
    Ok(())
}

/// How many documents of an index expire before a moment, in milliseconds since the epoch.
async fn ended(core: &Core, snapshot: &Snapshot, index: &Index, before: u64) -> Result<u64, ApiError> {
    count::documents(core, snapshot, index, Some(&expiry::ended_before(before))).await
}
