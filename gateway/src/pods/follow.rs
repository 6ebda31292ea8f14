//! Follows changes that other pods make: indexes, keys, webhooks, tenants, page secrets, canaries, rules and hints.
//!
//! Invariants: an older record never replaces a newer one in this process. A pod that has missed changes reads
//! everything anew. A store that lost its data is given what this process still knows.

use std::{sync::Arc, time::Duration};

use router::NodeIndex;
use store::{Change, Changes, Name, Record, StoreError, Versioned};
use uuid::Uuid;

use crate::{
    api::{
        alias::ALIASES,
        canary::{CANARIES, CANARY_RUNS},
        search::rules::{self, RULES},
        tenant::{TENANTS, TENANTS_KEY},
    },
    auth::{ApiKey, PAGE_SECRETS, PAGE_SECRETS_KEY},
    clock::{CLOCK, CLOCK_KEY},
    config::limits,
    nodes::hints::{HINTS, SUSPECT_SHARDS, SuspectCopies, suspect},
    observe::log,
    pods::election::PODS,
    state::{
        canaries,
        leadership::{Coordinator, scope},
        placed,
        refresh::{self, index},
        shared::{FEATURES, KEYS, Shared, WEBHOOKS, WEBHOOKS_KEY},
    },
    wire::runtime,
};

const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Follows for as long as the process lives; returns at once when the pod is alone on its store.
pub async fn run(shared: Arc<Shared>) {
    if !shared.coordinator.is_shared() {
        return;
    }
    let (mut version, mut incarnation) = (None, None);
    loop {
        let taken_in = match shared.store.changes(version).await {
            Ok(changes) => {
                let all = version.is_none() || changes.incomplete;
                let lost = incarnation.is_some_and(|known| known != changes.incarnation);
                let taken_in = take_in(&shared, &changes, all, lost).await;
                if taken_in.is_ok() {
                    incarnation = Some(changes.incarnation);
                }
                taken_in.map(|()| changes.version)
            }
            Err(error) => Err(error),
        };
        match taken_in {
            Ok(newest) => version = Some(newest),
            Err(error) => {
                log::warn("not_followed", &[("reason", &error.to_string())]);
                // The changes that were not taken over are read with all the rest.
                version = None;
                runtime::sleep(RETRY_PAUSE).await;
            }
        }
    }
}

/// Tells the other pods which version this one plans with, once it does so with none older, and keeps sure that it is
/// the newest.
pub async fn announce(shared: Arc<Shared>) {
    if !shared.coordinator.is_shared() {
        return;
    }
    let (mut announced, mut due) = (None, runtime::now());
    while !shared.coordinator.is_draining() {
        // Without its lease the others take it for gone.
        let is_alive = holds_its_lease(&shared.coordinator);
        if is_alive && runtime::now() >= due {
            due = runtime::now() + limits::TOPOLOGY_VOUCH_INTERVAL;
            match placed::vouch(&shared).await {
                Ok(true) => {}
                // Another pod took this one for gone.
                Ok(false) => announced = None,
                Err(error) => log::warn("topology_not_vouched", &[("reason", &error.to_string())]),
            }
        }
        // A request that was planned before is waited for, however long it takes.
        if announced != Some(shared.snapshot().topology.version) && placed::is_alone(&shared) {
            match announce_now(&shared).await {
                Ok(version) => announced = Some(version),
                Err(error) => log::warn("version_not_announced", &[("reason", &error.to_string())]),
            }
        }
        runtime::sleep(RETRY_PAUSE).await;
    }
}

/// Whether the others take this pod for alive.
fn holds_its_lease(coordinator: &Coordinator) -> bool {
    let known = coordinator.known.load();
    let ends = known.leases.get(&format!("{PODS}{}", coordinator.pod())).map(|(_, ends)| *ends);
    ends.is_some_and(|ends| coordinator.now() < ends)
}

/// A pod that waits for a version relies on records that were changed before it as well.
async fn announce_now(shared: &Shared) -> Result<u64, StoreError> {
    let version = shared.snapshot().topology.version;
    refresh::indexes(shared).await?;
    placed::announce(shared, version).await?;
    Ok(version)
}

async fn take_in(shared: &Shared, changes: &Changes, all: bool, lost: bool) -> Result<(), StoreError> {
    if lost {
        // Also where another pod has done so: that one may not have known all that this one knows.
        restore(shared).await?;
    }
    if all || changes.names.contains(&Name::Topology) {
        return everything(shared).await;
    }
    // The targets of an alias are read before targets that it no longer has are removed.
    for name in &changes.names {
        if let Name::Record { table, key } = name
            && table == ALIASES.name()
        {
            refresh::alias(shared, key).await?;
        }
    }
    for name in &changes.names {
        match name {
            Name::Topology => {}
            Name::Index(uid) => index(shared, uid).await?,
            Name::Record { table, key } if table == KEYS.name() => key_of(shared, key).await?,
            Name::Record { table, .. } if table == WEBHOOKS.name() => webhooks(shared).await?,
            Name::Record { table, .. } if table == FEATURES.name() => refresh::features(shared).await?,
            Name::Record { table, .. } if table == TENANTS.name() => refresh::tenants(shared).await?,
            Name::Record { table, .. } if table == PAGE_SECRETS.name() => {
                refresh::page_tokens(shared).await?
            }
            Name::Record { table, key } if table == CANARIES.name() => {
                canaries::refresh(shared, key).await?;
            }
            Name::Record { table, .. } if table == CLOCK.name() => clock(shared).await?,
            Name::Record { table, .. } if table == RULES.name() => all_rules(shared).await?,
            Name::Log { log, stream } if log == HINTS.name() || log == SUSPECT_SHARDS.name() => {
                missed(shared, stream).await?;
            }
            Name::Record { .. } | Name::Log { .. } => {}
        }
    }
    Ok(())
}

/// Keeps the clocks of all pods close to each other.
async fn clock(shared: &Shared) -> Result<(), StoreError> {
    let ceiling = shared.store.record(CLOCK, CLOCK_KEY).await?.and_then(|record| record.value.as_u64());
    ceiling.into_iter().for_each(|ceiling| shared.clock.catch_up(ceiling, limits::CLOCK_AHEAD_MS));
    Ok(())
}

async fn everything(shared: &Shared) -> Result<(), StoreError> {
    let store = &shared.store;
    match store.topology().await? {
        None => restore(shared).await?,
        Some(_) => placed::refresh(shared).await?,
    }
    let mut uids: Vec<String> = shared.snapshot().indexes.keys().cloned().collect();
    uids.extend(store.indexes().await?.into_iter().map(|record| record.uid));
    uids.sort_unstable();
    uids.dedup();
    let mut names: Vec<String> = shared.snapshot().aliases.keys().cloned().collect();
    names.extend(store.records(ALIASES, None, usize::MAX).await?.into_iter().map(|record| record.key));
    names.sort_unstable();
    names.dedup();
    for name in names {
        refresh::alias(shared, &name).await?;
    }
    for uid in uids {
        index(shared, &uid).await?;
    }
    let known = shared.keys.load().newest_first().iter().map(|held| held.key.uid.to_string()).collect();
    let mut keys: Vec<String> = known;
    keys.extend(store.records(KEYS, None, limits::KEYS_MAX).await?.into_iter().map(|record| record.key));
    keys.sort_unstable();
    keys.dedup();
    for key in keys {
        key_of(shared, &key).await?;
    }
    webhooks(shared).await?;
    refresh::features(shared).await?;
    refresh::tenants(shared).await?;
    refresh::page_tokens(shared).await?;
    let mut names: Vec<String> = shared.canaries.load().keys().cloned().collect();
    names.extend(canaries::load(store).await?.into_keys());
    names.sort_unstable();
    names.dedup();
    for name in names {
        canaries::refresh(shared, &name).await?;
    }
    all_rules(shared).await?;
    for node in shared.nodes.addresses.iter() {
        missed(shared, &node.id).await?;
    }
    Ok(())
}

async fn key_of(shared: &Shared, key: &str) -> Result<(), StoreError> {
    let Ok(uid) = Uuid::parse_str(key) else { return Ok(()) };
    let before = shared.keys.load().by_uid(uid).map(|held| held.revision);
    match shared.store.record(KEYS, key).await? {
        Some(Record { value, revision, .. }) => {
            let Ok(key) = serde_json::from_value::<ApiKey>(value) else { return Ok(()) };
            shared.keys.rcu(|keys| keys.with_new(&key, revision));
        }
        None => {
            let Some(before) = before else { return Ok(()) };
            shared.keys.rcu(|keys| keys.without(uid, before));
        }
    }
    Ok(())
}

async fn webhooks(shared: &Shared) -> Result<(), StoreError> {
    let Some(record) = shared.store.record(WEBHOOKS, WEBHOOKS_KEY).await? else { return Ok(()) };
    let Ok(value) = serde_json::from_value(record.value) else { return Ok(()) };
    let stored = Arc::new(Versioned { version: record.revision, value });
    shared.webhooks.rcu(|known| match known.version >= stored.version {
        true => Arc::clone(known),
        false => Arc::clone(&stored),
    });
    Ok(())
}

async fn all_rules(shared: &Shared) -> Result<(), StoreError> {
    let stored = rules::read(shared.store.records(RULES, None, usize::MAX).await?);
    shared.rules.store(Arc::new(stored));
    Ok(())
}

/// Takes over the hints and marks of a node, whichever pod keeps them. A node that has missed something serves
/// nothing before it has it.
async fn missed(shared: &Shared, id: &str) -> Result<(), StoreError> {
    let (store, hints) = (&shared.store, &shared.nodes.hints);
    let Some(node) = shared.snapshot().topology.index_of(id) else { return Ok(()) };
    let sizes = store.log_sizes(HINTS).await?;
    let (entries, bytes) =
        sizes.iter().find(|size| size.stream == id).map_or((0, 0), |size| (size.entries, size.bytes));
    let needs_full_resync = has_full_resync_mark(shared, id).await?;
    if entries > 0 || needs_full_resync {
        shared.nodes.health.fall_behind(node);
    }
    if needs_full_resync {
        hints.mark_full_resync(node);
    } else if hints.needs_full_resync(node) && !shared.coordinator.leads(scope::NODES) {
        if hints.pending(node) > 0 {
            // The node was sent none of this pod's writes meanwhile, and the resync may have passed their shards
            // already.
            let indexes = shared.snapshot();
            let marks =
                indexes.with_twins().into_iter().map(|index| suspect(id, &index.record.node_uid, Vec::new()));
            store.commit(marks.collect()).await?;
        }
        hints.resynced(node);
    }
    restore_count(shared, node, entries, bytes);
    Ok(())
}

fn restore_count(shared: &Shared, node: NodeIndex, entries: u64, bytes: u64) {
    if !shared.nodes.hints.needs_full_resync(node) {
        shared.nodes.hints.restore(node, entries, bytes);
    }
}

async fn has_full_resync_mark(shared: &Shared, id: &str) -> Result<bool, StoreError> {
    let mut after = 0;
    loop {
        let page = shared.store.entries(SUSPECT_SHARDS, id, after, usize::MAX).await?;
        let Some(last) = page.last() else { return Ok(false) };
        after = last.sequence;
        let everything = |header: &serde_json::Value| {
            matches!(serde_json::from_value(header.clone()), Ok(SuspectCopies::Everything { .. }))
        };
        if page.iter().any(|entry| everything(&entry.header)) {
            return Ok(true);
        }
    }
}

/// Gives a store that has lost its data what this process knows of the cluster. When several pods do so, each adds
/// what is missing.
async fn restore(shared: &Shared) -> Result<(), StoreError> {
    log::error("store_lost_its_data", &[("consequence", "tasks, hints and sessions before now are gone")]);
    let (store, snapshot) = (&shared.store, shared.snapshot());
    let Ok(value) = serde_json::to_value(&*snapshot.topology) else { return Ok(()) };
    for index in snapshot.in_order() {
        unless_there(store.put_index(index.record.clone(), None).await.map(drop))?;
    }
    let keys = shared.keys.load_full();
    for held in keys.newest_first() {
        let Ok(value) = serde_json::to_value(&held.key) else { continue };
        unless_there(store.put_record(KEYS, &held.key.uid.to_string(), value, None).await.map(drop))?;
    }
    let mut aliases = snapshot.aliases.values().collect::<Vec<_>>();
    aliases.sort_unstable_by(|one, other| one.record.name.cmp(&other.record.name));
    for alias in aliases {
        let Ok(value) = serde_json::to_value(&alias.record) else { continue };
        unless_there(store.put_record(ALIASES, &alias.record.name, value, None).await.map(drop))?;
    }
    let webhooks = shared.webhooks.load_full();
    if !webhooks.value.is_empty()
        && let Ok(value) = serde_json::to_value(&webhooks.value)
    {
        unless_there(store.put_record(WEBHOOKS, WEBHOOKS_KEY, value, None).await.map(drop))?;
    }
    let tenants = shared.tenants.load_full();
    if tenants.version > 0
        && let Ok(value) = serde_json::to_value(&tenants.value)
    {
        unless_there(store.put_record(TENANTS, TENANTS_KEY, value, None).await.map(drop))?;
    }
    let tokens = shared.page_tokens.load_full();
    if tokens.version > 0
        && let Ok(value) = serde_json::to_value(tokens.value.rotation())
    {
        unless_there(store.put_record(PAGE_SECRETS, PAGE_SECRETS_KEY, value, None).await.map(drop))?;
    }
    for (name, canary) in shared.canaries.load_full().iter() {
        let Ok(value) = serde_json::to_value(&canary.value) else { continue };
        let put =
            |table, value| Change::PutRecord { table, key: name.clone(), value, expected_revision: None };
        let changes = vec![put(CANARIES, value), put(CANARY_RUNS, serde_json::json!({"runs": []}))];
        unless_there(store.commit(changes).await.map(drop))?;
    }
    let rules = shared.rules.load_full();
    for (uid, rule) in rules.iter() {
        let put = Change::PutRecord {
            table: RULES,
            key: uid.clone(),
            value: rule.clone(),
            expected_revision: None,
        };
        unless_there(store.commit(vec![put]).await.map(drop))?;
    }
    // The hints are gone with the store: nodes that lack something need a full resync.
    for node in
        snapshot.topology.every_node().into_iter().filter(|node| !shared.nodes.hints.lets_through(*node))
    {
        let id = &shared.nodes.addresses[usize::from(node.0)].id;
        store
            .commit(shared.nodes.hints.require_full_resync(
                node,
                id,
                "the store has lost what it missed".to_owned(),
            ))
            .await?;
        shared.nodes.health.fall_behind(node);
    }
    // The topology comes last, so that no pod takes a part of the data for all of it.
    unless_there(store.put_topology(None, snapshot.topology.version, value).await)
}

fn unless_there(put: Result<(), StoreError>) -> Result<(), StoreError> {
    match put {
        Err(StoreError::Conflict) => Ok(()),
        put => put,
    }
}
