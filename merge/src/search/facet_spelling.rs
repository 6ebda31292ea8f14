//! Which of several spellings represents a facet value: that of the first document that has it.
//!
//! - The first document is the one with the least primary key: nodes number documents as they arrive, and ties
//!   elsewhere are broken the same way.
//! - Values are equal when their normalized forms are (milli's facet strings).

use crate::documents::sort_key::Key;
use crate::error::MergeError;
use crate::json::normalize::normalize;
use crate::json::paths::values_at;
use crate::json::{Answer, Elements, Members, hit, string, unescape, write_string};
use crate::{Contested, SortField};

/// The spelling of `contested` in the document with the least primary key, among the elements of the member `list` of
/// all legs. `None` if no document has the value.
///
/// # Errors
/// `MergeError::Leg`: a leg's answer is unusable.
pub fn first_spelling(
    legs: &[&[u8]],
    list: &'static str,
    primary_key: &str,
    contested: &Contested,
) -> Result<Option<String>, MergeError> {
    let by_key = SortField::ascending(primary_key);
    let wanted = normalize(&contested.spelling);
    let mut first: Option<(Key<'_>, String)> = None;
    for (leg, body) in legs.iter().enumerate() {
        let mut answer = Answer::read(body, list).map_err(|fault| fault.at(leg))?;
        while let Some(document) = answer.next_element().map_err(|fault| fault.at(leg))? {
            let mut spelling = None;
            values_at(document, &contested.facet, &mut |raw| {
                let text = string(raw).unwrap_or_else(|| raw.into());
                if normalize(&text) == wanted {
                    spelling = Some(text.into_owned());
                }
            });
            let key = Key::read(document, &by_key);
            // Greater keys come first.
            let leads = first.as_ref().is_none_or(|(leader, _)| key > *leader);
            if let Some(spelling) = spelling.filter(|_| leads) {
                first = Some((key, spelling));
            }
        }
    }
    Ok(first.map(|(_, spelling)| spelling))
}

/// The answer with these spellings for contested values in its `facetDistribution`.
#[must_use]
pub fn respell(answer: &str, values: &[(Contested, String)]) -> String {
    const DISTRIBUTION: &str = "facetDistribution";
    let mut out = Vec::with_capacity(answer.len() + 64);
    let mut from = 0;
    let offset_of = |part: &str| part.as_ptr() as usize - answer.as_ptr() as usize;
    let distribution = Members::of(answer).and_then(|mut all| all.find(|one| one.key == DISTRIBUTION));
    for facet in distribution.and_then(|one| Members::of(one.value)).into_iter().flatten() {
        let name = unescape(facet.key);
        for value in Members::of(facet.value).into_iter().flatten() {
            let shown = unescape(value.key);
            let found = values.iter().find(|(old, _)| old.facet == name && old.spelling == shown);
            if let Some((_, spelling)) = found {
                // The offset of the key's opening quote.
                let at = offset_of(value.key) - 1;
                out.extend_from_slice(&answer.as_bytes()[from..at]);
                write_string(spelling, &mut out);
                from = at + value.key.len() + 2;
            }
        }
    }
    out.extend_from_slice(&answer.as_bytes()[from..]);
    String::from_utf8_lossy(&out).into_owned()
}

/// The answer of a facet search with these spellings for contested values.
#[must_use]
pub fn respell_hits(answer: &str, values: &[(Contested, String)]) -> String {
    let mut out = Vec::with_capacity(answer.len() + 64);
    let mut from = 0;
    let offset_of = |part: &str| part.as_ptr() as usize - answer.as_ptr() as usize;
    let hits = Members::of(answer).and_then(|mut all| all.find(|one| one.key == "facetHits"));
    for hit in Elements::of(hits.map_or("", |hits| hits.value)) {
        let Some(value) = hit::field(hit, "value") else { continue };
        let found = values.iter().find(|(old, _)| string(value).is_some_and(|shown| shown == old.spelling));
        if let Some((_, spelling)) = found {
            let at = offset_of(value);
            out.extend_from_slice(&answer.as_bytes()[from..at]);
            write_string(spelling, &mut out);
            from = at + value.len();
        }
    }
    out.extend_from_slice(&answer.as_bytes()[from..]);
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn red(spelling: &str) -> Contested {
        Contested { facet: "a.b".to_owned(), spelling: spelling.to_owned(), count: 3 }
    }

    #[test]
    fn the_least_primary_key_spells() {
        let legs = [
            r#"{"hits":[{"id":9,"a":{"b":["blue","RED"]}},{"id":3,"a":{"b":"blue"}}]}"#,
            r#"{"hits":[{"id":7,"a":{"b":" red"}},{"id":10,"a":{"b":"Red"}}]}"#,
        ];
        let legs = legs.map(str::as_bytes);
        assert_eq!(first_spelling(&legs, "hits", "id", &red("RED")), Ok(Some(" red".to_owned())));
        assert_eq!(first_spelling(&legs[..1], "hits", "id", &red("red")), Ok(Some("RED".to_owned())));
        assert_eq!(first_spelling(&legs, "hits", "id", &red("green")), Ok(None));
        assert!(first_spelling(&[b"{"], "hits", "id", &red("red")).is_err());
    }

    #[test]
    fn values_of_facet_searches_are_spelt_anew() {
        let answer =
            r#"{"facetHits":[{"value":"red","count":3},{"value":"blue","count":1}],"facetQuery":null}"#;
        let expected =
            r#"{"facetHits":[{"value":"R\"d","count":3},{"value":"blue","count":1}],"facetQuery":null}"#;
        assert_eq!(respell_hits(answer, &[(red("red"), "R\"d".to_owned())]), expected);
        assert_eq!(respell_hits("{}", &[(red("red"), String::new())]), "{}");
    }

    #[test]
    fn only_contested_values_are_spelt_anew() {
        let answer = r#"{"hits":[{"red":1}],"facetDistribution":{"a.b":{"red":3,"blue":1},"c":{"red":2}}}"#;
        let expected =
            r#"{"hits":[{"red":1}],"facetDistribution":{"a.b":{"R\"d":3,"blue":1},"c":{"red":2}}}"#;
        assert_eq!(respell(answer, &[(red("red"), "R\"d".to_owned())]), expected);
        assert_eq!(respell(answer, &[]), answer);
        assert_eq!(respell("{}", &[(red("red"), String::new())]), "{}");
    }
}
