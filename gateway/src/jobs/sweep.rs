//! Sweeps: orphan indexes on the nodes, and expired idempotency keys and lane leases in the store.

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

/// Deletes idempotency keys and lane leases that expired a while ago by this pod's clock.
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
    match store::idempotency::sweep(&shared.store, over).await {
        #[allow(clippy::cast_precision_loss, reason = "a bounded table")]
        Ok(swept) => metrics::gauge!("miroir_idempotency_cache_entries").set(swept.left as f64),
        Err(error) => log::warn("idempotency_sweep_failed", &[("reason", &error.to_string())]),
    }
}
