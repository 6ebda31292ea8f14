//! Finds the smallest question and the fewest documents that still show a difference.
//! Invariants: a kept reduction differs in the same place as the original. Trials are bounded in number and time.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::differential::corpus::Index;
use crate::differential::question::Question;
use crate::differential::targets::Both;
use crate::differential::verdict::Verdict;

/// The most questions tried for one difference.
const QUESTIONS_MAX: usize = 300;
/// How long documents are removed for one difference.
const DOCUMENTS_TIME_MAX: Duration = Duration::from_secs(20);
/// The index into which the remaining documents are loaded.
const COPY: &str = "shrunk";
/// The most words of a text that are removed one by one.
const WORDS_MAX: usize = 12;

/// The smallest question found.
pub(super) fn question(both: &Both<'_>, question: &Question, kind: &str) -> anyhow::Result<Question> {
    let mut current = question.clone();
    let mut trials = 0;
    'smaller: loop {
        for candidate in smaller(&current) {
            trials += 1;
            if trials > QUESTIONS_MAX {
                return Ok(current);
            }
            if differs(both, &candidate, candidate.index, kind)? {
                current = candidate;
                continue 'smaller;
            }
        }
        return Ok(current);
    }
}

/// The fewest documents found with which the question still differs; `None` if it does not differ on a copy of the
/// index.
pub(super) fn documents(
    both: &Both<'_>,
    question: &Question,
    kind: &str,
) -> anyhow::Result<Option<Vec<Value>>> {
    let Some(index) = both.corpus.index(question.index).filter(|_| question.can_move()) else {
        return Ok(None);
    };
    let deadline = Instant::now() + DOCUMENTS_TIME_MAX;
    both.pair.create(index, COPY, &[])?;
    let still = |documents: &[Value]| {
        both.pair.fill(COPY, documents)?;
        differs(both, question, COPY, kind)
    };
    let kept = fewest(both, index, question, &still, deadline);
    both.pair.delete(COPY)?;
    kept
}

/// Removes parts of the documents; finer parts once no part can be removed.
fn fewest(
    both: &Both<'_>,
    index: &Index,
    question: &Question,
    still: &dyn Fn(&[Value]) -> anyhow::Result<bool>,
    deadline: Instant,
) -> anyhow::Result<Option<Vec<Value>>> {
    let mut kept = involved(both, index, question)?;
    if kept.is_empty() || !still(&kept)? {
        kept.clone_from(&index.documents);
        if !still(&kept)? {
            return Ok(None);
        }
    }
    let mut parts = 2;
    while kept.len() > 1 && Instant::now() < deadline {
        let size = kept.len().div_ceil(parts);
        let mut found = None;
        for start in (0..kept.len()).step_by(size) {
            let end = (start + size).min(kept.len());
            let rest = [&kept[..start], &kept[end..]].concat();
            if Instant::now() < deadline && still(&rest)? {
                found = Some(rest);
                break;
            }
        }
        match found {
            Some(rest) => {
                kept = rest;
                parts = (parts - 1).max(2);
            }
            None if size == 1 => break,
            None => parts = (parts * 2).min(kept.len()),
        }
    }
    Ok(Some(kept))
}

/// The documents that either answer shows.
fn involved(both: &Both<'_>, index: &Index, question: &Question) -> anyhow::Result<Vec<Value>> {
    let (expected, found) = both.ask(&question.without("attributesToRetrieve"), index.uid)?;
    let keys =
        expected.hits().iter().chain(found.hits()).map(|hit| &hit[index.primary_key]).collect::<Vec<_>>();
    let documents = index.documents.iter().filter(|document| keys.contains(&&document[index.primary_key]));
    Ok(documents.cloned().collect())
}

fn differs(both: &Both<'_>, question: &Question, uid: &str, kind: &str) -> anyhow::Result<bool> {
    let verdict = both.judge(question, uid)?;
    Ok(matches!(verdict, Verdict::Differs(differences) if differences.iter().any(|one| one.kind == kind)))
}

/// Every question that lacks one thing of this one.
fn smaller(question: &Question) -> Vec<Question> {
    let mut list = Vec::new();
    for place in 0..question.query.len() {
        let mut other = question.clone();
        other.query.remove(place);
        list.push(other);
    }
    if let Some(body) = &question.body {
        list.extend(
            reductions(body).into_iter().map(|body| Question { body: Some(body), ..question.clone() }),
        );
    }
    list
}

/// Every value that lacks one thing of this one.
fn reductions(value: &Value) -> Vec<Value> {
    let mut list = Vec::new();
    if let Some(members) = value.as_object() {
        for name in members.keys() {
            let mut other = members.clone();
            other.shift_remove(name);
            list.push(Value::Object(other));
        }
        for (name, member) in members {
            for reduced in reductions(member) {
                let mut other = members.clone();
                other.insert(name.clone(), reduced);
                list.push(Value::Object(other));
            }
        }
    } else if let Some(elements) = value.as_array() {
        for place in 0..elements.len() {
            let mut other = elements.clone();
            other.remove(place);
            list.push(Value::Array(other));
        }
        for (place, element) in elements.iter().enumerate() {
            for reduced in reductions(element) {
                let mut other = elements.clone();
                other[place] = reduced;
                list.push(Value::Array(other));
            }
        }
    } else if let Some(text) = value.as_str() {
        list.extend(shorter(text).into_iter().map(Value::String));
    } else if let Some(number) = value.as_u64().filter(|number| *number > 1) {
        list.push((number / 2).into());
        list.push((number - 1).into());
    }
    list
}

/// The text's halves around each operator, and the text without each word.
fn shorter(text: &str) -> Vec<String> {
    let mut list = Vec::new();
    for operator in [" AND ", " OR "] {
        for (at, _) in text.match_indices(operator) {
            list.push(text[..at].to_owned());
            list.push(text[at + operator.len()..].to_owned());
        }
    }
    let words = text.split(' ').collect::<Vec<_>>();
    if (2..=WORDS_MAX).contains(&words.len()) {
        for place in 0..words.len() {
            let mut other = words.clone();
            other.remove(place);
            list.push(other.join(" "));
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_part_is_taken_away_once() {
        assert_eq!(reductions(&json!({"a": 1})), [json!({})]);
        assert_eq!(
            reductions(&json!({"a": ["x y"]})),
            [json!({}), json!({"a": []}), json!({"a": ["y"]}), json!({"a": ["x"]})]
        );
        assert_eq!(reductions(&json!(9)), [json!(4), json!(8)]);
        assert_eq!(
            shorter("a = 1 AND b"),
            ["a = 1", "b", "= 1 AND b", "a 1 AND b", "a = AND b", "a = 1 b", "a = 1 AND"]
        );
    }
}
