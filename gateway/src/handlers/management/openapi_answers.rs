//! What requests of the management API answer, for its description.
//!
//! Invariant: the shapes have one home, `gateway/ctl/json-schema.json`, by which the output of `miroir-ctl --json` is
//! described as well; here is only which request answers in which.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// The definitions.
const SHAPES: &str = include_str!("../../../ctl/json-schema.json");
/// Where references lead to in that file, and in the description.
const IN_FILE: &str = "#/$defs/";
const IN_DESCRIPTION: &str = "#/components/schemas/";

/// The definition of a request's answer, one request a line; those that are not here answer with some object.
pub(super) const ANSWERS: &[(&str, &str, &str)] = &[
    ("GET", "/_miroir/topology", "topology"),
    ("PATCH", "/_miroir/topology", "begun"),
    ("POST", "/_miroir/nodes", "begun"),
    ("DELETE", "/_miroir/nodes/{id}", "begun"),
    ("POST", "/_miroir/nodes/{id}/drain", "begun"),
    ("POST", "/_miroir/nodes/{id}/replace", "begun"),
    ("DELETE", "/_miroir/groups/{n}", "begun"),
    ("POST", "/_miroir/rebalance", "begun"),
    ("GET", "/_miroir/rebalance/status", "underWay"),
    ("POST", "/_miroir/indexes/{uid}/reshard", "begun"),
    ("GET", "/_miroir/indexes/{uid}/reshard/status", "reshard status"),
    ("POST", "/_miroir/routing/revert", "begun"),
    ("GET", "/_miroir/operations", "operations"),
    ("GET", "/_miroir/operations/{n}", "operation"),
    ("POST", "/_miroir/operations/{n}/pause", "operation"),
    ("POST", "/_miroir/operations/{n}/resume", "operation"),
    ("POST", "/_miroir/operations/{n}/abort", "operation"),
    ("POST", "/_miroir/operations/{n}/cutover", "operation"),
    ("GET", "/_miroir/shards", "placements"),
    ("GET", "/_miroir/ready", "ready"),
    ("GET", "/_miroir/diagnosis", "diagnosis"),
    ("GET", "/_miroir/audit", "audit"),
    ("GET", "/_miroir/tasks/{uid}", "task"),
    ("GET", "/_miroir/writes", "writes list"),
    ("POST", "/_miroir/writes/fail", "task"),
    ("GET", "/_miroir/backups", "backup list"),
    ("POST", "/_miroir/backups", "begun"),
    ("GET", "/_miroir/backups/{id}", "backup"),
    ("POST", "/_miroir/backups/{id}/restore", "begun"),
    ("GET", "/_miroir/anti-entropy", "anti-entropy status"),
    ("GET", "/_miroir/anti-entropy/history", "anti-entropy history"),
    ("GET", "/_miroir/aliases", "alias list"),
    ("POST", "/_miroir/aliases", "alias"),
    ("GET", "/_miroir/aliases/{name}", "alias"),
    ("PUT", "/_miroir/aliases/{name}", "alias"),
    ("GET", "/_miroir/canaries", "canary list"),
    ("POST", "/_miroir/canaries", "canary"),
    ("GET", "/_miroir/canaries/status", "canary status"),
    ("POST", "/_miroir/canaries/capture", "canary capture"),
    ("GET", "/_miroir/shadow/diff", "shadow diff"),
    ("GET", "/_miroir/tenants", "tenant list"),
    ("PUT", "/_miroir/tenants/{tenant}", "tenant set"),
    ("PUT", "/_miroir/tenants/keys/{keyUid}", "tenant set"),
    ("GET", "/_miroir/ui/jwt-secret", "ui rotate-jwt-secret"),
    ("POST", "/_miroir/ui/jwt-secret", "ui rotate-jwt-secret"),
    ("GET", "/_miroir/indexes/{uid}/ttl-policy", "ttlPolicy"),
    ("POST", "/_miroir/indexes/{uid}/ttl-policy", "ttlPolicy"),
];
/// What a change of the cluster's shape answers when it is only planned.
pub(super) const PLAN: &str = "plan";

/// The schema of a request's answer.
pub(super) fn of(method: &str, path: &str) -> Value {
    let known = ANSWERS.iter().find(|(of, at, _)| (*of, *at) == (method, path));
    known.map_or_else(|| json!({"type": "object"}), |(.., name)| reference(name))
}

/// A reference to a definition.
pub(super) fn reference(name: &str) -> Value {
    json!({"$ref": format!("{IN_DESCRIPTION}{}", key(name))})
}

/// The name of a definition as it may stand in the description.
fn key(name: &str) -> String {
    name.replace(' ', "-")
}

/// Every definition that an answer refers to, also by way of others.
pub(super) fn components() -> Map<String, Value> {
    let shapes: Value = serde_json::from_str(SHAPES).unwrap_or_default();
    let mut wanted = ANSWERS.iter().map(|(.., name)| (*name).to_owned()).collect::<Vec<_>>();
    wanted.push(PLAN.to_owned());
    let (mut found, mut seen) = (Map::new(), BTreeSet::new());
    while let Some(name) = wanted.pop() {
        if seen.insert(name.clone()) {
            let mut shape = shapes["$defs"][&name].clone();
            lead_here(&mut shape, &mut wanted);
            found.insert(key(&name), shape);
        }
    }
    found
}

/// Turns the references of a definition to the description; `met` gets the names that they refer to.
fn lead_here(shape: &mut Value, met: &mut Vec<String>) {
    match shape {
        Value::Object(members) => {
            for (name, member) in members {
                match member.as_str().and_then(|text| text.strip_prefix(IN_FILE)) {
                    Some(referred) if name == "$ref" => {
                        met.push(referred.to_owned());
                        *member = json!(format!("{IN_DESCRIPTION}{}", key(referred)));
                    }
                    _ => lead_here(member, met),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| lead_here(item, met)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_has_a_definition_and_no_reference_leads_nowhere() {
        let components = components();
        for (_, _, name) in ANSWERS {
            assert!(components[&key(name)].is_object(), "{name}");
        }
        let text = json!(components).to_string();
        assert!(!text.contains(IN_FILE), "a reference leads nowhere");
        for reference in text.split(IN_DESCRIPTION).skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(components[name].is_object(), "{name}");
        }
        assert_eq!(of("GET", "/_miroir/ready"), json!({"$ref": "#/components/schemas/ready"}));
        assert_eq!(of("GET", "/_miroir/admin/sessions"), json!({"type": "object"}));
    }
}
