//! Dynamic search rules as clients give them and the gateway keeps them: members set one by one.

use ahash::AHashMap;
use serde_json::{Map, Value, json};
use store::{Record, Table};

/// The table of rules, by uid: the members that clients have set.
pub const RULES: Table = Table::named("search_rules");
/// All rules, by uid.
pub type Rules = AHashMap<String, Value>;

/// A rule after a change of some members; `null` removes a member.
#[must_use]
pub fn merged(before: Option<Value>, change: &Value) -> Value {
    let mut rule = before.and_then(|rule| rule.as_object().cloned()).unwrap_or_default();
    for (name, value) in change.as_object().unwrap_or(&Map::new()) {
        match value.is_null() {
            true => drop(rule.remove(name)),
            false => drop(rule.insert(name.clone(), value.clone())),
        }
    }
    Value::Object(rule)
}

#[must_use]
pub fn names_any(rule: &Value, uids: &[&str]) -> bool {
    let mut actions = rule["actions"].as_array().into_iter().flatten();
    actions.any(|action| action["selector"]["indexUid"].as_str().is_some_and(|uid| uids.contains(&uid)))
}

/// Whether a node's rule equals this one: a member that is not set equals an empty one.
#[must_use]
pub fn is_same(of_node: &Value, wanted: &Value) -> bool {
    let empty = [Value::Null, json!(true), json!([]), json!({})];
    let members = of_node.as_object().into_iter().flatten().filter(|(name, _)| *name != "uid");
    let wanted_here = wanted.as_object().into_iter().flatten();
    wanted_here.into_iter().all(|(name, value)| of_node.get(name) == Some(value))
        && members.into_iter().all(|(name, value)| wanted.get(name).is_some() || empty.contains(value))
}

/// Reads the stored rules.
#[must_use]
pub fn read(records: Vec<Record>) -> Rules {
    records.into_iter().map(|record| (record.key, record.value)).collect()
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
