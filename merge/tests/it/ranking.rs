//! One table per ranking rule: which of two ranking details comes first.

use merge::{MergeError, Paging};
use serde_json::{Value, json};

use crate::search::{merged, spec};

enum Expected {
    First,
    Equal,
    Refused(&'static str),
}
use Expected::{Equal, First, Refused};

fn answer(name: &str, details: &Value) -> Vec<u8> {
    let hit = json!({"name": name, "_rankingScoreDetails": details});
    serde_json::to_vec(&json!({"hits": [hit], "query": "", "estimatedTotalHits": 1})).unwrap()
}

fn order(legs: &[(&str, &Value)]) -> Result<String, MergeError> {
    let legs = legs.iter().map(|(name, details)| answer(name, details)).collect::<Vec<_>>();
    let answer = merged(&legs, &spec(Paging::Offset { offset: 0, limit: 2 }))?;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    Ok(answer["hits"].as_array().unwrap().iter().map(|hit| hit["name"].as_str().unwrap()).collect())
}

/// Merges `left` and `right` both ways round. `First` means that `left` wins from either leg, `Equal` that the hits' own
/// texts decide.
fn check(left: &Value, right: &Value, expected: &Expected) {
    let forward = order(&[("l", left), ("r", right)]);
    let backward = order(&[("r", right), ("l", left)]);
    match expected {
        First => {
            assert_eq!(forward.unwrap(), "lr", "{left} before {right}");
            assert_eq!(backward.unwrap(), "lr", "{left} before {right}, legs exchanged");
        }
        Equal => {
            // The names decide, whichever hit has which.
            assert_eq!(forward.unwrap(), "lr", "{left} equals {right}");
            assert_eq!(backward.unwrap(), "lr", "{left} equals {right}, legs exchanged");
            assert_eq!(order(&[("l", right), ("r", left)]).unwrap(), "lr", "{left} equals {right}");
        }
        Refused(reason) => {
            for error in [forward.unwrap_err(), backward.unwrap_err()] {
                let MergeError::Leg { reason: given, .. } = error else { panic!("no leg is blamed") };
                assert!(given.contains(reason), "{left} and {right}: {given}");
            }
        }
    }
}

/// Compares two details with only this rule, at order 0.
fn check_rule(rule: &str, left: Value, right: Value, expected: &Expected) {
    let details = |mut fields: Value| {
        fields.as_object_mut().unwrap().insert("order".into(), json!(0));
        json!({ rule: fields })
    };
    check(&details(left), &details(right), expected);
}

#[test]
fn counts_and_scores() {
    let words =
        |matching: u32, max: u32| json!({"matchingWords": matching, "maxMatchingWords": max, "score": 0.5});
    check_rule("words", words(3, 9), words(2, 2), &First);
    check_rule("words", words(3, 3), words(3, 4), &Equal);
    check_rule("words", json!({"score": 1.0}), words(3, 4), &Refused("matchingWords"));
    // The scores say the opposite, because each shard has its own greatest typo count.
    let typo = |count: u32, score: f64| json!({"typoCount": count, "maxTypoCount": 9, "score": score});
    check_rule("typo", typo(0, 0.5), typo(1, 0.9), &First);
    check_rule("typo", typo(1, 0.5), typo(1, 0.9), &Equal);
    check_rule("typo", typo(9, 0.5), typo(10, 0.5), &First);
    check_rule("typo", json!({"score": 1.0}), typo(1, 1.0), &Refused("typoCount"));
    for rule in ["proximity", "attributeRank", "wordPosition"] {
        check_rule(rule, json!({"score": 0.75}), json!({"score": 0.5}), &First);
        check_rule(rule, json!({"score": 1.0}), json!({"score": 1}), &Equal);
        check_rule(rule, json!({"score": 1e-7}), json!({"score": 0.0}), &First);
        check_rule(rule, json!({"score": "1"}), json!({"score": 1}), &Refused("no number `score`"));
    }
}

#[test]
fn attribute_compares_both_scores() {
    let attribute = |ranking: f64, distance: f64, score: f64| json!({"attributeRankingOrderScore": ranking, "queryWordDistanceScore": distance, "score": score});
    check_rule("attribute", attribute(1.0, 0.1, 0.2), attribute(0.9, 1.0, 0.8), &First);
    check_rule("attribute", attribute(1.0, 0.5, 0.2), attribute(1.0, 0.4, 0.8), &First);
    check_rule("attribute", attribute(1.0, 0.5, 0.2), attribute(1.0, 0.5, 0.8), &Equal);
    check_rule(
        "attribute",
        json!({"score": 1.0}),
        attribute(1.0, 0.5, 0.8),
        &Refused("attributeRankingOrder"),
    );
}

#[test]
fn exactness_compares_kinds_then_words() {
    let kind = |kind: &str| json!({"matchType": kind, "score": 0.5});
    let words = |matching: u32| json!({"matchType": "noExactMatch", "matchingWords": matching, "maxMatchingWords": 9, "score": 0.3});
    check_rule("exactness", kind("exactMatch"), kind("matchesStart"), &First);
    check_rule("exactness", kind("matchesStart"), words(9), &First);
    check_rule("exactness", words(2), words(1), &First);
    check_rule("exactness", words(2), words(2), &Equal);
    check_rule("exactness", kind("exactMatch"), kind("perfect"), &Refused("matchType"));
}

#[test]
fn sort_values_of_any_type() {
    let value = |value: Value| json!({ "value": value });
    let numbers_then_strings_then_missing = [
        (json!(1), json!("a")),
        (json!(1e9), json!("0")),
        (json!("z"), json!(null)),
        (json!(-5), json!(null)),
        (json!(false), json!(null)),
        (json!([2, "a"]), json!("0")),
        (json!("a"), json!([])),
        (json!("a"), json!([null, {}])),
    ];
    for (left, right) in numbers_then_strings_then_missing {
        check_rule("f:asc", value(left.clone()), value(right.clone()), &First);
        check_rule("f:desc", value(left), value(right), &First);
    }
    let ascending = [
        (json!(1), json!(2)),
        (json!(0.0), json!(-0.0)),
        (json!(-5e-324), json!(0.0)),
        (json!(-0.0), json!(5e-324)),
        (json!(-2), json!(-1.5)),
        (json!(9), json!(10)),
        (json!(9_007_199_254_740_991_u64), json!(9.1e15)),
        (json!("a"), json!("B")),
        (json!("É"), json!("f")),
        (json!("e"), json!("É")),
        (json!("a\"b"), json!("a#b")),
        (json!(false), json!(true)),
        (json!("fa"), json!(false)),
        (json!("zoé"), json!("日本")),
    ];
    for (less, greater) in ascending {
        check_rule("f:asc", value(less.clone()), value(greater.clone()), &First);
        check_rule("f:desc", value(greater), value(less), &First);
    }
    let equal = [
        (json!(1), json!(1.0)),
        (json!(" A"), json!("a ")),
        (json!("ﬁ"), json!("FI")),
        (json!("é"), json!("e\u{301}")),
        (json!(true), json!("true")),
        (json!(null), json!([])),
        (json!([3]), json!(3)),
    ];
    for (left, right) in equal {
        check_rule("f:asc", value(left.clone()), value(right.clone()), &Equal);
        check_rule("f:desc", value(left), value(right), &Equal);
    }
    // An ascending sort uses the least of a document's values, a descending one the greatest.
    check_rule("f:asc", value(json!([9, 1])), value(json!([2, 3])), &First);
    check_rule("f:desc", value(json!([9, 1])), value(json!([2, 8])), &First);
    check_rule("f:asc", value(json!(["x", 5])), value(json!(6)), &First);
    check_rule("f:desc", value(json!(["b", "a"])), value(json!("A")), &First);
    check_rule("f:asc", json!({}), value(json!(1)), &Refused("has no value"));
}

#[test]
fn names_of_sort_rules_are_taken_as_they_are() {
    check_rule("words:asc", json!({"value": 1}), json!({"value": 2}), &First);
    check_rule("a:b:desc", json!({"value": 2}), json!({"value": 1}), &First);
    check_rule("pr\"ice:asc", json!({"value": 1}), json!({"value": 2}), &First);
}

#[test]
fn vectors_by_similarity() {
    let similarity = |value: Value| json!({ "similarity": value });
    check_rule("vectorSort", similarity(json!(0.9)), similarity(json!(0.8)), &First);
    check_rule("vectorSort", similarity(json!(0.0)), similarity(json!(null)), &First);
    check_rule("vectorSort", similarity(json!(null)), similarity(json!(null)), &Equal);
}

#[test]
fn rules_decide_in_their_order_and_skipped_is_last() {
    let details = |typos: u32, words: u32| {
        json!({
            "typo": {"order": 1, "typoCount": typos, "maxTypoCount": 3, "score": 0.5},
            "words": {"order": 0, "matchingWords": words, "maxMatchingWords": 3, "score": 0.5},
        })
    };
    check(&details(3, 2), &details(0, 1), &First);
    check(&details(0, 2), &details(1, 2), &First);
    let skipped = json!({
        "words": {"order": 0, "matchingWords": 2, "maxMatchingWords": 3, "score": 0.5},
        "skipped": {"order": 1},
    });
    check(&details(9, 2), &skipped, &First);
    check(&skipped, &details(0, 1), &First);
    check(&skipped, &skipped, &Equal);
    check(&json!({}), &json!({}), &Equal);
    // `order` decides, not the position in the text, and orders above nine compare as numbers.
    let mut many = serde_json::Map::new();
    for order in 0..12 {
        many.insert(format!("f{order}:asc"), json!({"order": order, "value": 1}));
    }
    let (mut left, mut right) = (many.clone(), many);
    left["f10:asc"]["value"] = json!(2);
    right["f2:asc"]["value"] = json!(2);
    check(&Value::Object(left), &Value::Object(right), &First);
}

#[test]
fn contradictions_are_refused() {
    let words = json!({"words": {"order": 0, "matchingWords": 1, "maxMatchingWords": 1, "score": 1.0}});
    let typo = json!({"typo": {"order": 0, "typoCount": 1, "maxTypoCount": 1, "score": 1.0}});
    check(&words, &typo, &Refused("contradict"));
    check(&words, &json!({}), &Refused("rule"));
    let hidden = json!({"<hidden-rule-0>": {"order": 0, "value": "<hidden>"}});
    check(&hidden, &hidden, &Refused("redacted"));
    let unknown = json!({"novelty": {"order": 0, "score": 1.0}});
    check(&unknown, &unknown, &Refused("unknown ranking rule `novelty`"));
    let twice = json!({
        "words": {"order": 0, "matchingWords": 1},
        "proximity": {"order": 0, "score": 1.0},
    });
    check(&twice, &twice, &Refused("same order"));
    check(&json!([]), &json!([]), &Refused("not an object"));
    check(&json!({"words": 1}), &json!({"words": 1}), &Refused("not an object"));
    check(&json!({"proximity": {"score": 1}}), &words, &Refused("order"));
}
