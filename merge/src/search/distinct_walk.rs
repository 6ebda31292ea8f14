//! What one node counts under `distinct`. It walks through its buckets until the page is full, keeps one document of
//! each value that it meets, and removes from all matches those that share a value with a kept document.
//!
//! - The walk is that of milli/src/search/new/bucket_sort.rs over a list in which nothing is left out yet. It may not
//!   divide buckets that end before the page, and it walks the last bucket to its end.
//! - Inside a bucket, and where all hits behind the page count too, documents come in the order of their numbers, which
//!   is that of their keys.
//! - Hits beyond those that the legs returned are never guessed: `MergeError::Short`.

use std::collections::BTreeMap;
use std::ops::Range;

use ahash::AHashSet;

use crate::documents::sort_key;
use crate::error::MergeError;
use crate::json::normalize::normalize;
use crate::json::paths::values_at;
use crate::json::{Answer, number, string, write_string};
use crate::order::k_way::Order;
use crate::order::leg_cursor::{Asked, Equals, LegCursor};
use crate::order::ranking_key::Key;
use crate::search::distinct::Value;
use crate::{Paging, SortField};

/// The most values that a filter names.
const FILTER_VALUES_MAX: usize = 2_000;
/// The most bytes of a text that a filter is certain to find, although nodes truncate long values.
const FILTER_TEXT_BYTES_MAX: usize = 400;

/// What the client requested. The legs were asked for their hits in order, with details and without `distinct`.
#[derive(Debug, Clone)]
pub struct VisitedSpec<'a> {
    pub distinct: &'a str,
    pub primary_key: &'a str,
    pub paging: Paging,
    pub hits_total_max: usize,
    /// The number of hits requested of each leg.
    pub hits_asked: usize,
    /// The raw name of the rule by which the nodes break ties.
    pub tie_break: Option<&'a str>,
    /// Whether nodes skip the hits before the page without ranking them; otherwise they walk from the first hit.
    pub passes_over: bool,
    /// Whether scores have a threshold. Then, where all hits count, the walk covers all up to `hits_total_max`.
    pub threshold: bool,
    /// The facets to count.
    pub facets: &'a [String],
}

/// Result of the walk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Visited {
    /// The number of documents counted: with pages, all that one node returns; otherwise the walked documents that have
    /// a value.
    pub documents: u64,
    /// An answer with the facets of these documents.
    pub answer: Vec<u8>,
    /// A filter that passes the documents that share no value with them; `None` if none is left out.
    pub others: Option<String>,
}

/// Walks through the legs' hits as one node does. With page-based paging it counts all documents that one node returns.
/// Otherwise it counts those that the node meets, and `others` filters what else the node counts. `None` where no
/// filter can express that.
///
/// # Errors
/// `Leg`: a leg's answer is unusable. `Short`: the legs must be asked for more hits.
pub fn visited(legs: &[&[u8]], spec: &VisitedSpec<'_>) -> Result<Option<Visited>, MergeError> {
    let mut runs = Vec::with_capacity(legs.len());
    let mut matched = 0_u64;
    for (leg, body) in legs.iter().enumerate() {
        let answer = Answer::read(body, "hits").map_err(|fault| fault.at(leg))?;
        matched += answer.count("totalHits").map_err(|fault| fault.at(leg))?;
        runs.push(LegCursor::new(leg, answer, false));
    }
    let (hits, complete) = read(&mut runs, matched, spec)?;
    let (offset, limit) = match spec.paging {
        Paging::Offset { offset, limit } => (offset, limit),
        Paging::Page { page: 0, .. } => (0, 0),
        Paging::Page { page, hits_per_page } => (hits_per_page.saturating_mul(page - 1), hits_per_page),
    };
    let all = matches!(spec.paging, Paging::Page { .. });
    let offset = offset.min(spec.hits_total_max);
    let limit = if all && spec.threshold { usize::MAX } else { limit };
    let end = offset + limit.min(spec.hits_total_max - offset);
    let offset = if spec.passes_over { offset } else { 0 };
    let mut walk = Walk { hits: &hits, complete, offset, end, ..Walk::default() };
    if matched >= offset as u64 && end > offset {
        walk.start()?;
    }
    if all {
        if !complete {
            return Err(MergeError::Short);
        }
        walk.keep(0..hits.len());
    }
    let mut kept = walk.kept.iter().map(|at| &hits[*at]).collect::<Vec<_>>();
    if !all {
        kept.retain(|hit| !hit.values.is_empty());
    }
    let mut others = None;
    if !all && !kept.is_empty() {
        others = filter(spec.distinct, &kept);
        if others.is_none() {
            return Ok(None);
        }
    }
    // Nodes count facets in the order of document numbers.
    kept.sort_by_key(|hit| hit.number);
    let answer = facets(&kept, spec.facets);
    Ok(Some(Visited { documents: kept.len() as u64, answer, others }))
}

/// A hit before anything is left out.
struct Candidate<'a> {
    text: &'a str,
    values: Vec<Value>,
    /// Its position among all hits by primary key.
    number: usize,
    /// How many levels of buckets it shares with the previous hit.
    shared: usize,
    /// How many levels of buckets there are.
    levels: usize,
}

/// All known hits in order, and whether they are all there are.
fn read<'a>(
    runs: &mut [LegCursor<'a>],
    matched: u64,
    spec: &VisitedSpec<'_>,
) -> Result<(Vec<Candidate<'a>>, bool), MergeError> {
    let mut hits = Vec::<Candidate<'a>>::new();
    let mut complete = true;
    let by_number = SortField::ascending(spec.primary_key);
    let mut numbers = Vec::new();
    let equals = Equals { identity: Some(spec.primary_key), may_ask: false };
    let asked = Asked { hits: spec.hits_asked, pins: false, matched, equals };
    let mut order = Order::of(runs, asked)?;
    let mut before = Key::default();
    loop {
        let ranked = match order.next() {
            Ok(Some(ranked)) => ranked,
            Ok(None) => break,
            Err(MergeError::Short) => {
                complete = false;
                break;
            }
            Err(error) => return Err(error),
        };
        let mut key = Key::default();
        key.read(ranked.hit.details).map_err(|fault| fault.at(0))?;
        let (levels, shared) = key.levels(&before, spec.tie_break).map_err(|fault| fault.at(0))?;
        let shared = if hits.is_empty() { 0 } else { shared };
        let text = ranked.hit.text;
        let values = Value::all(text, spec.distinct);
        numbers.push(sort_key::Key::read(text, &by_number));
        hits.push(Candidate { text, values, number: 0, shared, levels });
        before = key;
    }
    let mut by_key = (0..hits.len()).collect::<Vec<_>>();
    // Greater keys come first.
    by_key.sort_by(|one, other| {
        numbers[*other].partial_cmp(&numbers[*one]).unwrap_or(std::cmp::Ordering::Equal)
    });
    by_key.into_iter().enumerate().for_each(|(number, at)| hits[at].number = number);
    Ok((hits, complete))
}

/// The state of one node's walk through its buckets.
#[derive(Default)]
struct Walk<'h, 'a> {
    hits: &'h [Candidate<'a>],
    /// Whether `hits` has every hit.
    complete: bool,
    offset: usize,
    end: usize,
    /// Positions of the kept hits, also as a set.
    kept: Vec<usize>,
    is_kept: AHashSet<usize>,
    seen: AHashSet<&'h Value>,
}

impl<'h> Walk<'h, '_> {
    fn start(&mut self) -> Result<(), MergeError> {
        // Without a rule the node takes documents one by one.
        if self.hits.first().is_none_or(|hit| hit.levels == 0) {
            for at in 0..self.hits.len() {
                if self.kept.len() == self.end {
                    return Ok(());
                }
                self.keep(at..at + 1);
            }
            let suffices = self.complete || self.kept.len() == self.end;
            return if suffices { Ok(()) } else { Err(MergeError::Short) };
        }
        self.divide(0..self.hits.len(), 0)?;
        let suffices = self.complete || self.kept.len() >= self.end;
        if suffices { Ok(()) } else { Err(MergeError::Short) }
    }

    /// Walks through the buckets into which the rule at `level` divides a bucket.
    fn divide(&mut self, bucket: Range<usize>, level: usize) -> Result<(), MergeError> {
        let mut from = bucket.start;
        while from < bucket.end && self.kept.len() < self.end {
            let next = (from + 1..bucket.end).find(|at| self.hits[*at].shared <= level);
            let end = next.unwrap_or(bucket.end);
            let open = (from..end).filter(|at| self.is_open(*at)).count();
            let before_page = self.kept.len() + open < self.offset;
            let is_last = level + 1 >= self.hits[from].levels || open == 1;
            if open > 0 && (is_last || before_page) {
                if end == self.hits.len() && !self.complete {
                    return Err(MergeError::Short);
                }
                self.keep(from..end);
            } else if open > 0 {
                self.divide(from..end, level + 1)?;
            }
            from = end;
        }
        Ok(())
    }

    fn is_open(&self, at: usize) -> bool {
        !self.is_kept.contains(&at) && self.hits[at].values.iter().all(|value| !self.seen.contains(value))
    }

    /// Keeps one document of each value in a bucket.
    fn keep(&mut self, bucket: Range<usize>) {
        let mut by_number = bucket.collect::<Vec<_>>();
        let hits = self.hits;
        by_number.sort_by_key(|at| hits[*at].number);
        for at in by_number {
            if self.is_open(at) {
                self.seen.extend(&hits[at].values);
                self.kept.push(at);
                self.is_kept.insert(at);
            }
        }
    }
}

/// A filter that passes exactly the documents that share no value with these; `None` where there is no such filter.
fn filter(attribute: &str, hits: &[&Candidate<'_>]) -> Option<String> {
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\\\""));
    let name = quoted(attribute);
    let (mut texts, mut conditions) = (Vec::new(), Vec::new());
    for value in hits.iter().flat_map(|hit| &hit.values) {
        match value {
            Value::Number(bits) => {
                let number = f64::from_bits(*bits);
                conditions.push(format!("NOT {name} {number} TO {number}"));
            }
            // A filter on this text would also match a number, or mean something else.
            Value::Text(text) if text.trim().is_empty() || text.parse::<f64>().is_ok() => return None,
            Value::Text(text) if text.contains('\\') || text.len() > FILTER_TEXT_BYTES_MAX => return None,
            Value::Text(text) => texts.push(quoted(text)),
        }
    }
    if texts.len() + conditions.len() > FILTER_VALUES_MAX {
        return None;
    }
    if !texts.is_empty() {
        conditions.push(format!("NOT {name} IN [{}]", texts.join(",")));
    }
    Some(conditions.join(" AND "))
}

/// An answer with the facets of these documents, counted as a node does.
fn facets(hits: &[&Candidate<'_>], names: &[String]) -> Vec<u8> {
    let (mut distribution, mut stats) = (Vec::new(), Vec::new());
    for name in names {
        let mut numbers = BTreeMap::<String, (f64, u64)>::new();
        let mut texts = BTreeMap::<String, (String, u64)>::new();
        for hit in hits {
            count(hit.text, name, &mut numbers, &mut texts);
        }
        let separate = |out: &mut Vec<u8>| out.extend_from_slice(if out.is_empty() { b"" } else { b"," });
        separate(&mut distribution);
        write_string(name, &mut distribution);
        distribution.extend_from_slice(b":{");
        let counts = numbers.iter().map(|(text, (_, count))| (text, count));
        let counts = counts.chain(texts.values().map(|(text, count)| (text, count)));
        for (at, (text, count)) in counts.enumerate() {
            distribution.extend_from_slice(if at > 0 { b"," } else { b"" });
            write_string(text, &mut distribution);
            distribution.extend_from_slice(format!(":{count}").as_bytes());
        }
        distribution.push(b'}');
        let values = || numbers.values().map(|(number, _)| *number);
        if let (Some(min), Some(max)) = (values().reduce(f64::min), values().reduce(f64::max)) {
            separate(&mut stats);
            write_string(name, &mut stats);
            stats.extend_from_slice(format!(":{{\"min\":{min:?},\"max\":{max:?}}}").as_bytes());
        }
    }
    let parts =
        [&b"{\"hits\":[],\"facetDistribution\":{"[..], &distribution, b"},\"facetStats\":{", &stats, b"}}"];
    parts.concat()
}

/// Counts the distinct values of one document.
fn count(
    text: &str,
    name: &str,
    numbers: &mut BTreeMap<String, (f64, u64)>,
    texts: &mut BTreeMap<String, (String, u64)>,
) {
    let mut own = BTreeMap::new();
    values_at(text, name, &mut |raw| {
        match raw.as_bytes().first() {
            Some(b'n') | None => {}
            Some(b'"') => {
                let original = string(raw).unwrap_or_default().into_owned();
                own.insert((false, normalize(&original).into_owned()), (original, 0.0));
            }
            Some(b't' | b'f') => {
                own.insert((false, raw.to_owned()), (raw.to_owned(), 0.0));
            }
            Some(_) => {
                if let Some(value) = number(raw) {
                    own.insert((true, value.to_string()), (String::new(), value));
                }
            }
        };
    });
    for ((is_number, key), (original, value)) in own {
        match is_number {
            true => numbers.entry(key).or_insert((value, 0)).1 += 1,
            false => texts.entry(key).or_insert((original, 0)).1 += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A leg with the hits `(id, price, colour, flag)`.
    fn leg(hits: &[(u32, u32, &str, bool)], tie_break: bool) -> Vec<u8> {
        let hit = |(id, price, colour, flag): &(u32, u32, &str, bool)| {
            let by_price = if tie_break {
                format!(r#""price:asc":{{"order":0,"value":{price}}},"#)
            } else {
                String::new()
            };
            let order = u8::from(tie_break);
            format!(
                r#"{{"id":{id},"c":{colour},"flag":{flag},"_rankingScoreDetails":{{{by_price}"id:asc":{{"order":{order},"value":{id}}}}}}}"#
            )
        };
        let hits_text = hits.iter().map(hit).collect::<Vec<_>>().join(",");
        format!(r#"{{"hits":[{hits_text}],"totalHits":{}}}"#, hits.len()).into_bytes()
    }

    fn spec(paging: Paging, facets: &[String]) -> VisitedSpec<'_> {
        VisitedSpec {
            distinct: "c",
            primary_key: "id",
            paging,
            hits_total_max: 1000,
            hits_asked: 100,
            tie_break: Some("id:asc"),
            passes_over: true,
            threshold: false,
            facets,
        }
    }

    #[test]
    fn the_last_bucket_is_walked_to_its_end() {
        let one = leg(&[(1, 5, "\"red\"", true), (4, 5, "\"blue\"", false), (5, 9, "\"green\"", true)], true);
        let two = leg(&[(2, 5, "\"Red\"", false), (3, 5, "null", true), (6, 9, "\"blue\"", true)], true);
        let facets = ["flag".to_owned()];
        let walk = |paging| visited(&[&one, &two], &spec(paging, &facets)).unwrap().unwrap();
        let first = walk(Paging::Offset { offset: 0, limit: 1 });
        // At price 5 the colours are red, none and blue. A document without a value excludes no other.
        assert_eq!(first.documents, 2);
        assert_eq!(first.others.as_deref(), Some(r#"NOT "c" IN ["red","blue"]"#));
        let text = String::from_utf8(first.answer).unwrap();
        assert!(text.contains(r#""facetDistribution":{"flag":{"false":1,"true":1}}"#), "{text}");
        let all = walk(Paging::Page { page: 1, hits_per_page: 1 });
        assert_eq!((all.documents, all.others), (4, None));
        let text = String::from_utf8(all.answer).unwrap();
        assert!(text.contains(r#"{"flag":{"false":1,"true":3}}"#), "{text}");
    }

    #[test]
    fn without_rules_documents_are_taken_one_by_one() {
        let one = leg(&[(1, 0, "1", true), (4, 0, "[2,\"x\"]", false)], false);
        let two = leg(&[(2, 0, "1.0", false), (3, 0, "\"7\"", true)], false);
        let walk = |offset, limit| {
            let paging = Paging::Offset { offset, limit };
            visited(&[&one, &two], &spec(paging, &[])).unwrap()
        };
        assert_eq!(walk(0, 1).unwrap().others.as_deref(), Some(r#"NOT "c" 1 TO 1"#));
        // A filter cannot distinguish the text 7 from the number.
        assert_eq!(walk(1, 1), None);
        assert_eq!(walk(9, 1).unwrap(), Visited { others: None, ..walk(0, 0).unwrap() });
    }

    #[test]
    fn what_legs_have_not_given_is_not_guessed() {
        let one = leg(&[(1, 5, "1", true)], true);
        let two = leg(&[(2, 5, "2", true), (3, 6, "3", true)], true);
        let walk = |limit, hits_asked| {
            let paging = Paging::Offset { offset: 0, limit };
            visited(&[&one, &two], &VisitedSpec { hits_asked, ..spec(paging, &[]) })
        };
        assert_eq!(walk(1, 1), Err(MergeError::Short));
        assert_eq!(walk(1, 3).unwrap().unwrap().documents, 2);
        assert_eq!(walk(3, 2), Err(MergeError::Short));
    }
}
