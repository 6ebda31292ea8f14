//! The attributes that a search names, and those that an index's settings allow.
//!
//! Invariant: a filter that is not read completely names no attributes. Nodes decide whether a search is refused.

use serde_json::Value;

use crate::api::search::{
    key_filter::{Token, tokens},
    request::is_below,
};

/// The attributes of an index by which one may filter, or sort.
pub struct Attributes(Vec<String>);

impl Attributes {
    /// The filterable attributes in the user's settings of the index.
    #[must_use]
    pub fn filterable(settings: &Value) -> Self {
        Self::read(&settings["filterableAttributes"])
    }

    /// The same for sorting.
    #[must_use]
    pub fn sortable(settings: &Value) -> Self {
        Self::read(&settings["sortableAttributes"])
    }

    fn read(list: &Value) -> Self {
        let mut patterns = Vec::new();
        for entry in list.as_array().into_iter().flatten() {
            let of_object = entry["attributePatterns"].as_array().into_iter().flatten();
            let texts = entry.as_str().into_iter().chain(of_object.filter_map(Value::as_str));
            patterns.extend(texts.map(str::to_owned));
        }
        Self(patterns)
    }

    /// Whether an attribute is allowed: by name, as part of an allowed one, or by a pattern.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| match (pattern.strip_suffix('*'), pattern.strip_prefix('*')) {
            (Some(start), _) => name.starts_with(start),
            (None, Some(end)) => name.ends_with(end),
            (None, None) => is_below(name, pattern),
        })
    }
}

/// The attributes that a filter (raw JSON) names, each once.
#[must_use]
pub fn of_filter(filter: Option<&str>) -> Vec<String> {
    let mut names = Vec::new();
    if let Some(value) = filter.and_then(|filter| serde_json::from_str(filter).ok()) {
        collect(&value, &mut names);
    }
    names
}

fn collect(filter: &Value, names: &mut Vec<String>) {
    for member in filter.as_array().into_iter().flatten() {
        collect(member, names);
    }
    let Some(tokens) = filter.as_str().and_then(tokens) else { return };
    // A name is at the beginning of a condition.
    let mut begins = true;
    for (at, token) in tokens.iter().enumerate() {
        let joins = ["AND", "OR", "NOT"].iter().any(|word| token.is_keyword(word));
        let is_function = tokens.get(at + 1) == Some(&Token::Sign(b'('));
        match token {
            _ if joins => {}
            Token::Sign(b'(') => continue,
            Token::Word(name) | Token::Quoted(name) if begins && !is_function => {
                if !name.starts_with('_') && !names.iter().any(|known| known == name) {
                    names.push((*name).to_owned());
                }
            }
            Token::Word(_) | Token::Quoted(_) | Token::Sign(_) => {}
        }
        begins = joins;
    }
}

/// The attributes by which a search sorts.
#[must_use]
pub fn of_sort(rules: &[String]) -> Vec<String> {
    let names = rules.iter().filter_map(|rule| rule.rsplit_once(':')).map(|(name, _)| name);
    names.filter(|name| !name.starts_with("_geo")).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_filter_names_what_its_conditions_begin_with() {
        let check = |filter: Value, expected: &[&str]| {
            assert_eq!(of_filter(Some(&filter.to_string())), expected, "{filter}");
        };
        check(json!("a = 1"), &["a"]);
        check(json!("a = b AND (c > 1 OR NOT 'd e' EXISTS)"), &["a", "c", "d e"]);
        check(json!(["a = 1", ["b IN [c, d]", "a = 2"]]), &["a", "b"]);
        check(json!("_geoRadius(1, 2, 3) AND a 1 TO 2"), &["a"]);
        check(json!("NOT (NOT a = 1)"), &["a"]);
        check(json!("a = 'it\\'s'"), &[]);
        check(json!(7), &[]);
        assert!(of_filter(None).is_empty());
    }

    #[test]
    fn settings_allow_attributes_their_parts_and_patterns() {
        let settings = json!({"filterableAttributes": ["a", "b_*", {"attributePatterns": ["c", "*_d"]}]});
        let filterable = Attributes::filterable(&settings);
        for name in ["a", "a.x", "b_x", "c.y", "x_d"] {
            assert!(filterable.has(name), "{name}");
        }
        for name in ["ab", "b", "d", "cc"] {
            assert!(!filterable.has(name), "{name}");
        }
        assert!(!Attributes::sortable(&settings).has("a"));
        assert_eq!(of_sort(&["a:asc".to_owned(), "_geoPoint(1, 2):asc".to_owned()]), ["a"]);
    }
}
