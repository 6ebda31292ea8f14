//! The nodes' copies of dynamic search rules: they follow the names of indexes, and new nodes are given them.
//!
//! Invariant: on a node a rule names indexes by their names on the nodes.

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

/// The nodes' route, and the name of the lane of rule changes: no index has this name.
pub(crate) const TARGET: &str = "/dynamic-search-rules";
/// More rules than a cluster has.
const RULES_PER_PAGE: usize = 100_000;

/// Makes rules that name any of these indexes follow the indexes' new names; gives the nodes' tasks.
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

/// Gives a node the present rules, since rules may have come, changed and gone while it was away; gives whether all
/// went well.
pub async fn restore(core: &Core, node: NodeIndex) -> bool {
    let page = Bytes::from(json!({"limit": RULES_PER_PAGE}).to_string());
    let listed =
        core.pools.ask(node, NodeRequest::post_json(TARGET, page), core.shared.config.node_timeout).await;
    let of_node = match listed {
        Ok(answer) if answer.status == StatusCode::OK => answer.body,
        // The node has rules switched off, or its version does not know them: it needs none.
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
            // A `PATCH` keeps what it does not name, so the rule is deleted and made anew.
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

/// The rule with the nodes' names of the indexes in its actions.
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
