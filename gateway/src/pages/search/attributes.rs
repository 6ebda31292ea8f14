//! The attributes of an index, as far as a page may name them.
//!
//! Invariant: an attribute is known when a document has it or a setting names it. Where no document has any, none can
//! be called unknown.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{api::error::ApiError, pages::search::refusal::wrong};

/// What an index lets a page show, filter and sort by.
#[derive(Debug, Clone)]
pub(crate) struct Attributes {
    pub(crate) primary_key: Option<String>,
    /// In the order of their weight; empty where every attribute is searched.
    pub(crate) searchable: Vec<String>,
    /// Patterns.
    filterable: Vec<String>,
    sortable: Vec<String>,
    /// Attributes that documents have, where that is known.
    of_documents: BTreeSet<String>,
}

impl Attributes {
    pub(crate) fn new(primary_key: Option<&str>, settings: &Value, of_documents: BTreeSet<String>) -> Self {
        let names = |setting: &str| {
            let members = settings[setting].as_array().into_iter().flatten();
            members
                .filter_map(Value::as_str)
                .filter(|name| *name != "*")
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let patterns = settings["filterableAttributes"].as_array().into_iter().flatten();
        // A member is an attribute, or a rule with several patterns.
        let patterns = patterns.flat_map(|member| {
            let of_rule = member["attributePatterns"].as_array().into_iter().flatten();
            of_rule.chain([member]).filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
        });
        Self {
            primary_key: primary_key.map(str::to_owned),
            searchable: names("searchableAttributes"),
            filterable: patterns.collect(),
            sortable: names("sortableAttributes"),
            of_documents,
        }
    }

    /// The first attributes, up to `most`, that make sense as facets: those named in full that tell documents apart by
    /// more than their key or place.
    pub(crate) fn facets(&self, most: usize) -> Vec<&str> {
        let names = self.filterable.iter().map(String::as_str);
        let is_facet = |name: &&str| {
            !name.contains('*') && !name.starts_with('_') && Some(*name) != self.primary_key.as_deref()
        };
        names.filter(is_facet).take(most).collect()
    }

    /// Both directions of every attribute that can be sorted by.
    pub(crate) fn sorts(&self) -> Vec<String> {
        let names = self.sortable.iter().filter(|name| !name.starts_with('_'));
        names.flat_map(|name| ["asc", "desc"].map(|direction| format!("{name}:{direction}"))).collect()
    }

    pub(crate) fn check_known(&self, place: &str, name: &str, uid: &str) -> Result<(), ApiError> {
        let mut known = self.of_documents.iter().chain(&self.searchable).chain(&self.sortable);
        let known = known.any(|known| is_part(name, known) || is_part(known, name));
        let is_key = self.primary_key.as_deref() == Some(name);
        if known || is_key || self.is_filterable(name) || self.of_documents.is_empty() {
            return Ok(());
        }
        Err(wrong(&format!("`{place}` names `{name}`, which no document of `{uid}` has")))
    }

    pub(crate) fn check_filterable(&self, place: &str, name: &str, uid: &str) -> Result<(), ApiError> {
        self.check_listed(self.is_filterable(name), place, name, uid, "filterableAttributes")
    }

    pub(crate) fn check_sortable(&self, place: &str, name: &str, uid: &str) -> Result<(), ApiError> {
        let sortable = self.sortable.iter().any(|known| is_part(name, known));
        self.check_listed(sortable, place, name, uid, "sortableAttributes")
    }

    fn check_listed(
        &self,
        listed: bool,
        place: &str,
        name: &str,
        uid: &str,
        list: &str,
    ) -> Result<(), ApiError> {
        match listed {
            true => Ok(()),
            false => {
                Err(wrong(&format!("`{place}` names `{name}`, which `{uid}` has not among its `{list}`")))
            }
        }
    }

    fn is_filterable(&self, name: &str) -> bool {
        self.filterable.iter().any(|pattern| match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
            (Some(""), _) => true,
            (Some(end), Some(_)) => name.contains(end.trim_end_matches('*')),
            (Some(end), None) => name.ends_with(end),
            (None, Some(start)) => name.starts_with(start),
            (None, None) => is_part(name, pattern),
        })
    }
}

/// Whether an attribute is another one, or lies in it.
fn is_part(name: &str, whole: &str) -> bool {
    name.strip_prefix(whole).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn attributes_are_known_by_documents_and_settings() {
        let settings = json!({
            "searchableAttributes": ["*"],
            "filterableAttributes": ["id", "_geo", "a", "b*", "*_c", {"attributePatterns": ["d"], "features": {}}],
            "sortableAttributes": ["e", "_geo"],
        });
        let fields = ["id", "f", "g.h"].map(str::to_owned).into();
        let attributes = Attributes::new(Some("id"), &settings, fields);
        assert_eq!(attributes.facets(9), ["a", "d"]);
        assert_eq!(attributes.facets(1), ["a"]);
        assert_eq!(attributes.sorts(), ["e:asc", "e:desc"]);
        assert!(attributes.searchable.is_empty());
        let check = |name: &str, known: bool, filterable: bool, sortable: bool| {
            let found = (
                attributes.check_known("p", name, "i").is_ok(),
                attributes.check_filterable("p", name, "i").is_ok(),
                attributes.check_sortable("p", name, "i").is_ok(),
            );
            assert_eq!(found, (known, filterable, sortable), "{name}");
        };
        check("id", true, true, false);
        check("a.x", true, true, false);
        check("ax", false, false, false);
        check("bx", true, true, false);
        check("x_c", true, true, false);
        check("d", true, true, false);
        check("e", true, false, true);
        check("f", true, false, false);
        check("g", true, false, false);
        check("g.h.i", true, false, false);
        check("g.x", false, false, false);
    }

    #[test]
    fn without_documents_no_attribute_is_unknown() {
        let attributes = Attributes::new(None, &json!({}), BTreeSet::new());
        assert!(attributes.check_known("p", "x", "i").is_ok());
        assert!(attributes.check_filterable("p", "x", "i").is_err());
    }
}
