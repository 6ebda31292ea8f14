//! Settings as a task's details tell them: sets in order and without repetitions, lists of all attributes written out,
//! and what rules of attributes leave open filled in.
//!
//! Invariant: what a node would not take stays as it is, since its task tells why it failed. Source: the settings types
//! of Meilisearch 1.15 to 1.50.

use serde_json::{Map, Value, json};

/// Settings that are sets of texts.
const SETS: [&str; 5] =
    ["stopWords", "sortableAttributes", "separatorTokens", "nonSeparatorTokens", "dictionary"];

/// The details for settings as a client sent them.
pub(super) fn of(mut settings: Map<String, Value>) -> Value {
    for (name, value) in &mut settings {
        match name.as_str() {
            "displayedAttributes" | "searchableAttributes" if value.is_null() => *value = json!(["*"]),
            "filterableAttributes" => value.as_array_mut().into_iter().flatten().for_each(complete_rule),
            "typoTolerance" => {
                for words in ["disableOnWords", "disableOnAttributes"] {
                    value.get_mut(words).into_iter().for_each(order);
                }
            }
            name if SETS.contains(&name) => order(value),
            _ => {}
        }
    }
    Value::Object(settings)
}

/// Orders a list of texts as the set that it is.
fn order(list: &mut Value) {
    let Some(texts) = list.as_array_mut().filter(|texts| texts.iter().all(Value::is_string)) else { return };
    texts.sort_by(|one, other| one.as_str().cmp(&other.as_str()));
    texts.dedup();
}

/// Fills in the features that a rule of filterable attributes leaves open.
fn complete_rule(rule: &mut Value) {
    let Some(members) = rule.as_object_mut().filter(|members| members.contains_key("attributePatterns"))
    else {
        return;
    };
    let default = json!({"facetSearch": false, "filter": {"equality": true, "comparison": false}});
    complete(members.entry("features").or_insert(Value::Null), &default);
}

/// Puts the members of `default` where `value` lacks them.
fn complete(value: &mut Value, default: &Value) {
    if value.is_null() {
        *value = default.clone();
        return;
    }
    let (Some(members), Some(defaults)) = (value.as_object_mut(), default.as_object()) else { return };
    for (name, default) in defaults {
        complete(members.entry(name).or_insert(Value::Null), default);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_told_as_by_a_node() {
        let check = |sent: Value, expected: Value| {
            assert_eq!(of(sent.as_object().cloned().unwrap()), expected, "{sent}");
        };
        check(json!({"stopWords": ["b", "a", "a"]}), json!({"stopWords": ["a", "b"]}));
        check(json!({"dictionary": ["x", "\u{e9}", "X"]}), json!({"dictionary": ["X", "x", "\u{e9}"]}));
        check(json!({"sortableAttributes": null}), json!({"sortableAttributes": null}));
        check(json!({"stopWords": ["b", 7]}), json!({"stopWords": ["b", 7]}));
        check(
            json!({"displayedAttributes": null, "searchableAttributes": ["b", "a", "b"]}),
            json!({"displayedAttributes": ["*"], "searchableAttributes": ["b", "a", "b"]}),
        );
        check(
            json!({"typoTolerance": {"disableOnWords": ["b", "a"], "enabled": true}}),
            json!({"typoTolerance": {"disableOnWords": ["a", "b"], "enabled": true}}),
        );
        let rule = |features: Value| json!({"filterableAttributes": ["n", {"attributePatterns": ["a"], "features": features}]});
        let bare = json!({"filterableAttributes": ["n", {"attributePatterns": ["a"]}]});
        let whole = json!({"facetSearch": false, "filter": {"equality": true, "comparison": false}});
        check(bare, rule(whole.clone()));
        check(rule(json!({})), rule(whole));
        check(
            rule(json!({"filter": {"comparison": true}})),
            rule(json!({"filter": {"comparison": true, "equality": true}, "facetSearch": false})),
        );
    }
}
