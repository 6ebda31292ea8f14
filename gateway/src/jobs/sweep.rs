//! Sweeps: orphan indexes on the nodes, and expired idempotency keys, lane leases and counters in the store.

use std::time::Duration;

use store::{Store, StoreError, coordination::COUNTERS};
use time::OffsetDateTime;

use crate::{
    clock,
    config::{AdminUi, limits},
    console::{login_limit, sessions},
    observe::log,
    state::{core::Core, leadership::Term, shared::Shared},
    write::{index_life, lane::lease, orphan_indexes::ORPHAN_INDEXES},
};

/// Orphan indexes dropped in one sweep.
const SWEPT_MAX: usize = 100;

/// Drops orphan indexes from all nodes.
pub(crate) async fn orphan_indexes(core: &Core, term: &Term) {
    let Ok(records) = core.shared.store.records(ORPHAN_INDEXES, None, SWEPT_MAX).await else { return };
    for record in records {
        if record.value["beingMade"] == true {
            continue;
        }
        if index_life::drop_orphan_index(core, &record.key, term).await.is_ok() {
            log::info("leftover_dropped", &[("index", &record.key)]);
        }
    }
}

/// Deletes idempotency keys, lane leases and counters that expired a while ago by this pod's clock.
pub(crate) async fn expired(shared: &Shared) {
    if !shared.coordinator.owns("expired") {
        return;
    }
    let since_epoch = (clock::utc() - OffsetDateTime::UNIX_EPOCH).unsigned_abs();
    let over = since_epoch.saturating_sub(limits::EXPIRED_SWEEP_LAG);
    if let Err(error) = lease::sweep(&shared.store, over).await {
        log::warn("turns_not_swept", &[("reason", &error.to_string())]);
    }
    if shared.config.admin_ui != AdminUi::Off {
        let now = OffsetDateTime::UNIX_EPOCH + over;
        for swept in [login_limit::sweep(&shared.store, now).await, sessions::sweep(&shared.store, now).await]
        {
            if let Err(error) = swept {
                log::warn("console_not_swept", &[("reason", &error.to_string())]);
            }
        }
    }
    if let Err(error) = counters(&shared.store, over).await {
        log::warn("counters_not_swept", &[("reason", &error.to_string())]);
    }
    match store::idempotency::sweep(&shared.store, over).await {
        #[allow(clippy::cast_precision_loss, reason = "a bounded table")]
        Ok(swept) => metrics::gauge!("miroir_idempotency_cache_entries").set(swept.left as f64),
        Err(error) => log::warn("idempotency_sweep_failed", &[("reason", &error.to_string())]),
    }
}

/// Deletes counters whose time had ended at a time (since 1970). One that counts again meanwhile stays, by its revision.
async fn counters(store: &Store, over: Duration) -> Result<(), StoreError> {
    let over = u64::try_from(over.as_millis()).unwrap_or(u64::MAX);
    let mut after = None::<String>;
    loop {
        let records = store.records(COUNTERS, after.as_deref(), limits::COUNTERS_PER_READ).await?;
        let Some(last) = records.last() else { return Ok(()) };
        after = Some(last.key.clone());
        for record in &records {
            if record.value["expires_ms"].as_u64().is_some_and(|expires| expires < over) {
                let _ = store.delete_record(COUNTERS, &record.key, record.revision).await;
            }
        }
    }
}
