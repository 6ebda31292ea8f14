//! Takes an index, an alias or a table of tenants in from the store, where another pod may have changed it.
//!
//! Invariant: an older index never replaces a newer one in this process.

use std::sync::Arc;

use store::{StoreError, Versioned};

use crate::{
    api::{
        alias::{ALIASES, Alias},
        tenant::{TENANTS, TENANTS_KEY, Tenants},
    },
    observe::log,
    state::{
        shared::Shared,
        snapshot::{Index, Snapshot, publish},
    },
};

/// Takes over an index as the store has it.
///
/// # Errors
/// The store's error.
pub async fn index(shared: &Shared, uid: &str) -> Result<(), StoreError> {
    let revision = |snapshot: &Snapshot| snapshot.indexes.get(uid).map(|index| index.record.revision);
    let before = revision(&shared.snapshot());
    let Some(record) = shared.store.index(uid).await? else {
        publish(&shared.snapshot, |snapshot| match revision(snapshot) {
            // An index that was made while the store was asked stays.
            Some(now) if Some(now) == before => snapshot.without_index(uid),
            _ => snapshot.clone(),
        });
        return Ok(());
    };
    let Some(placement) = shared.snapshot().topology.placement(record.shards).cloned() else {
        log::error("index_not_placed", &[("index", uid)]);
        return Ok(());
    };
    let index = Arc::new(Index::new(record, placement));
    publish(&shared.snapshot, |snapshot| match revision(snapshot) {
        Some(known) if known >= index.record.revision => snapshot.clone(),
        _ => snapshot.with_index(Arc::clone(&index)),
    });
    Ok(())
}

/// Takes over an alias as the store has it, with its targets.
///
/// # Errors
/// The store's error.
pub async fn alias(shared: &Shared, name: &str) -> Result<(), StoreError> {
    let before = shared.snapshot().aliases.get(name).map(|alias| alias.revision);
    let Some(record) = shared.store.record(ALIASES, name).await? else {
        if let Some(before) = before {
            publish(&shared.snapshot, |snapshot| snapshot.without_alias(name, before));
        }
        return Ok(());
    };
    let Ok(alias) = serde_json::from_value::<Alias>(record.value) else {
        log::error("alias_unreadable", &[("alias", name)]);
        return Ok(());
    };
    for target in &alias.targets {
        if !shared.snapshot().indexes.contains_key(target) {
            index(shared, target).await?;
        }
    }
    publish(&shared.snapshot, |snapshot| snapshot.with_alias(&alias, record.revision));
    Ok(())
}

/// Takes over the table of tenants as the store has it.
///
/// # Errors
/// The store's error.
pub async fn tenants(shared: &Shared) -> Result<(), StoreError> {
    let Some(record) = shared.store.record(TENANTS, TENANTS_KEY).await? else { return Ok(()) };
    match serde_json::from_value(record.value) {
        Ok(value) => take_tenants(shared, Arc::new(Versioned { version: record.revision, value })),
        Err(_) => log::error("tenants_unreadable", &[]),
    }
    Ok(())
}

/// Takes over a table of tenants, unless the present one is newer.
pub fn take_tenants(shared: &Shared, tenants: Arc<Versioned<Tenants>>) {
    shared.tenants.rcu(|known| match known.version >= tenants.version {
        true => Arc::clone(known),
        false => Arc::clone(&tenants),
    });
}
