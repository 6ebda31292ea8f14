//! Document writes: checked as a whole, split by shard, handed to the index's lane.
//!
//! Invariants: nothing is sent anywhere before the whole payload has been checked. A payload with wrong ids becomes a
//! failed task, as on one node. An unreadable payload is refused.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use router::{NodeIndex, Placement, ShardSet};
use serde_json::{Value, json};
use store::{NewTask, TaskKind, TaskOwner};

use crate::{
    api::{
        documents::{
            edit_function,
            payload::{self, IngestError, ParseOptions, ParsedPayload, PayloadFormat},
        },
        error::{ApiError, Code},
        http::query_string::Query,
        reserved_fields::conceal,
    },
    auth::Permission,
    config::limits,
    handlers::{extract, indexes, tasks},
    read::expiry,
    state::{
        change::{Accepted, Action, Cut, DocumentPart, DocumentWrite, NodePart, Repetition},
        core::Core,
        snapshot::{Index, Snapshot},
    },
    wire::h1::{Request, Response},
    write::{fanout, lane},
};

/// `POST` (replace) and `PUT` (update) `/indexes/{uid}/documents`.
pub(crate) async fn add(
    core: &Core,
    request: &Request,
    permission: &Permission,
    uid: &str,
    replace: bool,
) -> Result<Response, ApiError> {
    crate::state::snapshot::check_index_uid(uid)?;
    let snapshot = core.shared.snapshot();
    let target = snapshot.writable(uid)?;
    let query = Query::parse(request.uri.query());
    query.only(&["primaryKey", "csvDelimiter", "customMetadata", "skipCreation"])?;
    let skip_creation = query.flag("skipCreation", Code::InvalidSkipCreation)?.unwrap_or(false);
    let format = payload_format(request, &query)?;
    let named_key = query.get("primaryKey").map(str::to_owned);
    check_primary_key(named_key.as_deref())?;
    let body = extract::decoded_body(core, request)?;
    let index = snapshot.indexes.get(target);
    let known = index.and_then(|index| index.record.primary_key.as_deref());
    let expiry_allowed = index.is_some_and(|index| expiry::applies(core, index));
    let options = ParseOptions { primary_key: known.or(named_key.as_deref()), expiry_allowed };
    let parsed = payload::parse(body, format, options);
    let (received, parsed): (_, Result<Arc<ParsedPayload>, ApiError>) = match parsed {
        Ok(parsed) => {
            check_expiries(&parsed)?;
            (parsed.len(), Ok(Arc::new(parsed)))
        }
        Err(IngestError::Task { problem, received }) => {
            let code = Code::by_name(problem.code()).unwrap_or(Code::Internal);
            (received, Err(ApiError::new(code, problem.to_string())))
        }
        Err(error) => {
            let code = Code::by_name(error.code()).unwrap_or(Code::BadRequest);
            return Err(ApiError::new(code, error.to_string()));
        }
    };
    let details = json!({"receivedDocuments": received, "indexedDocuments": null});
    let task = new_task(request, uid, target, TaskKind::DocumentAdditionOrUpdate, details);
    // A write through an alias does not create the target again once it is gone.
    let on_existing = target != uid && index.is_some();
    let within = |action: Action| match on_existing {
        true => action.on_existing(),
        false => action.within(permission, uid),
    };
    let cut = |snapshot: &Snapshot, task: &mut NewTask| {
        let parsed = match &parsed {
            Ok(parsed) => parsed,
            Err(error) => return Ok(within(Action::Fail(error.clone()))),
        };
        let (cut_for, shards) = placement(core, snapshot, target)?;
        let parts = split(core, snapshot, &cut_for, (parsed, shards), &mut task.owners);
        let twin = twin(snapshot, target).map(|twin| Cut {
            // Recovery has all of a twin compared.
            parts: split(core, snapshot, &twin.placement, (parsed, twin.record.shards), &mut Vec::new()),
            cut_for: Arc::clone(&twin.placement),
        });
        let primary_key = named_key.clone().or_else(|| parsed.primary_key().map(str::to_owned));
        // Nodes fail a whole task for a bad value of these fields, and other clients' documents must not fail
        // with it.
        let has_embedders = snapshot.indexes.get(target).is_some_and(|index| index.has_embedders());
        let is_judged = parsed.has_engine_fields() || has_embedders;
        let is_small = parts.iter().all(|part| part.body.bytes.len() <= limits::MERGED_BYTES_MAX);
        Ok(within(Action::AddDocuments(DocumentWrite {
            primary_key,
            replace,
            skip_creation,
            existing_only: false,
            keys_are_plain: parsed.keys_are_plain(),
            parts,
            cut_for,
            twin,
            batchable: is_small && !is_judged,
            payload: is_judged.then(|| Arc::clone(parsed)),
            told: core.shared.config.cdc.on.then(|| (Arc::clone(parsed), shards)),
        })))
    };
    Ok(tasks::accepted(submit(core, target, &task, cut).await?))
}

/// # Errors
/// 400 for a document that would expire before it is written.
fn check_expiries(parsed: &ParsedPayload) -> Result<(), ApiError> {
    match parsed.earliest_expiry().filter(|end| *end <= expiry::now_ms()) {
        None => Ok(()),
        Some(end) => Err(ApiError::new(
            Code::MiroirReservedField,
            format!("The field `_miroir_expires_at` must be in the future, but is `{end}`."),
        )),
    }
}

/// Hands a change to its lane; where shards have moved before its turn came it is cut anew.
async fn submit(
    core: &Core,
    uid: &str,
    task: &NewTask,
    cut: impl Fn(&Snapshot, &mut NewTask) -> Result<Action, ApiError>,
) -> Result<Accepted, ApiError> {
    for _ in 0..limits::CUTS_MAX {
        let mut task = task.clone();
        let action = cut(&core.shared.snapshot(), &mut task)?;
        match lane::submit(core, uid, task, action).await {
            Err(error) if error.reason() == fanout::CUT_FOR_OTHERS => {}
            answer => return answer,
        }
    }
    Err(fanout::cut_for_others())
}

/// Where an index's shards are, or will be once it is made, and how many it has.
fn placement(core: &Core, snapshot: &Snapshot, uid: &str) -> Result<(Arc<Placement>, u32), ApiError> {
    if let Some(index) = snapshot.indexes.get(uid) {
        return Ok((Arc::clone(&index.placement), index.record.shards));
    }
    let shards = core.shared.config.shards;
    let placement = snapshot.topology.placement(shards).cloned();
    let placement = placement
        .ok_or_else(|| ApiError::new(Code::Internal, "The topology has no placement for this index."));
    Ok((placement?, shards))
}

/// One body per node that some of the documents go to, and the intent that names these nodes.
fn split(
    core: &Core,
    snapshot: &Snapshot,
    placement: &Placement,
    (parsed, shards): (&ParsedPayload, u32),
    owners: &mut Vec<TaskOwner>,
) -> Vec<DocumentPart> {
    let of_documents = parsed.shards(shards);
    // The lane sets the clock later.
    let clock = core.shared.config.anti_entropy.then_some(0);
    let mut parts = Vec::new();
    for node in snapshot.topology.every_node() {
        let held = placement.written_to(node);
        if let Some(body) = parsed.stamped(&of_documents, held, clock) {
            let owner = owner(core, node, held, &of_documents);
            let shards = owner.shards.iter().copied().collect();
            owners.push(owner);
            parts.push(DocumentPart { node, body, shards });
        }
    }
    parts
}

/// The further copies that get an index's writes as well.
fn twin<'a>(snapshot: &'a Snapshot, uid: &str) -> Option<&'a Arc<Index>> {
    snapshot.indexes.get(uid)?.twin.as_ref()
}

fn owner(core: &Core, node: NodeIndex, held: &ShardSet, touched: &[u32]) -> TaskOwner {
    let mut shards = touched.iter().copied().filter(|shard| held.contains(*shard)).collect::<Vec<_>>();
    shards.sort_unstable();
    shards.dedup();
    TaskOwner { node: core.shared.nodes.addresses[usize::from(node.0)].id.clone(), shards }
}

/// `DELETE /indexes/{uid}/documents/{id}`.
pub(crate) async fn delete_one(
    core: &Core,
    request: &Request,
    uid: &str,
    id: &str,
) -> Result<Response, ApiError> {
    delete_ids(core, request, uid, &serde_json::to_vec(&[id]).unwrap_or_default()).await
}

/// `POST /indexes/{uid}/documents/delete-batch`.
pub(crate) async fn delete_batch(core: &Core, request: &Request, uid: &str) -> Result<Response, ApiError> {
    let body = extract::json_body(core, request)?;
    delete_ids(core, request, uid, &body).await
}

async fn delete_ids(core: &Core, request: &Request, uid: &str, body: &[u8]) -> Result<Response, ApiError> {
    crate::state::snapshot::check_index_uid(uid)?;
    let snapshot = core.shared.snapshot();
    let target = snapshot.writable(uid)?;
    let ids = payload::split_ids(body).map_err(|error| {
        ApiError::new(Code::by_name(error.code()).unwrap_or(Code::BadRequest), error.to_string())
    })?;
    let details = json!({"providedIds": ids.ids().len(), "deletedDocuments": null, "originalFilter": null});
    let task = new_task(request, uid, target, TaskKind::DocumentDeletion, details);
    let cut = |snapshot: &Snapshot, task: &mut NewTask| {
        let (cut_for, shards) = placement(core, snapshot, target)?;
        let split = |placement: &Placement, shards: u32, owners: &mut Vec<TaskOwner>| {
            let of_ids = ids.shards(shards);
            let mut parts = Vec::new();
            for node in snapshot.topology.every_node() {
                let held = placement.written_to(node);
                if let Some(body) = ids.body(&of_ids, held) {
                    let documents = of_ids.iter().filter(|shard| held.contains(**shard)).count() as u64;
                    let owner = owner(core, node, held, &of_ids);
                    let shards = owner.shards.iter().copied().collect();
                    owners.push(owner);
                    parts.push(NodePart { node, body: body.into(), documents, shards });
                }
            }
            parts
        };
        let parts = split(&cut_for, shards, &mut task.owners);
        let twin = twin(snapshot, target).map(|twin| Cut {
            parts: split(&twin.placement, twin.record.shards, &mut Vec::new()),
            cut_for: Arc::clone(&twin.placement),
        });
        Ok(Action::DeleteDocuments { parts, cut_for, twin })
    };
    Ok(tasks::accepted(submit(core, target, &task, cut).await?))
}

/// `POST /indexes/{uid}/documents/delete`.
pub(crate) async fn delete_matching(core: &Core, request: &Request, uid: &str) -> Result<Response, ApiError> {
    crate::state::snapshot::check_index_uid(uid)?;
    let body = extract::json_body(core, request)?;
    check_not_empty(&body)?;
    let filter = member(&body, "filter");
    let body = conceal(body.clone());
    let details = json!({"providedIds": 0, "deletedDocuments": null, "originalFilter": filter.map(|filter| filter.to_string())});
    let request = (request, TaskKind::DocumentDeletion, details);
    on_every_node(core, uid, request, (Method::POST, "/documents/delete", body), Repetition::Harmless).await
}

/// `DELETE /indexes/{uid}/documents`.
pub(crate) async fn delete_all(core: &Core, request: &Request, uid: &str) -> Result<Response, ApiError> {
    crate::state::snapshot::check_index_uid(uid)?;
    let details = json!({"deletedDocuments": null});
    let request = (request, TaskKind::DocumentDeletion, details);
    on_every_node(core, uid, request, (Method::DELETE, "/documents", Bytes::new()), Repetition::Harmless)
        .await
}

/// `POST /indexes/{uid}/documents/edit`.
pub(crate) async fn edit(core: &Core, request: &Request, uid: &str) -> Result<Response, ApiError> {
    crate::state::snapshot::check_index_uid(uid)?;
    let body = extract::json_body(core, request)?;
    check_not_empty(&body)?;
    let details = json!({
        "deletedDocuments": null,
        "editedDocuments": null,
        "context": member(&body, "context"),
        "function": member(&body, "function"),
        "originalFilter": member(&body, "filter").map(|filter| filter.to_string()),
    });
    let body = edit_function::for_nodes(&body)?.into();
    let request = (request, TaskKind::DocumentEdition, details);
    on_every_node(core, uid, request, (Method::POST, "/documents/edit", body), Repetition::Never).await
}

fn check_not_empty(body: &[u8]) -> Result<(), ApiError> {
    match body.is_empty() {
        true => Err(ApiError::new(Code::MissingPayload, "A json payload is missing.")),
        false => Ok(()),
    }
}

/// A task with the metadata that the client gave for it.
fn new_task(request: &Request, uid: &str, target: &str, kind: TaskKind, details: Value) -> NewTask {
    let custom_metadata = Query::parse(request.uri.query()).get("customMetadata").map(str::to_owned);
    NewTask { custom_metadata, ..indexes::new_task_as(request, uid, target, kind, details) }
}

async fn on_every_node(
    core: &Core,
    uid: &str,
    (request, kind, details): (&Request, TaskKind, Value),
    (method, suffix, body): (Method, &'static str, Bytes),
    repetition: Repetition,
) -> Result<Response, ApiError> {
    let snapshot = core.shared.snapshot();
    let target = snapshot.writable(uid)?;
    let task = new_task(request, uid, target, kind, details);
    let action = Action::OnEveryNode { method, suffix, body, repetition };
    let accepted = lane::submit(core, target, task, action).await?;
    Ok(tasks::accepted(accepted))
}

fn payload_format(request: &Request, query: &Query<'_>) -> Result<PayloadFormat, ApiError> {
    let allowed = ["application/json", "application/x-ndjson", "text/csv"];
    let media_type = extract::content_type(request, &allowed)?;
    let delimiter = query.get("csvDelimiter");
    match (media_type, delimiter) {
        ("text/csv", None) => Ok(PayloadFormat::Csv { delimiter: b',' }),
        ("text/csv", Some(text)) => match text.as_bytes() {
            [delimiter] if delimiter.is_ascii() => Ok(PayloadFormat::Csv { delimiter: *delimiter }),
            _ => Err(ApiError::new(Code::InvalidDocumentCsvDelimiter, wrong_delimiter(text))),
        },
        (_, Some(_)) => Err(ApiError::new(
            Code::InvalidContentType,
            format!(
                "The Content-Type `{media_type}` does not support the use of a csv delimiter. The csv delimiter can only be used with the Content-Type `text/csv`."
            ),
        )),
        ("application/x-ndjson", None) => Ok(PayloadFormat::Ndjson),
        (_, None) => Ok(PayloadFormat::Json),
    }
}

/// Why a text is not a delimiter, in Meilisearch's words.
fn wrong_delimiter(text: &str) -> String {
    let reason = match text.chars().count() {
        0 => "csv delimiter should be an ascii character. Found an empty string".to_owned(),
        _ => format!("csv delimiter must be an ascii character. Found: `{text}`"),
    };
    format!("Invalid value in parameter `csvDelimiter`: {reason}")
}

fn check_primary_key(named_key: Option<&str>) -> Result<(), ApiError> {
    match named_key.filter(|name| router::reserved::is_reserved(name)) {
        None => Ok(()),
        Some(name) => Err(ApiError::new(
            Code::MiroirReservedField,
            format!("The field `{name}` is reserved: it cannot be a primary key."),
        )),
    }
}

/// One member of a body, if the body is a JSON object that has it.
fn member(body: &[u8], name: &str) -> Option<Value> {
    let mut value: Value = serde_json::from_slice(body).ok()?;
    value.get_mut(name).map(Value::take).filter(|value| !value.is_null())
}
