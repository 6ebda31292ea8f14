//! Takes an index, an alias, experimental features, a table of tenants or the secrets of search pages in from the store,
//! where another pod may have changed them.
//!
//! Invariant: an older one never replaces a newer one in this process.

use std::sync::Arc;

use serde_json::{Map, Value};
use store::{Record, StoreError, Versioned};

use crate::{
    api::{
        alias::{ALIASES, Alias},
        tenant::{TENANTS, TENANTS_KEY, Tenants},
    },
    auth::{PAGE_SECRETS, PAGE_SECRETS_KEY, PageTokens, Rotation},
    config::Config,
    observe::log,
    state::{
        shared::{FEATURES, FEATURES_KEY, Features, Shared},
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
    publish(&shared.snapshot, |snapshot| match (before, revision(snapshot)) {
        (_, Some(known)) if known >= index.record.revision => snapshot.clone(),
        // It was deleted while the store was asked.
        (Some(_), None) => snapshot.clone(),
        _ => snapshot.with_index(Arc::clone(&index)),
    });
    Ok(())
}

/// Takes over all indexes as the store has them.
///
/// # Errors
/// The store's error.
pub async fn indexes(shared: &Shared) -> Result<(), StoreError> {
    let mut uids = shared.snapshot().indexes.keys().cloned().collect::<Vec<_>>();
    uids.extend(shared.store.indexes().await?.into_iter().map(|record| record.uid));
    uids.sort_unstable();
    uids.dedup();
    for uid in uids {
        index(shared, &uid).await?;
    }
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

/// Takes over experimental features as clients have switched them.
///
/// # Errors
/// The store's error.
pub async fn features(shared: &Shared) -> Result<(), StoreError> {
    let record = shared.store.record(FEATURES, FEATURES_KEY).await?;
    record.into_iter().for_each(|record| take_features(shared, features_of(record)));
    Ok(())
}

/// What a record says of experimental features.
#[must_use]
pub fn features_of(record: Record) -> Versioned<Features> {
    let value = match record.value {
        Value::Object(features) => features,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    };
    Versioned { version: record.revision, value }
}

/// Takes over experimental features, unless the present ones are newer.
pub fn take_features(shared: &Shared, features: Versioned<Features>) {
    let features = Arc::new(features);
    shared.features.rcu(|known| match known.version >= features.version {
        true => Arc::clone(known),
        false => Arc::clone(&features),
    });
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

/// What signs tokens of search pages, of the configured secrets and of what has followed them.
#[must_use]
pub fn page_tokens_of(config: &Config, rotation: Rotation) -> PageTokens {
    let (own, former) = (&config.search_ui_jwt_secret, &config.search_ui_jwt_secret_previous);
    PageTokens::new(own.as_ref(), former.as_ref(), rotation)
}

/// The same for what has followed them as it is stored.
///
/// # Errors
/// When the stored value cannot be read.
pub fn stored_page_tokens(config: &Config, value: Value) -> Result<PageTokens, serde_json::Error> {
    Ok(page_tokens_of(config, serde_json::from_value(value)?))
}

/// Takes over the secrets of search pages as the store has them.
///
/// # Errors
/// The store's error.
pub async fn page_tokens(shared: &Shared) -> Result<(), StoreError> {
    let Some(record) = shared.store.record(PAGE_SECRETS, PAGE_SECRETS_KEY).await? else { return Ok(()) };
    match stored_page_tokens(&shared.config, record.value) {
        Ok(value) => take_page_tokens(shared, Versioned { version: record.revision, value }),
        Err(_) => log::error("page_secrets_unreadable", &[]),
    }
    Ok(())
}

/// Takes over secrets of search pages, unless the present ones are newer.
pub fn take_page_tokens(shared: &Shared, tokens: Versioned<PageTokens>) {
    let tokens = Arc::new(tokens);
    shared.page_tokens.rcu(|known| match known.version >= tokens.version {
        true => Arc::clone(known),
        false => Arc::clone(&tokens),
    });
}
