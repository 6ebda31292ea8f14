//! Hits by their rank: what the ranking rules say about a document, apart from how scores are shown.
//! Invariant: two lists agree if they have the same ranks at the same positions, and the same documents of each rank
//! except where a page ends among equals.

use serde_json::{Map, Value};

use crate::differential::question::Answer;

const DETAILS: &str = "_rankingScoreDetails";
const SCORE: &str = "_rankingScore";

/// What must agree in a hit besides its rank.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown {
    pub(super) score: bool,
    pub(super) details: bool,
}

/// Whether two answers with details have the same documents by rank. `first_is_cut`: documents equal to the first hit
/// may be on an earlier page.
pub(super) fn agree(expected: &Answer, found: &Answer, shown: Shown, first_is_cut: bool) -> bool {
    let (expected, found) = (ranked(expected, shown), ranked(found, shown));
    let ranks = |list: &[(String, String)]| list.iter().map(|(rank, _)| rank.clone()).collect::<Vec<_>>();
    if ranks(&expected) != ranks(&found) {
        return false;
    }
    let (Some((first, _)), Some((last, _))) = (expected.first(), expected.last()) else { return true };
    let of_rank = |list: &[(String, String)], rank: &String| {
        let mut hits = list.iter().filter(|(other, _)| other == rank).map(|(_, hit)| hit.clone());
        let mut hits = hits.by_ref().collect::<Vec<_>>();
        hits.sort_unstable();
        hits
    };
    let mut whole = expected.iter().map(|(rank, _)| rank);
    whole.all(|rank| {
        let is_cut = rank == last || (first_is_cut && rank == first);
        is_cut || of_rank(&expected, rank) == of_rank(&found, rank)
    })
}

/// Whether some document of both answers has different greatest numbers of typos.
pub(super) fn typo_maxima_differ(expected: &Answer, found: &Answer) -> bool {
    let maximum = |hit: &Value| hit[DETAILS]["typo"]["maxTypoCount"].clone();
    expected.hits().iter().zip(found.hits()).any(|(one, other)| maximum(one) != maximum(other))
}

fn ranked(answer: &Answer, shown: Shown) -> Vec<(String, String)> {
    answer.hits().iter().map(|hit| (rank(&hit[DETAILS]), identity(hit, shown))).collect()
}

fn rank(details: &Value) -> String {
    let mut rules = details.as_object().cloned().unwrap_or_else(Map::new);
    for rule in rules.values_mut().filter_map(Value::as_object_mut) {
        // Depends on the words of the whole index, not on the document.
        rule.shift_remove("maxTypoCount");
        if rule.contains_key("typoCount") || rule.contains_key("matchingWords") {
            rule.shift_remove("score");
        }
        // The engine reports equal distances with the point of the first document among them.
        if rule.contains_key("distance") {
            rule.shift_remove("value");
        }
    }
    rounded(&Value::Object(rules)).to_string()
}

fn identity(hit: &Value, shown: Shown) -> String {
    let mut members = hit.as_object().cloned().unwrap_or_else(Map::new);
    let details = members.shift_remove(DETAILS).unwrap_or_default();
    let score = members.shift_remove(SCORE).unwrap_or_default();
    members.sort_keys();
    let mut text = Value::Object(members).to_string();
    if shown.score {
        text.push_str(&rounded(&score).to_string());
    }
    if shown.details {
        text.push_str(&rounded(&details).to_string());
    }
    text
}

/// Rounds numbers to the digits that are compared.
fn rounded(value: &Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => {
            Value::String(format!("{:.9}", number.as_f64().unwrap_or_default()))
        }
        Value::Array(values) => Value::Array(values.iter().map(rounded).collect()),
        Value::Object(members) => {
            Value::Object(members.iter().map(|(name, value)| (name.clone(), rounded(value))).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const PLAIN: Shown = Shown { score: false, details: false };

    fn answer(hits: &[(u8, u8)]) -> Answer {
        let hit =
            |(id, typos): &(u8, u8)| json!({"id": id, DETAILS: {"typo": {"order": 1, "typoCount": typos}}});
        Answer { status: 200, body: json!({"hits": hits.iter().map(hit).collect::<Vec<_>>()}) }
    }

    #[test]
    fn only_equals_may_change_places() {
        let check = |expected: &[(u8, u8)], found: &[(u8, u8)], outcome| {
            assert_eq!(
                agree(&answer(expected), &answer(found), PLAIN, false),
                outcome,
                "{expected:?} {found:?}"
            );
        };
        check(&[(1, 0), (2, 0), (3, 1)], &[(2, 0), (1, 0), (3, 1)], true);
        check(&[(1, 0), (2, 1)], &[(2, 0), (1, 1)], false);
        check(&[(1, 0), (2, 1), (3, 2)], &[(1, 0), (4, 1), (3, 2)], false);
        // The page ends among equals, so it may show others of them.
        check(&[(1, 0), (2, 1)], &[(1, 0), (4, 1)], true);
        check(&[(1, 0), (2, 1)], &[(1, 0)], false);
    }

    #[test]
    fn the_first_equals_of_a_later_page_may_be_others() {
        let (expected, found) = (answer(&[(1, 0), (2, 1)]), answer(&[(9, 0), (2, 1)]));
        assert!(!agree(&expected, &found, PLAIN, false));
        assert!(agree(&expected, &found, PLAIN, true));
    }
}
