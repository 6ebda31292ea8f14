//! Making hits from the documents that a search found.
//! Invariants: fields are in the order of their internal ids; only displayed fields are shown; fields that begin with
//! `_` come last, in Meilisearch's order.

use std::collections::BTreeSet;

use milli::heed::RoTxn;
use milli::score_details::ScoreDetails;
use milli::tokenizer::TokenizerBuilder;
use milli::{FieldId, FieldsIdsMap, MatcherBuilder};
use serde_json::{Map, Value};

use super::format::{self, Formatter};
use super::search::{Found, SearchQuery};
use super::{Engine, paths};

const VECTORS: &str = "_vectors";

/// Makes the `_federation` of a hit from its scores.
pub(super) type Federation<'a> = &'a dyn Fn(&[ScoreDetails]) -> Value;

/// What the hits of one page share.
struct HitMaker<'a> {
    engine: &'a Engine,
    snapshot: &'a RoTxn<'a>,
    query: &'a SearchQuery,
    fields: &'a FieldsIdsMap,
    displayed: &'a BTreeSet<FieldId>,
    retrieved: Vec<&'a str>,
    show_vectors: bool,
    formatter: Formatter<'a>,
    federation: Option<Federation<'a>>,
}

impl Engine {
    /// The hits of a page, in order. `federation` makes each hit's `_federation`.
    pub(crate) fn hits(
        &self,
        snapshot: &RoTxn<'_>,
        query: &SearchQuery,
        found: &mut Found,
        federation: Option<Federation<'_>>,
    ) -> milli::Result<Vec<Value>> {
        let fields = self.index.fields_ids_map(snapshot)?;
        let listed = self.index.displayed_fields_ids(snapshot)?;
        let vectors_field = fields.id(VECTORS);
        // If displayed fields are listed, vectors are hidden unless the list names them.
        let vectors_displayed = match &listed {
            None => true,
            Some(_) => self.index.displayed_fields(snapshot)?.is_some_and(|names| names.contains(&VECTORS)),
        };
        let displayed: BTreeSet<FieldId> = match listed {
            Some(listed) => listed.into_iter().collect(),
            None => fields.iter().map(|(field, _)| field).collect(),
        };
        let retrieved = retrieved(query, &fields, &displayed);
        let formats = format::formats(query, &fields, &displayed, &retrieved);
        let dictionary = self.index.dictionary(snapshot)?.unwrap_or_default();
        let dictionary: Vec<&str> = dictionary.iter().map(String::as_str).collect();
        let separators = self.index.allowed_separators(snapshot)?.unwrap_or_default();
        let separators: Vec<&str> = separators.iter().map(String::as_str).collect();
        let mut tokenizer = TokenizerBuilder::default();
        tokenizer.create_char_map(true);
        if !separators.is_empty() {
            tokenizer.separators(&separators);
        }
        if !dictionary.is_empty() {
            tokenizer.words_dict(&dictionary);
        }
        let mut builder =
            MatcherBuilder::new(std::mem::take(&mut found.matching_words), tokenizer.into_tokenizer());
        builder.crop_marker(query.crop_marker.clone());
        builder.highlight_prefix(query.highlight_pre_tag.clone());
        builder.highlight_suffix(query.highlight_post_tag.clone());
        let formatter = Formatter {
            fields: &fields,
            displayed: &displayed,
            formats: &formats,
            builder,
            locales: query.locales.as_ref().map(|locales| locales.iter().map(|locale| locale.0).collect()),
            rules: self.index.localized_attributes_rules(snapshot)?.unwrap_or_default(),
            positions: query.show_matches_position,
        };
        let maker = HitMaker {
            engine: self,
            snapshot,
            query,
            fields: &fields,
            displayed: &displayed,
            retrieved: retrieved
                .iter()
                .filter(|field| Some(**field) != vectors_field)
                .filter_map(|field| fields.name(*field))
                .collect(),
            show_vectors: query.retrieve_vectors && vectors_displayed,
            formatter,
            federation,
        };
        found.ids.iter().zip(&found.scores).map(|(id, scores)| maker.hit(*id, scores)).collect()
    }
}

impl HitMaker<'_> {
    fn hit(&self, id: u32, scores: &[ScoreDetails]) -> milli::Result<Value> {
        let stored = self.engine.index.document(self.snapshot, id)?;
        let whole = milli::all_obkv_to_json(stored, self.fields)?;
        let displayed: Vec<&str> =
            self.displayed.iter().filter_map(|field| self.fields.name(*field)).collect();
        let shown = paths::select(whole.clone(), &displayed);
        let mut hit = paths::select(shown.clone(), &self.retrieved);
        if self.show_vectors {
            let vectors = self
                .engine
                .vectors(self.snapshot, id, whole.get(VECTORS).cloned())
                .map_err(|error| milli::Error::IoError(std::io::Error::other(error)))?;
            hit.insert(VECTORS.to_owned(), vectors);
        }
        let (formatted, matches) =
            if self.formatter.is_wanted() { self.formatter.format(shown) } else { (Map::new(), None) };
        if let Some(sort) = &self.query.sort
            && let Some(distance) = geo_distance(sort, &hit)
        {
            hit.insert("_geoDistance".to_owned(), distance.into());
        }
        if let Some(federation) = self.federation {
            hit.insert("_federation".to_owned(), federation(scores));
        }
        if !formatted.is_empty() {
            hit.insert("_formatted".to_owned(), Value::Object(formatted));
        }
        if let Some(matches) = matches {
            hit.insert("_matchesPosition".to_owned(), serde_json::to_value(matches).map_err(internal)?);
        }
        if self.query.show_ranking_score {
            hit.insert("_rankingScore".to_owned(), ScoreDetails::global_score(scores.iter()).into());
        }
        if self.query.show_ranking_score_details {
            let details = ScoreDetails::to_json_map(scores.iter());
            hit.insert("_rankingScoreDetails".to_owned(), Value::Object(details));
        }
        Ok(Value::Object(hit))
    }
}

/// The displayed fields that a query requests.
fn retrieved(query: &SearchQuery, fields: &FieldsIdsMap, displayed: &BTreeSet<FieldId>) -> BTreeSet<FieldId> {
    let Some(asked) = &query.attributes_to_retrieve else { return displayed.clone() };
    if asked.contains("*") {
        return displayed.clone();
    }
    asked.iter().filter_map(|name| fields.id(name)).filter(|field| displayed.contains(field)).collect()
}

/// Rounded metres from the first point in the sort to the document's `_geo`.
fn geo_distance(sort: &[String], document: &Map<String, Value>) -> Option<u64> {
    let base = sort.iter().find_map(|rule| {
        let inside = rule.split_once("_geoPoint(")?.1.split_once(')')?.0;
        let (latitude, longitude) = inside.split_once(',')?;
        Some([latitude.trim().parse().ok()?, longitude.trim().parse().ok()?])
    })?;
    let coordinate = |name: &str| match document.get("_geo")?.get(name)? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    let distance = milli::distance_between_two_points(&base, &[coordinate("lat")?, coordinate("lng")?]);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most half an equator")]
    Some(distance.round() as u64)
}

fn internal(error: serde_json::Error) -> milli::Error {
    milli::Error::InternalError(milli::InternalError::SerdeJson(error))
}
