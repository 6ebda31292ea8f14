//! The nodes' copies of dynamic search rules: made to follow the names of indexes, given to nodes that are new.
//!
//! Invariant: on a node a rule names indexes as the node does.

use ahash::AHashMap;
use bytes::Bytes;
use http::{Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use router::NodeIndex;
use serde_json::{Value, json};
use store::NodeTask;

use crate::{
    api::search::rules::{is_same, names_any},
    nodes::pool::NodeRequest,
    observe::log,
    state::{core::Core, snapshot::Snapshot},
    write::fanout,
};

/// Also the lane of changes of rules: no index is called so.
pub(crate) const TARGET: &str = "/dynamic-search-rules";
/// More than a cluster has.
const RULES_PER_PAGE: usize = 100_000;

/// Makes rules that name any of these indexes follow what has become of the names; answers the nodes' tasks.
pub(crate) async fn follow(core: &Core, uids: &[&str]) -> Vec<NodeTask> {
    let mut node_tasks = Vec::new();
    let rules = core.shared.rules.load_full();
    let snapshot = core.shared.snapshot();
    for (uid, rule) in rules.iter().filter(|(_, rule)| names_any(rule, uids)) {
        let actions = json!({"actions": for_nodes(&snapshot, rule)["actions"]});
        match fanout::change_every_node(core, &Method::PATCH, &target_of(uid), &actions).await {
            Ok(sent) => node_tasks.extend(sent),
            Err(_) => log::warn("rule_not_followed", &[("rule", uid)]),
        }
    }
    node_tasks
}

/// Gives a node the rules as they are now, which may have come, changed and gone while it was away; whether all
/// went well.
pub async fn restore(core: &Core, node: NodeIndex) -> bool {
    let page = Bytes::from(json!({"limit": RULES_PER_PAGE}).to_string());
    let asked =
        core.pools.ask(node, NodeRequest::post_json(TARGET, page), core.shared.config.node_timeout).await;
    let of_node = match asked {
        Ok(answer) if answer.status == StatusCode::OK => answer.body,
        // Rules are switched off there, or unknown to its version: there is nothing to be had.
        Ok(answer) => {
            return answer.status.is_client_error() || answer.status == StatusCode::NOT_IMPLEMENTED;
        }
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

pub(crate) fn target_of(uid: &str) -> String {
    format!("{TARGET}/{}", utf8_percent_encode(uid, NON_ALPHANUMERIC))
}

/// The rule with nodes' names of the indexes that its actions name.
pub(crate) fn for_nodes(snapshot: &Snapshot, rule: &Value) -> Value {
    let mut rule = rule.clone();
    for action in rule.get_mut("actions").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(uid) = action["selector"]["indexUid"].as_str() {
            let name = snapshot.name_on_nodes(uid);
            action["selector"]["indexUid"] = json!(name);
        }
    }
    rule
}
