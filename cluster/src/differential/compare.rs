//! Finds the differences between two answers.
//! Invariants: everything that is not listed here is compared exactly, including the order of hits and of facet values.
//! Ignored are times and sizes on disk, and the order of members elsewhere. Scores and distances may differ by
//! rounding.

use serde_json::{Map, Value};

use crate::differential::question::Answer;

/// Members that depend on the request or the disk, not on the result.
const IGNORED: &[&str] = &[
    "processingTimeMs",
    "requestUid",
    "databaseSize",
    "usedDatabaseSize",
    "lastUpdate",
    "rawDocumentDbSize",
    "avgDocumentSize",
    "createdAt",
    "updatedAt",
    "isIndexing",
];
/// The greatest difference of two scores that count as equal.
const SCORE_TOLERANCE: f64 = 1e-9;
/// The most differences that one pair of answers lists.
const DIFFERENCES_MAX: usize = 200;
/// The most characters of a value that a difference shows.
const SHOWN_MAX: usize = 240;

/// One place where two answers differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Difference {
    /// The place without positions and names of fields: `status`, `hits.order`, `facetDistribution`.
    pub(super) kind: String,
    /// The place and both values.
    pub(super) text: String,
}

/// All differences, none when the answers are equal.
pub(super) fn compare(expected: &Answer, found: &Answer) -> Vec<Difference> {
    let mut differences = Differences::default();
    if expected.status != found.status {
        let text = |answer: &Answer| format!("{} {}", answer.status, shown(&answer.body));
        differences.add("status", "", &text(expected), &text(found));
    } else {
        differences.walk("", &expected.body, &found.body);
    }
    differences.list
}

#[derive(Default)]
struct Differences {
    list: Vec<Difference>,
}

impl Differences {
    fn add(&mut self, kind: &str, place: &str, expected: &str, found: &str) {
        if self.list.len() < DIFFERENCES_MAX {
            let text = format!("{place}: one node {expected}, cluster {found}");
            self.list.push(Difference { kind: kind.to_owned(), text });
        }
    }

    fn walk(&mut self, place: &str, expected: &Value, found: &Value) {
        match (expected, found) {
            (Value::Object(expected), Value::Object(found)) => self.members(place, expected, found),
            (Value::Array(expected), Value::Array(found)) => self.elements(place, expected, found),
            _ if equal(place, expected, found) => {}
            _ => self.add(&kind(place), place, &shown(expected), &shown(found)),
        }
    }

    fn members(&mut self, place: &str, expected: &Map<String, Value>, found: &Map<String, Value>) {
        for (name, value) in expected {
            let place = format!("{place}/{name}");
            match found.get(name) {
                _ if is_ignored(&place, name) => {}
                Some(other) => self.walk(&place, value, other),
                None => self.add(&kind(&place), &place, &shown(value), "none"),
            }
        }
        for (name, value) in found.iter().filter(|(name, _)| !expected.contains_key(*name)) {
            let place = format!("{place}/{name}");
            if !is_ignored(&place, name) {
                self.add(&kind(&place), &place, "none", &shown(value));
            }
        }
        if place.contains("acetDistribution/") && expected == found && !expected.keys().eq(found.keys()) {
            let names = |map: &Map<String, Value>| map.keys().cloned().collect::<Vec<_>>().join(" ");
            self.add("facetDistribution.order", place, &names(expected), &names(found));
        }
    }

    fn elements(&mut self, place: &str, expected: &[Value], found: &[Value]) {
        let is_list = matches!(place, "/hits" | "/results" | "/facetHits")
            || (place.starts_with("/results/") && place.ends_with("/hits"));
        if expected.len() != found.len() {
            let kind = if is_list { format!("{}.count", kind(place)) } else { kind(place) };
            let count = |list: &[Value]| format!("{} elements", list.len());
            self.add(&kind, place, &count(expected), &count(found));
        }
        if is_list && expected.len() == found.len() && expected != found && same_multiset(expected, found) {
            let at = expected.iter().zip(found).position(|(one, other)| one != other).unwrap_or_default();
            let kind = format!("{}.order", kind(place));
            self.add(&kind, &format!("{place}/{at}"), &shown(&expected[at]), &shown(&found[at]));
            return;
        }
        for (position, (one, other)) in expected.iter().zip(found).enumerate() {
            self.walk(&format!("{place}/{position}"), one, other);
        }
    }
}

/// Ignores members only outside of documents.
fn is_ignored(place: &str, name: &str) -> bool {
    IGNORED.contains(&name) && !place.starts_with("/hits/")
}

/// Numbers in documents must be the same token, shown scores only equal within rounding.
fn equal(place: &str, expected: &Value, found: &Value) -> bool {
    if expected == found {
        return true;
    }
    let (Some(expected), Some(found)) = (expected.as_f64(), found.as_f64()) else { return false };
    is_score(place) && (expected - found).abs() <= SCORE_TOLERANCE * expected.abs().max(1.0)
}

fn is_score(place: &str) -> bool {
    place.contains("/_rankingScore") || place.ends_with("/weightedRankingScore")
}

fn same_multiset(expected: &[Value], found: &[Value]) -> bool {
    let sorted = |list: &[Value]| {
        let mut texts = list.iter().map(ToString::to_string).collect::<Vec<_>>();
        texts.sort_unstable();
        texts
    };
    sorted(expected) == sorted(found)
}

/// The part of the place that is the same for all hits and all fields.
fn kind(place: &str) -> String {
    let is_position = |part: &&str| part.parse::<usize>().is_err();
    let parts = place.split('/').filter(|part| !part.is_empty()).filter(is_position).collect::<Vec<_>>();
    // Below a hit, keep the names of Meilisearch's own members, but not those of a document's fields.
    let kept = match *parts.as_slice() {
        ["hits", name, ..] if name.starts_with('_') => 2,
        ["results", "hits", name, ..] if name.starts_with('_') => 3,
        ["results", "hits", ..] => 2,
        ["results", name, ..] if name.starts_with("facet") || name.ends_with("Hits") => 2,
        _ => 1,
    };
    parts.iter().take(kept).copied().collect::<Vec<_>>().join(".")
}

pub(super) fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn kinds(expected: Value, found: Value) -> Vec<String> {
        let answer = |body| Answer { status: 200, body };
        compare(&answer(expected), &answer(found)).into_iter().map(|difference| difference.kind).collect()
    }

    #[test]
    fn what_differs_is_named_by_its_place() {
        let check = |expected, found, names: &[&str]| assert_eq!(kinds(expected, found), names);
        check(json!({"hits": [{"a": 1}]}), json!({"hits": [{"a": 1}]}), &[]);
        check(json!({"hits": [{"a": 1}]}), json!({"hits": [{"a": 2}]}), &["hits"]);
        check(json!({"hits": [{"a": 1}]}), json!({"hits": [{"a": 1.0}]}), &["hits"]);
        check(json!({"hits": [{"a": 1}, {"a": 2}]}), json!({"hits": [{"a": 2}, {"a": 1}]}), &["hits.order"]);
        check(json!({"hits": [1, 2]}), json!({"hits": [1]}), &["hits.count"]);
        check(json!({"hits": [{"a": [1]}]}), json!({"hits": [{"a": []}]}), &["hits"]);
        check(
            json!({"hits": [{"_formatted": {"x": "a"}}], "processingTimeMs": 1}),
            json!({"hits": [{"_formatted": {"x": "b"}}], "processingTimeMs": 2}),
            &["hits._formatted"],
        );
        check(json!({"estimatedTotalHits": 3}), json!({}), &["estimatedTotalHits"]);
        check(json!({}), json!({"extra": 3}), &["extra"]);
    }

    #[test]
    fn scores_may_differ_by_rounding() {
        let hit = |score: f64| json!({"hits": [{"_rankingScore": score}]});
        assert_eq!(kinds(hit(0.5), hit(0.500_000_000_01)), [""; 0]);
        assert_eq!(kinds(hit(0.5), hit(0.500_001)), ["hits._rankingScore"]);
    }

    #[test]
    fn facet_values_have_an_order() {
        let facets = |first: &str, second: &str| json!({"facetDistribution": {"f": {first: 1, second: 1}}});
        assert_eq!(kinds(facets("a", "b"), facets("b", "a")), ["facetDistribution.order"]);
    }

    #[test]
    fn another_status_is_the_only_difference() {
        let one = Answer { status: 200, body: json!({"hits": []}) };
        let other = Answer { status: 400, body: json!({"code": "x"}) };
        let kinds = compare(&one, &other).into_iter().map(|difference| difference.kind).collect::<Vec<_>>();
        assert_eq!(kinds, ["status"]);
    }
}
