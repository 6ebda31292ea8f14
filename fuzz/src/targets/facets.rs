//! Attacks `merge::facet_search`.
//!
//! Checked: the caller's buffer; sound JSON; an answer with fewer values is a prefix of one with more; undamaged legs
//! yield every value once with the sum of its counts.

use std::collections::BTreeMap;

use arbitrary::{Result, Unstructured};
use merge::FacetOrder;

use super::{must_be_sound, mutate_one, raw_legs, written};
use crate::answer_oracle::{Object, answer};

/// Values with pairwise different normal forms.
const VALUES: [&str; 6] = ["", "blue", "_miroir_shard", "\\\"", "\\u00e9", "zoé"];
/// More values than any generated or slightly damaged leg has.
const ALL: usize = 1_000;

pub(crate) fn run(bytes: &[u8]) {
    // Running out of bytes to choose by is no finding.
    let _ = attack(Unstructured::new(bytes));
}

fn attack(mut choices: Unstructured<'_>) -> Result<()> {
    let order = if choices.arbitrary()? { FacetOrder::Alpha } else { FacetOrder::Count };
    let fewer = choices.int_in_range(0..=8)?;
    if choices.arbitrary()? {
        check(&raw_legs(choices.take_rest()), order, fewer);
        return Ok(());
    }
    let mut sums = BTreeMap::<String, u64>::new();
    let mut legs = Vec::new();
    for _ in 0..choices.int_in_range(1..=3)? {
        let mut hits = Vec::new();
        for value in VALUES {
            let count = u64::from(choices.arbitrary::<u8>()? & 3);
            if count > 0 {
                *sums.entry(value.to_owned()).or_default() += count;
                hits.push(format!(r#"{{"value":"{value}","count":{count}}}"#));
            }
        }
        let query = if choices.arbitrary()? { "null" } else { r#""é""# };
        let hits = hits.join(",");
        legs.push(
            format!(r#"{{"facetHits":[{hits}],"facetQuery":{query},"processingTimeMs":3}}"#).into_bytes(),
        );
    }
    let sound = mutate_one(&mut choices, &mut legs)?;
    let all = check(&legs, order, fewer);
    if sound {
        let merged = all.expect("undamaged legs are merged");
        let count = merged.len();
        assert_eq!(merged.into_iter().collect::<BTreeMap<_, _>>(), sums, "not the sums of the legs");
        assert_eq!(count, sums.len(), "a value stands twice");
    }
    Ok(())
}

/// Checks the properties of any legs. Returns all values, raw, with their counts.
fn check(legs: &[Vec<u8>], order: FacetOrder, fewer: usize) -> Option<Vec<(String, u64)>> {
    let all = values(legs, order, ALL)?;
    let some = values(legs, order, fewer).expect("what is merged whole is merged in part");
    let kept = fewer.min(all.len());
    assert_eq!(some, all[..kept], "an answer of {fewer} values does not begin the whole one");
    Some(all)
}

fn values(legs: &[Vec<u8>], order: FacetOrder, values_max: usize) -> Option<Vec<(String, u64)>> {
    let slices = legs.iter().map(Vec::as_slice).collect::<Vec<_>>();
    let (_, out) = written(|out| merge::facet_search(&slices, "f", (order, values_max), 7, out))?;
    if !must_be_sound(&slices) {
        return None;
    }
    let hits = Object::read(answer(&out)).expect("an answer is an object").elements("facetHits");
    let value = |hit: &str| {
        let hit = Object::read(hit).expect("a facet hit is an object");
        let quoted = hit.get("value").expect("a facet hit has a value");
        let count = hit.get("count").and_then(|raw| raw.parse().ok()).expect("a facet hit has a count");
        (quoted[1..quoted.len() - 1].to_owned(), count)
    };
    Some(hits.into_iter().map(value).collect())
}
