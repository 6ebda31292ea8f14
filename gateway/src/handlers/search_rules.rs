//! Dynamic search rules: kept in the gateway as clients give them, and on every node with that node's names of
//! indexes.
//!
//! Invariants: what a node refuses is not kept. A rule follows the name of an index, whichever index has it. A node
//! that was replaced gets all rules before it serves (`membership::rejoin`). Nodes pin documents, and the merge puts
//! pinned ones where they belong in the whole list.

use std::rc::Rc;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use store::{Change, TaskKind, TaskRecord};

use crate::{
    api::{
        error::ApiError,
        http::query_string::Query,
        search::rules::{RULES, Rules, merged},
        tasks::view::{invalid_index_uid_reason, is_index_uid},
    },
    auth::Action,
    handlers::{extract, indexes::new_task, keys, tasks},
    nodes::pool::NodeRequest,
    read::ask,
    state::{change::Accepted, core::Core},
    wire::h1::{Request, Response},
    write::{
        apply, fanout, lane,
        rule_copies::{TARGET, for_nodes, target_of},
    },
};

/// The index that tasks about rules name, as on a node.
const INDEX: &str = ".meili_dsr";

/// A route about rules; a text is a rule's uid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RulesRoute<'a> {
    List,
    Clear,
    One(&'a str),
    Update(&'a str),
    Delete(&'a str),
}

impl RulesRoute<'_> {
    /// The right that it needs.
    pub(crate) fn action(self) -> Action {
        match self {
            Self::List | Self::One(_) => Action::DynamicSearchRulesGet,
            Self::Update(_) => Action::DynamicSearchRulesUpdate,
            Self::Clear | Self::Delete(_) => Action::DynamicSearchRulesDelete,
        }
    }
}

/// Serves a route about rules.
pub(crate) async fn serve(
    core: &Rc<Core>,
    request: &Request,
    route: RulesRoute<'_>,
) -> Result<Response, ApiError> {
    match route {
        RulesRoute::List => list(core, request).await,
        RulesRoute::Clear => clear(core, request).await,
        RulesRoute::One(uid) => get(core, uid).await,
        RulesRoute::Update(uid) => update(core, request, uid).await,
        RulesRoute::Delete(uid) => delete(core, request, uid).await,
    }
}

/// `POST /dynamic-search-rules`: a page of rules.
async fn list(core: &Core, request: &Request) -> Result<Response, ApiError> {
    let body = extract::json_body(core, request)?;
    let mut page = ask::one(core, NodeRequest::post_json(TARGET, body)).await?;
    let rules = core.shared.rules.load();
    for rule in page["results"].as_array_mut().into_iter().flatten() {
        show(rule, &rules);
    }
    Ok(Response::json(StatusCode::OK, page.to_string()))
}

/// `GET /dynamic-search-rules/{uid}`.
async fn get(core: &Core, uid: &str) -> Result<Response, ApiError> {
    if !is_index_uid(uid) {
        return Ok(no_uid(uid));
    }
    let mut rule = ask::one(core, NodeRequest::get(&target_of(uid))).await?;
    show(&mut rule, &core.shared.rules.load());
    Ok(Response::json(StatusCode::OK, rule.to_string()))
}

/// `PATCH /dynamic-search-rules/{uid}`.
async fn update(core: &Rc<Core>, request: &Request, uid: &str) -> Result<Response, ApiError> {
    if !is_index_uid(uid) {
        return Ok(no_uid(uid));
    }
    check_query(request)?;
    let rule = keys::json_value(core, request)?;
    let hold = lane::lock(core, vec![TARGET]).await?;
    let on_nodes = for_nodes(&core.shared.snapshot(), &rule);
    let details = json!({"rule": rule, "updatedRules": 1});
    let target = target_of(uid);
    let sent = send(core, request, TaskKind::DsrUpdate, details, &Method::PATCH, &target, &on_nodes);
    let record = sent.await?;
    let before = core.shared.rules.load().get(uid).cloned();
    let after = merged(before, &rule);
    let key = uid.to_owned();
    let revision = revision(core, uid).await?;
    core.shared.store.put_record(RULES, uid, after.clone(), revision).await?;
    change(core, |rules| drop(rules.insert(key.clone(), after.clone())));
    drop(hold);
    Ok(tasks::accepted(Accepted { record, degraded: None }))
}

/// `DELETE /dynamic-search-rules/{uid}`.
async fn delete(core: &Rc<Core>, request: &Request, uid: &str) -> Result<Response, ApiError> {
    if !is_index_uid(uid) {
        return Ok(no_uid(uid));
    }
    check_query(request)?;
    let hold = lane::lock(core, vec![TARGET]).await?;
    let (details, target) = (json!({"updatedRules": 1}), target_of(uid));
    let sent = send(core, request, TaskKind::DsrUpdate, details, &Method::DELETE, &target, &Value::Null);
    let record = sent.await?;
    core.shared.store.commit(vec![forget(uid)]).await?;
    change(core, |rules| drop(rules.remove(uid)));
    drop(hold);
    Ok(tasks::accepted(Accepted { record, degraded: None }))
}

/// `DELETE /dynamic-search-rules`.
async fn clear(core: &Rc<Core>, request: &Request) -> Result<Response, ApiError> {
    check_query(request)?;
    let hold = lane::lock(core, vec![TARGET]).await?;
    let known = core.shared.rules.load_full();
    let details = json!({"deletedDocuments": known.len()});
    let sent = send(core, request, TaskKind::DsrClear, details, &Method::DELETE, TARGET, &Value::Null);
    let record = sent.await?;
    core.shared.store.commit(known.keys().map(|uid| forget(uid)).collect()).await?;
    change(core, |rules| rules.clear());
    drop(hold);
    Ok(tasks::accepted(Accepted { record, degraded: None }))
}

/// Makes a task that every node has taken its part of. One node is asked alone at first, so that a refusal changes
/// nothing.
async fn send(
    core: &Core,
    request: &Request,
    kind: TaskKind,
    details: Value,
    method: &Method,
    target: &str,
    body: &Value,
) -> Result<TaskRecord, ApiError> {
    let custom_metadata = Query::parse(request.uri.query()).get("customMetadata").map(str::to_owned);
    let task = store::NewTask { custom_metadata, ..new_task(request, INDEX, kind, details) };
    let intent = core.shared.store.create_task(task).await?;
    match fanout::change_every_node(core, method, target, body).await {
        Ok(node_tasks) => {
            let change = apply::accepted_change(node_tasks);
            Ok(core.shared.store.update_task(intent.uid, change).await?)
        }
        Err(error) => {
            apply::discard(core, &intent).await;
            Err(error)
        }
    }
}

fn check_query(request: &Request) -> Result<(), ApiError> {
    Query::parse(request.uri.query()).only(&["customMetadata"])
}

/// A node's answer to a path in which the uid is not valid.
fn no_uid(uid: &str) -> Response {
    let body = invalid_index_uid_reason(uid);
    Response {
        content_type: Some("text/plain; charset=utf-8"),
        ..Response::json(StatusCode::NOT_FOUND, body)
    }
}

/// Shows a node's rule with clients' names of indexes.
fn show(rule: &mut Value, rules: &Rules) {
    let known = rule["uid"].as_str().and_then(|uid| rules.get(uid));
    if let Some(known) = known {
        rule["actions"] = known.get("actions").cloned().unwrap_or_else(|| json!([]));
    }
}

async fn revision(core: &Core, uid: &str) -> Result<Option<u64>, ApiError> {
    Ok(core.shared.store.record(RULES, uid).await?.map(|record| record.revision))
}

fn change(core: &Core, apply: impl Fn(&mut Rules)) {
    core.shared.rules.rcu(|known| {
        let mut rules = Rules::clone(known);
        apply(&mut rules);
        rules
    });
}

fn forget(uid: &str) -> Change {
    Change::ForgetRecord { table: RULES, key: uid.to_owned() }
}
