//! What this process knows of the stored canaries.
//!
//! Invariant: an older canary never replaces a newer one in this process.

use std::{collections::BTreeMap, sync::Arc};

use store::{Store, StoreError, Versioned};

use crate::{
    api::canary::{CANARIES, Canary},
    observe::log,
    state::shared::{Canaries, Shared},
};

/// Every stored canary.
///
/// # Errors
/// The store's error; a record that cannot be read is left out.
pub async fn load(store: &Store) -> Result<Canaries, StoreError> {
    let mut canaries = BTreeMap::new();
    for record in store.records(CANARIES, None, usize::MAX).await? {
        match serde_json::from_value::<Canary>(record.value) {
            Ok(value) => {
                canaries.insert(record.key, Arc::new(Versioned { version: record.revision, value }));
            }
            Err(_) => log::error("canary_unreadable", &[("canary", &record.key)]),
        }
    }
    Ok(canaries)
}

/// Takes over a canary as the store has it, where another pod may have changed it.
///
/// # Errors
/// The store's error.
pub async fn refresh(shared: &Shared, name: &str) -> Result<(), StoreError> {
    let before = shared.canaries.load().get(name).map(|canary| canary.version);
    match shared.store.record(CANARIES, name).await? {
        Some(record) => match serde_json::from_value(record.value) {
            Ok(value) => take(shared, Versioned { version: record.revision, value }),
            Err(_) => log::error("canary_unreadable", &[("canary", name)]),
        },
        None => {
            if let Some(before) = before {
                forget(shared, name, before);
            }
        }
    }
    Ok(())
}

/// Takes over a canary, unless the present one is newer.
pub(crate) fn take(shared: &Shared, canary: Versioned<Canary>) {
    let canary = Arc::new(canary);
    shared.canaries.rcu(|known| {
        let mut canaries = (**known).clone();
        let name = &canary.value.name;
        if canaries.get(name).is_none_or(|held| held.version < canary.version) {
            canaries.insert(name.clone(), Arc::clone(&canary));
        }
        canaries
    });
}

/// Forgets a canary, unless it was made after this revision.
fn forget(shared: &Shared, name: &str, version: u64) {
    shared.canaries.rcu(|known| {
        let mut canaries = (**known).clone();
        if canaries.get(name).is_some_and(|held| held.version <= version) {
            canaries.remove(name);
        }
        canaries
    });
}
