//! Indexes as a whole: list, get, create, change, rename, swap, delete; and the cluster's version.
//!
//! Invariant: the gateway's registry decides which indexes exist; nodes only add when each was last updated.

use std::rc::Rc;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use store::{IndexRecord, NewTask, TaskKind};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    api::{
        error::{ApiError, Code},
        http::{
            json_body::{self, object, wrong_type},
            query_string::Query,
        },
        swap::{self, Rename},
        tasks::view::{date, invalid_index_uid_reason, is_index_uid},
    },
    auth::{self, Permission},
    clock,
    handlers::{extract, tasks},
    read::ask,
    state::{
        change::{Action, Repetition},
        core::Core,
    },
    wire::h1::{Request, Response},
    write::{idempotency, lane, rename::run},
};

/// `GET /version`: the version of any node.
pub(crate) async fn version(core: &Core) -> Result<Response, ApiError> {
    Ok(Response::json(StatusCode::OK, ask::any_node(core, "/version").await?.to_string()))
}

/// `GET /indexes`.
pub(crate) async fn list(
    core: &Core,
    request: &Request,
    permission: &Permission,
) -> Result<Response, ApiError> {
    let query = Query::parse(request.uri.query());
    query.only(&["offset", "limit"])?;
    let offset = query.integer::<usize>("offset", Code::InvalidIndexOffset)?.unwrap_or(0);
    let limit = query.integer::<usize>("limit", Code::InvalidIndexLimit)?.unwrap_or(20);
    let of_nodes = ask::all_reachable(core, "/indexes?limit=1000000").await?;
    let snapshot = core.shared.snapshot();
    let mut records = snapshot.indexes.values().map(|index| &index.record).collect::<Vec<_>>();
    records.retain(|record| permission.allows_index(&record.uid));
    records.sort_by(|one, other| one.uid.cmp(&other.uid));
    let seen = |record: &IndexRecord| {
        let all = of_nodes.iter().filter_map(|list| list["results"].as_array()).flatten();
        all.filter(|index| index["uid"] == record.node_uid.as_str()).cloned().collect::<Vec<_>>()
    };
    let page = records.iter().skip(offset).take(limit).map(|record| view(record, &seen(record)));
    let answer = json!({
        "results": page.collect::<Vec<_>>(),
        "offset": offset,
        "limit": limit,
        "total": records.len(),
    });
    Ok(Response::json(StatusCode::OK, answer.to_string()))
}

/// `GET /indexes/{uid}`.
pub(crate) async fn get(core: &Core, uid: &str) -> Result<Response, ApiError> {
    let snapshot = core.shared.snapshot();
    let index = crate::state::snapshot::find_index(&snapshot, uid)?;
    let (mut of_nodes, mut record) = (Vec::new(), index.record.clone());
    for part in (0..index.parts()).map(|part| &index.part(part).record) {
        of_nodes.extend(ask::all_reachable(core, &format!("/indexes/{}", part.node_uid)).await?);
        record.created_at = record.created_at.min(part.created_at);
        record.updated_at = record.updated_at.max(part.updated_at);
    }
    let mut view = view(&record, &of_nodes);
    // The answer has the name that the client gave.
    view["uid"] = json!(uid);
    Ok(Response::json(StatusCode::OK, view.to_string()))
}

fn view(record: &IndexRecord, of_nodes: &[Value]) -> Value {
    let touched = of_nodes.iter().filter_map(|index| index["updatedAt"].as_str());
    let touched = touched.filter_map(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
    let updated_at = touched.fold(record.updated_at, OffsetDateTime::max);
    json!({
        "uid": record.uid,
        "createdAt": date(record.created_at),
        "updatedAt": date(updated_at),
        "primaryKey": record.primary_key,
    })
}

/// `POST /indexes`.
pub(crate) async fn create(
    core: &Core,
    request: &Request,
    permission: &Permission,
) -> Result<Response, ApiError> {
    let body = object(json_body::json(&extract::json_body(core, request)?)?, &["uid", "primaryKey"])?;
    if body.get("uid").is_none() {
        return Err(ApiError::new(Code::MissingIndexUid, "Missing field `uid`"));
    }
    let Some(uid) = body["uid"].as_str().map(str::to_owned) else {
        return Err(wrong_type(".uid", "a string", Code::InvalidIndexUid, &body["uid"]));
    };
    if !is_index_uid(&uid) {
        let reason = invalid_index_uid_reason(&uid);
        return Err(ApiError::new(Code::InvalidIndexUid, format!("Invalid value at `.uid`: {reason}")));
    }
    let primary_key = primary_key(&body)?;
    if !permission.creates_index(&uid) {
        return Err(auth::invalid_key());
    }
    no_alias(core, &uid, "an index cannot have its name")?;
    let task = new_task(request, &uid, TaskKind::IndexCreation, json!({"primaryKey": primary_key}));
    let accepted = lane::submit(core, &uid, task, Action::CreateIndex { primary_key }).await?;
    Ok(tasks::accepted(accepted))
}

/// `PATCH /indexes/{uid}`: another primary key, another name, or both.
pub(crate) async fn update(
    core: &Rc<Core>,
    request: &Request,
    permission: &Permission,
    uid: &str,
) -> Result<Response, ApiError> {
    let body = json_body::json(&extract::json_body(core, request)?)?;
    for (field, code) in
        [("createdAt", Code::ImmutableIndexCreatedAt), ("updatedAt", Code::ImmutableIndexUpdatedAt)]
    {
        if body.get(field).is_some() {
            let message = format!("Immutable field `{field}`: expected one of `primaryKey`, `uid`");
            return Err(ApiError::new(code, message));
        }
    }
    let body = object(body, &["primaryKey", "uid"])?;
    let primary_key = primary_key(&body)?;
    let renamed = body["uid"].as_str();
    if renamed.is_none() && !body["uid"].is_null() {
        return Err(wrong_type(".uid", "a string", Code::InvalidIndexUid, &body["uid"]));
    }
    crate::state::snapshot::check_index_uid(uid)?;
    let mut details = json!({"primaryKey": primary_key});
    if let Some(renamed) = renamed {
        crate::state::snapshot::check_index_uid(renamed)?;
        if !permission.allows_index(renamed) {
            return Err(auth::invalid_key());
        }
        no_alias(core, renamed, "an index cannot have its name")?;
        no_alias(core, uid, "rename the index that it stands for")?;
        details["oldIndexUid"] = json!(uid);
        details["newIndexUid"] = json!(renamed);
    }
    let snapshot = core.shared.snapshot();
    let target = snapshot.writable(uid)?;
    let task = new_task_as(request, uid, target, TaskKind::IndexUpdate, details);
    let accepted = run::update(core, task, target, renamed.unwrap_or(target), primary_key).await?;
    Ok(tasks::accepted(accepted))
}

/// `POST /swap-indexes`.
pub(crate) async fn swap(
    core: &Rc<Core>,
    request: &Request,
    permission: &Permission,
) -> Result<Response, ApiError> {
    let mut steps = swap::parse(&json_body::json(&extract::json_body(core, request)?)?)?;
    if !steps.iter().flat_map(|step| [&step.from, &step.to]).all(|uid| permission.allows_index(uid)) {
        return Err(auth::invalid_key());
    }
    let snapshot = core.shared.snapshot();
    for step in &mut steps {
        if step.rename {
            no_alias(core, &step.from, "rename the index that it stands for")?;
            no_alias(core, &step.to, "an index cannot have its name")?;
        }
        step.from = snapshot.writable(&step.from)?.to_owned();
        step.to = snapshot.writable(&step.to)?.to_owned();
    }
    swap::check_duplicates(&steps)?;
    let details = json!({"swaps": steps.iter().map(Rename::view).collect::<Vec<_>>()});
    let task = NewTask { index_uid: None, ..new_task(request, "", TaskKind::IndexSwap, details) };
    let accepted = run::swap(core, task, steps).await?;
    Ok(tasks::accepted(accepted))
}

/// `POST /indexes/{uid}/compact`.
pub(crate) async fn compact(core: &Core, request: &Request, uid: &str) -> Result<Response, ApiError> {
    crate::state::snapshot::check_index_uid(uid)?;
    let snapshot = core.shared.snapshot();
    let target = snapshot.writable(uid)?;
    let task = new_task_as(request, uid, target, TaskKind::IndexCompaction, json!({}));
    let action = Action::OnEveryNode {
        method: Method::POST,
        suffix: "/compact",
        body: Bytes::new(),
        repetition: Repetition::Unneeded,
    };
    let accepted = lane::submit(core, target, task, action).await?;
    Ok(tasks::accepted(accepted))
}

/// `DELETE /indexes/{uid}`.
pub(crate) async fn delete(core: &Core, request: &Request, uid: &str) -> Result<Response, ApiError> {
    crate::state::snapshot::check_index_uid(uid)?;
    no_alias(core, uid, "delete the index that it stands for, or the alias")?;
    let task = new_task(request, uid, TaskKind::IndexDeletion, json!({"deletedDocuments": null}));
    let accepted = lane::submit(core, uid, task, Action::DeleteIndex).await?;
    Ok(tasks::accepted(accepted))
}

/// # Errors
/// The 409 for a name that is an alias; `instead` ends its message.
fn no_alias(core: &Core, name: &str, instead: &str) -> Result<(), ApiError> {
    match core.shared.snapshot().aliases.contains_key(name) {
        true => Err(ApiError::new(Code::MiroirAliasConflict, format!("`{name}` is an alias: {instead}."))),
        false => Ok(()),
    }
}

/// A task about the index `target`, which the client named `uid`.
pub(crate) fn new_task_as(
    request: &Request,
    uid: &str,
    target: &str,
    kind: TaskKind,
    details: Value,
) -> NewTask {
    let named = (uid != target).then(|| uid.to_owned());
    NewTask { named, ..new_task(request, target, kind, details) }
}

/// A task about one index, to be stored before a node is asked.
pub(crate) fn new_task(request: &Request, uid: &str, kind: TaskKind, details: Value) -> NewTask {
    NewTask {
        index_uid: Some(uid.to_owned()),
        named: None,
        kind,
        accepted: false,
        details: Some(details),
        custom_metadata: None,
        enqueued_at: clock::utc(),
        owners: Vec::new(),
        idempotency_key: idempotency::key_of(request),
    }
}

fn primary_key(body: &Value) -> Result<Option<String>, ApiError> {
    if body["primaryKey"].is_null() {
        return Ok(None);
    }
    let Some(name) = body["primaryKey"].as_str() else {
        return Err(wrong_type(".primaryKey", "a string", Code::InvalidIndexPrimaryKey, &body["primaryKey"]));
    };
    match router::reserved::is_reserved(name) {
        false => Ok(Some(name.to_owned())),
        true => Err(ApiError::new(
            Code::MiroirReservedField,
            format!("The field `{name}` is reserved: it cannot be a primary key."),
        )),
    }
}
