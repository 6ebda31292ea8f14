//! Index settings: reading what a client sends, applying it, showing what is in force.
//! Invariants: a field that is absent stays, `null` resets it; a setting's sub-route is a view of the whole;
//! defaults are those of Meilisearch v1.15, and come from the engine wherever it has them.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::str::FromStr;

use deserr::Deserr;
use milli::index::PrefixSearch;
use milli::proximity::ProximityPrecision;
use milli::tokenizer::Language;
use milli::update::{Setting, validate_embedding_settings};
use milli::vector::settings::EmbeddingSettings;
use milli::{
    AttributePatterns, Criterion, CriterionError, DEFAULT_VALUES_PER_FACET, FilterableAttributesRule,
    LocalizedAttributesRule, OrderBy,
};
use serde_json::{Value, json};

use super::{Engine, locales};
use crate::errors::ApiError;
use crate::wire::{self, UnsupportedLocale, WireError};

/// Hits a search can reach when the setting is unset.
pub(super) const MAX_TOTAL_HITS: usize = 1000;

/// Path of each sub-route, the field it shows, and whether it is changed by PATCH rather than PUT.
pub(crate) const SETTING_NAMES: [(&str, &str, bool); 20] = [
    ("displayed-attributes", "displayedAttributes", false),
    ("searchable-attributes", "searchableAttributes", false),
    ("filterable-attributes", "filterableAttributes", false),
    ("sortable-attributes", "sortableAttributes", false),
    ("ranking-rules", "rankingRules", false),
    ("stop-words", "stopWords", false),
    ("non-separator-tokens", "nonSeparatorTokens", false),
    ("separator-tokens", "separatorTokens", false),
    ("dictionary", "dictionary", false),
    ("synonyms", "synonyms", false),
    ("distinct-attribute", "distinctAttribute", false),
    ("proximity-precision", "proximityPrecision", false),
    ("typo-tolerance", "typoTolerance", true),
    ("faceting", "faceting", true),
    ("pagination", "pagination", true),
    ("embedders", "embedders", true),
    ("search-cutoff-ms", "searchCutoffMs", false),
    ("localized-attributes", "localizedAttributes", false),
    ("facet-search", "facetSearch", false),
    ("prefix-search", "prefixSearch", false),
];

/// The settings of a request.
#[derive(Debug, Default, Deserr)]
#[deserr(error = WireError, rename_all = camelCase, deny_unknown_fields)]
pub(crate) struct NewSettings {
    #[deserr(default)]
    displayed_attributes: Setting<Vec<String>>,
    #[deserr(default)]
    searchable_attributes: Setting<Vec<String>>,
    #[deserr(default)]
    filterable_attributes: Setting<Vec<FilterableAttributesRule>>,
    #[deserr(default)]
    sortable_attributes: Setting<BTreeSet<String>>,
    #[deserr(default)]
    ranking_rules: Setting<Vec<RankingRule>>,
    #[deserr(default)]
    stop_words: Setting<BTreeSet<String>>,
    #[deserr(default)]
    non_separator_tokens: Setting<BTreeSet<String>>,
    #[deserr(default)]
    separator_tokens: Setting<BTreeSet<String>>,
    #[deserr(default)]
    dictionary: Setting<BTreeSet<String>>,
    #[deserr(default)]
    synonyms: Setting<BTreeMap<String, Vec<String>>>,
    #[deserr(default)]
    distinct_attribute: Setting<String>,
    #[deserr(default)]
    proximity_precision: Setting<Precision>,
    #[deserr(default)]
    typo_tolerance: Setting<TypoTolerance>,
    #[deserr(default)]
    faceting: Setting<Faceting>,
    #[deserr(default)]
    pagination: Setting<Pagination>,
    #[deserr(default)]
    embedders: Setting<BTreeMap<String, Setting<EmbeddingSettings>>>,
    #[deserr(default)]
    search_cutoff_ms: Setting<u64>,
    #[deserr(default)]
    localized_attributes: Setting<Vec<LocalizedRule>>,
    #[deserr(default)]
    facet_search: Setting<bool>,
    #[deserr(default)]
    prefix_search: Setting<Prefixes>,
}

#[derive(Debug, Deserr)]
#[deserr(error = WireError, try_from(String) = ranking_rule -> CriterionError)]
struct RankingRule(Criterion);

fn ranking_rule(text: String) -> Result<RankingRule, CriterionError> {
    Criterion::from_str(&text).map(RankingRule)
}

#[derive(Debug, Clone, Copy, Deserr)]
#[deserr(error = WireError, rename_all = camelCase)]
enum Precision {
    ByWord,
    ByAttribute,
}

#[derive(Debug, Clone, Copy, Deserr)]
#[deserr(error = WireError, rename_all = camelCase)]
enum Prefixes {
    IndexingTime,
    Disabled,
}

#[derive(Debug, Clone, Copy, Deserr)]
#[deserr(error = WireError, rename_all = camelCase)]
enum FacetOrder {
    Alpha,
    Count,
}

#[derive(Debug, Deserr)]
#[deserr(error = WireError, rename_all = camelCase, deny_unknown_fields)]
struct TypoTolerance {
    #[deserr(default)]
    enabled: Setting<bool>,
    #[deserr(default)]
    min_word_size_for_typos: Setting<MinWordSize>,
    #[deserr(default)]
    disable_on_words: Setting<BTreeSet<String>>,
    #[deserr(default)]
    disable_on_attributes: Setting<BTreeSet<String>>,
    #[deserr(default)]
    disable_on_numbers: Setting<bool>,
}

#[derive(Debug, Deserr)]
#[deserr(error = WireError, rename_all = camelCase, deny_unknown_fields)]
struct MinWordSize {
    #[deserr(default)]
    one_typo: Setting<u8>,
    #[deserr(default)]
    two_typos: Setting<u8>,
}

#[derive(Debug, Deserr)]
#[deserr(error = WireError, rename_all = camelCase, deny_unknown_fields)]
struct Faceting {
    #[deserr(default)]
    max_values_per_facet: Setting<usize>,
    #[deserr(default)]
    sort_facet_values_by: Setting<BTreeMap<String, FacetOrder>>,
}

#[derive(Debug, Deserr)]
#[deserr(error = WireError, rename_all = camelCase, deny_unknown_fields)]
struct Pagination {
    #[deserr(default)]
    max_total_hits: Setting<NonZeroUsize>,
}

#[derive(Debug, Deserr)]
#[deserr(error = WireError, rename_all = camelCase, deny_unknown_fields)]
struct LocalizedRule {
    attribute_patterns: Vec<String>,
    locales: Vec<Locale>,
}

#[derive(Debug, Deserr)]
#[deserr(error = WireError, try_from(String) = locale -> UnsupportedLocale)]
struct Locale(Language);

fn locale(code: String) -> Result<Locale, UnsupportedLocale> {
    locales::parse(&code).map(Locale).map_err(UnsupportedLocale)
}

impl NewSettings {
    /// Reads the whole settings object and checks what Meilisearch checks before it answers.
    pub(crate) fn read(value: Value) -> Result<Self, ApiError> {
        let settings: Self = wire::read(value, wire::SETTINGS)?;
        settings.check()?;
        Ok(settings)
    }

    /// Reads the body of a sub-route, whose messages speak of it as the root.
    pub(crate) fn read_one(field: &str, value: Value) -> Result<Self, ApiError> {
        let mut whole = serde_json::Map::new();
        whole.insert(field.to_owned(), value);
        Self::read(Value::Object(whole)).map_err(|error| {
            let message = error
                .message
                .replace(&format!(" at `.{field}`"), "")
                .replace(&format!(" inside `.{field}`"), "")
                .replace(&format!("`.{field}"), "`");
            ApiError::new(error.code, message)
        })
    }

    fn check(&self) -> Result<(), ApiError> {
        if let Setting::Set(TypoTolerance { min_word_size_for_typos: Setting::Set(size), .. }) =
            &self.typo_tolerance
            && let (Setting::Set(one), Setting::Set(two)) = (size.one_typo, size.two_typos)
            && one > two
        {
            return Err(ApiError::new(
                "invalid_settings_typo_tolerance",
                format!(
                    "Invalid value at `.typoTolerance.minWordSizeForTypos`: `minWordSizeForTypos` setting is \
                     invalid. `oneTypo` and `twoTypos` fields should be between `0` and `255`, and `twoTypos` \
                     should be greater or equals to `oneTypo` but found `oneTypo: {one}` and twoTypos: {two}`."
                ),
            ));
        }
        if let Setting::Set(embedders) = &self.embedders {
            for (name, embedder) in embedders {
                validate_embedding_settings(embedder.clone(), name).map_err(ApiError::from)?;
            }
        }
        Ok(())
    }

    fn apply(self, engine: &mut milli::update::Settings<'_, '_, '_>) -> milli::Result<()> {
        self.apply_attributes(engine);
        self.apply_words(engine);
        self.apply_limits(engine)
    }
}

/// Sets, resets or leaves one engine setting.
macro_rules! apply {
    ($engine:ident, $setting:expr, $set:ident, $reset:ident) => {
        apply!($engine, $setting, $set, $reset, |value| value)
    };
    ($engine:ident, $setting:expr, $set:ident, $reset:ident, $convert:expr) => {
        match $setting {
            Setting::Set(value) => $engine.$set(($convert)(value)),
            Setting::Reset => $engine.$reset(),
            Setting::NotSet => {}
        }
    };
}

/// `*` in a list of attributes is the same as no list.
fn without_wildcard(setting: Setting<Vec<String>>) -> Setting<Vec<String>> {
    match &setting {
        Setting::Set(names) if names.iter().any(|name| name == "*") => Setting::Reset,
        Setting::Set(_) | Setting::Reset | Setting::NotSet => setting,
    }
}

impl NewSettings {
    fn apply_attributes(&self, engine: &mut milli::update::Settings<'_, '_, '_>) {
        let displayed = without_wildcard(self.displayed_attributes.clone());
        let searchable = without_wildcard(self.searchable_attributes.clone());
        apply!(engine, displayed, set_displayed_fields, reset_displayed_fields);
        apply!(engine, searchable, set_searchable_fields, reset_searchable_fields);
        apply!(engine, self.filterable_attributes.clone(), set_filterable_fields, reset_filterable_fields);
        apply!(
            engine,
            self.sortable_attributes.clone(),
            set_sortable_fields,
            reset_sortable_fields,
            |names: BTreeSet<String>| names.into_iter().collect()
        );
        apply!(engine, self.distinct_attribute.clone(), set_distinct_field, reset_distinct_field);
        let precision = |precision: Precision| match precision {
            Precision::ByWord => ProximityPrecision::ByWord,
            Precision::ByAttribute => ProximityPrecision::ByAttribute,
        };
        apply!(
            engine,
            self.proximity_precision,
            set_proximity_precision,
            reset_proximity_precision,
            precision
        );
    }

    fn apply_words(&self, engine: &mut milli::update::Settings<'_, '_, '_>) {
        apply!(engine, self.stop_words.clone(), set_stop_words, reset_stop_words);
        apply!(
            engine,
            self.non_separator_tokens.clone(),
            set_non_separator_tokens,
            reset_non_separator_tokens
        );
        apply!(engine, self.separator_tokens.clone(), set_separator_tokens, reset_separator_tokens);
        apply!(engine, self.dictionary.clone(), set_dictionary, reset_dictionary);
        apply!(engine, self.synonyms.clone(), set_synonyms, reset_synonyms);
        match &self.typo_tolerance {
            Setting::Set(typos) => typos.apply(engine),
            Setting::Reset => TypoTolerance::reset(engine),
            Setting::NotSet => {}
        }
    }

    fn apply_limits(self, engine: &mut milli::update::Settings<'_, '_, '_>) -> milli::Result<()> {
        apply!(engine, self.ranking_rules, set_criteria, reset_criteria, |rules: Vec<RankingRule>| rules
            .into_iter()
            .map(|rule| rule.0)
            .collect());
        match self.faceting {
            Setting::Set(faceting) => faceting.apply(engine),
            Setting::Reset => {
                engine.reset_max_values_per_facet();
                engine.reset_sort_facet_values_by();
            }
            Setting::NotSet => {}
        }
        match self.pagination {
            Setting::Set(pagination) => apply!(
                engine,
                pagination.max_total_hits,
                set_pagination_max_total_hits,
                reset_pagination_max_total_hits,
                NonZeroUsize::get
            ),
            Setting::Reset => engine.reset_pagination_max_total_hits(),
            Setting::NotSet => {}
        }
        match self.embedders {
            Setting::Set(embedders) => {
                let mut checked = BTreeMap::new();
                for (name, embedder) in embedders {
                    let embedder = validate_embedding_settings(embedder, &name)?;
                    checked.insert(name, embedder);
                }
                engine.set_embedder_settings(checked);
            }
            Setting::Reset => engine.reset_embedder_settings(),
            Setting::NotSet => {}
        }
        apply!(engine, self.search_cutoff_ms, set_search_cutoff, reset_search_cutoff);
        apply!(
            engine,
            self.localized_attributes,
            set_localized_attributes_rules,
            reset_localized_attributes_rules,
            |rules: Vec<LocalizedRule>| rules.into_iter().map(LocalizedRule::into_engine).collect()
        );
        apply!(engine, self.facet_search, set_facet_search, reset_facet_search);
        let prefixes = |prefixes: Prefixes| match prefixes {
            Prefixes::IndexingTime => PrefixSearch::IndexingTime,
            Prefixes::Disabled => PrefixSearch::Disabled,
        };
        apply!(engine, self.prefix_search, set_prefix_search, reset_prefix_search, prefixes);
        Ok(())
    }
}

impl TypoTolerance {
    fn apply(&self, engine: &mut milli::update::Settings<'_, '_, '_>) {
        apply!(engine, self.enabled, set_autorize_typos, reset_authorize_typos);
        match &self.min_word_size_for_typos {
            Setting::Set(size) => {
                apply!(engine, size.one_typo, set_min_word_len_one_typo, reset_min_word_len_one_typo);
                apply!(engine, size.two_typos, set_min_word_len_two_typos, reset_min_word_len_two_typos);
            }
            Setting::Reset => {
                engine.reset_min_word_len_one_typo();
                engine.reset_min_word_len_two_typos();
            }
            Setting::NotSet => {}
        }
        apply!(engine, self.disable_on_words.clone(), set_exact_words, reset_exact_words);
        apply!(
            engine,
            self.disable_on_attributes.clone(),
            set_exact_attributes,
            reset_exact_attributes,
            |names: BTreeSet<String>| names.into_iter().collect()
        );
        apply!(engine, self.disable_on_numbers, set_disable_on_numbers, reset_disable_on_numbers);
    }

    fn reset(engine: &mut milli::update::Settings<'_, '_, '_>) {
        engine.reset_authorize_typos();
        engine.reset_min_word_len_one_typo();
        engine.reset_min_word_len_two_typos();
        engine.reset_exact_words();
        engine.reset_exact_attributes();
        engine.reset_disable_on_numbers();
    }
}

impl Faceting {
    fn apply(self, engine: &mut milli::update::Settings<'_, '_, '_>) {
        apply!(engine, self.max_values_per_facet, set_max_values_per_facet, reset_max_values_per_facet);
        let order = |order: FacetOrder| match order {
            FacetOrder::Alpha => OrderBy::Lexicographic,
            FacetOrder::Count => OrderBy::Count,
        };
        apply!(
            engine,
            self.sort_facet_values_by,
            set_sort_facet_values_by,
            reset_sort_facet_values_by,
            |orders: BTreeMap<String, FacetOrder>| orders
                .into_iter()
                .map(|(name, by)| (name, order(by)))
                .collect()
        );
    }
}

impl LocalizedRule {
    fn into_engine(self) -> LocalizedAttributesRule {
        LocalizedAttributesRule {
            attribute_patterns: AttributePatterns::from(self.attribute_patterns),
            locales: self.locales.into_iter().map(|locale| locale.0).collect(),
        }
    }
}

impl Engine {
    /// Applies settings in one transaction; reindexes where they ask for it.
    pub(crate) fn change_settings(
        &self,
        uid: &str,
        new: NewSettings,
        must_abort: &(impl Fn() -> bool + Sync),
    ) -> Result<(), ApiError> {
        self.with_settings(uid, must_abort, |settings| new.apply(settings))
    }

    /// Resets every setting to its default; the primary key stays.
    pub(crate) fn reset_settings(
        &self,
        uid: &str,
        must_abort: &(impl Fn() -> bool + Sync),
    ) -> Result<(), ApiError> {
        let fields = SETTING_NAMES.iter().map(|(_, field, _)| ((*field).to_owned(), Value::Null));
        let resets = NewSettings::read(Value::Object(fields.collect()))?;
        self.with_settings(uid, must_abort, |settings| resets.apply(settings))
    }

    /// Sets the primary key, which only works while the index is empty.
    pub(crate) fn change_primary_key(&self, uid: &str, primary_key: &str) -> Result<(), ApiError> {
        self.with_settings(uid, &|| false, |settings| {
            settings.set_primary_key(primary_key.to_owned());
            Ok(())
        })
    }

    fn with_settings(
        &self,
        uid: &str,
        must_abort: &(impl Fn() -> bool + Sync),
        change: impl FnOnce(&mut milli::update::Settings<'_, '_, '_>) -> milli::Result<()>,
    ) -> Result<(), ApiError> {
        let apply = || {
            let mut writer = self.index.write_txn()?;
            let mut settings = milli::update::Settings::new(&mut writer, &self.index, &self.workers.config);
            change(&mut settings)?;
            settings.execute(|_| (), must_abort)?;
            writer.commit()?;
            Ok(())
        };
        apply().map_err(|error| ApiError::engine(uid, error))
    }

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
