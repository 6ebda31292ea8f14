//! Copies a node's shards anew: a job that one pod does, whichever it is, and that another continues when that one
//! dies.
//!
//! Invariants: a job is about one mark of the node, by its sequence, so that what was copied before the node lost its
//! data again does not count. A job ends when the node's copies are equal, and not before.

use std::{ops::ControlFlow, rc::Rc};

use router::NodeIndex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{JobState, StoreError};

use crate::{
    config::limits,
    nodes::health::NodeState,
    observe::log,
    pods::job_claim::{Claim, LOOK_INTERVAL},
    repair::{
        copied_anew::COPIES,
        index_sync::sync_indexes,
        queue::Position,
        report::{Pace, RepairError, Report, Scope},
        shard_walk::walk,
    },
    state::{core::Core, leadership::ATTEMPTS_MAX},
    wire::runtime,
};

/// The progress of copying a node: the cursor of its job.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Progress {
    next: Position,
    report: Report,
}

/// Has any pod copy a node; gives whether its copies are equal then. `mark` is the sequence of the mark that demands
/// the copying.
///
/// # Errors
/// The store's error.
pub async fn by_some_pod(core: &Core, node: NodeIndex, mark: u64) -> Result<bool, RepairError> {
    let (store, id) = (&core.shared.store, &core.shared.nodes.addresses[usize::from(node.0)].id);
    let key = format!("{id}.{mark:020}");
    match store.put_job(COPIES, &key, Value::from(id.as_str()), ATTEMPTS_MAX).await {
        Ok(()) | Err(StoreError::Conflict) => {}
        Err(error) => return Err(error.into()),
    }
    core.shared.wakeups.node_copy.notify_one();
    loop {
        let job = store.jobs(COPIES).await?.into_iter().find(|job| job.key == key);
        match job.map(|job| job.state) {
            None => return Ok(true),
            Some(JobState::Dead) => {
                store.revive_job(COPIES, &key).await?;
                return Ok(false);
            }
            Some(JobState::Queued | JobState::Claimed) => {}
        }
        if core.shared.nodes.health.state(node) != NodeState::Joining {
            return Ok(false);
        }
        runtime::sleep(limits::NODE_TASK_POLL_INTERVAL).await;
    }
}

/// Claims copying jobs and does them, for as long as the process lives.
pub async fn work_off(core: &Rc<Core>) {
    loop {
        if let Ok(Some(claim)) = Claim::next(&core.shared, COPIES).await {
            match copy(core, &claim).await {
                Ok(()) | Err(RepairError::Store(StoreError::Fenced)) => {}
                Err(error) => {
                    claim.fail(&error.to_string()).await;
                    runtime::sleep(LOOK_INTERVAL).await;
                }
            }
            continue;
        }
        let wanted = core.shared.wakeups.node_copy.notified();
        // Another pod may have put a job into the queue.
        let _ = runtime::timeout(LOOK_INTERVAL, wanted).await;
    }
}

async fn copy(core: &Core, claim: &Claim) -> Result<(), RepairError> {
    let id = claim.job().payload.as_str().unwrap_or_default();
    if let Some(node) = core.shared.snapshot().topology.index_of(id) {
        let mut progress: Progress = serde_json::from_value(claim.job().cursor.clone()).unwrap_or_default();
        if progress.next == Position::default() {
            sync_indexes(core, node).await?;
        }
        let scope = Scope { target: Some(node), mark_suspect: true, pace: Pace::Full, dry_run: false };
        let start = progress.next.clone();
        let known = &mut progress;
        walk(core, scope, None, None, &start, async |found, next| {
            known.report.add(&found?);
            known.next = next;
            claim.advance(serde_json::to_value(&*known).unwrap_or_default()).await?;
            Ok(ControlFlow::Continue(()))
        })
        .await?;
        if !progress.report.is_equal() {
            claim.advance(Value::Null).await?;
            return Err(RepairError::Node { node: id.to_owned(), reason: "it is not level yet".to_owned() });
        }
        log_equal(id, &progress.report);
    }
    core.shared.store.commit(vec![claim.completion()]).await?;
    Ok(())
}

/// Logs that a node's copies are equal to the others.
pub(crate) fn log_equal(id: &str, report: &Report) {
    log::info(
        "node_level",
        &[
            ("node", id),
            ("rewritten", &report.rewritten.to_string()),
            ("deleted", &report.deleted.to_string()),
            ("failed", &report.failed.to_string()),
        ],
    );
}
