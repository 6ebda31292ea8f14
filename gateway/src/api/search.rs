//! A search as the client asked it, and the request every leg gets for it.
//!
//! Invariants: only what the gateway must know is read, everything else is copied as raw JSON; a
//! request the gateway cannot read is not judged here but given to a node, which refuses it in
//! Meilisearch's own words. Source: Meilisearch's search route, 1.15 to 1.50.

use std::{borrow::Cow, hash::Hash};

use ahash::RandomState;
use merge::Paging;
use serde_json::{Map, Value, value::RawValue};
use sonic_rs::{JsonValueTrait, LazyValue};

use super::{depth::is_bounded, query::Query};
use crate::snapshot::IndexRules;

/// The request is not one the gateway understands: a node shall say what is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotUnderstood;

/// Hits per page when the client does not say.
const HITS_DEFAULT: usize = 20;

/// What the gateway needs of a search; the rest stays raw.
pub struct SearchRequest<'a> {
    pub paging: Paging,
    pub show_ranking_score: bool,
    pub show_ranking_score_details: bool,
    show_matches_position: bool,
    filter: Option<Cow<'a, str>>,
    attributes_to_retrieve: Option<Vec<String>>,
    attributes_to_highlight: Option<Vec<String>>,
    attributes_to_crop: Option<Vec<String>>,
    /// Members copied to the legs unchanged: quoted names and raw values.
    copied: Vec<(String, Cow<'a, str>)>,
}

impl<'a> SearchRequest<'a> {
    /// Reads the JSON body of `POST …/search`; an empty body is an empty search.
    ///
    /// # Errors
    /// [`NotUnderstood`].
    pub fn parse(body: &'a [u8]) -> Result<Self, NotUnderstood> {
        if !is_bounded(body) {
            return Err(NotUnderstood);
        }
        let mut request = Self {
            paging: Paging::Offset { offset: 0, limit: HITS_DEFAULT },
            show_ranking_score: false,
            show_ranking_score_details: false,
            show_matches_position: false,
            filter: None,
            attributes_to_retrieve: None,
            attributes_to_highlight: None,
            attributes_to_crop: None,
            copied: Vec::with_capacity(8),
        };
        let (mut offset, mut limit, mut page, mut hits_per_page) = (None, None, None, None);
        for member in sonic_rs::to_object_iter(body) {
            let (name, value) = member.map_err(|_| NotUnderstood)?;
            if value.is_null() {
                continue;
            }
            match name.as_ref() {
                "offset" => offset = Some(count(&value)?),
                "limit" => limit = Some(count(&value)?),
                "page" => page = Some(count(&value)?),
                "hitsPerPage" => hits_per_page = Some(count(&value)?),
                "showRankingScore" => {
                    request.show_ranking_score = flag(&value)?;
                    request.copy(&name, &value);
                }
                "showRankingScoreDetails" => request.show_ranking_score_details = flag(&value)?,
                "showMatchesPosition" => {
                    request.show_matches_position = flag(&value)?;
                    request.copy(&name, &value);
                }
                "filter" => request.filter = Some(filter(raw(&value))?),
                "attributesToRetrieve" => request.attributes_to_retrieve = Some(names(&value)?),
                "attributesToHighlight" => request.attributes_to_highlight = Some(names(&value)?),
                "attributesToCrop" => request.attributes_to_crop = Some(names(&value)?),
                _ => request.copy(&name, &value),
            }
        }
        request.paging = match (page, hits_per_page) {
            (None, None) => {
                Paging::Offset { offset: offset.unwrap_or(0), limit: limit.unwrap_or(HITS_DEFAULT) }
            }
            _ => {
                Paging::Page { page: page.unwrap_or(1), hits_per_page: hits_per_page.unwrap_or(HITS_DEFAULT) }
            }
        };
        Ok(request)
    }

    /// Narrows the search by the filter of a tenant's search rules.
    pub fn restrict(&mut self, rules: Option<String>) {
        if let Some(rules) = rules {
            self.filter = Some(narrow(self.filter.as_deref(), rules).into());
        }
    }

    /// The same number for every page of one query.
    #[must_use]
    pub fn turn(&self) -> usize {
        turn_of((&self.filter, &self.copied))
    }

    fn copy(&mut self, name: &str, value: &LazyValue<'a>) {
        self.copied.push((sonic_rs::to_string(name).unwrap_or_default(), raw(value)));
    }

    /// The part of a leg's body that is the same for all legs: everything but the filter, open at
    /// the end. `details` asks for the ranking score details that merging needs.
    #[must_use]
    pub fn leg_prefix(&self, rules: &IndexRules, details: bool) -> Vec<u8> {
        let mut body = Vec::with_capacity(256);
        body.push(b'{');
        let most = rules.hits_total_max;
        match self.paging {
            Paging::Offset { offset, limit } => {
                member(&mut body, "\"offset\"", "0");
                number_member(&mut body, "\"limit\"", offset.saturating_add(limit).min(most));
            }
            Paging::Page { page, hits_per_page } => {
                member(&mut body, "\"page\"", "1");
                number_member(&mut body, "\"hitsPerPage\"", page.saturating_mul(hits_per_page).min(most));
            }
        }
        if details || self.show_ranking_score_details {
            member(&mut body, "\"showRankingScoreDetails\"", "true");
        }
        for (name, value) in &self.copied {
            member(&mut body, name, value);
        }
        self.push_attributes(&mut body, rules);
        body
    }

    /// Completes a prefix with the client's filter and a leg's shard filter, and closes it.
    #[must_use]
    pub fn leg_body(&self, prefix: &[u8], shard_filter: Option<&str>) -> Vec<u8> {
        let mut body = Vec::with_capacity(prefix.len() + 64 + shard_filter.map_or(0, str::len));
        body.extend_from_slice(prefix);
        if let Some(filter) = combine_filters(self.filter.as_deref(), shard_filter) {
            member(&mut body, "\"filter\"", &filter);
        }
        body.push(b'}');
        body
    }

    /// Takes matches in attributes that are not displayed out of an answer: the nodes display all.
    pub fn hide_positions(&self, rules: &IndexRules, answer: &mut Vec<u8>) {
        let (true, Some(displayed)) = (self.show_matches_position, &rules.displayed) else { return };
        let Ok(mut value) = serde_json::from_slice::<Value>(answer) else { return };
        for hit in value["hits"].as_array_mut().into_iter().flatten() {
            if let Some(positions) = hit.get_mut("_matchesPosition").and_then(Value::as_object_mut) {
                positions.retain(|name, _| displayed.iter().any(|shown| is_below(name, shown)));
            }
        }
        *answer = value.to_string().into_bytes();
    }

    /// Nodes display every attribute; what the user's `displayedAttributes` hide is cut here.
    fn push_attributes(&self, body: &mut Vec<u8>, rules: &IndexRules) {
        let lists = [
            ("\"attributesToRetrieve\"", &self.attributes_to_retrieve, true),
            ("\"attributesToHighlight\"", &self.attributes_to_highlight, false),
            ("\"attributesToCrop\"", &self.attributes_to_crop, false),
        ];
        for (name, asked, all_by_default) in lists {
            let list = match (&rules.displayed, asked) {
                (None, asked) => asked.clone(),
                (Some(displayed), None) => all_by_default.then(|| displayed.clone()),
                (Some(displayed), Some(asked)) => Some(shown(asked, displayed)),
            };
            if let Some(list) = list {
                member(body, name, &sonic_rs::to_string(&list).unwrap_or_default());
            }
        }
    }
}

/// A number that depends on nothing but `query`, also over restarts of one build.
pub(super) fn turn_of(query: impl Hash) -> usize {
    let hash = RandomState::with_seeds(1, 2, 3, 4).hash_one(query);
    usize::try_from(hash >> 1).unwrap_or(0)
}

/// What the gateway needs of a facet search.
pub struct FacetSearchRequest {
    pub facet_name: String,
    filter: Option<String>,
    /// Members copied to the legs unchanged, with a comma after each.
    copied: String,
}

impl FacetSearchRequest {
    /// Reads the JSON body of `POST …/facet-search`.
    ///
    /// # Errors
    /// [`NotUnderstood`].
    pub fn parse(body: &[u8]) -> Result<Self, NotUnderstood> {
        if !is_bounded(body) {
            return Err(NotUnderstood);
        }
        let (mut facet_name, mut own_filter, mut copied) = (None, None, String::new());
        for member in sonic_rs::to_object_iter(body) {
            let (name, value) = member.map_err(|_| NotUnderstood)?;
            if value.is_null() {
                continue;
            }
            if name == "filter" {
                own_filter = Some(filter(raw(&value))?.into_owned());
                continue;
            }
            if name == "facetName" {
                facet_name = Some(value.as_str().ok_or(NotUnderstood)?.to_owned());
            }
            let quoted = sonic_rs::to_string(name.as_ref()).unwrap_or_default();
            copied.push_str(&format!("{quoted}:{},", value.as_raw_str()));
        }
        Ok(Self { facet_name: facet_name.ok_or(NotUnderstood)?, filter: own_filter, copied })
    }

    /// Narrows the search by the filter of a tenant's search rules.
    pub fn restrict(&mut self, rules: Option<String>) {
        if let Some(rules) = rules {
            self.filter = Some(narrow(self.filter.as_deref(), rules));
        }
    }

    /// The same request for a leg.
    #[must_use]
    pub fn leg_body(&self, shard_filter: Option<&str>) -> Vec<u8> {
        let filter = combine_filters(self.filter.as_deref(), shard_filter);
        format!("{{{}\"filter\":{}}}", self.copied, filter.as_deref().unwrap_or("null")).into_bytes()
    }
}

/// Turns the query string of `GET …/search` into the body of the `POST` route.
///
/// # Errors
/// [`NotUnderstood`]: a node then refuses the request as it came.
pub fn body_of_query(query: &Query<'_>) -> Result<Vec<u8>, NotUnderstood> {
    let mut body = Map::new();
    let mut hybrid = Map::new();
    for (name, text) in query.iter() {
        let value = match name {
            "q" | "distinct" | "highlightPreTag" | "highlightPostTag" | "cropMarker" | "matchingStrategy" => {
                Value::String(text.to_owned())
            }
            "offset" | "limit" | "page" | "hitsPerPage" | "cropLength" => {
                Value::from(text.parse::<u64>().map_err(|_| NotUnderstood)?)
            }
            "rankingScoreThreshold" => Value::from(text.parse::<f64>().map_err(|_| NotUnderstood)?),
            "retrieveVectors" | "showMatchesPosition" | "showRankingScore" | "showRankingScoreDetails" => {
                Value::Bool(text.parse().map_err(|_| NotUnderstood)?)
            }
            "attributesToRetrieve"
            | "attributesToCrop"
            | "attributesToHighlight"
            | "facets"
            | "attributesToSearchOn"
            | "locales" => text.split(',').collect(),
            "sort" => split_sort(text).into_iter().collect(),
            "vector" => {
                let numbers = text.split(',').map(|number| number.trim().parse::<f64>());
                numbers.collect::<Result<Vec<_>, _>>().map_err(|_| NotUnderstood)?.into()
            }
            "filter" if text.is_empty() => continue,
            "filter" => match serde_json::from_str(text) {
                Ok(value @ (Value::Array(_) | Value::String(_))) => value,
                _ => Value::String(text.to_owned()),
            },
            "hybridEmbedder" => {
                hybrid.insert("embedder".to_owned(), Value::String(text.to_owned()));
                continue;
            }
            "hybridSemanticRatio" => {
                let ratio = text.parse::<f64>().map_err(|_| NotUnderstood)?;
                hybrid.insert("semanticRatio".to_owned(), Value::from(ratio));
                continue;
            }
            _ => return Err(NotUnderstood),
        };
        body.insert(name.to_owned(), value);
    }
    match (hybrid.is_empty(), hybrid.contains_key("embedder")) {
        (true, _) => {}
        (false, true) => drop(body.insert("hybrid".to_owned(), Value::Object(hybrid))),
        (false, false) => return Err(NotUnderstood),
    }
    Ok(Value::Object(body).to_string().into_bytes())
}

/// Splits at commas, but not inside `_geoPoint(…)`.
fn split_sort(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_usize);
    for (position, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                parts.push(text[start..position].trim());
                start = position + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts
}

/// The client's filter (raw JSON: a string or an array) and a shard filter, both to hold.
#[must_use]
pub fn combine_filters(filter: Option<&str>, shard_filter: Option<&str>) -> Option<String> {
    let Some(shard_filter) = shard_filter else { return filter.map(str::to_owned) };
    let own = sonic_rs::to_string(shard_filter).unwrap_or_default();
    Some(match filter.map(str::trim) {
        None | Some("null") => own,
        Some(array) if array.starts_with('[') => {
            let inner = array[1..array.len() - 1].trim();
            // The outer array of a filter is a conjunction.
            if inner.is_empty() { format!("[{own}]") } else { format!("[{inner},{own}]") }
        }
        // An empty string is no filter.
        Some(string) if string.trim_matches('"').trim().is_empty() => own,
        Some(string) => format!("[{string},{own}]"),
    })
}

/// The client's filter and that of a tenant's search rules, both raw JSON, both to hold.
#[must_use]
pub fn narrow(filter: Option<&str>, rules: String) -> String {
    match filter {
        None => rules,
        Some(filter) => format!("[{}]", [members(filter), members(&rules)].concat().join(",")),
    }
}

/// The members of a filter's outer conjunction; a filter that is no array is one member.
fn members(filter: &str) -> Vec<String> {
    match serde_json::from_str::<Vec<&RawValue>>(filter) {
        Ok(members) => members.into_iter().map(|member| member.get().to_owned()).collect(),
        Err(_) => vec![filter.to_owned()],
    }
}

/// The attributes of `asked` that `displayed` lets through; `*` means all of them. A trailing
/// `:number` (crop length) stays with its attribute.
fn shown(asked: &[String], displayed: &[String]) -> Vec<String> {
    let mut list: Vec<String> = Vec::new();
    for entry in asked {
        let name = entry.split_once(':').map_or(entry.as_str(), |(name, _)| name);
        if name == "*" {
            list.extend(displayed.iter().map(|shown| entry.replacen('*', shown, 1)));
            continue;
        }
        if displayed.iter().any(|shown| is_below(name, shown)) {
            list.push(entry.clone());
        } else {
            list.extend(displayed.iter().filter(|shown| is_below(shown, name)).cloned());
        }
    }
    list
}

/// Whether an attribute is another one or a part of it.
fn is_below(child: &str, parent: &str) -> bool {
    child.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn member(body: &mut Vec<u8>, quoted_name: &str, value: &str) {
    if body.len() > 1 {
        body.push(b',');
    }
    body.extend_from_slice(quoted_name.as_bytes());
    body.push(b':');
    body.extend_from_slice(value.as_bytes());
}

fn number_member(body: &mut Vec<u8>, quoted_name: &str, value: usize) {
    member(body, quoted_name, itoa::Buffer::new().format(value));
}

fn raw<'a>(value: &LazyValue<'a>) -> Cow<'a, str> {
    value.as_raw_cow()
}

fn count(value: &LazyValue<'_>) -> Result<usize, NotUnderstood> {
    value.as_u64().and_then(|number| usize::try_from(number).ok()).ok_or(NotUnderstood)
}

fn flag(value: &LazyValue<'_>) -> Result<bool, NotUnderstood> {
    value.as_bool().ok_or(NotUnderstood)
}

fn filter(raw: Cow<'_, str>) -> Result<Cow<'_, str>, NotUnderstood> {
    if raw.starts_with('"') || raw.starts_with('[') { Ok(raw) } else { Err(NotUnderstood) }
}

fn names(value: &LazyValue<'_>) -> Result<Vec<String>, NotUnderstood> {
    sonic_rs::from_str(value.as_raw_str()).map_err(|_| NotUnderstood)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::IndexRules;

    fn rules(settings: Value) -> IndexRules {
        IndexRules::from_settings(&settings)
    }

    #[test]
    fn legs_are_asked_from_the_start_with_details() {
        let check = |body: &str, details: bool, filter: Option<&str>, expected: &str| {
            let request = SearchRequest::parse(body.as_bytes()).ok().unwrap();
            let prefix = request.leg_prefix(&rules(Value::Null), details);
            assert_eq!(String::from_utf8(request.leg_body(&prefix, filter)).unwrap(), expected, "{body}");
        };
        check("{}", false, None, r#"{"offset":0,"limit":20}"#);
        check(
            r#"{"q":"a\"b","offset":5,"limit":10,"filter":"x = 1","sort":["a:asc"]}"#,
            true,
            Some("s IN [1]"),
            r#"{"offset":0,"limit":15,"showRankingScoreDetails":true,"q":"a\"b","sort":["a:asc"],"filter":["x = 1","s IN [1]"]}"#,
        );
        check(
            r#"{"page":3,"hitsPerPage":4,"filter":[]}"#,
            true,
            Some("s"),
            r#"{"page":1,"hitsPerPage":12,"showRankingScoreDetails":true,"filter":["s"]}"#,
        );
        check(r#"{"limit":5000,"offset":3}"#, false, None, r#"{"offset":0,"limit":1000}"#);
        check(r#"{"filter":null,"limit":1}"#, false, None, r#"{"offset":0,"limit":1}"#);
    }

    #[test]
    fn what_a_tenant_may_see_narrows_every_filter() {
        let check = |filter: Option<&str>, rules: &str, expected: &str| {
            assert_eq!(narrow(filter, rules.to_owned()), expected, "{filter:?} {rules}");
        };
        check(None, r#""t = 1""#, r#""t = 1""#);
        check(Some(r#""a = 1 OR b = 2""#), r#""t = 1""#, r#"["a = 1 OR b = 2","t = 1"]"#);
        check(Some(r#"["a = 1",["b","c"]]"#), r#"["t = 1"]"#, r#"["a = 1",["b","c"],"t = 1"]"#);
        check(Some("[]"), r#"[["t = 1","t = 2"]]"#, r#"[["t = 1","t = 2"]]"#);
        check(Some(r#""""#), r#""t = 1""#, r#"["","t = 1"]"#);
        check(Some(r#"["a]","[b"]"#), r#""t""#, r#"["a]","[b","t"]"#);
        check(Some(r#""a""#), "7", r#"["a",7]"#);
        let mut request = SearchRequest::parse(br#"{"filter":"a = 1","filter":"b = 2"}"#).ok().unwrap();
        request.restrict(Some(r#""t = 1""#.to_owned()));
        assert_eq!(request.leg_body(b"{", Some("s")), br#"{"filter":["b = 2","t = 1","s"]}"#);
        let mut request = FacetSearchRequest::parse(br#"{"facetName":"f"}"#).ok().unwrap();
        request.restrict(Some(r#""t = 1""#.to_owned()));
        assert_eq!(request.leg_body(None), br#"{"facetName":"f","filter":"t = 1"}"#);
    }

    #[test]
    fn what_is_hidden_is_not_asked_for() {
        let rules = rules(serde_json::json!({"displayedAttributes": ["title", "a.b"]}));
        let check = |body: &str, expected: &str| {
            let request = SearchRequest::parse(body.as_bytes()).ok().unwrap();
            let prefix = String::from_utf8(request.leg_prefix(&rules, false)).unwrap();
            assert_eq!(prefix, format!(r#"{{"offset":0,"limit":20,{expected}"#), "{body}");
        };
        check("{}", r#""attributesToRetrieve":["title","a.b"]"#);
        check(r#"{"attributesToRetrieve":["*"]}"#, r#""attributesToRetrieve":["title","a.b"]"#);
        check(
            r#"{"attributesToRetrieve":["title.x","secret","a"]}"#,
            r#""attributesToRetrieve":["title.x","a.b"]"#,
        );
        check(
            r#"{"attributesToCrop":["*:5"],"attributesToHighlight":["secret"]}"#,
            r#""attributesToRetrieve":["title","a.b"],"attributesToHighlight":[],"attributesToCrop":["title:5","a.b:5"]"#,
        );
    }

    #[test]
    fn matches_in_hidden_attributes_are_taken_out() {
        let rules = rules(serde_json::json!({"displayedAttributes": ["title", "a.b"]}));
        let answer =
            r#"{"hits":[{"title":"x","_matchesPosition":{"title":[],"secret":[],"a.b":[],"a.c":[]}}]}"#;
        let check = |body: &str, expected: &str| {
            let mut found = answer.as_bytes().to_vec();
            SearchRequest::parse(body.as_bytes()).ok().unwrap().hide_positions(&rules, &mut found);
            assert_eq!(String::from_utf8(found).unwrap(), expected);
        };
        check("{}", answer);
        check(
            r#"{"showMatchesPosition":true}"#,
            r#"{"hits":[{"title":"x","_matchesPosition":{"title":[],"a.b":[]}}]}"#,
        );
    }

    #[test]
    fn what_is_not_understood_is_left_to_a_node() {
        for body in
            ["", "[]", "{", r#"{"limit":-1}"#, r#"{"limit":"a"}"#, r#"{"filter":7}"#, r#"{"page":1.5}"#]
        {
            assert!(SearchRequest::parse(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn query_strings_become_bodies() {
        let check = |query: &str, expected: Result<&str, NotUnderstood>| {
            let body = body_of_query(&Query::parse(Some(query))).map(|body| String::from_utf8(body).unwrap());
            assert_eq!(body.as_deref().map_err(|error| *error), expected, "{query}");
        };
        check("q=a&limit=3", Ok(r#"{"q":"a","limit":3}"#));
        check("sort=_geoPoint(1,2):asc,a:desc", Ok(r#"{"sort":["_geoPoint(1,2):asc","a:desc"]}"#));
        check("filter=a%20%3D%201&facets=x,y", Ok(r#"{"filter":"a = 1","facets":["x","y"]}"#));
        check("filter=[[%22a%22]]", Ok(r#"{"filter":[["a"]]}"#));
        check(
            "hybridEmbedder=e&hybridSemanticRatio=0.3",
            Ok(r#"{"hybrid":{"embedder":"e","semanticRatio":0.3}}"#),
        );
        check("limit=x", Err(NotUnderstood));
        check("nope=1", Err(NotUnderstood));
    }
}
