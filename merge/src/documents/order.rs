//! Lists of documents: the order of milli/src/documents/sort.rs over the documents of many legs.
//!
//! - Lists requested without an order are merged by primary key, head by head. Where documents arrived in the order of
//!   their keys that is one node's order; in any case pages fit together.
//! - Numbers come before strings in both directions, all else last. Strings compare normalized, booleans are strings,
//!   arrays count by the value that comes first.
//! - Under a distance, documents within a metre of a bucket's first are equal, as in searches (`buckets`).
//! - Equal documents: by the last field's own value (`identity`), then the lower leg first.
//! - A node lists a document whose field has both numbers and strings twice: at its numbers and at its strings.

use std::cmp::Ordering;

use ahash::AHashMap;

use crate::documents::geo_order;
use crate::documents::sort_key::{By, Document, Key, SortField, compare_identities};
use crate::documents::write_rest;
use crate::error::{Fault, MergeError};
use crate::json::hit;
use crate::json::strip;
use crate::json::{Answer, Members};
use crate::{ExtraFields, Merged};

/// Appends the joined answer of `GET /indexes/{uid}/documents` or `POST …/documents/fetch` to `out`.
///
/// `legs`: the raw answers in covering-set order, each for offset 0 and limit `offset + limit`. `sort` orders the heads
/// of the legs; its last field is the primary key, by whose exact value equals are told apart. `extra`: fields to cut
/// out that were requested for merging only.
/// Totals are summed; reserved fields are cut out.
///
/// # Errors
/// `MergeError::Leg`: a leg's answer is unusable. `out` is then unchanged.
pub fn documents(
    legs: &[&[u8]],
    sort: &[SortField],
    extra: Option<&ExtraFields<'_>>,
    offset: usize,
    limit: usize,
    out: &mut Vec<u8>,
) -> Result<Merged, MergeError> {
    let start = out.len();
    let merged = join(legs, sort, extra, offset, limit, out);
    if merged.is_err() {
        out.truncate(start);
    }
    merged
}

/// What is known of a list whose legs gave all of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct WholeList {
    /// The documents before the first one that legs gave.
    pub skipped: usize,
    /// The number of documents in the list, where legs gave some of them only.
    pub total: Option<u64>,
}

/// The same for legs that gave all documents from the `skipped` first on to the end of the page: these are ordered by
/// `sort` alone, whatever the order of the legs.
///
/// # Errors
/// Those of [`documents`].
pub fn whole_documents(
    legs: &[&[u8]],
    sort: &[SortField],
    extra: Option<&ExtraFields<'_>>,
    (offset, limit): (usize, usize),
    list: WholeList,
    out: &mut Vec<u8>,
) -> Result<Merged, MergeError> {
    let start = out.len();
    let merged = arranged(legs, sort, extra, (offset, limit), list, out);
    if merged.is_err() {
        out.truncate(start);
    }
    merged
}

fn arranged(
    legs: &[&[u8]],
    sort: &[SortField],
    extra: Option<&ExtraFields<'_>>,
    (offset, limit): (usize, usize),
    list: WholeList,
    out: &mut Vec<u8>,
) -> Result<Merged, MergeError> {
    let (mut runs, total) = read(legs, sort)?;
    let mut documents = Vec::new();
    for (leg, run) in runs.iter_mut().enumerate() {
        while let Some(document) = run.document.take() {
            documents.push(document);
            run.advance(sort).map_err(|fault| fault.at(leg))?;
        }
    }
    documents.sort_by(|one, other| {
        // Greater keys come first.
        let keys = other.keys.partial_cmp(&one.keys).unwrap_or(Ordering::Equal);
        keys.then_with(|| compare_identities(one, other, sort))
    });
    out.extend_from_slice(b"{\"results\":[");
    let mut page = Page { offset, extra, position: list.skipped, hits: 0, out };
    let most = offset.saturating_add(limit).saturating_sub(list.skipped);
    documents.iter().take(most).for_each(|document| page.add(document.text));
    let hits = page.hits;
    let others = runs.first().map(|run| run.answer.members()).unwrap_or_default();
    let total = list.total.unwrap_or(total);
    write_rest(offset, limit, total, others, out);
    Ok(Merged { hits, total, ..Merged::default() })
}

/// The legs, each at its first document, and the sum of their totals.
fn read<'a>(legs: &[&'a [u8]], sort: &[SortField]) -> Result<(Vec<LegCursor<'a>>, u64), MergeError> {
    let mut runs = Vec::with_capacity(legs.len());
    let mut total = 0_u64;
    for (leg, body) in legs.iter().enumerate() {
        let read = || {
            let answer = Answer::read(body, "results")?;
            let total = answer.count("total")?;
            let mut run = LegCursor { answer, document: None, met: AHashMap::new() };
            run.advance(sort)?;
            Ok((run, total))
        };
        let (run, of_leg) = read().map_err(|fault: Fault| fault.at(leg))?;
        total = total.saturating_add(of_leg);
        runs.push(run);
    }
    Ok((runs, total))
}

fn join(
    legs: &[&[u8]],
    sort: &[SortField],
    extra: Option<&ExtraFields<'_>>,
    offset: usize,
    limit: usize,
    out: &mut Vec<u8>,
) -> Result<Merged, MergeError> {
    let (mut runs, total) = read(legs, sort)?;
    out.extend_from_slice(b"{\"results\":[");
    let mut page = Page { offset, extra, position: 0, hits: 0, out };
    if sort.iter().any(|field| matches!(field.by, By::Distance { .. })) {
        let mut documents = Vec::new();
        for (leg, run) in runs.iter_mut().enumerate() {
            while let Some(document) = run.document.take() {
                documents.push(document);
                run.advance(sort).map_err(|fault| fault.at(leg))?;
            }
        }
        let cut = documents.len() as u64 != total;
        geo_order::arrange(&mut documents, sort, cut);
        documents.iter().take(offset.saturating_add(limit)).for_each(|document| page.add(document.text));
    }
    while page.position < offset.saturating_add(limit) {
        let Some(best) = best_of(&runs, sort) else { break };
        if let Some(document) = &runs[best].document {
            page.add(document.text);
        }
        runs[best].advance(sort).map_err(|fault| fault.at(best))?;
    }
    let hits = page.hits;
    let others = runs.first().map(|run| run.answer.members()).unwrap_or_default();
    write_rest(offset, limit, total, others, out);
    Ok(Merged { hits, total, ..Merged::default() })
}

/// The client's page while it is written.
struct Page<'o, 'e> {
    offset: usize,
    extra: Option<&'e ExtraFields<'e>>,
    /// The number of documents so far.
    position: usize,
    /// The number of documents written.
    hits: usize,
    out: &'o mut Vec<u8>,
}

impl Page<'_, '_> {
    fn add(&mut self, text: &str) {
        if self.position >= self.offset {
            if self.hits > 0 {
                self.out.push(b',');
            }
            match self.extra {
                None => strip::members(text, self.out),
                Some(extra) => {
                    let mut stripped = Vec::with_capacity(text.len());
                    strip::members(text, &mut stripped);
                    let text = String::from_utf8_lossy(&stripped);
                    hit::select_below(&text, &extra.members, &extra.retrieved, self.out);
                }
            }
            self.hits += 1;
        }
        self.position += 1;
    }
}

/// One leg and the document that it offers now.
struct LegCursor<'a> {
    answer: Answer<'a>,
    document: Option<Document<'a>>,
    /// How often each document with several keys has been met.
    met: AHashMap<&'a str, usize>,
}

impl LegCursor<'_> {
    fn advance(&mut self, sort: &[SortField]) -> Result<(), Fault> {
        self.document = None;
        let Some(text) = self.answer.next_element()? else { return Ok(()) };
        if Members::of(text).is_none() {
            return Err(Fault::new("a document is not an object"));
        }
        let mut alternatives = sort.iter().map(|field| Key::all(text, field)).collect::<Vec<_>>();
        let places = alternatives.iter().map(Vec::len).product::<usize>();
        let mut place = 0;
        if places > 1 {
            let met = self.met.entry(text).or_insert(0);
            place = *met % places;
            *met += 1;
        }
        // The last field alternates first.
        for keys in alternatives.iter_mut().rev() {
            let turn = place % keys.len();
            place /= keys.len();
            keys.swap(0, turn);
        }
        let keys = alternatives.into_iter().filter_map(|keys| keys.into_iter().next()).collect();
        self.document = Some(Document { text, keys });
        Ok(())
    }
}

fn best_of(runs: &[LegCursor<'_>], sort: &[SortField]) -> Option<usize> {
    let offered = runs.iter().enumerate().filter_map(|(at, run)| Some((at, run.document.as_ref()?)));
    // Of equals the first wins.
    let precedes = |one: &Document<'_>, other: &Document<'_>| {
        one.keys > other.keys || (one.keys == other.keys && compare_identities(one, other, sort).is_lt())
    };
    offered.reduce(|best, other| if precedes(other.1, best.1) { other } else { best }).map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn criteria_are_read() {
        let parse =
            |text| SortField::parse(text).map(|field| (field.attribute().to_owned(), field.ascending));
        assert_eq!(parse("price:asc"), Some(("price".to_owned(), true)));
        assert_eq!(parse("a.b:c:desc"), Some(("a.b:c".to_owned(), false)));
        assert_eq!(parse("_geoPoint(1.5, -2):desc"), Some(("_geo".to_owned(), false)));
        assert_eq!(parse("price"), None);
        assert_eq!(parse("price:up"), None);
        assert_eq!(parse("_geoPoint(1):asc"), None);
    }

    #[test]
    fn whole_lists_are_ordered_by_key_whatever_the_legs() {
        let leg = |ids: &[i32]| {
            let documents = ids.iter().map(|id| format!(r#"{{"id":{id},"t":"x"}}"#)).collect::<Vec<_>>();
            format!(r#"{{"results":[{}],"offset":0,"limit":9,"total":{}}}"#, documents.join(","), ids.len())
        };
        let sort = [SortField::ascending("id")];
        for legs in [[leg(&[9, 2]), leg(&[7, 1, 3])], [leg(&[3, 9, 1, 2]), leg(&[7])]] {
            let legs = legs.iter().map(String::as_bytes).collect::<Vec<_>>();
            let check = |page: (usize, usize), list: WholeList, expected: &str| {
                let mut out = Vec::new();
                whole_documents(&legs, &sort, None, page, list, &mut out).unwrap();
                assert_eq!(String::from_utf8(out).unwrap(), expected);
            };
            let rest = |offset: usize, limit: usize, total: u64| {
                format!(r#","offset":{offset},"limit":{limit},"total":{total}}}"#)
            };
            check(
                (1, 2),
                WholeList::default(),
                &format!(r#"{{"results":[{{"id":2,"t":"x"}},{{"id":3,"t":"x"}}]{}"#, rest(1, 2, 5)),
            );
            check(
                (10, 1),
                WholeList { skipped: 10, total: Some(40) },
                &format!(r#"{{"results":[{{"id":1,"t":"x"}}]{}"#, rest(10, 1, 40)),
            );
        }
        assert!(
            whole_documents(&[b"{"], &sort, None, (0, 1), WholeList::default(), &mut Vec::new()).is_err()
        );
    }

    #[test]
    fn values_come_in_the_order_of_a_node() {
        let check = |sort: &str, expected: &[&str]| {
            let field = SortField::parse(sort).unwrap();
            let mut sorted = expected.to_vec();
            sorted.sort();
            sorted
                .sort_by(|one, other| Key::read(other, &field).partial_cmp(&Key::read(one, &field)).unwrap());
            assert_eq!(sorted, expected, "{sort}");
        };
        let values = |list: &[&'static str]| list.to_vec();
        check(
            "a:asc",
            &values(&[
                r#"{"a":-1}"#,
                r#"{"a":[7,0]}"#,
                r#"{"a":3}"#,
                r#"{"a":"B"}"#,
                r#"{"a":"c"}"#,
                r#"{"a":true}"#,
                r#"{"a":null}"#,
            ]),
        );
        check(
            "a:desc",
            &values(&[
                r#"{"a":[7,0]}"#,
                r#"{"a":3}"#,
                r#"{"a":-1}"#,
                r#"{"a":true}"#,
                r#"{"a":"c"}"#,
                r#"{"a":"B"}"#,
                r#"{"b":1}"#,
            ]),
        );
        check("a:asc", &[r#"{"a":-1}"#, r#"{"a":0}"#, r#"{"a":-0.0}"#, r#"{"a":5e-324}"#]);
        check("a:desc", &[r#"{"a":5e-324}"#, r#"{"a":-0.0}"#, r#"{"a":0}"#, r#"{"a":-1}"#]);
        check(
            "a.b:asc",
            &values(&[r#"{"a":{"b":1}}"#, r#"{"a":[{"b":2},{"b":9}]}"#, r#"{"a.b":3}"#, r#"{"a":1}"#]),
        );
        let near = r#"{"_geo":{"lat":48.0,"lng":2.0}}"#;
        let far = r#"{"_geo":{"lat":"-30","lng":"100"}}"#;
        check("_geoPoint(48, 3):asc", &[near, far, "{}"]);
        check("_geoPoint(48, 3):desc", &[far, near, "{}"]);
    }
}
