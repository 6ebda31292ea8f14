//! High-water marks that the next process needs: how far the clock may have come, and the newest task seen of every
//! node.
//!
//! Invariant: only this job writes these records, so only another process can cause a conflict.

use serde_json::json;
use store::{Change, Record, StoreError, Table};

use crate::{
    clock::{CLOCK, CLOCK_KEY},
    config::limits,
    observe::log,
    state::{core::Core, leadership::Term},
};

/// The newest task uid that each node was seen to give out, by node id.
pub const NEWEST_TASKS: Table = Table::named("newest_tasks");

/// Stores the marks that have changed.
pub(crate) async fn keep(core: &Core, term: &Term) {
    let ceiling = json!(core.shared.clock.ceiling(limits::CLOCK_AHEAD_MS));
    let mut outcomes = vec![put(core, term, CLOCK, CLOCK_KEY, ceiling).await];
    for node in core.shared.snapshot().topology.every_node() {
        if let Some(newest) = core.shared.nodes.hints.newest_task(node) {
            let id = &core.shared.nodes.addresses[usize::from(node.0)].id;
            outcomes.push(put(core, term, NEWEST_TASKS, id, json!(newest)).await);
        }
    }
    if let Some(error) = outcomes.into_iter().find_map(Result::err) {
        log::warn("marks_not_stored", &[("reason", &error.to_string())]);
    }
}

async fn put(
    core: &Core,
    term: &Term,
    table: Table,
    key: &str,
    value: serde_json::Value,
) -> Result<(), StoreError> {
    let known = core.shared.store.record(table, key).await?;
    // Another pod's clock may be ahead.
    let is_ahead = |known: &Record| table == CLOCK && known.value.as_u64() > value.as_u64();
    if known.as_ref().is_some_and(is_ahead) {
        return Ok(());
    }
    if known.as_ref().is_some_and(|known| known.value == value) {
        return Ok(());
    }
    let (key, expected_revision) = (key.to_owned(), known.map(|known| known.revision));
    let put = Change::PutRecord { table, key, value, expected_revision };
    core.shared.commit_by(term, vec![put]).await.map(drop)
}
