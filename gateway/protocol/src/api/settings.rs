//! Settings as clients see them and as nodes get them.
//!
//! Invariants: the gateway keeps all settings as the client set them, so that they can be sent to any node again.
//! Nodes always filter on the reserved fields, display everything and break ties by primary key. What a node would
//! refuse is sent to it unchanged, so that it refuses in its own words.

use http::Method;
use serde_json::{Map, Value, json};

use super::error::{ApiError, Code};
use crate::api::{
    chat, embedder_templates,
    index_rules::{FACET_VALUES_MAX_DEFAULT, HITS_TOTAL_MAX_DEFAULT, TieBreak},
    node_version::NodeVersion,
    settings_details,
};

/// Settings sub-routes and the method that changes them (`PUT` replaces, `PATCH` merges).
pub const SETTINGS: &[(&str, &str)] = &[
    ("filterable-attributes", "PUT"),
    ("sortable-attributes", "PUT"),
    (FOREIGN_KEYS, "PUT"),
    ("displayed-attributes", "PUT"),
    ("typo-tolerance", "PATCH"),
    ("searchable-attributes", "PUT"),
    ("stop-words", "PUT"),
    ("non-separator-tokens", "PUT"),
    ("separator-tokens", "PUT"),
    ("dictionary", "PUT"),
    ("synonyms", "PUT"),
    ("distinct-attribute", "PUT"),
    ("proximity-precision", "PUT"),
    ("localized-attributes", "PUT"),
    ("ranking-rules", "PUT"),
    ("faceting", "PATCH"),
    ("pagination", "PATCH"),
    ("embedders", "PATCH"),
    ("search-cutoff-ms", "PUT"),
    ("facet-search", "PUT"),
    ("prefix-search", "PUT"),
    (CHAT, "PATCH"),
];

/// A setting that nodes never get, since the gateway finds foreign documents. Older nodes do not know it.
const FOREIGN_KEYS: &str = "foreign-keys";
/// A setting that the gateway keeps, since it holds conversations itself.
pub const CHAT: &str = "chat";

/// The least number of facet values that a node returns. Clients may see fewer: whether a node orders numbers by
/// value or as text depends on how many documents it holds.
pub const FACET_VALUES_ON_NODES: u64 = 10_000;
/// The same when facets are ordered by count: over several nodes that order is exact only when each gives all its
/// values.
const FACET_VALUES_ON_NODES_BY_COUNT: u64 = 100_000;

/// The ranking rules of an index whose user set none, up to v1.36.
const RANKING_RULES_OLD: &[&str] = &["words", "typo", "proximity", "attribute", "sort", "exactness"];
/// The same from v1.37 on.
const RANKING_RULES_NEW: &[&str] =
    &["words", "typo", "proximity", "attributeRank", "sort", "wordPosition", "exactness"];
const RANKING_RULES_NEW_SINCE: NodeVersion = NodeVersion(1, 37);

/// The ranking rules of an index whose user set none.
#[must_use]
pub fn ranking_rules_default(lowest_version: Option<NodeVersion>) -> &'static [&'static str] {
    let new_rules = lowest_version >= Some(RANKING_RULES_NEW_SINCE);
    if new_rules { RANKING_RULES_NEW } else { RANKING_RULES_OLD }
}

/// What the nodes' settings are derived from, beside the change itself.
#[derive(Debug, Clone)]
pub struct Derivation<'a> {
    /// The settings that the gateway owns after the change.
    pub owned: &'a Value,
    pub tie_break: Option<TieBreak>,
    ranking_rules_default: &'static [&'static str],
}

impl<'a> Derivation<'a> {
    /// For an index with this primary key, on nodes of which `lowest_version` is the oldest.
    #[must_use]
    pub fn new(owned: &'a Value, primary_key: Option<&str>, lowest_version: Option<NodeVersion>) -> Self {
        let ranking_rules_default = ranking_rules_default(lowest_version);
        Self { owned, tie_break: TieBreak::of(primary_key, owned), ranking_rules_default }
    }

    /// The nodes' ranking rules for those of the user.
    fn ranking_rules(&self, users: &Value) -> Value {
        let Some(tie_break) = &self.tie_break else { return users.clone() };
        let default = || self.ranking_rules_default.iter().map(|rule| json!(rule)).collect();
        let rules = if users.is_null() { Some(default()) } else { users.as_array().cloned() };
        // A node refuses what is neither a list nor null.
        let Some(mut rules) = rules else { return users.clone() };
        rules.push(json!(tie_break.rule));
        Value::Array(rules)
    }

    /// The request that makes nodes break ties by a primary key that is new to them.
    #[must_use]
    pub fn tie_break_for_nodes(&self) -> NodeSettingsRequest {
        let rules = self.ranking_rules(&self.owned["rankingRules"]);
        NodeSettingsRequest {
            method: Method::PUT,
            suffix: "/settings/ranking-rules".to_owned(),
            body: rules.to_string(),
        }
    }
}

/// A change of settings as the client sent it.
#[derive(Debug, Clone, PartialEq)]
pub enum SettingsChange {
    /// `PATCH …/settings`.
    Whole(Map<String, Value>),
    /// `DELETE …/settings`.
    ResetAll,
    /// `PUT`, `PATCH` or `DELETE` (`None`) of one setting, by its path name.
    One { name: &'static str, method: Method, value: Option<Value> },
}

/// The request of a change to every node.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeSettingsRequest {
    pub method: Method,
    /// Path below the index.
    pub suffix: String,
    pub body: String,
}

impl SettingsChange {
    /// Refuses names that clients may not use.
    ///
    /// # Errors
    /// 400 `miroir_reserved_field`.
    pub fn check(&self) -> Result<(), ApiError> {
        let values: Vec<&Value> = match self {
            Self::Whole(settings) => settings.values().collect(),
            Self::ResetAll => Vec::new(),
            Self::One { value, .. } => value.iter().collect(),
        };
        if let Some(chat) = self.chat() {
            chat::check_index_chat(chat)?;
        }
        if self.sent().get("embedders").is_some_and(embedder_templates::name_reserved) {
            let message =
                "Names that start with `_miroir_` are reserved: embedders cannot use them in templates.";
            return Err(ApiError::new(Code::MiroirReservedField, message));
        }
        match values.into_iter().find_map(reserved_name) {
            None => Ok(()),
            Some(name) => Err(ApiError::new(
                Code::MiroirReservedField,
                format!(
                    "The field `{name}` is reserved: settings cannot name fields that start with `_miroir_`."
                ),
            )),
        }
    }

    /// What the change says of conversations, when it says something.
    #[must_use]
    pub fn chat(&self) -> Option<&Value> {
        match self {
            Self::Whole(settings) => settings.get(CHAT),
            Self::One { name, value, .. } if *name == CHAT => value.as_ref(),
            Self::ResetAll | Self::One { .. } => None,
        }
    }

    /// The task's details: the settings in the form in which a node tells them (`settings_details`).
    #[must_use]
    pub fn details(&self) -> Value {
        settings_details::of(self.sent())
    }

    /// The settings as sent, by their member names; those that are reset are null.
    #[must_use]
    pub fn sent(&self) -> Map<String, Value> {
        match self {
            Self::Whole(settings) => settings.clone(),
            Self::ResetAll => all_reset(),
            Self::One { name, value, .. } => {
                Map::from_iter([(camel_case(name), value.clone().unwrap_or(Value::Null))])
            }
        }
    }

    /// The settings that the gateway owns after the change.
    #[must_use]
    pub fn owned_after(&self, owned: &Value) -> Value {
        let mut owned = owned.as_object().cloned().unwrap_or_default();
        match self {
            Self::Whole(settings) => {
                for (name, value) in settings {
                    own(&mut owned, name, value);
                }
            }
            Self::ResetAll => owned.clear(),
            Self::One { name, value, .. } => {
                own(&mut owned, &camel_case(name), value.as_ref().unwrap_or(&Value::Null));
            }
        }
        Value::Object(owned)
    }

    /// The request of the change to every node.
    #[must_use]
    pub fn for_nodes(&self, derivation: &Derivation<'_>) -> NodeSettingsRequest {
        match self {
            Self::Whole(settings) => whole(settings, derivation),
            Self::ResetAll => {
                let mut settings = all_reset();
                settings.retain(|name, _| *name != camel_case(FOREIGN_KEYS));
                whole(&settings, derivation)
            }
            Self::One { name, method, value } => one(name, method, value.as_ref(), derivation),
        }
    }
}

/// `maxTotalHits` on the nodes. The gateway asks for no more than the user's own limit, and names no greater total
/// where one node would not; from the nodes it needs the true counts.
const HITS_TOTAL_ON_NODES: u64 = 1_000_000_000;

/// The settings that a new index gets on every node.
#[must_use]
pub fn base_for_nodes(derivation: &Derivation<'_>) -> Value {
    let mut base = json!({
        "filterableAttributes": router::reserved::FILTERED,
        "faceting": {"maxValuesPerFacet": FACET_VALUES_ON_NODES},
        "pagination": {"maxTotalHits": HITS_TOTAL_ON_NODES},
    });
    if derivation.tie_break.is_some() {
        base["rankingRules"] = derivation.ranking_rules(&Value::Null);
    }
    base
}

/// Converts a node's settings (`GET …/settings`) to the client's.
pub fn from_node(settings: &mut Map<String, Value>, owned: &Value, tie_break: Option<&TieBreak>) {
    for (name, value) in settings.iter_mut() {
        *value = setting_from_node(name, value.take(), owned, tie_break);
    }
}

/// Converts one setting of a node, by its member name, to the client's.
#[must_use]
pub fn setting_from_node(name: &str, mut value: Value, owned: &Value, tie_break: Option<&TieBreak>) -> Value {
    match name {
        "rankingRules" => {
            if let Value::Array(rules) = &mut value
                && tie_break.is_some_and(|tie_break| rules.last().is_some_and(|last| *last == tie_break.rule))
            {
                rules.pop();
            }
            value
        }
        "filterableAttributes" => {
            if let Value::Array(attributes) = &mut value {
                attributes.retain(|attribute| !attribute.as_str().is_some_and(router::reserved::is_reserved));
            }
            value
        }
        "displayedAttributes" => owned.get("displayedAttributes").cloned().unwrap_or_else(|| json!(["*"])),
        CHAT => chat::shown_index_chat(&owned[CHAT]),
        "foreignKeys" => owned.get("foreignKeys").cloned().unwrap_or_else(|| json!([])),
        "faceting" => {
            if let Value::Object(faceting) = &mut value {
                let own = owned["faceting"]["maxValuesPerFacet"].as_u64();
                faceting.insert(
                    "maxValuesPerFacet".to_owned(),
                    json!(own.unwrap_or(FACET_VALUES_MAX_DEFAULT as u64)),
                );
            }
            value
        }
        "embedders" => {
            embedder_templates::from_node(&mut value);
            value
        }
        "pagination" => {
            if let Value::Object(pagination) = &mut value {
                let own = owned["pagination"]["maxTotalHits"].as_u64();
                pagination
                    .insert("maxTotalHits".to_owned(), json!(own.unwrap_or(HITS_TOTAL_MAX_DEFAULT as u64)));
            }
            value
        }
        _ => value,
    }
}

/// `filterable-attributes` to `filterableAttributes`.
#[must_use]
pub fn camel_case(name: &str) -> String {
    let mut camel = String::with_capacity(name.len());
    let mut upper = false;
    for character in name.chars() {
        match character {
            '-' => upper = true,
            _ if upper => {
                camel.extend(character.to_uppercase());
                upper = false;
            }
            _ => camel.push(character),
        }
    }
    camel
}

/// Keeps a setting as the client set it.
fn own(owned: &mut Map<String, Value>, name: &str, value: &Value) {
    let members = match name {
        // These merge member by member, and a null resets.
        "faceting" | "pagination" | "typoTolerance" | "embedders" | CHAT => value.as_object(),
        _ => None,
    };
    let Some(members) = members else {
        match value.is_null() {
            true => drop(owned.remove(name)),
            false => drop(owned.insert(name.to_owned(), value.clone())),
        }
        return;
    };
    let group = owned.entry(name.to_owned()).or_insert_with(|| json!({}));
    let Some(group) = group.as_object_mut() else { return };
    for (member, value) in members {
        let merged = name == "embedders" || member == "minWordSizeForTypos" || member == "searchParameters";
        own_member(group, member, value, merged);
    }
}

fn own_member(group: &mut Map<String, Value>, name: &str, value: &Value, merged: bool) {
    if value.is_null() {
        group.remove(name);
        return;
    }
    let (Some(known), Some(members), true) = (group.get_mut(name), value.as_object(), merged) else {
        drop(group.insert(name.to_owned(), value.clone()));
        return;
    };
    // Another source has other members.
    let another_source = members.get("source").is_some_and(|source| known["source"] != *source);
    match known.as_object_mut().filter(|_| !another_source) {
        Some(known) => members.iter().for_each(|(name, value)| own_member(known, name, value, false)),
        None => *known = value.clone(),
    }
}

/// The requests (`PATCH …/settings`) that send a node everything: what the client set, and defaults for what it did
/// not. `embedders` names those that the node has.
#[must_use]
pub fn whole_for_nodes(derivation: &Derivation<'_>, embedders: &[&str]) -> Vec<Value> {
    let owned = derivation.owned;
    let mut wanted = Map::new();
    for (name, _) in SETTINGS.iter().filter(|(name, _)| ![FOREIGN_KEYS, CHAT].contains(name)) {
        let name = camel_case(name);
        let mut value = owned.get(&name).cloned().unwrap_or(Value::Null);
        match (name.as_str(), value.as_object_mut()) {
            ("faceting", Some(members)) => {
                for member in ["maxValuesPerFacet", "sortFacetValuesBy"] {
                    members.entry(member).or_insert(Value::Null);
                }
            }
            // A null here would make the node embed everything anew.
            ("embedders", members) => {
                let mut members = members.cloned().unwrap_or_default();
                for known in embedders {
                    members.entry(*known).or_insert(Value::Null);
                }
                value = Value::Object(members);
            }
            _ => {}
        }
        wanted.insert(name, value);
    }
    let values = wanted.iter().map(|(name, value)| (name.clone(), derive(name, value, derivation)));
    let values = Value::Object(values.collect());
    // Typo tolerance merges with what is there, so it is reset first.
    let reset = owned.get("typoTolerance").map(|_| json!({"typoTolerance": null}));
    reset.into_iter().chain([values]).collect()
}

fn whole(settings: &Map<String, Value>, derivation: &Derivation<'_>) -> NodeSettingsRequest {
    let mut derived = Map::new();
    for (name, value) in settings.iter().filter(|(name, _)| *name != CHAT) {
        derived.insert(name.clone(), derive(name, value, derivation));
    }
    NodeSettingsRequest {
        method: Method::PATCH,
        suffix: "/settings".to_owned(),
        body: Value::Object(derived).to_string(),
    }
}

fn one(
    name: &str,
    method: &Method,
    value: Option<&Value>,
    derivation: &Derivation<'_>,
) -> NodeSettingsRequest {
    let member = camel_case(name);
    if name == CHAT {
        // Nodes take a change of nothing, so that this one has its place among the others and its version.
        return whole(&Map::new(), derivation);
    }
    let suffix = format!("/settings/{name}");
    let (method, body) = match value {
        None => match member.as_str() {
            "filterableAttributes" | "displayedAttributes" => {
                (Method::PUT, derive(&member, &Value::Null, derivation).to_string())
            }
            "rankingRules" if derivation.tie_break.is_some() => {
                (Method::PUT, derive(&member, &Value::Null, derivation).to_string())
            }
            "faceting" | "pagination" => {
                (Method::PATCH, derive(&member, &Value::Null, derivation).to_string())
            }
            _ => (Method::DELETE, String::new()),
        },
        Some(value) => (method.clone(), derive(&member, value, derivation).to_string()),
    };
    NodeSettingsRequest { method, suffix, body }
}

/// The nodes' value of one setting of a client.
fn derive(name: &str, value: &Value, derivation: &Derivation<'_>) -> Value {
    let owned = derivation.owned;
    match (name, value) {
        ("rankingRules", value) => derivation.ranking_rules(value),
        ("filterableAttributes", Value::Null) => json!(router::reserved::FILTERED),
        ("filterableAttributes", Value::Array(attributes)) => {
            // Last, so that errors that number the client's rules keep the client's numbers.
            let mut list = attributes.clone();
            list.extend(router::reserved::FILTERED.map(|field| json!(field)));
            Value::Array(list)
        }
        ("displayedAttributes", Value::Null) => json!(["*"]),
        ("displayedAttributes", Value::Array(names)) if names.iter().all(Value::is_string) => json!(["*"]),
        ("foreignKeys", Value::Array(keys)) if keys.iter().all(is_foreign_key) => json!([]),
        ("faceting", Value::Null) => derive_faceting(&reset_faceting(), owned),
        ("faceting", value @ Value::Object(_)) if is_count(&value["maxValuesPerFacet"]) => {
            derive_faceting(value, owned)
        }
        ("embedders", value @ Value::Object(_)) => embedder_templates::for_nodes(value, &owned["embedders"]),
        ("pagination", Value::Null) => json!({"maxTotalHits": HITS_TOTAL_ON_NODES}),
        // A node refuses a bound of no hits at all.
        ("pagination", value @ Value::Object(_))
            if is_count(&value["maxTotalHits"]) && value["maxTotalHits"] != 0 =>
        {
            let mut derived = value.clone();
            derived["maxTotalHits"] = json!(HITS_TOTAL_ON_NODES);
            derived
        }
        (_, value) => value.clone(),
    }
}

/// Whether nodes would accept a foreign key.
fn is_foreign_key(key: &Value) -> bool {
    let known = |name: &str| key.get(name).is_some_and(Value::is_string);
    key.as_object().is_some_and(|members| members.len() == 2)
        && known("foreignIndexUid")
        && known("fieldName")
}

fn reset_faceting() -> Value {
    json!({"maxValuesPerFacet": null, "sortFacetValuesBy": null})
}

/// Whether a count is a number or absent. What nodes would refuse must reach them unchanged.
fn is_count(value: &Value) -> bool {
    value.is_null() || value.is_u64()
}

fn derive_faceting(value: &Value, owned: &Value) -> Value {
    let mut derived = value.clone();
    let by_count = owned["faceting"]["sortFacetValuesBy"]
        .as_object()
        .is_some_and(|orders| orders.values().any(|order| order == "count"));
    let own = owned["faceting"]["maxValuesPerFacet"].as_u64().unwrap_or(FACET_VALUES_MAX_DEFAULT as u64);
    derived["maxValuesPerFacet"] =
        json!(own.max(if by_count { FACET_VALUES_ON_NODES_BY_COUNT } else { FACET_VALUES_ON_NODES }));
    derived
}

fn all_reset() -> Map<String, Value> {
    let names = SETTINGS.iter().filter(|(name, _)| *name != CHAT);
    names.map(|(name, _)| (camel_case(name), Value::Null)).collect()
}

/// The first reserved field name anywhere in a value.
fn reserved_name(value: &Value) -> Option<&str> {
    match value {
        Value::String(name) => router::reserved::is_reserved(name).then_some(name.as_str()),
        Value::Array(values) => values.iter().find_map(reserved_name),
        Value::Object(members) => members.iter().find_map(|(name, value)| {
            router::reserved::is_reserved(name).then_some(name.as_str()).or_else(|| reserved_name(value))
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole_change(value: Value) -> SettingsChange {
        SettingsChange::Whole(value.as_object().cloned().unwrap())
    }

    #[test]
    fn nodes_judge_what_they_would_refuse() {
        let check = |change: Value, expected: Value| {
            let change = whole_change(change);
            let owned = change.owned_after(&json!({}));
            let request = change.for_nodes(&Derivation::new(&owned, None, None));
            assert_eq!(serde_json::from_str::<Value>(&request.body).unwrap(), expected);
        };
        for refused in [json!(0), json!(-1), json!("1"), json!(1.5)] {
            let change = json!({"pagination": {"maxTotalHits": refused}});
            check(change.clone(), change);
        }
        check(
            json!({"pagination": {"maxTotalHits": 1}}),
            json!({"pagination": {"maxTotalHits": HITS_TOTAL_ON_NODES}}),
        );
    }

    #[test]
    fn nodes_filter_on_the_reserved_field_and_display_everything() {
        let check = |change: SettingsChange, expected_body: Value, expected_owned: Value| {
            let owned = change.owned_after(&json!({}));
            let request = change.for_nodes(&Derivation::new(&owned, None, None));
            assert_eq!(serde_json::from_str::<Value>(&request.body).unwrap(), expected_body, "{change:?}");
            assert_eq!(owned, expected_owned, "{change:?}");
        };
        check(
            whole_change(
                json!({"filterableAttributes": ["a"], "displayedAttributes": ["b"], "stopWords": ["x"]}),
            ),
            json!({"filterableAttributes": ["a", "_miroir_shard", "_miroir_expires_at"], "displayedAttributes": ["*"], "stopWords": ["x"]}),
            json!({"filterableAttributes": ["a"], "displayedAttributes": ["b"], "stopWords": ["x"]}),
        );
        check(
            whole_change(json!({"faceting": {"maxValuesPerFacet": 7}})),
            json!({"faceting": {"maxValuesPerFacet": 10_000}}),
            json!({"faceting": {"maxValuesPerFacet": 7}}),
        );
        check(
            whole_change(json!({"faceting": {"maxValuesPerFacet": 7, "sortFacetValuesBy": {"a": "count"}}})),
            json!({"faceting": {"maxValuesPerFacet": 100_000, "sortFacetValuesBy": {"a": "count"}}}),
            json!({"faceting": {"maxValuesPerFacet": 7, "sortFacetValuesBy": {"a": "count"}}}),
        );
        // What a node refuses reaches it unchanged.
        check(
            whole_change(json!({"faceting": {"maxValuesPerFacet": "many"}})),
            json!({"faceting": {"maxValuesPerFacet": "many"}}),
            json!({"faceting": {"maxValuesPerFacet": "many"}}),
        );
    }

    #[test]
    fn what_a_client_set_is_kept_and_can_be_given_again() {
        let mut owned = json!({});
        for change in [
            json!({"stopWords": ["x"], "synonyms": {"a": ["b"]}, "typoTolerance": {"enabled": false}}),
            json!({"synonyms": null, "typoTolerance": {"minWordSizeForTypos": {"oneTypo": 4}}}),
            json!({"typoTolerance": {"minWordSizeForTypos": {"twoTypos": 9}, "enabled": null}}),
            json!({"embedders": {"e": {"source": "rest", "url": "u"}, "f": {"source": "userProvided"}}}),
            json!({"embedders": {"e": {"dimensions": 3}, "f": {"source": "ollama"}}}),
            json!({"embedders": {"f": {"source": "userProvided", "dimensions": 2}}}),
        ] {
            owned = whole_change(change).owned_after(&owned);
        }
        let embedders = json!({
            "e": {"source": "rest", "url": "u", "dimensions": 3},
            "f": {"source": "userProvided", "dimensions": 2},
        });
        let typos = json!({"minWordSizeForTypos": {"oneTypo": 4, "twoTypos": 9}});
        assert_eq!(owned, json!({"stopWords": ["x"], "typoTolerance": typos, "embedders": embedders}));
        let requests = whole_for_nodes(&Derivation::new(&owned, Some("id"), None), &["e", "old"]);
        let [reset, whole] = requests.as_slice() else { panic!("{requests:?}") };
        assert_eq!(*reset, json!({"typoTolerance": null}));
        // Nodes get a template of the gateway's where a client set none; nothing else is added.
        let mut for_nodes = whole["embedders"]["e"].clone();
        assert!(for_nodes.as_object_mut().unwrap().remove("documentTemplate").is_some(), "{whole}");
        assert_eq!(for_nodes, embedders["e"]);
        assert_eq!((&whole["embedders"]["old"], &whole["synonyms"]), (&Value::Null, &Value::Null));
        assert_eq!(whole["filterableAttributes"], json!(["_miroir_shard", "_miroir_expires_at"]));
        assert_eq!(whole["rankingRules"].as_array().unwrap().last(), Some(&json!("id:asc")));
        let defaults = whole_for_nodes(&Derivation::new(&json!({}), None, None), &[]);
        assert_eq!((defaults.len(), &defaults[0]["embedders"]), (1, &json!({})));
        assert!(whole_change(json!({"embedders": null})).owned_after(&owned).get("embedders").is_none());
    }

    #[test]
    fn nodes_hear_of_no_foreign_keys() {
        let derived = |value: &Value| {
            let change = whole_change(json!({"foreignKeys": value}));
            let owned = change.owned_after(&json!({}));
            let body = change.for_nodes(&Derivation::new(&owned, None, None)).body;
            (serde_json::from_str::<Value>(&body).unwrap()["foreignKeys"].clone(), owned)
        };
        let keys = json!([{"foreignIndexUid": "b", "fieldName": "a"}]);
        let (for_nodes, owned) = derived(&keys);
        assert_eq!((for_nodes, &owned["foreignKeys"]), (json!([]), &keys));
        assert_eq!(setting_from_node("foreignKeys", json!([]), &owned, None), keys);
        assert_eq!(setting_from_node("foreignKeys", json!([]), &json!({}), None), json!([]));
        // What a node refuses reaches it unchanged.
        for refused in [
            json!([{"foreignIndexUid": "b"}]),
            json!(["b"]),
            json!({}),
            json!([{"foreignIndexUid": "b", "fieldName": 1}]),
        ] {
            assert_eq!(derived(&refused).0, refused);
        }
        let reset = SettingsChange::ResetAll.for_nodes(&Derivation::new(&owned, None, None)).body;
        assert!(!reset.contains("foreignKeys"), "{reset}");
        assert!(whole_for_nodes(&Derivation::new(&owned, None, None), &[])[0].get("foreignKeys").is_none());
    }

    #[test]
    fn conversations_are_kept_and_no_node_hears_of_them() {
        let mut owned = json!({});
        for change in [
            json!({"chat": {"description": "films", "searchParameters": {"limit": 3, "sort": ["a:asc"]}}}),
            json!({"chat": {"searchParameters": {"limit": 4}, "description": null}}),
        ] {
            let change = whole_change(change);
            owned = change.owned_after(&owned);
            assert_eq!(change.for_nodes(&Derivation::new(&owned, None, None)).body, "{}");
        }
        assert_eq!(owned["chat"], json!({"searchParameters": {"limit": 4, "sort": ["a:asc"]}}));
        let shown = setting_from_node("chat", Value::Null, &owned, None);
        assert_eq!((&shown["searchParameters"]["limit"], &shown["description"]), (&json!(4), &json!("")));
        let one = SettingsChange::One { name: CHAT, method: Method::DELETE, value: None };
        assert_eq!(one.for_nodes(&Derivation::new(&owned, None, None)).suffix, "/settings");
        assert!(one.owned_after(&owned).get("chat").is_none());
        assert!(whole_for_nodes(&Derivation::new(&owned, None, None), &[])[0].get("chat").is_none());
        assert!(whole_change(json!({"chat": {"searchParameters": {"limit": "x"}}})).check().is_err());
    }

    #[test]
    fn single_settings_are_derived_and_reset() {
        let check = |name, method: Method, value: Option<Value>, expected: (Method, &str, &str)| {
            let change = SettingsChange::One { name, method, value };
            let owned = change.owned_after(&json!({}));
            let request = change.for_nodes(&Derivation::new(&owned, None, None));
            assert_eq!((request.method, request.suffix.as_str(), request.body.as_str()), expected);
        };
        let reserved = r#"["_miroir_shard","_miroir_expires_at"]"#;
        check(
            "filterable-attributes",
            Method::DELETE,
            None,
            (Method::PUT, "/settings/filterable-attributes", reserved),
        );
        check(
            "displayed-attributes",
            Method::DELETE,
            None,
            (Method::PUT, "/settings/displayed-attributes", r#"["*"]"#),
        );
        check("stop-words", Method::DELETE, None, (Method::DELETE, "/settings/stop-words", ""));
        check(
            "stop-words",
            Method::PUT,
            Some(json!(["a"])),
            (Method::PUT, "/settings/stop-words", r#"["a"]"#),
        );
    }

    #[test]
    fn nodes_break_ties_by_primary_key_and_nobody_sees_it() {
        let default_rules = |version| {
            let owned = json!({});
            base_for_nodes(&Derivation::new(&owned, Some("id"), version))["rankingRules"].clone()
        };
        let old = json!(["words", "typo", "proximity", "attribute", "sort", "exactness", "id:asc"]);
        assert_eq!(default_rules(None), old);
        assert_eq!(default_rules(Some(NodeVersion(1, 36))), old);
        assert_eq!(default_rules(Some(NodeVersion(1, 50)))[3], "attributeRank");
        let check = |rules: Value, expected: Value| {
            let change = whole_change(json!({"rankingRules": rules}));
            let owned = change.owned_after(&json!({}));
            let derivation = Derivation::new(&owned, Some("id"), None);
            let body: Value = serde_json::from_str(&change.for_nodes(&derivation).body).unwrap();
            assert_eq!(body["rankingRules"], expected);
            let tie_break = derivation.tie_break.as_ref();
            let shown = setting_from_node("rankingRules", expected, &owned, tie_break);
            assert!(rules.is_null() || shown == rules, "{shown}");
        };
        check(json!(["words", "price:asc"]), json!(["words", "price:asc", "id:asc"]));
        check(json!(["words", "id:desc"]), json!(["words", "id:desc"]));
        check(json!(["id:asc"]), json!(["id:asc"]));
        check(json!([]), json!(["id:asc"]));
        check(Value::Null, old);
        // What a node refuses reaches it unchanged.
        check(json!("words"), json!("words"));
    }

    #[test]
    fn reserved_names_are_refused_wherever_they_stand() {
        assert!(whole_change(json!({"rankingRules": ["words"]})).check().is_ok());
        for bad in [
            json!({"sortableAttributes": ["a", "_miroir_shard", "_miroir_expires_at"]}),
            json!({"filterableAttributes": [{"attributePatterns": ["_miroir_shard", "_miroir_expires_at"]}]}),
            json!({"synonyms": {"_miroir_x": ["a"]}}),
        ] {
            assert_eq!(whole_change(bad).check().unwrap_err().code(), Some(Code::MiroirReservedField));
        }
    }

    #[test]
    fn clients_see_their_own_settings() {
        let mut settings = json!({
            "filterableAttributes": ["_miroir_shard", "a"],
            "displayedAttributes": ["*"],
            "faceting": {"maxValuesPerFacet": 100_000, "sortFacetValuesBy": {"*": "count"}},
        });
        let owned = json!({"displayedAttributes": ["b"], "faceting": {"maxValuesPerFacet": 7}});
        from_node(settings.as_object_mut().unwrap(), &owned, None);
        assert_eq!(
            settings,
            json!({
                "filterableAttributes": ["a"],
                "displayedAttributes": ["b"],
                "faceting": {"maxValuesPerFacet": 7, "sortFacetValuesBy": {"*": "count"}},
            })
        );
    }
}
