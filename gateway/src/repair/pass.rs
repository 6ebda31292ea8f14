//! Anti-entropy: passes over all shards of all indexes, at an interval and on demand.
//!
//! Invariants: a pass is a job that one pod does on its control executor, and that another continues when that one
//! dies. A periodic pass takes a small share of the nodes' time. The findings of a pass become durable with its end,
//! once. Tombstones are deleted only after two whole passes, which compared every copy of everything.

use std::{
    ops::ControlFlow,
    rc::Rc,
    time::{Duration, Instant},
};

use store::{Change, StoreError, Table};

use crate::{
    clock,
    config::{Schedule, limits},
    observe::log,
    pods::job_claim::{Claim, LOOK_INTERVAL},
    repair::{
        index_sync::sync_indexes,
        node_copy::log_equal,
        queue::{self, PASSES, Pass, PassRequest, Position, Progress, request_of},
        report::{Pace, RepairError, Scope},
        shard_walk::walk,
    },
    state::{core::Core, leadership::scope},
    wire::runtime::{self, timeout},
    write::tombstones,
};

/// The table of ended passes, by the clock at their beginning.
const HISTORY: Table = Table::named("anti_entropy");

/// Runs passes for as long as the process lives.
pub async fn run(core: &Rc<Core>) {
    let begun = runtime::now();
    let mut look_at = begun;
    loop {
        if core.shared.config.anti_entropy
            && runtime::now() >= look_at
            && core.shared.coordinator.leads(scope::ANTI_ENTROPY)
        {
            look_at = runtime::now() + ask_when_due(core, begun).await;
        }
        match Claim::next(&core.shared, PASSES).await {
            Ok(Some(claim)) => match perform(core, &claim).await {
                Ok(()) => look_at = runtime::now(),
                Err(RepairError::Store(StoreError::Fenced)) => {
                    log::warn("pass_is_anothers", &[("job", &claim.job().key)]);
                }
                Err(error) => claim.fail(&error.to_string()).await,
            },
            Ok(None) | Err(_) => {
                let due = look_at.saturating_duration_since(runtime::now());
                let pause = if core.shared.config.anti_entropy { due } else { LOOK_INTERVAL };
                let pause = pause.clamp(limits::REPAIR_PASS_PAUSE, LOOK_INTERVAL);
                // Another pod may have put a pass into the queue.
                let _ = timeout(pause, core.shared.wakeups.pass.notified()).await;
            }
        }
    }
}

/// Requests the periodic pass when it is due; gives when to check again.
async fn ask_when_due(core: &Core, begun: Instant) -> Duration {
    let config = &core.shared.config.passes;
    let passes = history(core).await.unwrap_or_default();
    let is_like_it = |pass: &&Pass| {
        let is_of_all = pass.index.is_none() && pass.node.is_none() && pass.shards.is_none();
        pass.periodic || (is_of_all && !pass.dry_run)
    };
    let last = passes.iter().rev().find(is_like_it);
    // Passes of earlier processes count.
    let since = match last.and_then(|pass| pass.finished_at) {
        Some(ended) => (clock::utc() - ended).unsigned_abs(),
        None => runtime::now().saturating_duration_since(begun),
    };
    let left = match &config.schedule {
        None => config.interval.saturating_sub(since),
        Some(schedule) => until_scheduled(schedule, since),
    };
    if left.is_zero() {
        let wanted = PassRequest {
            number: 0,
            index: None,
            node: None,
            dry_run: !config.repairs,
            periodic: true,
            shards: None,
        };
        if let Err(error) = queue::enqueue(&core.shared, wanted).await {
            log::warn("anti_entropy_not_begun", &[("reason", &error.to_string())]);
        }
    }
    left.clamp(LOOK_INTERVAL, limits::ANTI_ENTROPY_POLL_INTERVAL)
}

/// The time until a schedule's first moment after so long ago.
fn until_scheduled(schedule: &Schedule, since: Duration) -> Duration {
    let now = clock::utc();
    let next = schedule.after(now - since);
    next.map_or(Duration::MAX, |next| Duration::try_from(next - now).unwrap_or(Duration::ZERO))
}

/// The passes that ended, oldest first.
///
/// # Errors
/// The store's error.
pub async fn history(core: &Core) -> Result<Vec<Pass>, StoreError> {
    let records = core.shared.store.records(HISTORY, None, 2 * limits::ANTI_ENTROPY_HISTORY_MAX).await?;
    Ok(records.into_iter().filter_map(|record| serde_json::from_value(record.value).ok()).collect())
}

/// Continues a pass where its last holder stopped, and ends it.
async fn perform(core: &Core, claim: &Claim) -> Result<(), RepairError> {
    let job = claim.job();
    let Some(wanted) = request_of(job) else {
        log::error("pass_not_understood", &[("job", &job.key)]);
        core.shared.store.commit(vec![claim.completion()]).await?;
        return Ok(());
    };
    let mut progress: Progress = match serde_json::from_value(job.cursor.clone()) {
        Ok(progress) => progress,
        Err(_) => Progress::begun(wanted, core.shared.clock.next(), &history(core).await?),
    };
    progress.pass.pod = Some(core.shared.coordinator.pod().to_owned());
    metrics::gauge!("miroir_antientropy_running").set(1.0);
    let compared = compare(core, claim, &mut progress).await;
    metrics::gauge!("miroir_antientropy_running").set(0.0);
    compared?;
    let mut pass = progress.pass;
    pass.end();
    finish(core, claim, &pass).await
}

/// Compares all shards of the indexes, or of the node, that the pass is about.
async fn compare(core: &Core, claim: &Claim, progress: &mut Progress) -> Result<(), RepairError> {
    let Progress { pass, next, .. } = &*progress;
    let pace = if pass.periodic { Pace::Share(limits::ANTI_ENTROPY_SHARE) } else { Pace::Full };
    let target = pass.node.as_deref().and_then(|id| core.shared.snapshot().topology.index_of(id));
    let mark_suspect = target.is_some_and(|node| core.shared.nodes.hints.needs_full_resync(node));
    let scope = Scope { target, mark_suspect, pace, dry_run: pass.dry_run };
    if let Some(node) = target
        && *next == Position::default()
        && let Err(error) = sync_indexes(core, node).await
    {
        log::warn("node_not_level", &[("reason", &error.to_string())]);
        progress.pass.report.failed += 1;
        return Ok(());
    }
    let shards_max = core.shared.config.passes.shards_max.filter(|_| pass.periodic);
    let (only, shards, start) = (pass.index.clone(), pass.shards, next.clone());
    walk(core, scope, only.as_deref(), shards, &start, async |found, next| {
        match found {
            Ok(found) => progress.pass.report.add(&found),
            Err(error) => {
                log::warn("repair_failed", &[("index", &next.index), ("reason", &error.to_string())]);
                progress.pass.report.failed += 1;
            }
        }
        progress.parts += 1;
        progress.next = next;
        let is_enough = shards_max.is_some_and(|most| progress.parts >= most);
        progress.pass.stopped_at = is_enough.then(|| progress.next.clone());
        claim.advance(serde_json::to_value(&*progress).unwrap_or_default()).await?;
        Ok(if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })
    .await?;
    if let Some(id) = &progress.pass.node {
        log_equal(id, &progress.pass.report);
    }
    Ok(())
}

/// Makes the pass durable as ended and deletes its job, both or neither.
async fn finish(core: &Core, claim: &Claim, pass: &Pass) -> Result<(), RepairError> {
    let value = serde_json::to_value(pass).unwrap_or_default();
    let key = format!("{:020}", pass.clock);
    let ended = Change::PutRecord { table: HISTORY, key, value, expected_revision: None };
    core.shared.store.commit(vec![ended, claim.completion()]).await?;
    count(pass);
    let report = &pass.report;
    log::info(
        "anti_entropy_pass",
        &[
            ("shards", &report.shards.to_string()),
            ("compared", &report.compared.to_string()),
            ("differing", &report.differing.to_string()),
            ("rewritten", &report.rewritten.to_string()),
            ("deleted", &report.deleted.to_string()),
            ("failed", &report.failed.to_string()),
        ],
    );
    if let Err(error) = tidy(core).await {
        log::warn("anti_entropy_not_tidied", &[("reason", &error.to_string())]);
    }
    Ok(())
}

fn count(pass: &Pass) {
    let report = &pass.report;
    metrics::counter!("miroir_antientropy_passes_total").increment(1);
    metrics::counter!("miroir_antientropy_shards_compared_total").increment(report.shards);
    metrics::counter!("miroir_antientropy_documents_compared_total").increment(report.compared);
    metrics::counter!("miroir_antientropy_divergences_total").increment(report.differing);
    if !pass.dry_run {
        metrics::counter!("miroir_antientropy_repaired_total").increment(report.rewritten + report.deleted);
    }
    metrics::counter!("miroir_antientropy_failed_total").increment(report.failed);
    #[allow(clippy::cast_precision_loss, reason = "seconds since the epoch")]
    metrics::gauge!("miroir_antientropy_last_pass_seconds").set(pass.started_at.unix_timestamp() as f64);
}

/// Deletes the oldest passes, and the tombstones that are no longer needed.
async fn tidy(core: &Core) -> Result<(), StoreError> {
    let store = &core.shared.store;
    let passes = history(core).await?;
    let excess = passes.len().saturating_sub(limits::ANTI_ENTROPY_HISTORY_MAX);
    let oldest = passes
        .iter()
        .take(excess)
        .map(|pass| Change::ForgetRecord { table: HISTORY, key: format!("{:020}", pass.clock) });
    let oldest = oldest.collect::<Vec<_>>();
    if !oldest.is_empty() {
        store.commit(oldest).await?;
    }
    let mut whole = passes.iter().rev().filter(|pass| pass.whole);
    let before = whole.nth(1).map_or(0, Pass::compared_since);
    tombstones::prune(store, &core.shared.snapshot(), before).await
}
