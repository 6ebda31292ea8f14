//! Index settings: parsing and applying a client's settings, and showing the current ones.
//! Invariants: an absent field is unchanged, `null` resets it; a setting's sub-route is a view of the whole; defaults
//! are those of Meilisearch v1.15, taken from the engine wherever it has them.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::str::FromStr;

use deserr::Deserr;
use milli::heed::RoTxn;
use milli::index::PrefixSearch;
use milli::proximity::ProximityPrecision;
use milli::update::{Setting, validate_embedding_settings};
use milli::vector::settings::EmbeddingSettings;
use milli::{
    AttributePatterns, Criterion, CriterionError, FilterableAttributesRule, Index, LocalizedAttributesRule,
    OrderBy,
};
use serde_json::Value;

use super::Engine;
use super::locales::Locale;
use crate::errors::ApiError;
use crate::wire::{self, WireError};

/// The reachable hits of a search when the setting is unset.
pub(super) const MAX_TOTAL_HITS: usize = 1000;

/// The path of each sub-route, its field, and whether PATCH instead of PUT changes it.
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

impl Prefixes {
    fn engine(self) -> PrefixSearch {
        match self {
            Self::IndexingTime => PrefixSearch::IndexingTime,
            Self::Disabled => PrefixSearch::Disabled,
        }
    }
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

impl NewSettings {
    /// Parses the whole settings object, and checks what Meilisearch checks before it answers.
    pub(crate) fn read(value: Value) -> Result<Self, ApiError> {
        let settings: Self = wire::read(value, wire::SETTINGS)?;
        settings.check()?;
        Ok(settings)
    }

    /// Parses the body of a sub-route, whose messages refer to it as the root.
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

/// Sets, resets or keeps one engine setting.
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

/// `*` in a list of attributes means the same as no list.
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
        apply!(engine, self.prefix_search, set_prefix_search, reset_prefix_search, |prefixes: Prefixes| {
            prefixes.engine()
        });
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

impl NewSettings {
    /// Whether a field that has facets now may lose them.
    fn narrows_facets(&self, index: &Index, snapshot: &RoTxn<'_>) -> milli::Result<bool> {
        let rules = index.filterable_attributes_rules(snapshot)?;
        let filterable = match &self.filterable_attributes {
            Setting::Set(new) => rules.iter().any(|rule| !new.contains(rule)),
            Setting::Reset => !rules.is_empty(),
            Setting::NotSet => false,
        };
        let names = index.sortable_fields(snapshot)?;
        let sortable = match &self.sortable_attributes {
            Setting::Set(new) => names.iter().any(|name| !new.contains(name)),
            Setting::Reset => !names.is_empty(),
            Setting::NotSet => false,
        };
        let field = index.distinct_field(snapshot)?;
        let distinct = match &self.distinct_attribute {
            Setting::Set(new) => field.is_some_and(|field| field != new),
            Setting::Reset => field.is_some(),
            Setting::NotSet => false,
        };
        let criteria = index.criteria(snapshot)?;
        let mut sorted = criteria.iter().filter_map(sorted_field);
        let ranked = match &self.ranking_rules {
            Setting::Set(new) => {
                let new: BTreeSet<&str> = new.iter().filter_map(|rule| sorted_field(&rule.0)).collect();
                sorted.any(|field| !new.contains(field))
            }
            Setting::Reset => sorted.next().is_some(),
            Setting::NotSet => false,
        };
        Ok(filterable || sortable || distinct || ranked)
    }
}

/// The field of a ranking rule such as `price:asc`.
fn sorted_field(rule: &Criterion) -> Option<&str> {
    match rule {
        Criterion::Asc(field) | Criterion::Desc(field) => Some(field),
        Criterion::Words
        | Criterion::Typo
        | Criterion::Proximity
        | Criterion::Attribute
        | Criterion::Sort
        | Criterion::Exactness => None,
    }
}

impl Engine {
    /// Applies settings in one transaction and reindexes where they require it.
    pub(crate) fn change_settings(
        &self,
        uid: &str,
        new: NewSettings,
        must_abort: &(impl Fn() -> bool + Sync),
    ) -> Result<(), ApiError> {
        let apply = || {
            let mut writer = self.index.write_txn()?;
            let config = &self.workers.config;
            // The engine of v1.15.1 loses the words of a field that loses its facets (Meilisearch's issue 5650, fixed
            // in v1.15.2) unless the words are indexed again anyway. A different prefix setting forces that; a second
            // pass restores the right one.
            let narrows = new.narrows_facets(&self.index, &writer)?;
            let prefixes = match &new.prefix_search {
                Setting::Set(prefixes) => prefixes.engine(),
                Setting::Reset => PrefixSearch::default(),
                Setting::NotSet => self.index.prefix_search(&writer)?.unwrap_or_default(),
            };
            let mut settings = milli::update::Settings::new(&mut writer, &self.index, config);
            new.apply(&mut settings)?;
            if narrows {
                settings.set_prefix_search(match prefixes {
                    PrefixSearch::IndexingTime => PrefixSearch::Disabled,
                    PrefixSearch::Disabled => PrefixSearch::IndexingTime,
                });
            }
            settings.execute(|_| (), must_abort)?;
            if narrows {
                let mut settings = milli::update::Settings::new(&mut writer, &self.index, config);
                settings.set_prefix_search(prefixes);
                settings.execute(|_| (), must_abort)?;
            }
            writer.commit()?;
            Ok(())
        };
        apply().map_err(|error| ApiError::engine(uid, error))
    }

    /// Resets every setting to its default, except the primary key.
    pub(crate) fn reset_settings(
        &self,
        uid: &str,
        must_abort: &(impl Fn() -> bool + Sync),
    ) -> Result<(), ApiError> {
        let fields = SETTING_NAMES.iter().map(|(_, field, _)| ((*field).to_owned(), Value::Null));
        self.change_settings(uid, NewSettings::read(Value::Object(fields.collect()))?, must_abort)
    }

    /// Sets the primary key, which is only possible while the index is empty.
    pub(crate) fn change_primary_key(&self, uid: &str, primary_key: &str) -> Result<(), ApiError> {
        let apply = || {
            let mut writer = self.index.write_txn()?;
            let mut settings = milli::update::Settings::new(&mut writer, &self.index, &self.workers.config);
            settings.set_primary_key(primary_key.to_owned());
            settings.execute(|_| (), || false)?;
            writer.commit()?;
            Ok(())
        };
        apply().map_err(|error| ApiError::engine(uid, error))
    }
}
