//! The slow model: whole trees and one stable sort. It shares no code with the crate.
//!
//! It defines what one node with all documents would answer, given the ranking details of every document.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use merge::{FacetOrder, Paging};
use serde_json::{Map, Value, json};
use unicode_normalization::UnicodeNormalization;

/// How a node normalises facet and sort strings.
pub(crate) fn normalize(text: &str) -> String {
    text.trim().nfkd().collect::<String>().to_lowercase()
}

/// `Less` means that the hit with the details `left` comes first.
pub(crate) fn compare(left: &Value, right: &Value) -> Ordering {
    let (left, right) = (by_order(left), by_order(right));
    for ((left_name, left), (right_name, right)) in left.iter().zip(&right) {
        match (left_name.as_str(), right_name.as_str()) {
            ("skipped", "skipped") => return Ordering::Equal,
            ("skipped", _) => return Ordering::Greater,
            (_, "skipped") => return Ordering::Less,
            _ => assert_eq!(left_name, right_name, "the world gives all hits the same rules"),
        }
        let ordering = compare_rule(left_name, left, right);
        if ordering != Ordering::Equal {
            return ordering;
        }
    }
    Ordering::Equal
}

/// The same for whole hits; those with equal details are ordered by their texts.
pub(crate) fn compare_hits(left: &Value, right: &Value) -> Ordering {
    let ordering = compare(&left["_rankingScoreDetails"], &right["_rankingScoreDetails"]);
    ordering.then_with(|| left.to_string().cmp(&right.to_string()))
}

fn by_order(details: &Value) -> Vec<(String, Value)> {
    let mut rules =
        details.as_object().unwrap().iter().map(|(k, v)| (k.clone(), v.clone())).collect::<Vec<_>>();
    rules.sort_by_key(|(_, rule)| rule["order"].as_u64().unwrap());
    rules
}

fn compare_rule(name: &str, left: &Value, right: &Value) -> Ordering {
    let higher = |field: &str| number(&right[field]).total_cmp(&number(&left[field]));
    match name {
        "words" => higher("matchingWords"),
        "typo" => higher("typoCount").reverse(),
        "proximity" | "attributeRank" | "wordPosition" => higher("score"),
        "attribute" => higher("attributeRankingOrderScore").then(higher("queryWordDistanceScore")),
        "exactness" => {
            let class = |rule: &Value| {
                ["exactMatch", "matchesStart", "noExactMatch"]
                    .iter()
                    .position(|kind| rule["matchType"] == **kind)
            };
            class(left).cmp(&class(right)).then(higher("matchingWords"))
        }
        "vectorSort" => higher("similarity"),
        _ => compare_values(name, &left["value"], &right["value"]),
    }
}

fn directed(name: &str, ordering: Ordering) -> Ordering {
    if name.ends_with(":asc") { ordering } else { ordering.reverse() }
}

/// A missing similarity comes last, below every real one.
fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(-1.0)
}

fn compare_values(name: &str, left: &Value, right: &Value) -> Ordering {
    // The class (numbers, strings, missing), the number, the text.
    let leaf = |value: &Value| match value {
        Value::Number(number) => Some((0, number.as_f64().unwrap(), String::new())),
        Value::String(text) => Some((1, 0.0, normalize(text))),
        Value::Bool(flag) => Some((1, 0.0, flag.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    let compare = |left: &(i32, f64, String), right: &(i32, f64, String)| {
        let values = left.1.total_cmp(&right.1).then_with(|| left.2.cmp(&right.2));
        left.0.cmp(&right.0).then(directed(name, values))
    };
    let best = |value: &Value| match value {
        Value::Array(values) => values.iter().filter_map(leaf).min_by(compare),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => leaf(value),
    };
    match (best(left), best(right)) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(left), Some(right)) => compare(&left, &right),
    }
}

/// The hit as the client sees it.
pub(crate) fn strip_hit(hit: &Value, score: bool, details: bool) -> Value {
    let reserved = |name: &str| name.starts_with("_miroir_");
    let mut stripped = Map::new();
    for (name, value) in hit.as_object().unwrap() {
        let mut value = value.clone();
        if name == "_formatted" || name == "_matchesPosition" {
            value.as_object_mut().unwrap().retain(|name, _| !reserved(name));
            if name == "_formatted" && value.as_object().unwrap().is_empty() {
                continue;
            }
        }
        let unasked = (name == "_rankingScore" && !score) || (name == "_rankingScoreDetails" && !details);
        if !unasked && !reserved(name) {
            stripped.insert(name.clone(), value);
        }
    }
    Value::Object(stripped)
}

/// The answer of a search over the hits of all legs together.
pub(crate) fn search(
    legs: &[Vec<Value>],
    paging: Paging,
    hits_total_max: usize,
    shown: (bool, bool),
    facets: Option<(Value, Value)>,
) -> String {
    let mut all = legs.iter().flatten().cloned().collect::<Vec<_>>();
    all.sort_by(compare_hits);
    let total = all.len().min(hits_total_max);
    let (offset, limit) = match paging {
        Paging::Offset { offset, limit } => (offset, limit),
        Paging::Page { page: 0, .. } => (0, 0),
        Paging::Page { page, hits_per_page } => ((page - 1) * hits_per_page, hits_per_page),
    };
    let page = all.iter().take(hits_total_max).skip(offset).take(limit);
    let hits = page.map(|hit| strip_hit(hit, shown.0, shown.1)).collect::<Vec<_>>();
    let mut answer = json!({"hits": hits, "query": "q\"é", "processingTimeMs": 7});
    let members = match paging {
        Paging::Offset { offset, limit } => {
            json!({"limit": limit, "offset": offset.min(hits_total_max), "estimatedTotalHits": total})
        }
        Paging::Page { page, hits_per_page } => json!({
            "hitsPerPage": hits_per_page,
            "page": page,
            "totalPages": if hits_per_page == 0 { 0 } else { total.div_ceil(hits_per_page) },
            "totalHits": total,
        }),
    };
    let answer = answer.as_object_mut().unwrap();
    answer.extend(members.as_object().unwrap().clone());
    if let Some((distribution, stats)) = facets {
        answer.insert("facetDistribution".into(), distribution);
        answer.insert("facetStats".into(), stats);
    }
    answer.insert("requestUid".into(), json!("leg 0"));
    serde_json::to_string(answer).unwrap()
}

/// The `facetDistribution` and `facetStats` of one node with `documents`, for the facet `color`.
pub(crate) fn facets(documents: &[Value], order: FacetOrder, values_max: usize) -> (Value, Value) {
    let mut numbers = BTreeMap::<String, (f64, u64)>::new();
    let mut strings = BTreeMap::<String, (String, u64)>::new();
    for value in documents.iter().map(|document| &document["color"]) {
        match value {
            Value::Number(number) => {
                let number = number.as_f64().unwrap();
                numbers.entry(number.to_string()).or_insert((number, 0)).1 += 1;
            }
            Value::String(text) => {
                strings.entry(normalize(text)).or_insert_with(|| (text.clone(), 0)).1 += 1;
            }
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {}
        }
    }
    let floats = numbers.values().map(|(number, _)| *number);
    let range = floats.clone().reduce(f64::min).zip(floats.reduce(f64::max));
    let mut numbers = numbers.into_iter().collect::<Vec<_>>();
    let mut strings = strings.into_iter().collect::<Vec<_>>();
    if order == FacetOrder::Count {
        numbers.sort_by(|(_, left), (_, right)| right.1.cmp(&left.1).then(right.0.total_cmp(&left.0)));
        strings.sort_by(|left, right| right.1.1.cmp(&left.1.1).then_with(|| right.0.cmp(&left.0)));
    }
    // Counted by value, texts behind a full list of numbers are listed to the last.
    let values_max = match order {
        FacetOrder::Count if values_max == 0 => usize::MAX,
        FacetOrder::Count if numbers.len() >= values_max => {
            numbers.truncate(values_max);
            usize::MAX
        }
        FacetOrder::Count | FacetOrder::Alpha => values_max,
    };
    let numbers = numbers.into_iter().map(|(text, (_, count))| (text, count));
    let strings = strings.into_iter().map(|(_, (text, count))| (text, count));
    let mut values = Map::new();
    for (text, count) in numbers.chain(strings).take(values_max) {
        values.insert(text, json!(count));
    }
    let stats = range.map_or(json!({}), |(min, max)| json!({"color": {"min": min, "max": max}}));
    (json!({ "color": values }), stats)
}
