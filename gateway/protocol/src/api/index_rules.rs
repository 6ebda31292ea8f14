//! What an index's settings mean for merging: derived from them and never stored.
//!
//! Invariant: pure. The same settings give the same rules.

use ahash::AHashMap;
use merge::{FacetOrder, FacetRules};
use serde_json::Value;

/// Meilisearch's default of `pagination.maxTotalHits`.
pub const HITS_TOTAL_MAX_DEFAULT: usize = 1000;

/// Meilisearch's default of `faceting.maxValuesPerFacet`.
pub const FACET_VALUES_MAX_DEFAULT: usize = 100;

/// The merge's rules for an index; derived from the record, never stored.
#[derive(Clone)]
pub struct IndexRules {
    pub facets: FacetRules,
    /// The same with one order for all facets, that of `*`.
    pub facets_in_one_order: FacetRules,
    pub hits_total_max: usize,
    /// `None` when every attribute is displayed.
    pub displayed: Option<Vec<String>>,
    /// The attribute of which no two hits of a search share a value.
    pub distinct: Option<String>,
    /// In the order of the settings.
    pub foreign_keys: Vec<ForeignKey>,
    /// How nodes break ties; `None` without a primary key, or where the user's rules leave no ties.
    pub tie_break: Option<TieBreak>,
}

impl IndexRules {
    /// Whether the client's settings display an attribute, itself or as part of another one.
    #[must_use]
    pub fn displays(&self, attribute: &str) -> bool {
        let is_below = |parent: &String| {
            let rest = attribute.strip_prefix(parent.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.displayed.as_ref().is_none_or(|names| names.iter().any(is_below))
    }

    /// The rules in an index's settings, as clients gave these; a missing setting has its default.
    #[must_use]
    pub fn from_settings(settings: &Value) -> Self {
        let number = |group: &str, name: &str| {
            settings[group][name].as_u64().and_then(|value| usize::try_from(value).ok())
        };
        let order = |value: &Value| match value.as_str() {
            Some("count") => FacetOrder::Count,
            _ => FacetOrder::Alpha,
        };
        let mut default_order = FacetOrder::Alpha;
        let mut order_by_name = AHashMap::new();
        if let Some(orders) = settings["faceting"]["sortFacetValuesBy"].as_object() {
            for (name, value) in orders {
                match name.as_str() {
                    "*" => default_order = order(value),
                    _ => drop(order_by_name.insert(name.clone(), order(value))),
                }
            }
        }
        let displayed = settings["displayedAttributes"].as_array().map(|names| {
            names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect::<Vec<_>>()
        });
        let values_max = number("faceting", "maxValuesPerFacet").unwrap_or(FACET_VALUES_MAX_DEFAULT);
        Self {
            facets: FacetRules { values_max, default_order, order_by_name },
            facets_in_one_order: FacetRules { values_max, default_order, order_by_name: AHashMap::new() },
            hits_total_max: number("pagination", "maxTotalHits").unwrap_or(HITS_TOTAL_MAX_DEFAULT),
            displayed: displayed.filter(|names| !names.iter().any(|name| name == "*")),
            foreign_keys: foreign_keys(&settings["foreignKeys"]),
            distinct: settings["distinctAttribute"].as_str().map(str::to_owned),
            tie_break: None,
        }
    }
}

/// A field whose values are ids of another index's documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKey {
    pub index_uid: String,
    pub field: String,
}

/// The ranking rule that nodes get after the user's: by primary key, ascending. So ties come in one order, whichever
/// nodes answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TieBreak {
    /// The primary key.
    pub field: String,
    /// The rule, such as `id:asc`.
    pub rule: String,
    /// The rule as the contents of a JSON string.
    pub raw_rule: String,
}

impl TieBreak {
    /// The tie-break of an index with its user's settings.
    #[must_use]
    pub fn of(primary_key: Option<&str>, settings: &Value) -> Option<Self> {
        let field = primary_key?.to_owned();
        let rules = settings["rankingRules"].as_array();
        let by_key = |rule: &Value| {
            rule.as_str().and_then(|rule| rule.rsplit_once(':')).is_some_and(|(name, _)| name == field)
        };
        if rules.is_some_and(|rules| rules.iter().any(by_key)) {
            return None;
        }
        let rule = format!("{field}:asc");
        let quoted = Value::String(rule.clone()).to_string();
        Some(Self { raw_rule: quoted[1..quoted.len() - 1].to_owned(), rule, field })
    }
}

/// The entries of the setting `foreignKeys` that are well-formed.
fn foreign_keys(setting: &Value) -> Vec<ForeignKey> {
    let keys = setting.as_array().into_iter().flatten();
    let keys = keys.map(|key| {
        let text = |name: &str| Some(key[name].as_str()?.to_owned());
        Some(ForeignKey { index_uid: text("foreignIndexUid")?, field: text("fieldName")? })
    });
    keys.flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules_follow_settings() {
        let rules = IndexRules::from_settings(&Value::Null);
        assert_eq!((rules.facets.values_max, rules.hits_total_max), (100, 1000));
        assert!(rules.displayed.is_none());
        let rules = IndexRules::from_settings(&json!({
            "displayedAttributes": ["a", "b"],
            "faceting": {"maxValuesPerFacet": 7, "sortFacetValuesBy": {"*": "count", "genre": "alpha"}},
            "pagination": {"maxTotalHits": 50},
            "foreignKeys": [{"foreignIndexUid": "b", "fieldName": "a.c"}],
        }));
        assert_eq!(rules.foreign_keys, [ForeignKey { index_uid: "b".to_owned(), field: "a.c".to_owned() }]);
        assert_eq!((rules.facets.values_max, rules.hits_total_max), (7, 50));
        assert!(matches!(rules.facets.default_order, FacetOrder::Count));
        assert!(matches!(rules.facets.order_by_name["genre"], FacetOrder::Alpha));
        assert_eq!(rules.displayed, Some(vec!["a".to_owned(), "b".to_owned()]));
        assert!(IndexRules::from_settings(&json!({"displayedAttributes": ["a", "*"]})).displayed.is_none());
    }
}
