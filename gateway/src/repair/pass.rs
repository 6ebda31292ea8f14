//! Anti-entropy: passes over all shards of all indexes, every so often and on demand.
//!
//! Invariants: one pass runs at a time, on the control executor; a periodic pass takes a small share of
//! the nodes' time; what a pass found is durable when it has ended; tombstones go only after two
//! whole passes, which compared every copy of everything.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use store::{Change, StoreError, Table};
use time::OffsetDateTime;

use super::{
    board::{Pass, Wanted},
    reconcile::reconcile_node,
    report::{Pace, RepairError, Report, Scope},
    tombstones,
    verify::only,
    verify::verify,
};
use crate::{
    config::limits,
    coordinator::scope,
    data::core::Core,
    observe::log,
    runtime::{Runtime, timeout},
};

/// The passes that ended, by the time they began.
const HISTORY: Table = Table::named("anti_entropy");

/// Runs passes for as long as the process lives.
pub async fn run<R: Runtime>(core: &Core<R>) {
    let board = &core.shared.anti_entropy;
    loop {
        let wanted = match core.shared.config.anti_entropy {
            false => board.next().await,
            true => match timeout::<R, _>(until_due(core).await, board.next()).await {
                Ok(wanted) => wanted,
                Err(_) => {
                    let number = board.last_number.fetch_add(1, Ordering::AcqRel) + 1;
                    Wanted { number, index: None, node: None, dry_run: false, periodic: true }
                }
            },
        };
        if wanted.periodic && !core.shared.coordinator.leads(scope::ANTI_ENTROPY) {
            // The pod that leads does it.
            R::sleep(limits::REPAIR_PASS_PAUSE).await;
            continue;
        }
        pass(core, wanted).await;
    }
}

/// How long until the next periodic pass: passes of processes before count.
async fn until_due<R: Runtime>(core: &Core<R>) -> Duration {
    let interval = core.shared.config.anti_entropy_interval;
    let passes = history(core).await.unwrap_or_default();
    let last = passes.iter().rev().find(|pass| pass.index.is_none() && pass.node.is_none() && !pass.dry_run);
    let Some(ended) = last.and_then(|pass| pass.finished_at) else { return interval };
    let since = (OffsetDateTime::now_utc() - ended).unsigned_abs();
    interval.saturating_sub(since).max(limits::REPAIR_PASS_PAUSE)
}

/// The passes that ended, oldest first.
///
/// # Errors
/// What the store says.
pub async fn history<R: Runtime>(core: &Core<R>) -> Result<Vec<Pass>, StoreError> {
    let records = core.shared.store.records(HISTORY, None, 2 * limits::ANTI_ENTROPY_HISTORY_MAX).await?;
    Ok(records.into_iter().filter_map(|record| serde_json::from_value(record.value).ok()).collect())
}

async fn pass<R: Runtime>(core: &Core<R>, wanted: Wanted) {
    let board = &core.shared.anti_entropy;
    let Wanted { number, index, node, dry_run, periodic } = wanted;
    let mut pass = Pass {
        number,
        index,
        node: node.map(|node| core.shared.nodes[usize::from(node.0)].id.clone()),
        dry_run,
        periodic,
        started_at: OffsetDateTime::now_utc(),
        finished_at: None,
        clock: core.shared.clock.next(),
        whole: false,
        report: Report::default(),
    };
    board.running.store(Some(Arc::new(pass.clone())));
    metrics::gauge!("miroir_antientropy_running").set(1.0);
    match node {
        None => compare_all(core, &mut pass).await,
        Some(node) => match reconcile_node(core, node, core.shared.hints.is_recopied(node)).await {
            Ok(found) => pass.report = found,
            Err(error) => {
                log::warn("node_not_level", &[("reason", &error.to_string())]);
                pass.report.failed += 1;
            }
        },
    }
    pass.finished_at = Some(OffsetDateTime::now_utc());
    pass.whole = pass.index.is_none()
        && node.is_none()
        && !dry_run
        && pass.report.is_level()
        && pass.report.missing == 0;
    finish(core, &pass).await;
    board.running.store(None);
    metrics::gauge!("miroir_antientropy_running").set(0.0);
}

/// Compares all shards of the indexes that the pass is about.
async fn compare_all<R: Runtime>(core: &Core<R>, pass: &mut Pass) {
    let pace = if pass.periodic { Pace::Share(limits::ANTI_ENTROPY_SHARE) } else { Pace::Full };
    let scope = Scope { target: None, distrust: false, pace, dry_run: pass.dry_run };
    let snapshot = core.shared.snapshot();
    let uids = snapshot.indexes.keys().filter(|uid| pass.index.as_ref().is_none_or(|only| only == *uid));
    let mut uids = uids.cloned().collect::<Vec<_>>();
    uids.sort_unstable();
    for uid in uids {
        let shards = snapshot.indexes[&uid].record.shards;
        for shard in 0..shards {
            match verify(core, &uid, &only(shard, shards), scope).await {
                Ok(found) => pass.report.add(&found),
                // It was deleted meanwhile: nothing of it is left to compare.
                Err(RepairError::IndexGone) => break,
                Err(error) => {
                    log::warn("repair_failed", &[("index", &uid), ("reason", &error.to_string())]);
                    pass.report.failed += 1;
                }
            }
            core.shared.anti_entropy.running.store(Some(Arc::new(pass.clone())));
        }
    }
}

async fn finish<R: Runtime>(core: &Core<R>, pass: &Pass) {
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
    if let Err(error) = remember(core, pass).await {
        log::warn("anti_entropy_pass_not_stored", &[("reason", &error.to_string())]);
    }
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

/// Makes the pass durable, forgets the oldest ones and the tombstones that have had their time.
async fn remember<R: Runtime>(core: &Core<R>, pass: &Pass) -> Result<(), StoreError> {
    let store = &core.shared.store;
    let value = serde_json::to_value(pass).unwrap_or_default();
    store.put_record(HISTORY, &format!("{:020}", pass.clock), value, None).await?;
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
    let before = whole.nth(1).map_or(0, |second_last| second_last.clock);
    tombstones::prune(store, &core.shared.snapshot(), before).await
}
