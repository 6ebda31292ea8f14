//! Trials: documents that an engine might refuse are tried before any node gets a part of their write.
//!
//! Invariants: a write is sent only when every engine accepts each of its documents, or one engine has accepted it
//! under the settings that hold. The engine judges in an index of its own, which is deleted afterwards, so its words
//! are a node's. A write without anything to judge is not tried.

use std::sync::Arc;

use ahash::AHashSet;
use bytes::Bytes;
use http::{Method, StatusCode};
use router::NodeIndex;
use serde_json::{Value, json};
use store::{TaskQuery, TaskStatus};

use crate::{
    api::{
        documents::{
            edit_function,
            payload::{ParsedPayload, engine_fields::EngineFields},
        },
        error::ApiError,
        settings::{Derivation, whole_for_nodes},
    },
    config::limits,
    nodes::pool::NodeRequest,
    observe::log,
    read::ask,
    state::{
        change::{DocumentWrite, Outcome},
        core::Core,
        snapshot::Index,
    },
    wire::runtime,
    write::{
        fanout,
        orphan_indexes::{self, ORPHAN_INDEXES},
        tasks::status::{
            self,
            registry_end::{self, LaneState},
        },
    },
};

/// Tries what an engine might refuse of a write. The caller has locked the index's lane.
///
/// # Errors
/// The engine's refusal, as a failed task; 503 when no engine can be asked.
pub(crate) async fn judge(
    core: &Core,
    index: &Arc<Index>,
    write: &DocumentWrite,
    task: u32,
) -> Result<(), Outcome> {
    let Some(payload) = &write.payload else {
        return match index.has_embedders() {
            true => Err(Outcome::Refused(settings_are_changing())),
            false => Ok(()),
        };
    };
    let fields = payload.engine_fields(!write.replace);
    let ahead = index.settings_ahead();
    let mut suspects = Suspects::under(&fields, payload, &index.record.settings);
    if !index.record.settings_ahead.is_empty() {
        suspects.join(Suspects::under(&fields, payload, &ahead));
    }
    if suspects.is_empty() {
        return Ok(());
    }
    let settled = registry_end::wait_for_settings(core, &index.record.uid, 0).await;
    let Some(index) = settled.map_err(Outcome::Refused)? else { return Ok(()) };
    let mut suspects = Suspects::under(&fields, payload, &index.record.settings);
    if !suspects.without_vectors.is_empty() || (write.skip_creation && !suspects.is_empty()) {
        wait_for_earlier(core, &index, task).await.map_err(Outcome::Refused)?;
        let positions = suspects.positions();
        let ids = positions.iter().map(|position| payload.id_at(*position)).collect::<Vec<_>>();
        let known = existing(core, &index, &ids).await.map_err(Outcome::Refused)?;
        let exists = |position: &usize| known.contains(payload.id_at(*position));
        // A document that exists keeps its vectors; with `skip_creation` one that does not exist is skipped.
        suspects.without_vectors.retain(|position| !exists(position) && !write.skip_creation);
        if write.skip_creation {
            suspects.refusable.retain(exists);
        }
    }
    let positions = suspects.positions();
    if positions.is_empty() {
        return Ok(());
    }
    let key = index.record.primary_key.as_deref().or(write.primary_key.as_deref());
    let method = if write.replace { Method::POST } else { Method::PUT };
    let excerpt = payload.excerpt(&positions);
    match try_out(core, &index, key, (&method, excerpt), task).await {
        Ok(None) => Ok(()),
        Ok(Some(refusal)) => Err(Outcome::Failed(refusal)),
        Err(error) => Err(Outcome::Refused(error)),
    }
}

fn settings_are_changing() -> ApiError {
    ApiError::overloaded("The settings of this index are being changed; try again shortly.")
        .because("settings_ahead")
}

/// The documents that an engine might refuse, by position.
struct Suspects {
    refusable: Vec<usize>,
    /// Documents without vectors for an embedder that makes none: an engine accepts them if it has the document.
    without_vectors: Vec<usize>,
}

impl Suspects {
    fn under(fields: &EngineFields, payload: &ParsedPayload, settings: &Value) -> Self {
        let mut refusable = fields.malformed.clone();
        if names(settings, "_geo") {
            refusable.extend(&fields.geo);
        }
        if names(settings, "_geojson") {
            refusable.extend(&fields.geojson);
        }
        let mut without_vectors = Vec::new();
        for (name, embedder) in settings["embedders"].as_object().into_iter().flatten() {
            let dimensions = embedder["dimensions"].as_u64().and_then(|count| usize::try_from(count).ok());
            for (length, positions) in fields.lengths.get(name).into_iter().flatten() {
                if dimensions != Some(*length) {
                    refusable.extend(positions);
                }
            }
            if embedder["source"] == "userProvided" {
                refusable.extend(fields.generated.get(name).into_iter().flatten());
                let named = fields.named.get(name).into_iter().flatten().collect::<AHashSet<_>>();
                without_vectors.extend((0..payload.len()).filter(|position| !named.contains(position)));
            }
        }
        Self { refusable, without_vectors }
    }

    fn join(&mut self, other: Self) {
        self.refusable.extend(other.refusable);
        self.without_vectors.extend(other.without_vectors);
    }

    fn is_empty(&self) -> bool {
        self.refusable.is_empty() && self.without_vectors.is_empty()
    }

    /// All positions, each once.
    fn positions(&self) -> Vec<usize> {
        let mut positions = [self.refusable.as_slice(), &self.without_vectors].concat();
        positions.sort_unstable();
        positions.dedup();
        positions
    }
}

/// Whether settings make nodes read a field: they name it, or a pattern that may match it.
fn names(settings: &Value, field: &str) -> bool {
    fn any_text(value: &Value, is_it: &dyn Fn(&str) -> bool) -> bool {
        match value {
            Value::String(text) => is_it(text),
            Value::Array(values) => values.iter().any(|value| any_text(value, is_it)),
            Value::Object(members) => members.values().any(|value| any_text(value, is_it)),
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }
    let is_it = |text: &str| text == field || text.contains('*');
    ["filterableAttributes", "sortableAttributes"].iter().any(|name| any_text(&settings[*name], &is_it))
}

/// Waits until every task of the index that was accepted earlier has ended.
pub(crate) async fn wait_for_earlier(core: &Core, index: &Index, task: u32) -> Result<(), ApiError> {
    let query = TaskQuery {
        index_uids: Some(vec![index.record.uid.clone()]),
        statuses: Some(vec![TaskStatus::Enqueued, TaskStatus::Processing]),
        limit: u32::try_from(limits::TASKS_REFRESHED_MAX).unwrap_or(u32::MAX),
        reverse: true,
        ..TaskQuery::default()
    };
    let deadline = runtime::now() + limits::EARLIER_TASKS_WAIT_MAX;
    loop {
        let mut page = core.shared.store.tasks(query.clone()).await?;
        page.tasks.retain(|earlier| earlier.uid < task);
        let refreshed = status::refresh_all_within(core, page.tasks, LaneState::Held).await;
        if refreshed.iter().all(|earlier| earlier.status.is_finished()) {
            return Ok(());
        }
        if runtime::now() >= deadline {
            let message = "Earlier writes to this index have not ended, and this one is judged by what they do; try again shortly.";
            return Err(ApiError::overloaded(message).because("writes_ahead"));
        }
        runtime::sleep(limits::NODE_TASK_POLL_INTERVAL).await;
    }
}

/// The ids among these of which the index has documents.
async fn existing(core: &Core, index: &Index, ids: &[&str]) -> Result<AHashSet<String>, ApiError> {
    let mut known = AHashSet::new();
    let target = format!("/indexes/{}/documents/fetch", index.record.node_uid);
    let Some(key) = index.record.primary_key.as_deref() else { return Ok(known) };
    for node in core.shared.snapshot().topology.every_node() {
        for chunk in ids.chunks(limits::REPAIR_PAGE_DOCUMENTS_MAX) {
            if !fanout::is_direct(core, node) {
                continue;
            }
            let body = json!({"ids": chunk, "fields": [key], "limit": chunk.len()}).to_string();
            let request = NodeRequest::post_json(&target, body);
            let answer = core.pools.ask(node, request, core.shared.config.node_timeout).await;
            let answer = answer.map_err(|_| fanout::no_quorum())?;
            if answer.status != StatusCode::OK {
                return Err(fanout::no_quorum());
            }
            let page: Value = serde_json::from_slice(&answer.body).map_err(|_| fanout::no_quorum())?;
            let found = page["results"].as_array().into_iter().flatten();
            known.extend(found.filter_map(|document| id_of(document, key)));
        }
    }
    Ok(known)
}

/// The id of a document, whose primary key may be below its top level.
fn id_of(document: &Value, key: &str) -> Option<String> {
    let value =
        document.get(key).or_else(|| key.split('.').try_fold(document, |value, name| value.get(name)));
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Runs a function on every node without changing a document. The caller has locked the index's lane.
///
/// # Errors
/// A node's error, as a failed task; 503 when nodes do not end in time.
pub(crate) async fn rehearse(core: &Core, index: &Index, body: &[u8]) -> Result<(), Outcome> {
    let key = index.record.primary_key.as_deref();
    let Some(body) = edit_function::rehearsal(body, key) else { return Ok(()) };
    let body = Bytes::from(body);
    let target = format!("/indexes/{}/documents/edit", index.record.node_uid);
    let mut nodes = core.shared.snapshot().topology.every_node();
    nodes.retain(|node| fanout::is_direct(core, *node));
    let own_lines = |error: ApiError| error.rewrite(edit_function::with_own_lines);
    let mut tasks = Vec::with_capacity(nodes.len());
    for node in nodes {
        let sent = fanout::ask_once(core, node, &Method::POST, &target, body.clone()).await;
        tasks.push((node, sent.map_err(|error| Outcome::Refused(own_lines(error)))?));
    }
    for (node, task) in tasks {
        match verdict(core, node, task, &index.record.uid).await {
            Ok(None) => {}
            Ok(Some(refusal)) => return Err(Outcome::Failed(own_lines(refusal))),
            Err(_) => {
                let message =
                    "The function could not be tried on all documents in time, so it has changed none.";
                return Err(Outcome::Refused(ApiError::overloaded(message).because("function_untried")));
            }
        }
    }
    Ok(())
}

/// Sends an engine documents in an index of their own, with the settings that hold for them; gives the engine's
/// refusal.
async fn try_out(
    core: &Core,
    index: &Index,
    key: Option<&str>,
    (method, documents): (&Method, String),
    task: u32,
) -> Result<Option<ApiError>, ApiError> {
    let mut nodes = core.shared.snapshot().topology.every_node();
    nodes.retain(|node| fanout::is_direct(core, *node));
    let name = orphan_indexes::node_uid(&format!("{}-trial", index.record.uid), task);
    let being_made = orphan_indexes::value(true);
    let known = core.shared.store.put_record(ORPHAN_INDEXES, &name, being_made, None).await?;
    let target = format!("/indexes/{name}");
    let mut tried = Err(fanout::no_quorum());
    let mut is_gone = true;
    // A node that fails meanwhile has judged nothing, so the next one is asked.
    for node in nodes {
        tried = try_on(core, node, (&name, key, index), (method, &documents)).await;
        is_gone &= fanout::ask_once(core, node, &Method::DELETE, &target, Bytes::new()).await.is_ok();
        if tried.is_ok() {
            break;
        }
    }
    let forgotten = match is_gone {
        true => core.shared.store.commit(vec![orphan_indexes::forget(&name)]).await.map(drop),
        false => {
            let abandoned = orphan_indexes::value(false);
            core.shared.store.put_record(ORPHAN_INDEXES, &name, abandoned, Some(known)).await.map(drop)
        }
    };
    if let Err(error) = forgotten {
        log::warn("trial_not_forgotten", &[("index", &name), ("reason", &error.to_string())]);
    }
    tried
}

async fn try_on(
    core: &Core,
    node: NodeIndex,
    (name, key, index): (&str, Option<&str>, &Index),
    (method, documents): (&Method, &str),
) -> Result<Option<ApiError>, ApiError> {
    let body = json!({"uid": name, "primaryKey": key}).to_string();
    fanout::ask_once(core, node, &Method::POST, "/indexes", body.into()).await?;
    let version = ask::lowest_version(core).await;
    let derivation = Derivation::new(&index.record.settings, key, version);
    let target = format!("/indexes/{name}/settings");
    for body in whole_for_nodes(&derivation, &[]) {
        fanout::ask_once(core, node, &Method::PATCH, &target, body.to_string().into()).await?;
    }
    let target = format!("/indexes/{name}/documents");
    let task = fanout::ask_once(core, node, method, &target, documents.to_owned().into()).await?;
    verdict(core, node, task, &index.record.uid).await
}

/// The outcome of a node's task: its refusal, with the client's name of the index.
async fn verdict(core: &Core, node: NodeIndex, task: u32, uid: &str) -> Result<Option<ApiError>, ApiError> {
    let deadline = runtime::now() + limits::EARLIER_TASKS_WAIT_MAX;
    while runtime::now() < deadline {
        let view = status::ask_about(core, node, &format!("/tasks/{task}")).await;
        match view.as_ref().and_then(|view| view["status"].as_str()) {
            Some("succeeded") => return Ok(None),
            Some("failed") => {
                let error = view.unwrap_or_default()["error"].to_string();
                let error = ApiError::from_node(StatusCode::BAD_REQUEST, error.as_bytes());
                return Ok(Some(error.rename_indexes(|_| Some(uid.to_owned()))));
            }
            Some("canceled") => return Err(fanout::no_quorum()),
            _ => runtime::sleep(limits::NODE_TASK_POLL_INTERVAL).await,
        }
    }
    Err(fanout::no_quorum())
}
