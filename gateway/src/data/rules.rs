//! Dynamic search rules: kept here as clients give them, held by every node under its own names of indexes.
//!
//! Invariants: what a node refuses is kept nowhere; a rule follows the name of an index, whichever index has
//! it; a node that was replaced gets all rules before it serves (`control::rejoin`). Nodes pin, the merge
//! puts what is pinned where it belongs in the whole list.

use std::rc::Rc;

use ahash::AHashMap;
use bytes::Bytes;
use http::{Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use router::NodeIndex;
use serde_json::{Map, Value, json};
use store::{Change, NodeTask, Record, Table, TaskKind, TaskRecord};

use super::{
    Core, changes, fanout, gather,
    indexes::new_task,
    ingress, keys,
    lanes::{self, Accepted},
    pool::NodeRequest,
    tasks,
};
use crate::{
    api::{
        error::{ApiError, Code},
        query::Query,
        task::{invalid_index_uid_reason, is_index_uid},
    },
    auth::Action,
    h1::{Request, Response},
    observe::log,
    runtime::Runtime,
    snapshot::Snapshot,
};

/// Where rules are stored, by uid, as the members that clients have set.
pub const RULES: Table = Table::named("search_rules");
/// Also the lane of changes of rules: no index is called so.
const TARGET: &str = "/dynamic-search-rules";
/// The index that tasks about rules name, on a node, too.
const INDEX: &str = ".meili_dsr";

/// More than a cluster has.
const RULES_PER_PAGE: usize = 100_000;

/// All rules, by uid.
pub type Rules = AHashMap<String, Value>;

/// What is asked about rules; a text is a uid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked<'a> {
    List,
    Clear,
    One(&'a str),
    Update(&'a str),
    Delete(&'a str),
}

impl Asked<'_> {
    /// The right it takes.
    pub(super) fn action(self) -> Action {
        match self {
            Self::List | Self::One(_) => Action::DynamicSearchRulesGet,
            Self::Update(_) => Action::DynamicSearchRulesUpdate,
            Self::Clear | Self::Delete(_) => Action::DynamicSearchRulesDelete,
        }
    }
}

/// Answers what is asked.
pub(super) async fn serve<R: Runtime>(
    core: &Rc<Core<R>>,
    request: &Request,
    asked: Asked<'_>,
) -> Result<Response, ApiError> {
    match asked {
        Asked::List => list(core, request).await,
        Asked::Clear => clear(core, request).await,
        Asked::One(uid) => get(core, uid).await,
        Asked::Update(uid) => update(core, request, uid).await,
        Asked::Delete(uid) => delete(core, request, uid).await,
    }
}

/// `POST /dynamic-search-rules`: a page of rules.
async fn list<R: Runtime>(core: &Core<R>, request: &Request) -> Result<Response, ApiError> {
    let body = ingress::json_body(core, request)?;
    let mut page = gather::one(core, NodeRequest::post_json(TARGET, body)).await?;
    let rules = core.shared.rules.load();
    for rule in page["results"].as_array_mut().into_iter().flatten() {
        show(rule, &rules);
    }
    Ok(Response::json(StatusCode::OK, page.to_string()))
}

/// `GET /dynamic-search-rules/{uid}`.
async fn get<R: Runtime>(core: &Core<R>, uid: &str) -> Result<Response, ApiError> {
    if !is_index_uid(uid) {
        return Ok(no_uid(uid));
    }
    let mut rule = gather::one(core, NodeRequest::get(&target_of(uid))).await?;
    show(&mut rule, &core.shared.rules.load());
    Ok(Response::json(StatusCode::OK, rule.to_string()))
}

/// `PATCH /dynamic-search-rules/{uid}`.
async fn update<R: Runtime>(core: &Rc<Core<R>>, request: &Request, uid: &str) -> Result<Response, ApiError> {
    if !is_index_uid(uid) {
        return Ok(no_uid(uid));
    }
    let metadata = metadata(request)?;
    let asked = keys::json_value(core, request)?;
    let hold = lanes::hold(core, vec![TARGET]).await?;
    let on_nodes = for_nodes(&core.shared.snapshot(), &asked);
    let details = json!({"rule": asked, "updatedRules": 1});
    let target = target_of(uid);
    let sent = send(core, TaskKind::DsrUpdate, details, metadata, &Method::PATCH, &target, &on_nodes);
    let record = sent.await?;
    let before = core.shared.rules.load().get(uid).cloned();
    let after = merged(before, &asked);
    let key = uid.to_owned();
    let revision = revision(core, uid).await?;
    core.shared.store.put_record(RULES, uid, after.clone(), revision).await?;
    change(core, |rules| drop(rules.insert(key.clone(), after.clone())));
    drop(hold);
    Ok(tasks::accepted(Accepted { record, degraded: None }))
}

/// `DELETE /dynamic-search-rules/{uid}`.
async fn delete<R: Runtime>(core: &Rc<Core<R>>, request: &Request, uid: &str) -> Result<Response, ApiError> {
    if !is_index_uid(uid) {
        return Ok(no_uid(uid));
    }
    let metadata = metadata(request)?;
    let hold = lanes::hold(core, vec![TARGET]).await?;
    let (details, target) = (json!({"updatedRules": 1}), target_of(uid));
    let sent = send(core, TaskKind::DsrUpdate, details, metadata, &Method::DELETE, &target, &Value::Null);
    let record = sent.await?;
    core.shared.store.commit(vec![forget(uid)]).await?;
    change(core, |rules| drop(rules.remove(uid)));
    drop(hold);
    Ok(tasks::accepted(Accepted { record, degraded: None }))
}

/// `DELETE /dynamic-search-rules`.
async fn clear<R: Runtime>(core: &Rc<Core<R>>, request: &Request) -> Result<Response, ApiError> {
    let metadata = metadata(request)?;
    let hold = lanes::hold(core, vec![TARGET]).await?;
    let known = core.shared.rules.load_full();
    let details = json!({"deletedDocuments": known.len()});
    let sent = send(core, TaskKind::DsrClear, details, metadata, &Method::DELETE, TARGET, &Value::Null);
    let record = sent.await?;
    core.shared.store.commit(known.keys().map(|uid| forget(uid)).collect()).await?;
    change(core, |rules| rules.clear());
    drop(hold);
    Ok(tasks::accepted(Accepted { record, degraded: None }))
}

/// Makes rules that name any of these indexes follow what has become of the names; answers the nodes' tasks.
pub(super) async fn follow<R: Runtime>(core: &Core<R>, uids: &[&str]) -> Vec<NodeTask> {
    let mut node_tasks = Vec::new();
    let rules = core.shared.rules.load_full();
    let snapshot = core.shared.snapshot();
    for (uid, rule) in rules.iter().filter(|(_, rule)| names_any(rule, uids)) {
        let actions = json!({"actions": for_nodes(&snapshot, rule)["actions"]});
        match changes::change_every_node(core, &Method::PATCH, &target_of(uid), &actions).await {
            Ok(sent) => node_tasks.extend(sent),
            Err(_) => log::warn("rule_not_followed", &[("rule", uid)]),
        }
    }
    node_tasks
}

/// Whether any rule may pin documents of an index.
pub(super) fn pin_in<R: Runtime>(core: &Core<R>, uid: &str) -> bool {
    let rules = core.shared.rules.load();
    let concerns = |action: &Value| action["selector"]["indexUid"].as_str().is_none_or(|named| named == uid);
    rules.values().any(|rule| rule["actions"].as_array().is_some_and(|actions| actions.iter().any(concerns)))
}

/// Lists that are merged further here have no places for what is pinned.
pub(super) fn refusal() -> ApiError {
    ApiError::new(
        Code::FeatureNotEnabled,
        "This gateway does not serve hybrid and federated searches of an index in which dynamic search rules pin documents.",
    )
}

/// Gives a node the rules as they are now, which may have come, changed and gone while it was away; whether all
/// went well.
pub async fn restore<R: Runtime>(core: &Core<R>, node: NodeIndex) -> bool {
    let page = Bytes::from(json!({"limit": RULES_PER_PAGE}).to_string());
    let asked =
        core.pools.ask(node, NodeRequest::post_json(TARGET, page), core.shared.config.node_timeout).await;
    let of_node = match asked {
        Ok(answer) if answer.status == StatusCode::OK => answer.body,
        // Rules are switched off there, or unknown to its version: there is nothing to be had.
        Ok(answer) => return !answer.status.is_server_error(),
        Err(_) => return false,
    };
    let of_node = serde_json::from_slice::<Value>(&of_node).unwrap_or_default();
    let of_node = of_node["results"].as_array().into_iter().flatten();
    let of_node = of_node.filter_map(|rule| Some((rule["uid"].as_str()?, rule))).collect::<AHashMap<_, _>>();
    let rules = core.shared.rules.load_full();
    let snapshot = core.shared.snapshot();
    let mut changes = Vec::new();
    changes.extend(of_node.keys().filter(|uid| !rules.contains_key(**uid)).map(|uid| (*uid, None)));
    for (uid, rule) in rules.iter() {
        let wanted = for_nodes(&snapshot, rule);
        match of_node.get(uid.as_str()) {
            Some(known) if is_same(known, &wanted) => {}
            // A change keeps what it does not name, so the rule is made anew.
            Some(_) => changes.extend([(uid.as_str(), None), (uid, Some(wanted))]),
            None => changes.push((uid, Some(wanted))),
        }
    }
    for (uid, rule) in changes {
        let method = if rule.is_some() { Method::PATCH } else { Method::DELETE };
        let body = rule.map_or_else(Bytes::new, |rule| rule.to_string().into());
        if let Err(error) = fanout::ask_once(core, node, &method, &target_of(uid), body).await
            && !error.status().is_client_error()
        {
            return false;
        }
    }
    true
}

/// Whether a node's rule is this one: what is not set there is as good as empty.
fn is_same(of_node: &Value, wanted: &Value) -> bool {
    let empty = [Value::Null, json!(true), json!([]), json!({})];
    let members = of_node.as_object().into_iter().flatten().filter(|(name, _)| *name != "uid");
    let wanted_here = wanted.as_object().into_iter().flatten();
    wanted_here.into_iter().all(|(name, value)| of_node.get(name) == Some(value))
        && members.into_iter().all(|(name, value)| wanted.get(name).is_some() || empty.contains(value))
}

/// A task whose part every node has taken; the first node alone is asked at first, so that what is refused
/// changes nothing.
async fn send<R: Runtime>(
    core: &Core<R>,
    kind: TaskKind,
    details: Value,
    custom_metadata: Option<String>,
    method: &Method,
    target: &str,
    body: &Value,
) -> Result<TaskRecord, ApiError> {
    let task = store::NewTask { custom_metadata, ..new_task(INDEX, kind, details) };
    let intent = core.shared.store.create_task(task).await?;
    match changes::change_every_node(core, method, target, body).await {
        Ok(node_tasks) => {
            let change = changes::accepted_change(node_tasks);
            Ok(core.shared.store.update_task(intent.uid, change).await?)
        }
        Err(error) => {
            changes::discard(core, &intent).await;
            Err(error)
        }
    }
}

fn metadata(request: &Request) -> Result<Option<String>, ApiError> {
    let query = Query::parse(request.uri.query());
    query.only(&["customMetadata"])?;
    Ok(query.get("customMetadata").map(str::to_owned))
}

fn target_of(uid: &str) -> String {
    format!("{TARGET}/{}", utf8_percent_encode(uid, NON_ALPHANUMERIC))
}

/// What a node says of a path with something else than a uid.
fn no_uid(uid: &str) -> Response {
    let body = invalid_index_uid_reason(uid);
    Response {
        content_type: Some("text/plain; charset=utf-8"),
        ..Response::json(StatusCode::NOT_FOUND, body)
    }
}

/// The rule with nodes' names of the indexes that its actions name.
fn for_nodes(snapshot: &Snapshot, rule: &Value) -> Value {
    let mut rule = rule.clone();
    for action in rule.get_mut("actions").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(uid) = action["selector"]["indexUid"].as_str() {
            let name = snapshot.name_on_nodes(uid);
            action["selector"]["indexUid"] = json!(name);
        }
    }
    rule
}

/// A node's rule with clients' names of indexes.
fn show(rule: &mut Value, rules: &Rules) {
    let known = rule["uid"].as_str().and_then(|uid| rules.get(uid));
    if let Some(known) = known {
        rule["actions"] = known.get("actions").cloned().unwrap_or_else(|| json!([]));
    }
}

/// The members of a rule after a change of some of them; `null` takes away.
fn merged(before: Option<Value>, change: &Value) -> Value {
    let mut rule = before.and_then(|rule| rule.as_object().cloned()).unwrap_or_default();
    for (name, value) in change.as_object().unwrap_or(&Map::new()) {
        match value.is_null() {
            true => drop(rule.remove(name)),
            false => drop(rule.insert(name.clone(), value.clone())),
        }
    }
    Value::Object(rule)
}

fn names_any(rule: &Value, uids: &[&str]) -> bool {
    let mut actions = rule["actions"].as_array().into_iter().flatten();
    actions.any(|action| action["selector"]["indexUid"].as_str().is_some_and(|uid| uids.contains(&uid)))
}

/// The stored rules as every core knows them.
#[must_use]
pub fn read(records: Vec<Record>) -> Rules {
    records.into_iter().map(|record| (record.key, record.value)).collect()
}

async fn revision<R: Runtime>(core: &Core<R>, uid: &str) -> Result<Option<u64>, ApiError> {
    Ok(core.shared.store.record(RULES, uid).await?.map(|record| record.revision))
}

fn change<R: Runtime>(core: &Core<R>, apply: impl Fn(&mut Rules)) {
    core.shared.rules.rcu(|known| {
        let mut rules = Rules::clone(known);
        apply(&mut rules);
        rules
    });
}

fn forget(uid: &str) -> Change {
    Change::ForgetRecord { table: RULES, key: uid.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_keeps_what_it_does_not_name() {
        let before = json!({"description": "a", "actions": [1], "active": false});
        let after = merged(Some(before), &json!({"description": "b", "active": null, "precedence": 3}));
        assert_eq!(after, json!({"description": "b", "actions": [1], "precedence": 3}));
        let of_node =
            json!({"uid": "r", "description": "b", "actions": [1], "precedence": 3, "active": true});
        assert!(is_same(&of_node, &after));
        for other in [json!({}), json!({"description": "b", "actions": [1]}), json!({"description": "c"})] {
            assert!(!is_same(&of_node, &other), "{other}");
        }
        let rule = json!({"actions": [{"selector": {"indexUid": "a", "id": "1"}}]});
        assert!(names_any(&rule, &["b", "a"]) && !names_any(&rule, &["b"]) && !names_any(&json!({}), &["a"]));
    }
}
