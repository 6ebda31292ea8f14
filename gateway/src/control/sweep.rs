//! Drops from nodes the indexes that are left over: half made, half dropped, or replaced.

use crate::{
    coordinator::Term,
    data::{changes, core::Core, leftovers::LEFTOVERS},
    observe::log,
    runtime::Runtime,
};

/// Leftovers dropped in one sweep.
const SWEPT_MAX: usize = 100;

/// Drops leftovers from all nodes.
pub(super) async fn leftovers<R: Runtime>(core: &Core<R>, term: &Term) {
    let Ok(records) = core.shared.store.records(LEFTOVERS, None, SWEPT_MAX).await else { return };
    for record in records {
        if record.value["beingMade"] == true {
            continue;
        }
        if changes::drop_leftover(core, &record.key, term).await.is_ok() {
            log::info("leftover_dropped", &[("index", &record.key)]);
        }
    }
}
