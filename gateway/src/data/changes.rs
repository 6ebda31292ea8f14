//! What a lane does with one change: registry, nodes and task record, in an order that survives
//! being killed between any two steps.
//!
//! Invariants: an index is registered after its nodes have taken it and unregistered before they
//! are asked to drop it, so a crash leaves at worst a leftover that is on record and swept, or an
//! intent that `control::recover` finishes; nothing is answered before its node tasks are durable.

use std::{rc::Rc, sync::Arc};

use bytes::Bytes;
use futures_util::future::join_all;
use http::Method;
use router::NodeIndex;
use serde_json::{Value, json};
use store::{Change, IndexRecord, NodeTask, Reply, StoreError, TaskChange, TaskRecord, TaskStatus};
use time::OffsetDateTime;

use super::{
    Core, gather,
    lanes::Client,
    leftovers::{self, LEFTOVERS},
    plan,
    pool::NodeRequest,
    scatter::is_refusal,
};
use crate::{
    api::{
        error::{ApiError, Code},
        settings::{self, Derivation, SettingsChange},
    },
    auth::Permission,
    h1::NodeAnswer,
    observe::log,
    repair::tombstones::{Burial, Erased},
    runtime::Runtime,
    snapshot::{Index, publish},
};

/// The kinds of change a lane knows.
pub(super) enum Action {
    /// Adds or updates documents; creates the index when it is missing.
    AddDocuments {
        primary_key: Option<String>,
        replace: bool,
        /// Whether documents that do not exist yet are passed over.
        skip_creation: bool,
        parts: Vec<NodePart>,
    },
    /// Deletes documents by id.
    DeleteDocuments {
        parts: Vec<NodePart>,
    },
    /// The same request to every node: delete by filter, delete all, edit by function.
    OnEveryNode {
        method: Method,
        suffix: &'static str,
        body: Bytes,
    },
    CreateIndex {
        primary_key: Option<String>,
    },
    DeleteIndex,
    ChangeSettings(SettingsChange),
    /// A write whose documents are wrong: a task that has failed.
    Fail(ApiError),
    /// Another change, by a client that may not make the index.
    OnExisting(Box<Action>),
}

impl Action {
    /// The change as a client with this permission may make it.
    pub(super) fn within(self, permission: &Permission, uid: &str) -> Self {
        if permission.creates_index(uid) { self } else { Self::OnExisting(Box::new(self)) }
    }
}

impl Action {
    /// What the change deletes, as far as it says so.
    fn erases(&self) -> Option<Erased> {
        match self {
            Self::DeleteDocuments { parts } => {
                let lists =
                    parts.iter().filter_map(|part| serde_json::from_slice::<Vec<String>>(&part.body).ok());
                let mut keys = lists.flatten().collect::<Vec<_>>();
                keys.sort_unstable();
                keys.dedup();
                (!keys.is_empty()).then_some(Erased::Keys(keys))
            }
            Self::OnEveryNode { suffix: "/documents", .. } => Some(Erased::Matching(None)),
            Self::OnEveryNode { suffix: "/documents/delete", body, .. } => {
                let mut body: Value = serde_json::from_slice(body).ok()?;
                Some(Erased::Matching(Some(body.get_mut("filter")?.take())))
            }
            Self::OnExisting(action) => action.erases(),
            Self::OnEveryNode { .. }
            | Self::AddDocuments { .. }
            | Self::CreateIndex { .. }
            | Self::DeleteIndex
            | Self::ChangeSettings(_)
            | Self::Fail(_) => None,
        }
    }
}

/// What one node gets of a write.
pub(super) struct NodePart {
    pub node: NodeIndex,
    pub body: Bytes,
    /// Documents or ids in the body.
    pub documents: u64,
}

/// How a change went.
enum Outcome {
    /// Every node concerned has taken it; these are their tasks.
    Taken(Vec<NodeTask>),
    /// It is a task that has failed at once.
    Failed(ApiError),
    /// It is refused: the client gets the error and there is no task.
    Refused(ApiError),
}

/// Applies one change and answers the client.
pub(super) async fn apply<R: Runtime>(
    core: &Rc<Core<R>>,
    index_uid: String,
    action: Action,
    intent: Reply<TaskRecord>,
    client: Client,
) {
    let task = match intent.await {
        Ok(task) => task,
        Err(error) => return drop(client.send(Err(error.into()))),
    };
    if is_frozen(core, &index_uid, &action) {
        discard(core, &task).await;
        let message =
            "The settings of this index differ between nodes; it takes writes again once they are equal.";
        return drop(client.send(Err(ApiError::new(Code::MiroirNoQuorum, message))));
    }
    let burial = bury(core, &index_uid, &action);
    let outcome = match perform(core, &index_uid, task.uid, action).await {
        Ok(node_tasks) => Outcome::Taken(node_tasks),
        Err(outcome) => outcome,
    };
    if let Some(burial) = burial {
        match &outcome {
            Outcome::Taken(_) => {
                if let Err(error) = burial.done().await {
                    return drop(client.send(Err(error.into())));
                }
            }
            Outcome::Failed(_) | Outcome::Refused(_) => burial.undo(&core.shared.store).await,
        }
    }
    match outcome {
        Outcome::Refused(error) => {
            discard(core, &task).await;
            let _ = client.send(Err(error));
        }
        Outcome::Failed(error) => {
            let recorded = core.shared.store.update_task(task.uid, failed_change(error)).await;
            let _ = client.send(recorded.map_err(ApiError::from));
        }
        Outcome::Taken(node_tasks) => {
            let change = accepted_change(node_tasks);
            let recorded = core.shared.store.update_task(task.uid, change);
            // The lane goes on while the store syncs.
            R::spawn(async move {
                let _ = client.send(recorded.await.map_err(ApiError::from));
            });
        }
    }
}

/// Whether the index takes no such change now. Settings and deletions are ways out.
fn is_frozen<R: Runtime>(core: &Core<R>, index_uid: &str, action: &Action) -> bool {
    let snapshot = core.shared.snapshot();
    let index = snapshot.indexes.get(index_uid);
    let frozen = index.is_some_and(|index| core.shared.frozen.contains(&index.record.node_uid));
    frozen && !matches!(action, Action::ChangeSettings(_) | Action::DeleteIndex)
}

/// Sends the tombstones of a deletion to the store, with a clock of its place in the lane.
fn bury<R: Runtime>(core: &Core<R>, index_uid: &str, action: &Action) -> Option<Burial> {
    if !core.shared.config.anti_entropy {
        return None;
    }
    let erased = action.erases()?;
    let snapshot = core.shared.snapshot();
    let index = snapshot.indexes.get(index_uid)?;
    Some(Burial::begin(&core.shared.store, &index.record.node_uid, core.shared.clock.tick(), erased))
}

/// A task that is accepted and has failed at once.
pub(super) fn failed_change(error: ApiError) -> TaskChange {
    let now = OffsetDateTime::now_utc();
    TaskChange {
        accepted: Some(true),
        status: Some(TaskStatus::Failed),
        error: Some(error.into_task_error()),
        started_at: Some(now),
        finished_at: Some(now),
        ..TaskChange::default()
    }
}

pub(super) fn accepted_change(node_tasks: Vec<NodeTask>) -> TaskChange {
    let mut change = TaskChange { accepted: Some(true), ..TaskChange::default() };
    if node_tasks.is_empty() {
        // Nothing to do anywhere, such as an empty list of documents.
        let now = OffsetDateTime::now_utc();
        change.status = Some(TaskStatus::Succeeded);
        change.started_at = Some(now);
        change.finished_at = Some(now);
    }
    change.node_tasks = Some(node_tasks);
    change
}

/// A refused change was never a task: its intent goes away again.
pub(super) async fn discard<R: Runtime>(core: &Core<R>, task: &TaskRecord) {
    let now = OffsetDateTime::now_utc();
    let change =
        TaskChange { status: Some(TaskStatus::Canceled), finished_at: Some(now), ..TaskChange::default() };
    let discarded = match core.shared.store.update_task(task.uid, change).await {
        Ok(_) => core.shared.store.delete_tasks(vec![task.uid]).await.map(|_| ()),
        Err(error) => Err(error),
    };
    if let Err(error) = discarded {
        log::warn("intent_not_discarded", &[("task", &task.uid.to_string()), ("reason", &error.to_string())]);
    }
}

async fn perform<R: Runtime>(
    core: &Core<R>,
    uid: &str,
    task_uid: u32,
    action: Action,
) -> Result<Vec<NodeTask>, Outcome> {
    match action {
        Action::AddDocuments { primary_key, replace, skip_creation, parts } => {
            let method = if replace { Method::POST } else { Method::PUT };
            let nodes = parts.iter().map(|part| part.node).collect::<Vec<_>>();
            check_up(core, &nodes)?;
            let index = ensure_index(core, uid, task_uid, primary_key.as_deref()).await?;
            add_documents(core, &index, primary_key, &method, skip_creation, parts).await
        }
        Action::DeleteDocuments { parts } => {
            let index = existing(core, uid)?;
            let target = format!("/indexes/{}/documents/delete-batch", index.record.node_uid);
            send_parts(core, &Method::POST, &target, parts).await
        }
        Action::OnEveryNode { method, suffix, body } => {
            let index = existing(core, uid)?;
            let target = format!("/indexes/{}{suffix}", index.record.node_uid);
            send_to_all(core, &method, &target, body, true).await
        }
        Action::CreateIndex { primary_key } => create_index(core, uid, task_uid, primary_key).await,
        Action::DeleteIndex => delete_index(core, uid).await,
        Action::ChangeSettings(change) => {
            check_up(core, &every_node(core))?;
            let index = ensure_index(core, uid, task_uid, None).await?;
            change_settings(core, &index, &change).await
        }
        Action::OnExisting(action) => {
            existing(core, uid)?;
            Box::pin(perform(core, uid, task_uid, *action)).await
        }
        Action::Fail(error) => {
            // On one node, too, a first write makes the index even when its documents are wrong.
            ensure_index(core, uid, task_uid, None).await?;
            Err(Outcome::Failed(error))
        }
    }
}

async fn add_documents<R: Runtime>(
    core: &Core<R>,
    index: &Arc<Index>,
    primary_key: Option<String>,
    method: &Method,
    skip_creation: bool,
    parts: Vec<NodePart>,
) -> Result<Vec<NodeTask>, Outcome> {
    let known = index.record.primary_key.as_deref();
    let skip = if skip_creation { "?skipCreation=true" } else { "" };
    let mut target = format!("/indexes/{}/documents{skip}", index.record.node_uid);
    if let Some(asked) = primary_key.as_deref() {
        match known {
            None => {
                break_ties_by(core, index, asked).await.map_err(Outcome::Refused)?;
                set_primary_key(core, index, Some(asked)).await.map_err(Outcome::Refused)?;
            }
            Some(known) if known == asked => {}
            Some(known) => {
                let message = format!("Index already has a primary key: `{known}`.");
                return Err(Outcome::Failed(ApiError::new(Code::IndexPrimaryKeyAlreadyExists, message)));
            }
        }
        target.push_str(if skip_creation { "&primaryKey=" } else { "?primaryKey=" });
        target.extend(form_urlencoded::byte_serialize(asked.as_bytes()));
    }
    send_parts(core, method, &target, parts).await
}

/// Makes the nodes break ties by a primary key the index did not have before. Their tasks need no
/// watching: nodes work in order, and nothing in this change can fail on an index that takes settings.
pub(super) async fn break_ties_by<R: Runtime>(
    core: &Core<R>,
    index: &Index,
    primary_key: &str,
) -> Result<(), ApiError> {
    let version = gather::lowest_version(core).await;
    let derivation = Derivation::new(&index.record.settings, Some(primary_key), version);
    let request = derivation.tie_break_for_nodes();
    let target = format!("/indexes/{}{}", index.record.node_uid, request.suffix);
    send_to_all(core, &request.method, &target, request.body.into(), true).await.map(drop).map_err(refusal)
}

async fn create_index<R: Runtime>(
    core: &Core<R>,
    uid: &str,
    task_uid: u32,
    primary_key: Option<String>,
) -> Result<Vec<NodeTask>, Outcome> {
    if core.shared.snapshot().indexes.contains_key(uid) {
        let message = format!("Index `{uid}` already exists.");
        return Err(Outcome::Failed(ApiError::new(Code::IndexAlreadyExists, message)));
    }
    register_index(core, uid, task_uid, primary_key.as_deref()).await.map(|(_, node_tasks)| node_tasks)
}

async fn delete_index<R: Runtime>(core: &Core<R>, uid: &str) -> Result<Vec<NodeTask>, Outcome> {
    let index = existing(core, uid)?;
    check_up(core, &every_node(core))?;
    let node_uid = &index.record.node_uid;
    let unregister = Change::DeleteIndex { uid: uid.to_owned(), expected_revision: index.record.revision };
    let deleted = core.shared.store.commit(vec![unregister, leftovers::remember(node_uid)]).await;
    deleted.map_err(|error| Outcome::Refused(error.into()))?;
    publish(&core.shared.snapshot, |snapshot| snapshot.without_index(uid));
    let target = format!("/indexes/{node_uid}");
    let results = ask_all(core, &every_node(core), &Method::DELETE, &target, &Bytes::new()).await;
    // For clients the index is gone; a node that could not be asked is left to the sweep.
    if results.iter().all(Result::is_ok) {
        let _ = core.shared.store.commit(vec![leftovers::forget(node_uid)]).await;
    }
    collect(core, results.into_iter().filter(Result::is_ok).collect())
}

async fn change_settings<R: Runtime>(
    core: &Core<R>,
    index: &Arc<Index>,
    change: &SettingsChange,
) -> Result<Vec<NodeTask>, Outcome> {
    let owned = change.owned_after(&index.record.settings);
    let version = gather::lowest_version(core).await;
    let request = change.for_nodes(&Derivation::new(&owned, index.record.primary_key.as_deref(), version));
    let target = format!("/indexes/{}{}", index.record.node_uid, request.suffix);
    let node_tasks = send_to_all(core, &request.method, &target, request.body.into(), true).await?;
    let mut record = index.record.clone();
    record.settings = owned;
    record.settings_pending = true;
    store_index(core, record, index).await.map_err(Outcome::Refused)?;
    Ok(node_tasks)
}

fn existing<R: Runtime>(core: &Core<R>, uid: &str) -> Result<Arc<Index>, Outcome> {
    let found = core.shared.snapshot().indexes.get(uid).cloned();
    found.ok_or_else(|| {
        Outcome::Failed(ApiError::new(Code::IndexNotFound, format!("Index `{uid}` not found.")))
    })
}

/// The index, made when it is missing.
async fn ensure_index<R: Runtime>(
    core: &Core<R>,
    uid: &str,
    task_uid: u32,
    primary_key: Option<&str>,
) -> Result<Arc<Index>, Outcome> {
    let found = core.shared.snapshot().indexes.get(uid).cloned();
    match found {
        Some(index) => Ok(index),
        None => register_index(core, uid, task_uid, primary_key).await.map(|(index, _)| index),
    }
}

/// Makes an index on every node, then registers it; the node tasks are those of the settings that
/// follow the creation.
async fn register_index<R: Runtime>(
    core: &Core<R>,
    uid: &str,
    task_uid: u32,
    primary_key: Option<&str>,
) -> Result<(Arc<Index>, Vec<NodeTask>), Outcome> {
    let refused = |error: StoreError| Outcome::Refused(error.into());
    let snapshot = core.shared.snapshot();
    let shards = core.shared.config.shards;
    let placement = snapshot.topology.placement(shards).cloned().ok_or_else(|| {
        Outcome::Refused(ApiError::new(Code::Internal, "The topology has no placement for new indexes."))
    })?;
    check_up(core, &every_node(core))?;
    let node_uid = leftovers::node_uid(uid, task_uid);
    let being_made = core.shared.store.put_record(LEFTOVERS, &node_uid, leftovers::value(true), None);
    let being_made = being_made.await.map_err(refused)?;
    let node_tasks = match make_on_nodes(core, &node_uid, primary_key).await {
        Ok(node_tasks) => node_tasks,
        Err(outcome) => {
            let abandoned = leftovers::value(false);
            let _ = core.shared.store.put_record(LEFTOVERS, &node_uid, abandoned, Some(being_made)).await;
            return Err(outcome);
        }
    };
    let now = OffsetDateTime::now_utc();
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
        revision: 0,
    };
    let register = Change::PutIndex { record: Box::new(record.clone()), expected_revision: None };
    let forget = leftovers::forget(&record.node_uid);
    record.revision = core.shared.store.commit(vec![register, forget]).await.map_err(refused)?[0];
    let index = Arc::new(Index::new(record, placement));
    publish(&core.shared.snapshot, |snapshot| snapshot.with_index(Arc::clone(&index)));
    Ok((index, node_tasks))
}

async fn make_on_nodes<R: Runtime>(
    core: &Core<R>,
    node_uid: &str,
    primary_key: Option<&str>,
) -> Result<Vec<NodeTask>, Outcome> {
    let body = json!({"uid": node_uid, "primaryKey": primary_key}).to_string();
    send_to_all(core, &Method::POST, "/indexes", body.into(), false).await?;
    let target = format!("/indexes/{node_uid}/settings");
    let users = json!({});
    let derivation = Derivation::new(&users, primary_key, gather::lowest_version(core).await);
    let body = settings::base_for_nodes(&derivation).to_string();
    send_to_all(core, &Method::PATCH, &target, body.into(), false).await
}

/// Asks every node to change an index's primary key.
pub(super) async fn send_primary_key<R: Runtime>(
    core: &Core<R>,
    index: &Index,
    primary_key: &str,
) -> Result<Vec<NodeTask>, ApiError> {
    let target = format!("/indexes/{}", index.record.node_uid);
    let body = json!({"primaryKey": primary_key}).to_string();
    let sent = send_to_all(core, &Method::PATCH, &target, body.into(), true).await;
    sent.map_err(refusal)
}

/// Asks every node for something that is about no index in particular; answers their tasks.
pub(super) async fn send_to_every_node<R: Runtime>(
    core: &Core<R>,
    method: &Method,
    target: &str,
) -> Result<Vec<NodeTask>, ApiError> {
    send_to_all(core, method, target, Bytes::new(), false).await.map_err(refusal)
}

fn refusal(outcome: Outcome) -> ApiError {
    match outcome {
        Outcome::Refused(error) | Outcome::Failed(error) => error,
        Outcome::Taken(_) => no_quorum(),
    }
}

async fn set_primary_key<R: Runtime>(
    core: &Core<R>,
    index: &Arc<Index>,
    primary_key: Option<&str>,
) -> Result<Arc<Index>, ApiError> {
    let mut record = index.record.clone();
    record.primary_key = primary_key.map(str::to_owned);
    store_index(core, record, index).await
}

/// Makes a changed record durable, then visible.
async fn store_index<R: Runtime>(
    core: &Core<R>,
    mut record: IndexRecord,
    before: &Index,
) -> Result<Arc<Index>, ApiError> {
    record.updated_at = OffsetDateTime::now_utc();
    record.revision = core.shared.store.put_index(record.clone(), Some(before.record.revision)).await?;
    let index = Arc::new(Index::new(record, Arc::clone(&before.placement)));
    publish(&core.shared.snapshot, |snapshot| snapshot.with_index(Arc::clone(&index)));
    Ok(index)
}

fn every_node<R: Runtime>(core: &Core<R>) -> Vec<NodeIndex> {
    plan::every_node(&core.shared.snapshot().topology)
}

/// A change that needs a node known to be down is refused before anything is sent anywhere.
fn check_up<R: Runtime>(core: &Core<R>, nodes: &[NodeIndex]) -> Result<(), Outcome> {
    let down = nodes.iter().find(|node| !core.shared.health.state(**node).takes_writes());
    match down {
        None => Ok(()),
        Some(_) => Err(Outcome::Refused(no_quorum())),
    }
}

pub(super) fn no_quorum() -> ApiError {
    ApiError::new(
        Code::MiroirNoQuorum,
        "A node that must take this write is not available; the write was not acknowledged.",
    )
}

async fn send_parts<R: Runtime>(
    core: &Core<R>,
    method: &Method,
    target: &str,
    parts: Vec<NodePart>,
) -> Result<Vec<NodeTask>, Outcome> {
    check_up(core, &parts.iter().map(|part| part.node).collect::<Vec<_>>())?;
    let sent = parts.into_iter().map(|part| async move {
        send(core, part.node, method, target, part.body, true)
            .await
            .map(|uid| (part.node, uid, part.documents))
    });
    collect(core, join_all(sent).await)
}

/// Sends one request to every node. With `validated`, the first node alone is asked at first, so
/// that a request the nodes refuse changes nothing anywhere.
async fn send_to_all<R: Runtime>(
    core: &Core<R>,
    method: &Method,
    target: &str,
    body: Bytes,
    validated: bool,
) -> Result<Vec<NodeTask>, Outcome> {
    let nodes = every_node(core);
    check_up(core, &nodes)?;
    let (first, rest) = if validated { nodes.split_at(1) } else { (&[][..], &nodes[..]) };
    let mut results = ask_all(core, first, method, target, &body).await;
    if results.iter().all(Result::is_ok) {
        results.extend(ask_all(core, rest, method, target, &body).await);
    }
    collect(core, results)
}

async fn ask_all<R: Runtime>(
    core: &Core<R>,
    nodes: &[NodeIndex],
    method: &Method,
    target: &str,
    body: &Bytes,
) -> Vec<Result<(NodeIndex, u32, u64), ApiError>> {
    let repeatable = *method != Method::POST;
    let asked = nodes.iter().map(|node| async move {
        send(core, *node, method, target, body.clone(), repeatable).await.map(|uid| (*node, uid, 0))
    });
    join_all(asked).await
}

fn collect<R: Runtime>(
    core: &Core<R>,
    results: Vec<Result<(NodeIndex, u32, u64), ApiError>>,
) -> Result<Vec<NodeTask>, Outcome> {
    let mut node_tasks = Vec::with_capacity(results.len());
    for result in results {
        let (node, uid, documents) = result.map_err(Outcome::Refused)?;
        let node = core.shared.nodes[usize::from(node.0)].id.clone();
        let status = TaskStatus::Enqueued;
        node_tasks.push(NodeTask { node, uid, documents, status, details: None, error: None });
    }
    Ok(node_tasks)
}

/// One request of a change to one node; answers the node's task uid.
pub(super) async fn send<R: Runtime>(
    core: &Core<R>,
    node: NodeIndex,
    method: &Method,
    target: &str,
    body: Bytes,
    repeatable: bool,
) -> Result<u32, ApiError> {
    let content_type = (!body.is_empty()).then_some("application/json");
    let request = NodeRequest { method: method.clone(), target, content_type, body, repeatable };
    match core.pools.ask(node, request, core.shared.config.node_timeout).await {
        Ok(answer) if answer.status.is_success() => task_uid(&answer).ok_or_else(no_quorum),
        Ok(answer) if is_refusal(&answer) => Err(ApiError::from_node(answer.status, &answer.body)),
        Ok(answer) => {
            warn_failed(core, node, &format!("status {}", answer.status.as_u16()));
            Err(no_quorum())
        }
        Err(error) => {
            warn_failed(core, node, &error.to_string());
            Err(no_quorum())
        }
    }
}

fn warn_failed<R: Runtime>(core: &Core<R>, node: NodeIndex, reason: &str) {
    log::warn("write_failed", &[("node", &core.shared.nodes[usize::from(node.0)].id), ("reason", reason)]);
}

fn task_uid(answer: &NodeAnswer) -> Option<u32> {
    let value: Value = serde_json::from_slice(&answer.body).ok()?;
    u32::try_from(value["taskUid"].as_u64()?).ok()
}
