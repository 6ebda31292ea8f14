//! The merge of the yardsticks: k lists by descending `_rankingScore`, copying the raw bytes of the winners.
//!
//! It is the least that a scatter can do, less than a gateway must: scores of real nodes are not comparable, and this
//! merge keeps reserved fields and ranking details. It validates each body once, as a gateway must.

use sonic_rs::{ArrayJsonIter, JsonValueTrait as _, LazyValue};

/// One leg's remaining hits, the first of them parsed.
struct Cursor<'a> {
    rest: ArrayJsonIter<'a>,
    first: LazyValue<'a>,
    score: f64,
}

/// Merges complete JSON answers into one with at most `limit` hits.
/// Fails on text that is not JSON and on a hit without a score.
pub fn merge(answers: &[&[u8]], limit: usize) -> Result<Vec<u8>, sonic_rs::Error> {
    let mut output = Vec::with_capacity(answers.first().map_or(0, |answer| answer.len()) + 128);
    let mut total = 0;
    let mut cursors = Vec::with_capacity(answers.len());
    for answer in answers {
        for member in sonic_rs::to_object_iter(*answer) {
            let (name, value) = member?;
            match name.as_ref() {
                "estimatedTotalHits" => total += value.as_u64().unwrap_or(0),
                "hits" => {
                    if let Some(mut rest) = value.into_array_iter()
                        && let Some((first, score)) = pull(&mut rest)?
                    {
                        cursors.push(Cursor { rest, first, score });
                    }
                }
                _ => {}
            }
        }
    }
    output.extend_from_slice(b"{\"hits\":[");
    for place in 0..limit {
        let Some(best) = best(&cursors) else { break };
        if place > 0 {
            output.push(b',');
        }
        output.extend_from_slice(cursors[best].first.as_raw_str().as_bytes());
        match pull(&mut cursors[best].rest)? {
            Some((first, score)) => {
                cursors[best].first = first;
                cursors[best].score = score;
            }
            None => drop(cursors.swap_remove(best)),
        }
    }
    output.extend_from_slice(b"],\"processingTimeMs\":1,\"estimatedTotalHits\":");
    output.extend_from_slice(total.to_string().as_bytes());
    output.push(b'}');
    Ok(output)
}

fn best(cursors: &[Cursor<'_>]) -> Option<usize> {
    (0..cursors.len()).max_by(|left, right| cursors[*left].score.total_cmp(&cursors[*right].score))
}

/// The next hit and its score.
fn pull<'a>(rest: &mut ArrayJsonIter<'a>) -> Result<Option<(LazyValue<'a>, f64)>, sonic_rs::Error> {
    let Some(hit) = rest.next() else { return Ok(None) };
    let hit = hit?;
    let score = sonic_rs::get(hit.as_raw_str(), ["_rankingScore"])?.as_f64().unwrap_or(f64::NEG_INFINITY);
    Ok(Some((hit, score)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(answers: &[&str], limit: usize, expected: Option<&str>) {
        let answers: Vec<&[u8]> = answers.iter().map(|answer| answer.as_bytes()).collect();
        let merged = merge(&answers, limit).ok().map(|bytes| String::from_utf8(bytes).expect("UTF-8"));
        let expected = expected.map(ToOwned::to_owned);
        assert_eq!(merged, expected);
    }

    #[test]
    fn lists_interleave_by_score() {
        let left =
            r#"{"hits":[{"a":1,"_rankingScore":0.9},{"a":3,"_rankingScore":0.5}],"estimatedTotalHits":7}"#;
        let right = r#"{"estimatedTotalHits":2,"hits":[{"a":2,"_rankingScore":0.7}]}"#;
        let all = r#"{"hits":[{"a":1,"_rankingScore":0.9},{"a":2,"_rankingScore":0.7},{"a":3,"_rankingScore":0.5}],"processingTimeMs":1,"estimatedTotalHits":9}"#;
        check(&[left, right], 20, Some(all));
        let one = r#"{"hits":[{"a":1,"_rankingScore":0.9}],"processingTimeMs":1,"estimatedTotalHits":9}"#;
        check(&[left, right], 1, Some(one));
        check(&[], 1, Some(r#"{"hits":[],"processingTimeMs":1,"estimatedTotalHits":0}"#));
    }

    #[test]
    fn broken_answers_are_refused() {
        check(&["{\"hits\":[{\"a\":1}]}"], 20, None);
        check(&["{\"hits\":[{\"_rankingScore\":1.0}"], 20, None);
        check(&["gateway timeout"], 20, None);
    }
}
