//! `_formatted` and `_matchesPosition`: highlighting and cropping of a hit's fields.
//! Invariants: only displayed fields are formatted; numbers become text; formatting a field also formats its parents
//! and children. The engine decides the marks and crops.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use milli::tokenizer::Language;
use milli::{
    FieldId, FieldsIdsMap, FormatOptions, LocalizedAttributesRule, MatchBounds, MatcherBuilder, PatternMatch,
};
use serde_json::{Map, Value};

use super::paths;
use super::search::SearchQuery;

/// The places where words of the query matched, by dotted path.
pub(super) type Places = BTreeMap<String, Vec<MatchBounds>>;

/// Which fields are formatted, and how.
pub(super) type Formats = BTreeMap<FieldId, FormatOptions>;

/// How to format each field; empty when nothing is to be highlighted or cropped.
pub(super) fn formats(
    query: &SearchQuery,
    fields: &FieldsIdsMap,
    displayed: &BTreeSet<FieldId>,
    retrieved: &BTreeSet<FieldId>,
) -> Formats {
    let mut formats = Formats::new();
    if let Some(highlighted) = &query.attributes_to_highlight {
        highlight(&mut formats, highlighted, fields, displayed);
    }
    for attribute in query.attributes_to_crop.iter().flatten() {
        let (name, length) = match attribute.rsplit_once(':') {
            Some((name, length)) => (name, length.parse().unwrap_or(query.crop_length)),
            None => (attribute.as_str(), query.crop_length),
        };
        for field in named(name, fields, displayed) {
            formats.entry(field).or_insert(FormatOptions { highlight: false, crop: None }).crop =
                Some(length);
        }
    }
    if !formats.is_empty() {
        for field in retrieved {
            formats.entry(*field).or_insert(FormatOptions { highlight: false, crop: None });
        }
    }
    formats
}

/// What the hits of one page share when their fields are formatted.
pub(super) struct Formatter<'a> {
    pub(super) fields: &'a FieldsIdsMap,
    pub(super) displayed: &'a BTreeSet<FieldId>,
    pub(super) formats: &'a Formats,
    pub(super) builder: MatcherBuilder<'a>,
    pub(super) locales: Option<Vec<Language>>,
    pub(super) rules: Vec<LocalizedAttributesRule>,
    pub(super) positions: bool,
}

impl Formatter<'_> {
    /// Whether hits need formatting at all.
    pub(super) fn is_wanted(&self) -> bool {
        self.positions || !self.formats.is_empty()
    }

    /// The formatted document and, if requested, the places where words matched.
    pub(super) fn format(&self, mut document: Map<String, Value>) -> (Map<String, Value>, Option<Places>) {
        let mut matches = self.positions.then(BTreeMap::new);
        let marked: Vec<(&str, FormatOptions)> = self
            .formats
            .iter()
            .filter(|(_, format)| format.should_format())
            .filter_map(|(field, format)| Some((self.fields.name(*field)?, *format)))
            .collect();
        let displayed: Vec<&str> =
            self.displayed.iter().filter_map(|field| self.fields.name(*field)).collect();
        paths::change_leaves(&mut document, &displayed, &mut |path, positions, value| {
            let format = marked
                .iter()
                .filter(|(name, _)| milli::is_faceted_by(name, path) || milli::is_faceted_by(path, name))
                .map(|(_, format)| *format)
                .reduce(FormatOptions::merge);
            let found = self.format_leaf(path, positions, value, format);
            if let Some(matches) = &mut matches
                && !found.is_empty()
            {
                // For an array of texts, only the places in the last element are kept, as in Meilisearch.
                matches.insert(path.to_owned(), found);
            }
        });
        let selected: Vec<&str> = self.formats.keys().filter_map(|field| self.fields.name(*field)).collect();
        (paths::select(document, &selected), matches)
    }

    fn format_leaf(
        &self,
        path: &str,
        positions: &[usize],
        value: &mut Value,
        format: Option<FormatOptions>,
    ) -> Vec<MatchBounds> {
        let text = match value {
            Value::String(text) => std::mem::take(text),
            Value::Number(number) => number.to_string(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return Vec::new(),
        };
        let locales = self.locales.as_deref().or_else(|| {
            let rule = self.rules.iter().find(|rule| matches!(rule.match_str(path), PatternMatch::Match));
            rule.map(LocalizedAttributesRule::locales)
        });
        let mut matcher = self.builder.build(&text, locales);
        let found = if self.positions { matcher.matches(positions) } else { Vec::new() };
        *value = match format {
            Some(format) => matcher.format(format).into_owned().into(),
            None => text.into(),
        };
        found
    }
}

fn highlight(
    formats: &mut Formats,
    attributes: &HashSet<String>,
    fields: &FieldsIdsMap,
    displayed: &BTreeSet<FieldId>,
) {
    for name in attributes {
        for field in named(name, fields, displayed) {
            formats.insert(field, FormatOptions { highlight: true, crop: None });
        }
    }
}

/// The displayed fields that a name selects; `*` selects all.
fn named(name: &str, fields: &FieldsIdsMap, displayed: &BTreeSet<FieldId>) -> Vec<FieldId> {
    if name == "*" {
        return displayed.iter().copied().collect();
    }
    fields.id(name).filter(|field| displayed.contains(field)).into_iter().collect()
}
