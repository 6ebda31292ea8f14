//! Facets: counts summed over the legs by normalized value, ordered and truncated as on one node, and statistics.
//!
//! The orders are those of milli/src/search/facet/facet_distribution.rs (v1.50): numbers always before strings.
//! Alphabetical: numbers as text up to 3000 candidates and by value above, strings by their normalized form. By count:
//! greatest first, ties by greatest number or greatest normalized string. Facet search follows
//! milli/src/search/facet/search.rs: alphabetical by its own normal form, or by count with ties by greatest value. A
//! value keeps the spelling of the first leg that has it. Facets are in the order of their names.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use ahash::AHashMap;

use crate::error::{Fault, MergeError};
use crate::json::normalize::{fold, normalize};
use crate::json::strip::RESERVED;
use crate::json::{Answer, Members, number, shorten, unescape, write_string};
use crate::order::ranking_key::order_of;
use crate::{Contested, FacetOrder, FacetRules};

/// The most candidates for which one node lists numbers as text in alphabetical order (`CANDIDATES_THRESHOLD`).
const CANDIDATES_AS_TEXT_MAX: u64 = 3000;

/// Appends the merged answer of `POST /indexes/{uid}/facet-search` to `out`. Returns the written values of `facet_name`
/// that legs spell differently.
///
/// `legs`: the raw answers in covering-set order. Alphabetical order is exact if each leg was asked for at least
/// `values_max` values; order by count is exact if the legs returned all they have.
///
/// # Errors
/// `MergeError::Leg`: a leg's answer is unusable. `out` is then unchanged.
pub fn facet_search(
    legs: &[&[u8]],
    facet_name: &str,
    (order, values_max): (FacetOrder, usize),
    processing_time_ms: u64,
    out: &mut Vec<u8>,
) -> Result<Vec<Contested>, MergeError> {
    let mut facet = Facet::default();
    let mut query = None;
    for (leg, body) in legs.iter().enumerate() {
        let mut answer = Answer::read(body, "facetHits").map_err(|fault| fault.at(leg))?;
        facet.add_hits(&mut answer).map_err(|fault| fault.at(leg))?;
        query = query.or_else(|| answer.member("facetQuery"));
    }
    let query = query.unwrap_or("null");
    if legs.len() > 1 {
        facet.sort_hits(order, query != "null");
    }
    out.extend_from_slice(b"{\"facetHits\":[");
    for (at, value) in facet.values.iter().take(values_max).enumerate() {
        let comma = if at > 0 { "," } else { "" };
        let count = value.count;
        out.extend_from_slice(format!("{comma}{{\"value\":\"{}\",\"count\":{count}}}", value.raw).as_bytes());
    }
    let rest = format!("],\"facetQuery\":{query},\"processingTimeMs\":{processing_time_ms}}}");
    out.extend_from_slice(rest.as_bytes());
    facet.values.truncate(values_max);
    Ok(facet.contested(facet_name).collect())
}

/// The values of a facet over all legs of page-based searches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValueCounts {
    /// The number of distinct values.
    pub values: u64,
    /// The sum of their counts.
    pub occurrences: u64,
    /// The number of matching documents.
    pub hits: u64,
}

/// Counts the values of one facet. `None` if a leg returned `values_max` values and so may have more, or if a number
/// and a text look the same.
///
/// # Errors
/// `MergeError::Leg`: a leg's answer is unusable.
pub fn count_values(
    legs: &[&[u8]],
    facet_name: &str,
    values_max: u64,
) -> Result<Option<ValueCounts>, MergeError> {
    let mut facet = Facet::default();
    let (mut hits, mut cut) = (0_u64, false);
    let mut read = |body| {
        let answer = Answer::read(body, "hits")?;
        hits = hits.saturating_add(answer.count("totalHits")?);
        let distribution = answer.member("facetDistribution").and_then(Members::of);
        let values = distribution.and_then(|mut all| all.find(|one| unescape(one.key) == facet_name));
        // A leg does not list a facet that none of its documents has.
        let Some(values) = values else { return Ok(()) };
        let ranges = read_stats(answer.member("facetStats"))?;
        facet.add_values(values.value, ranges.get(facet_name))?;
        cut |= Members::of(values.value).is_some_and(|values| values.count() as u64 >= values_max);
        Ok(())
    };
    for (leg, body) in legs.iter().enumerate() {
        read(body).map_err(|fault: Fault| fault.at(leg))?;
    }
    let occurrences = facet.values.iter().map(|value| value.count).sum();
    Ok((!cut && !facet.mixed).then_some(ValueCounts { values: facet.values.len() as u64, occurrences, hits }))
}

/// Appends `,"facetDistribution":{…},"facetStats":{…}` merged over all answers, or nothing if no answer has them.
/// Returns the written values that legs spell differently. `candidates`: the number of matching documents over all
/// legs. `counted`: answers that replace those where they have the same facets.
pub(crate) fn write_members(
    answers: &[&Answer<'_>],
    counted: Option<&[Vec<u8>]>,
    rules: &FacetRules,
    candidates: u64,
    out: &mut Vec<u8>,
) -> Result<Vec<Contested>, MergeError> {
    let parts = answers.iter().map(|answer| Part {
        distribution: answer.member("facetDistribution"),
        stats: answer.member("facetStats"),
    });
    let mut parts = parts.collect::<Vec<_>>();
    if parts.iter().all(|part| part.distribution.is_none()) {
        return Ok(Vec::new());
    }
    let counted = counted.unwrap_or_default().iter().enumerate();
    let counted = counted.map(|(leg, body)| Answer::read(body, "hits").map_err(|fault| fault.at(leg)));
    let counted = counted.collect::<Result<Vec<_>, _>>()?;
    let names = names_of(&parts);
    let known = counted.last().and_then(|answer| Members::of(answer.member("facetDistribution")?));
    let known = known.into_iter().flatten().map(|facet| unescape(facet.key)).collect::<Vec<_>>();
    let mut bare = Vec::new();
    if !counted.is_empty() && names.iter().all(|name| known.contains(name)) {
        bare.push(b'{');
        for (at, name) in names.iter().enumerate() {
            write_key(at, name, &mut bare);
            bare.extend_from_slice(b"{}");
        }
        bare.push(b'}');
    }
    let bare = String::from_utf8_lossy(&bare);
    if !bare.is_empty() {
        // The answers name the facets, because they know the index's fields; `counted` only counts.
        parts = vec![Part { distribution: Some(&bare), stats: Some("{}") }];
        parts.extend(counted.iter().map(|answer| Part {
            distribution: Some(answer.member("facetDistribution").unwrap_or("{}")),
            stats: Some(answer.member("facetStats").unwrap_or("{}")),
        }));
    }
    out.push(b',');
    write_parts(&parts, rules, candidates, ["facetDistribution", "facetStats"], out)
}

/// The facets that the answers have.
fn names_of<'a>(parts: &[Part<'a>]) -> BTreeSet<Cow<'a, str>> {
    let facets = parts.iter().filter_map(|part| Members::of(part.distribution?)).flatten();
    facets.map(|facet| unescape(facet.key)).filter(|name| !name.starts_with(RESERVED)).collect()
}

/// The facets of one leg, raw.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part<'a> {
    pub(crate) distribution: Option<&'a str>,
    pub(crate) stats: Option<&'a str>,
}

/// Appends two members merged over all legs under the given names: the distribution and the statistics.
pub(crate) fn write_parts(
    parts: &[Part<'_>],
    rules: &FacetRules,
    candidates: u64,
    [distribution_name, stats_name]: [&str; 2],
    out: &mut Vec<u8>,
) -> Result<Vec<Contested>, MergeError> {
    let mut contested = Vec::new();
    let mut facets = BTreeMap::new();
    let mut stats = BTreeMap::new();
    for (leg, part) in parts.iter().enumerate() {
        let ranges = read_stats(part.stats).map_err(|fault| fault.at(leg))?;
        add_distribution(part.distribution, &ranges, &mut facets).map_err(|fault| fault.at(leg))?;
        for (name, range) in ranges {
            stats.entry(name).and_modify(|all: &mut Range<'_>| all.widen(&range)).or_insert(range);
        }
    }
    out.extend_from_slice(format!("\"{distribution_name}\":{{").as_bytes());
    for (at, (name, facet)) in facets.iter_mut().enumerate() {
        if parts.len() > 1 {
            facet.sort_values(rules.order(name), candidates);
        }
        write_key(at, name, out);
        facet.cut(rules.values_max, rules.order(name), candidates);
        facet.write(out);
        contested.extend(facet.contested(name));
    }
    out.extend_from_slice(format!("}},\"{stats_name}\":{{").as_bytes());
    for (at, (name, range)) in stats.iter().enumerate() {
        write_key(at, name, out);
        out.extend_from_slice(format!("{{\"min\":{},\"max\":{}}}", range.raw_min, range.raw_max).as_bytes());
    }
    out.push(b'}');
    Ok(contested)
}

/// The values of one facet, in the order in which they were first met.
#[derive(Default)]
struct Facet<'a> {
    values: Vec<Value<'a>>,
    index: AHashMap<Cow<'a, str>, usize>,
    /// Whether a leg listed its numbers by value where their texts would have another order.
    numbers_by_value: bool,
    /// Whether a value is a number on one leg and a text on another.
    mixed: bool,
}

struct Value<'a> {
    /// The spelling without its quotes, escapes as sent.
    raw: &'a str,
    normalized: Cow<'a, str>,
    count: u64,
    number: Option<f64>,
    /// Whether legs spell it differently.
    contested: bool,
}

/// The least and the greatest number of a facet, with the text that the node sent.
struct Range<'a> {
    min: f64,
    max: f64,
    raw_min: &'a str,
    raw_max: &'a str,
}

impl Range<'_> {
    fn contains(&self, number: f64) -> bool {
        (self.min..=self.max).contains(&number)
    }

    fn widen(&mut self, other: &Self) {
        if other.min < self.min {
            (self.min, self.raw_min) = (other.min, other.raw_min);
        }
        if other.max > self.max {
            (self.max, self.raw_max) = (other.max, other.raw_max);
        }
    }
}

impl<'a> Facet<'a> {
    fn add(&mut self, raw: &'a str, count: u64, number: Option<f64>) {
        let normalized = match unescape(raw) {
            Cow::Borrowed(text) => normalize(text),
            Cow::Owned(text) => Cow::Owned(normalize(&text).into_owned()),
        };
        if let Some(at) = self.index.get(&normalized) {
            let value = &mut self.values[*at];
            value.count = value.count.saturating_add(count);
            self.mixed |= value.number.is_some() != number.is_some();
            value.number = value.number.or(number);
            value.contested |= value.raw != raw;
            return;
        }
        self.index.insert(normalized.clone(), self.values.len());
        self.values.push(Value { raw, normalized, count, number, contested: false });
    }

    /// Adds the values that one leg counted. `range` is that leg's range of numbers.
    fn add_values(&mut self, raw: &'a str, range: Option<&Range<'_>>) -> Result<(), Fault> {
        let values = Members::of(raw).ok_or_else(|| Fault::new("a facet is not an object"))?;
        let mut leading = true;
        let mut last: Option<(f64, &str)> = None;
        let (mut by_text, mut by_value) = (true, true);
        for value in values {
            let count = value.value.parse().map_err(|_| {
                Fault::new(format!("the count of the facet value `{}` is not a count", shorten(value.key)))
            })?;
            // Numbers come first, so what looks like a number behind the first string is a string.
            let number = number_of_key(value.key)
                .filter(|number| leading && range.is_some_and(|range| range.contains(*number)));
            leading = number.is_some();
            if let Some(number) = number {
                by_text &= last.is_none_or(|(_, text)| text < value.key);
                by_value &= last.is_none_or(|(last, _)| order_of(last, number).is_lt());
                last = Some((number, value.key));
            }
            self.add(value.key, count, number);
        }
        self.numbers_by_value |= by_value && !by_text;
        Ok(())
    }

    fn add_hits(&mut self, answer: &mut Answer<'a>) -> Result<(), Fault> {
        while let Some(hit) = answer.next_element()? {
            let (mut raw, mut count) = (None, None);
            for member in Members::of(hit).into_iter().flatten() {
                match member.key {
                    "value" => raw = member.value.strip_prefix('"').and_then(|text| text.strip_suffix('"')),
                    "count" => count = member.value.parse().ok(),
                    _ => {}
                }
            }
            let (Some(raw), Some(count)) = (raw, count) else {
                return Err(Fault::new("a facet hit has no value and count"));
            };
            self.add(raw, count, None);
        }
        Ok(())
    }

    fn sort_values(&mut self, order: FacetOrder, candidates: u64) {
        let by_value = self.numbers_by_value || candidates > CANDIDATES_AS_TEXT_MAX;
        self.values.sort_by(|left, right| match (left.number, right.number, order) {
            (Some(_), None, _) => Ordering::Less,
            (None, Some(_), _) => Ordering::Greater,
            (None, None, FacetOrder::Alpha) => left.normalized.cmp(&right.normalized),
            (Some(first), Some(second), FacetOrder::Alpha) if by_value => order_of(first, second),
            (Some(_), Some(_), FacetOrder::Alpha) => left.raw.cmp(right.raw),
            (None, None, FacetOrder::Count) => {
                right.count.cmp(&left.count).then_with(|| right.normalized.cmp(&left.normalized))
            }
            (Some(first), Some(second), FacetOrder::Count) => {
                right.count.cmp(&left.count).then_with(|| order_of(second, first))
            }
        });
    }

    fn sort_hits(&mut self, order: FacetOrder, has_query: bool) {
        match order {
            FacetOrder::Count => self.values.sort_by(|left, right| {
                let ties = || unescape(right.raw).cmp(&unescape(left.raw));
                right.count.cmp(&left.count).then_with(ties)
            }),
            FacetOrder::Alpha if has_query => self.values.sort_by_cached_key(|value| {
                (fold(&unescape(value.raw)), value.normalized.clone().into_owned())
            }),
            FacetOrder::Alpha => self.values.sort_by(|left, right| left.normalized.cmp(&right.normalized)),
        }
    }

    /// Cuts the ordered values as one node does. Where it counts value by value, it stops at the value that makes its
    /// list as long as allowed: numbers and texts have one list, but each kind begins anew, so texts that follow a full
    /// list of numbers never make it exactly that long, and all of them are listed.
    fn cut(&mut self, values_max: usize, order: FacetOrder, candidates: u64) {
        let by_value = order == FacetOrder::Count || candidates > CANDIDATES_AS_TEXT_MAX;
        let numbers = self.values.iter().take_while(|value| value.number.is_some()).count();
        if by_value && values_max == 0 {
            return;
        }
        if by_value && numbers >= values_max {
            self.values.drain(values_max..numbers);
        } else {
            self.values.truncate(values_max);
        }
    }

    fn contested(&self, name: &str) -> impl Iterator<Item = Contested> {
        let shown = self.values.iter().filter(|value| value.contested);
        shown.map(|value| Contested {
            facet: name.to_owned(),
            spelling: unescape(value.raw).into_owned(),
            count: value.count,
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        for (at, value) in self.values.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            out.extend_from_slice(format!("{comma}\"{}\":{}", value.raw, value.count).as_bytes());
        }
        out.push(b'}');
    }
}

fn add_distribution<'a>(
    raw: Option<&'a str>,
    ranges: &BTreeMap<Cow<'a, str>, Range<'a>>,
    facets: &mut BTreeMap<Cow<'a, str>, Facet<'a>>,
) -> Result<(), Fault> {
    let members =
        raw.and_then(Members::of).ok_or_else(|| Fault::new("facetDistribution is not an object"))?;
    for facet in members {
        let name = unescape(facet.key);
        if name.starts_with(RESERVED) {
            continue;
        }
        let range = ranges.get(&name);
        facets.entry(name).or_default().add_values(facet.value, range)?;
    }
    Ok(())
}

fn read_stats(raw: Option<&str>) -> Result<BTreeMap<Cow<'_, str>, Range<'_>>, Fault> {
    let members = raw.and_then(Members::of).ok_or_else(|| Fault::new("facetStats is not an object"))?;
    let mut ranges = BTreeMap::new();
    for facet in members {
        let name = unescape(facet.key);
        if name.starts_with(RESERVED) {
            continue;
        }
        let field = |wanted: &str| {
            let field = Members::of(facet.value)?.find(|field| field.key == wanted)?;
            Some((number(field.value)?, field.value))
        };
        let (Some((min, raw_min)), Some((max, raw_max))) = (field("min"), field("max")) else {
            return Err(Fault::new(format!("facetStats of `{}` have no min and max", shorten(&name))));
        };
        ranges.insert(name, Range { min, max, raw_min, raw_max });
    }
    Ok(ranges)
}

/// The number that the facet key `key` spells: nodes print decimals without an exponent.
fn number_of_key(key: &str) -> Option<f64> {
    let digits = key.strip_prefix('-').unwrap_or(key);
    let (whole, fraction) =
        digits.split_once('.').map_or((digits, None), |(whole, rest)| (whole, Some(rest)));
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let whole_fits = all_digits(whole) && (whole == "0" || !whole.starts_with('0'));
    let fraction_fits = fraction.is_none_or(|fraction| all_digits(fraction) && !fraction.ends_with('0'));
    if whole_fits && fraction_fits { key.parse().ok() } else { None }
}

fn write_key(at: usize, name: &str, out: &mut Vec<u8>) {
    if at > 0 {
        out.push(b',');
    }
    write_string(name, out);
    out.push(b':');
}
