//! The life of an index: it is made and registered, gets its primary key and its settings, and is dropped.
//!
//! Invariants: an index is registered after its nodes have taken it, and unregistered before they are asked to drop
//! it. So a crash leaves at worst an orphan index, which is on record and swept. A record that the end of a task has
//! changed meanwhile is taken in and changed again.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use router::ShardSet;
use serde_json::{Value, json};
use store::{Change, IndexRecord, NodeTask, SettingsAhead, StoreError};

use crate::{
    api::{
        alias::ALIASES,
        error::{ApiError, Code},
        settings::{self, Derivation, SettingsChange},
    },
    clock,
    config::limits,
    read::ask,
    state::{
        change::{Outcome, Repetition},
        core::Core,
        leadership::Term,
        refresh,
        snapshot::{Index, publish},
    },
    write::{
        fanout::{self, Missed, NodeCommand},
        orphan_indexes::{self, ORPHAN_INDEXES},
        quorum::Quorum,
        rule_copies,
        tasks::status::registry_end,
    },
};

pub(crate) fn existing(core: &Core, uid: &str) -> Result<Arc<Index>, Outcome> {
    let found = core.shared.snapshot().indexes.get(uid).cloned();
    found.ok_or_else(|| Outcome::Failed(not_found(uid)))
}

/// Gives the index; makes it when it is missing.
pub(crate) async fn ensure_index(core: &Core, uid: &str, missed: &mut Missed) -> Result<Arc<Index>, Outcome> {
    let found = core.shared.snapshot().indexes.get(uid).cloned();
    match found {
        Some(index) => Ok(index),
        None => register_index(core, uid, None, missed).await.map(|(index, _)| index),
    }
}

pub(crate) async fn create_index(
    core: &Core,
    uid: &str,
    primary_key: Option<String>,
    missed: &mut Missed,
) -> Result<Vec<NodeTask>, Outcome> {
    if core.shared.snapshot().indexes.contains_key(uid) {
        let message = format!("Index `{uid}` already exists.");
        return Err(Outcome::Failed(ApiError::new(Code::IndexAlreadyExists, message)));
    }
    register_index(core, uid, primary_key.as_deref(), missed).await.map(|(_, node_tasks)| node_tasks)
}

/// Makes an index on every node, then registers it. The node tasks are those of the settings that follow the
/// creation.
async fn register_index(
    core: &Core,
    uid: &str,
    primary_key: Option<&str>,
    missed: &mut Missed,
) -> Result<(Arc<Index>, Vec<NodeTask>), Outcome> {
    let refused = |error: StoreError| Outcome::Refused(error.into());
    // Aliases are made in the lane of their name as well.
    if core.shared.store.record(ALIASES, uid).await.map_err(refused)?.is_some() {
        let message = format!("`{uid}` is an alias: an index cannot have its name.");
        return Err(Outcome::Failed(ApiError::new(Code::MiroirAliasConflict, message)));
    }
    let snapshot = core.shared.snapshot();
    let shards = core.shared.config.shards;
    let placement = snapshot.topology.placement(shards).cloned().ok_or_else(|| {
        Outcome::Refused(ApiError::new(Code::Internal, "The topology has no placement for new indexes."))
    })?;
    let quorum = fanout::quorum(core, &snapshot, &placement);
    fanout::check(core, &quorum, &ShardSet::all(shards)).await.map_err(Outcome::Refused)?;
    let node_uid = orphan_indexes::node_uid(uid, missed.task());
    let being_made =
        core.shared.store.put_record(ORPHAN_INDEXES, &node_uid, orphan_indexes::value(true), None);
    let being_made = being_made.await.map_err(refused)?;
    let node_tasks = match make_on_nodes(core, &quorum, &node_uid, primary_key, missed).await {
        Ok(node_tasks) => node_tasks,
        Err(error) => {
            let abandoned = orphan_indexes::value(false);
            let _ =
                core.shared.store.put_record(ORPHAN_INDEXES, &node_uid, abandoned, Some(being_made)).await;
            return Err(Outcome::Refused(error));
        }
    };
    let now = clock::utc();
    let mut record = IndexRecord {
        uid: uid.to_owned(),
        node_uid,
        primary_key: primary_key.map(str::to_owned),
        shards,
        created_at: now,
        updated_at: now,
        settings: json!({}),
        settings_version: 1,
        settings_pending: false,
        keys_are_plain: true,
        settings_ahead: Vec::new(),
        key_tasks: Vec::new(),
        key_is_stale: false,
        ttl: None,
        twin: None,
        revision: 0,
    };
    let register = Change::PutIndex { record: Box::new(record.clone()), expected_revision: None };
    let forget = orphan_indexes::forget(&record.node_uid);
    let changes = [register, forget].into_iter().chain(missed.take()).collect();
    record.revision = match fanout::commit(core, changes).await.await {
        Ok(revisions) => revisions[0],
        Err(StoreError::Conflict) => {
            // Another pod has made an index of this name meanwhile: that one stays, and this one is dropped.
            let abandoned = orphan_indexes::value(false);
            let _ = core
                .shared
                .store
                .put_record(ORPHAN_INDEXES, &record.node_uid, abandoned, Some(being_made))
                .await;
            return match taken_in(core, uid).await {
                Ok(index) => Ok((index, Vec::new())),
                Err(error) => Err(Outcome::Refused(error)),
            };
        }
        Err(error) => return Err(refused(error)),
    };
    let index = Arc::new(Index::new(record, placement));
    publish(&core.shared.snapshot, |snapshot| snapshot.with_index(Arc::clone(&index)));
    rule_copies::follow(core, &[uid]).await;
    Ok((index, node_tasks))
}

/// The index that another pod has registered.
async fn taken_in(core: &Core, uid: &str) -> Result<Arc<Index>, ApiError> {
    refresh::index(&core.shared, uid).await?;
    let found = core.shared.snapshot().indexes.get(uid).cloned();
    found.ok_or_else(|| ApiError::overloaded("The index is being made; try again shortly."))
}

pub(crate) async fn make_on_nodes(
    core: &Core,
    quorum: &Quorum<'_>,
    node_uid: &str,
    primary_key: Option<&str>,
    missed: &mut Missed,
) -> Result<Vec<NodeTask>, ApiError> {
    let body = json!({"uid": node_uid, "primaryKey": primary_key}).to_string();
    let parts = fanout::for_every_node(quorum, &body.into());
    let (method, target) = (&Method::POST, "/indexes");
    let command = NodeCommand { index: node_uid, method, target, validated: false, once: false };
    fanout::send(core, quorum, &command, &parts, missed).await?;
    let target = format!("/indexes/{node_uid}/settings");
    let users = json!({});
    let derivation = Derivation::new(&users, primary_key, ask::lowest_version(core).await);
    let body = settings::base_for_nodes(&derivation).to_string();
    let parts = fanout::for_every_node(quorum, &body.into());
    let command = NodeCommand { method: &Method::PATCH, target: &target, ..command };
    fanout::send(core, quorum, &command, &parts, missed).await
}

pub(crate) async fn delete_index(
    core: &Core,
    uid: &str,
    missed: &mut Missed,
) -> Result<Vec<NodeTask>, Outcome> {
    let mut index = existing(core, uid)?;
    let snapshot = core.shared.snapshot();
    let placement = Arc::clone(&index.placement);
    let quorum = fanout::quorum(core, &snapshot, &placement);
    fanout::check(core, &quorum, &ShardSet::all(placement.shards())).await.map_err(Outcome::Refused)?;
    loop {
        let unregister =
            Change::DeleteIndex { uid: uid.to_owned(), expected_revision: index.record.revision };
        let remember = orphan_indexes::remember(&index.record.node_uid);
        // Nobody waits for its twin to be gone: the sweep drops it.
        let twin = index.record.twin.as_ref().map(|twin| orphan_indexes::remember(&twin.node_uid));
        let changes = [unregister, remember].into_iter().chain(twin).collect();
        match core.shared.store.commit(changes).await {
            Ok(_) => break,
            Err(StoreError::Conflict) => {
                take_in_change(core, &index).await.map_err(Outcome::Refused)?;
                index = existing(core, uid)?;
            }
            Err(error) => return Err(Outcome::Refused(error.into())),
        }
    }
    let node_uid = &index.record.node_uid;
    publish(&core.shared.snapshot, |snapshot| snapshot.without_index(uid));
    let target = format!("/indexes/{node_uid}");
    let node_tasks = drop_on_nodes(core, &quorum, node_uid, &target, missed).await;
    // For clients the index is gone. Where no node could be asked, the sweep drops it later.
    if let Ok(node_tasks) = &node_tasks
        && !node_tasks.is_empty()
    {
        let mut changes = missed.take();
        changes.push(orphan_indexes::forget(node_uid));
        let stored = fanout::commit(core, changes).await;
        stored.await.map_err(|error| Outcome::Refused(error.into()))?;
    }
    node_tasks.map_err(Outcome::Refused)
}

/// Makes every node drop an index, by a request now or by a hint.
async fn drop_on_nodes(
    core: &Core,
    quorum: &Quorum<'_>,
    node_uid: &str,
    target: &str,
    missed: &mut Missed,
) -> Result<Vec<NodeTask>, ApiError> {
    let command =
        NodeCommand { index: node_uid, method: &Method::DELETE, target, validated: false, once: false };
    let parts = fanout::for_every_node(quorum, &Bytes::new());
    fanout::send(core, quorum, &command, &parts, missed).await
}

/// Makes every node drop an orphan index.
///
/// # Errors
/// 503 when too few nodes are available.
pub async fn drop_orphan_index(core: &Core, node_uid: &str, term: &Term) -> Result<(), ApiError> {
    let snapshot = core.shared.snapshot();
    let Some(placement) = snapshot.topology.placement(core.shared.config.shards) else { return Ok(()) };
    let mut missed = Missed::new(core, 0);
    let target = format!("/indexes/{node_uid}");
    let quorum = fanout::quorum(core, &snapshot, placement);
    let dropped = drop_on_nodes(core, &quorum, node_uid, &target, &mut missed).await;
    let mut changes = missed.take();
    changes.extend(dropped.is_ok().then(|| orphan_indexes::forget(node_uid)));
    if !changes.is_empty() {
        core.shared.commit_by(term, changes).await?;
    }
    dropped.map(drop)
}

pub(crate) async fn change_settings(
    core: &Core,
    index: &Arc<Index>,
    change: &SettingsChange,
    missed: &mut Missed,
) -> Result<Vec<NodeTask>, Outcome> {
    let owned = change.owned_after(&index.settings_ahead());
    let version = ask::lowest_version(core).await;
    let request = change.for_nodes(&Derivation::new(&owned, index.record.primary_key.as_deref(), version));
    let request = (&request.method, request.suffix.as_str(), request.body.into());
    let sent = fanout::send_to_all(core, index, request, Repetition::Harmless, missed).await;
    let node_tasks = sent.map_err(Outcome::Refused)?;
    let mut index = Arc::clone(index);
    loop {
        let mut record = index.record.clone();
        record
            .settings_ahead
            .push(SettingsAhead { task: missed.task(), change: Value::Object(change.sent()) });
        record.settings_pending = true;
        match store_index(core, record, &index, missed).await.map_err(Outcome::Refused)? {
            Stored::AsAsked => return Ok(node_tasks),
            Stored::ChangedMeanwhile => index = existing(core, &index.record.uid)?,
        }
    }
}

/// Gives an index the primary key that writes to it name, if it has none yet. The key stays once one of the writes
/// that name it first succeeds; gives whether that is still open.
pub(crate) async fn agree_on_key(
    core: &Core,
    index: &Arc<Index>,
    wanted: &str,
    tasks: &[u32],
    missed: &mut Missed,
) -> Result<bool, Outcome> {
    let key_tasks = &index.record.key_tasks;
    let is_other = index.record.primary_key.as_deref().is_some_and(|known| known != wanted);
    if !key_tasks.is_empty() && (is_other || key_tasks.len() + tasks.len() > limits::KEY_TASKS_MAX) {
        let settled = registry_end::wait_for_key(core, &index.record.uid).await;
        let settled = settled.map_err(Outcome::Refused)?;
        let Some(index) = settled else { return Err(Outcome::Failed(not_found(&index.record.uid))) };
        return Box::pin(agree_on_key(core, &index, wanted, tasks, missed)).await;
    }
    let changed = match index.record.primary_key.as_deref() {
        None => {
            if index.record.key_is_stale {
                send_primary_key(core, index, wanted, missed).await.map_err(Outcome::Refused)?;
            }
            break_ties_by(core, index, wanted, missed).await.map_err(Outcome::Refused)?;
            let mut record = index.record.clone();
            record.primary_key = Some(wanted.to_owned());
            record.key_is_stale = false;
            record.key_tasks = tasks.to_vec();
            record
        }
        Some(known) if known == wanted && key_tasks.is_empty() => return Ok(false),
        Some(known) if known == wanted => {
            let mut record = index.record.clone();
            record.key_tasks.extend(tasks);
            record
        }
        Some(known) => {
            let message = format!("Index already has a primary key: `{known}`.");
            return Err(Outcome::Failed(ApiError::new(Code::IndexPrimaryKeyAlreadyExists, message)));
        }
    };
    match store_index(core, changed, index, missed).await.map_err(Outcome::Refused)? {
        Stored::AsAsked => Ok(true),
        Stored::ChangedMeanwhile => {
            let index = existing(core, &index.record.uid)?;
            Box::pin(agree_on_key(core, &index, wanted, tasks, missed)).await
        }
    }
}

/// Records that an index may hold keys that filters cannot be read by (`api::search::key_filter`).
pub(crate) async fn expect_any_key(core: &Core, uid: &str, missed: &mut Missed) -> Result<(), Outcome> {
    loop {
        let index = existing(core, uid)?;
        if !index.record.keys_are_plain {
            return Ok(());
        }
        let record = IndexRecord { keys_are_plain: false, ..index.record.clone() };
        store_index(core, record, &index, missed).await.map_err(Outcome::Refused)?;
    }
}

/// Makes the nodes break ties by a primary key that is new to the index. Nobody watches these node tasks: nodes work
/// in order, and nothing in this change can fail on an index that takes settings.
pub(crate) async fn break_ties_by(
    core: &Core,
    index: &Index,
    primary_key: &str,
    missed: &mut Missed,
) -> Result<(), ApiError> {
    let version = ask::lowest_version(core).await;
    let ahead = index.settings_ahead();
    let derivation = Derivation::new(&ahead, Some(primary_key), version);
    let request = derivation.tie_break_for_nodes();
    let request = (&request.method, request.suffix.as_str(), request.body.into());
    fanout::send_to_all(core, index, request, Repetition::Harmless, missed).await.map(drop)
}

/// Asks every node to change an index's primary key.
pub(crate) async fn send_primary_key(
    core: &Core,
    index: &Index,
    primary_key: &str,
    missed: &mut Missed,
) -> Result<Vec<NodeTask>, ApiError> {
    let body = json!({"primaryKey": primary_key}).to_string();
    fanout::send_to_all(core, index, (&Method::PATCH, "", body.into()), Repetition::Harmless, missed).await
}

/// What became of a changed index record.
enum Stored {
    AsAsked,
    /// The record has changed since it was read, and the snapshot has it as it is now ([`take_in_change`]).
    ChangedMeanwhile,
}

/// Takes in a record that the end of a task has changed since it was read. Tasks that can end are few, and the lane
/// admits no other change, so trying again comes to an end.
///
/// # Errors
/// The store's error; its conflict where the record as it is now cannot be read here.
async fn take_in_change(core: &Core, before: &Index) -> Result<(), ApiError> {
    let uid = &before.record.uid;
    refresh::index(&core.shared, uid).await?;
    let known = core.shared.snapshot().indexes.get(uid).map(|known| known.record.revision);
    match known == Some(before.record.revision) {
        true => Err(StoreError::Conflict.into()),
        false => Ok(()),
    }
}

/// Makes a changed index record durable, then visible.
///
/// # Errors
/// The store's error, but for a record that was changed meanwhile.
async fn store_index(
    core: &Core,
    mut record: IndexRecord,
    before: &Index,
    missed: &mut Missed,
) -> Result<Stored, ApiError> {
    record.updated_at = clock::utc();
    let expected_revision = Some(before.record.revision);
    let with_it = missed.take();
    let mut changes = vec![Change::PutIndex { record: Box::new(record.clone()), expected_revision }];
    changes.extend(with_it.iter().cloned());
    record.revision = match fanout::commit(core, changes).await.await {
        Ok(revisions) => revisions[0],
        Err(StoreError::Conflict) => {
            missed.commit_with(with_it);
            return take_in_change(core, before).await.map(|()| Stored::ChangedMeanwhile);
        }
        Err(error) => return Err(error.into()),
    };
    let index = Arc::new(Index::new(record, Arc::clone(&before.placement)));
    publish(&core.shared.snapshot, |snapshot| snapshot.with_changed(Arc::clone(&index)));
    Ok(Stored::AsAsked)
}

fn not_found(uid: &str) -> ApiError {
    ApiError::new(Code::IndexNotFound, format!("Index `{uid}` not found."))
}
