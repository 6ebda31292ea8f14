//! Showing index settings: the current ones, and those that a task was asked to change.
//! Invariant: a field that was never set shows the default of Meilisearch v1.15.

use std::collections::{BTreeMap, BTreeSet};

use milli::index::PrefixSearch;
use milli::proximity::ProximityPrecision;
use milli::update::Setting;
use milli::vector::settings::EmbeddingSettings;
use milli::{DEFAULT_VALUES_PER_FACET, FilterableAttributesRule, LocalizedAttributesRule, OrderBy};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::Engine;
use super::settings::{MAX_TOTAL_HITS, SETTING_NAMES};
use crate::errors::ApiError;

/// The details of a settings task: the fields that the client sent, in Meilisearch's order and form.
pub(crate) fn setting_details(sent: &Value) -> Value {
    let mut details = Map::new();
    for (_, field, _) in SETTING_NAMES {
        let Some(value) = sent.get(field) else { continue };
        let shown = match field {
            "displayedAttributes" | "searchableAttributes" if value.is_null() => Some(json!(["*"])),
            "sortableAttributes" | "stopWords" | "nonSeparatorTokens" | "separatorTokens" | "dictionary" => {
                normal::<BTreeSet<String>>(value)
            }
            "filterableAttributes" => normal::<Vec<FilterableAttributesRule>>(value),
            "synonyms" | "embedders" => normal::<BTreeMap<String, Value>>(value),
            "typoTolerance" => value.as_object().map(|members| {
                let shown = members.iter().map(|(name, value)| {
                    let words = normal::<BTreeSet<String>>(value).filter(|_| name.starts_with("disableOn"));
                    (name.clone(), words.unwrap_or_else(|| value.clone()))
                });
                Value::Object(shown.collect())
            }),
            "localizedAttributes" => value.as_array().map(|rules| rules.iter().map(localized_rule).collect()),
            _ => None,
        };
        let shown = shown.unwrap_or_else(|| value.clone());
        details.insert(field.to_owned(), shown);
    }
    Value::Object(details)
}

/// The value as its type serialises it; `None` when it is not of that type, such as a `null` that resets.
fn normal<T: DeserializeOwned + Serialize>(value: &Value) -> Option<Value> {
    serde_json::from_value::<T>(value.clone()).ok().map(|typed| json!(typed))
}

fn localized_rule(rule: &Value) -> Value {
    json!({ "attributePatterns": rule["attributePatterns"], "locales": rule["locales"] })
}

impl Engine {
    /// `GET /indexes/{uid}/settings`.
    pub(crate) fn settings(&self) -> Result<Value, ApiError> {
        let snapshot = self.index.read_txn()?;
        let index = &self.index;
        let wildcard = || vec!["*"];
        let words = |set: Option<BTreeSet<String>>| set.unwrap_or_default();
        let stop_words = match index.stop_words(&snapshot)? {
            Some(set) => set.stream().into_strs().map_err(milli::Error::from)?,
            None => Vec::new(),
        };
        let sortable: BTreeSet<String> = index.sortable_fields(&snapshot)?.into_iter().collect();
        let rules: Vec<String> = index.criteria(&snapshot)?.iter().map(ToString::to_string).collect();
        let precision = match index.proximity_precision(&snapshot)?.unwrap_or_default() {
            ProximityPrecision::ByWord => "byWord",
            ProximityPrecision::ByAttribute => "byAttribute",
        };
        let prefixes = match index.prefix_search(&snapshot)?.unwrap_or_default() {
            PrefixSearch::IndexingTime => "indexingTime",
            PrefixSearch::Disabled => "disabled",
        };
        let localized = index.localized_attributes_rules(&snapshot)?.map(|rules| {
            let view = |rule: LocalizedAttributesRule| {
                let codes: Vec<&str> = rule.locales.iter().map(|language| language.code()).collect();
                json!({ "attributePatterns": rule.attribute_patterns, "locales": codes })
            };
            rules.into_iter().map(view).collect::<Vec<_>>()
        });
        Ok(json!({
            "displayedAttributes": index.displayed_fields(&snapshot)?.unwrap_or_else(wildcard),
            "searchableAttributes":
                index.user_defined_searchable_fields(&snapshot)?.unwrap_or_else(wildcard),
            "filterableAttributes": index.filterable_attributes_rules(&snapshot)?,
            "sortableAttributes": sortable,
            "rankingRules": rules,
            "stopWords": stop_words,
            "nonSeparatorTokens": words(index.non_separator_tokens(&snapshot)?),
            "separatorTokens": words(index.separator_tokens(&snapshot)?),
            "dictionary": words(index.dictionary(&snapshot)?),
            "synonyms": index.user_defined_synonyms(&snapshot)?,
            "distinctAttribute": index.distinct_field(&snapshot)?,
            "proximityPrecision": precision,
            "typoTolerance": self.typo_tolerance(&snapshot)?,
            "faceting": self.faceting(&snapshot)?,
            "pagination": {
                "maxTotalHits": index.pagination_max_total_hits(&snapshot)?.unwrap_or(MAX_TOTAL_HITS as u64),
            },
            "embedders": self.embedder_settings(&snapshot)?,
            "searchCutoffMs": index.search_cutoff(&snapshot)?,
            "localizedAttributes": localized,
            "facetSearch": index.facet_search(&snapshot)?,
            "prefixSearch": prefixes,
        }))
    }

    fn typo_tolerance(&self, snapshot: &milli::heed::RoTxn<'_>) -> Result<Value, ApiError> {
        let index = &self.index;
        let words = match index.exact_words(snapshot)? {
            Some(set) => set.stream().into_strs().map_err(milli::Error::from)?,
            None => Vec::new(),
        };
        let attributes: BTreeSet<&str> = index.exact_attributes(snapshot)?.into_iter().collect();
        Ok(json!({
            "enabled": index.authorize_typos(snapshot)?,
            "minWordSizeForTypos": {
                "oneTypo": index.min_word_len_one_typo(snapshot)?,
                "twoTypos": index.min_word_len_two_typos(snapshot)?,
            },
            "disableOnWords": words,
            "disableOnAttributes": attributes,
            "disableOnNumbers": index.disabled_typos_terms(snapshot)?.disable_on_numbers,
        }))
    }

    fn faceting(&self, snapshot: &milli::heed::RoTxn<'_>) -> Result<Value, ApiError> {
        let orders: BTreeMap<String, &str> = self
            .index
            .sort_facet_values_by(snapshot)?
            .into_iter()
            .map(|(name, order)| match order {
                OrderBy::Lexicographic => (name, "alpha"),
                OrderBy::Count => (name, "count"),
            })
            .collect();
        let values = self.index.max_values_per_facet(snapshot)?.unwrap_or(DEFAULT_VALUES_PER_FACET as u64);
        Ok(json!({ "maxValuesPerFacet": values, "sortFacetValuesBy": orders }))
    }

    fn embedder_settings(
        &self,
        snapshot: &milli::heed::RoTxn<'_>,
    ) -> Result<BTreeMap<String, EmbeddingSettings>, ApiError> {
        let mut shown = BTreeMap::new();
        for named in self.index.embedding_configs(snapshot)? {
            let mut settings = EmbeddingSettings::from(named.config);
            if let Setting::Set(secret) = &mut settings.api_key {
                hide_secret(secret);
            }
            shown.insert(named.name, settings);
        }
        Ok(shown)
    }
}

/// Shows at most the first characters of a secret; the longer it is, the more (Meilisearch's steps).
pub(crate) fn hide_secret(secret: &mut String) {
    let (shown, mask) = match secret.len() {
        0..10 => (0, "XXX..."),
        10..20 => (2, "XXXX..."),
        20..30 => (3, "XXXXX..."),
        _ => (5, "XXXXXX..."),
    };
    let shown = (shown..=secret.len()).find(|end| secret.is_char_boundary(*end)).unwrap_or(secret.len());
    secret.replace_range(shown.., mask);
}
