//! One ranked list from the answers of several queries, as in meilisearch/src/search/federated/perform.rs.
//!
//! - Hits of one query keep their exact order. Hits of different queries are ordered by their weighted score values,
//!   and by the query's position where these are equal.
//! - A document that several queries of one index find is in the list once, where it ranks best.
//! - Fields that were requested for merging only are cut out of the hits.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;

use ahash::{AHashMap, AHashSet};

use crate::error::{Fault, MergeError};
use crate::json::hit::{self, Edit};
use crate::json::strip;
use crate::json::{Answer, Members, number, shorten, unescape, write_count, write_member, write_string};
use crate::order::weighted_score::{self, Scale, Value};
use crate::search::distinct::{Admitted, Distinct};
use crate::search::facets;
use crate::{ExtraFields, FacetOrder, FacetRules, Merged, Paging};

/// What the client requested of a federated search.
#[derive(Debug, Clone)]
pub struct FederationSpec<'a> {
    pub paging: Paging,
    /// In the order of their names.
    pub indexes: &'a [FederatedIndex<'a>],
    /// In the order of the request.
    pub queries: &'a [FederatedQuery<'a>],
    /// The field of which no two hits share a value.
    pub distinct: Option<&'a str>,
    /// Whether facets of all indexes are merged, and how many values of each are kept.
    pub merge_facets: Option<Option<usize>>,
    pub processing_time_ms: u64,
    /// Whether ranking scores cover only the rules up to the first sort, as before v1.24.
    pub scores_end_at_sorts: bool,
}

/// An index that queries name.
#[derive(Debug, Clone)]
pub struct FederatedIndex<'a> {
    pub uid: &'a str,
    /// The field that identifies documents; `None` if only one query names the index.
    pub primary_key: Option<&'a str>,
    pub facets: &'a FacetRules,
    /// `maxTotalHits` of the index: the most of its hits in the answer.
    pub hits_total_max: usize,
}

/// One query.
#[derive(Debug, Clone)]
pub struct FederatedQuery<'a> {
    /// The position of its index in [`FederationSpec::indexes`].
    pub index: usize,
    pub weight: f64,
    pub show_ranking_score: bool,
    pub show_ranking_score_details: bool,
    /// Fields that were requested for merging only, to cut out of its hits.
    pub extra: Option<&'a ExtraFields<'a>>,
    /// The attributes that the client may see; the details of its hits contain all. `None`: all.
    pub displayed: Option<&'a [String]>,
}

/// Merges the answers of one index's legs to a federated search without hits: sums totals, merges facets, and renames
/// the index from `node_uid` to `uid`. Appends the result to `out`.
///
/// # Errors
/// `MergeError::Leg`: a leg's answer is unusable. `out` is then unchanged.
pub fn federated_totals(
    legs: &[&[u8]],
    node_uids: &[&str],
    uid: &str,
    rules: &FacetRules,
    out: &mut Vec<u8>,
) -> Result<Merged, MergeError> {
    let mut total = 0_u64;
    let mut parts = Vec::new();
    let mut others = Vec::new();
    for (leg, body) in legs.iter().enumerate() {
        let answer = Answer::read(body, "hits").map_err(|fault| fault.at(leg))?;
        total = total.saturating_add(total_of(&answer).map_err(|fault| fault.at(leg))?);
        let facets = answer.member("facetsByIndex");
        let of_names = node_uids.iter().filter_map(|name| hit::field(facets?, name));
        for facets in of_names {
            parts.push(facets::Part {
                distribution: hit::field(facets, "distribution"),
                stats: hit::field(facets, "stats"),
            });
        }
        if leg == 0 {
            others.extend(
                answer.members().iter().filter(|(name, _)| !MADE_HERE.contains(&name.as_ref())).cloned(),
            );
        }
    }
    let start = out.len();
    out.extend_from_slice(format!("{{\"hits\":[],\"estimatedTotalHits\":{total}").as_bytes());
    if !parts.is_empty() {
        out.extend_from_slice(b",\"facetsByIndex\":{");
        write_string(uid, out);
        out.extend_from_slice(b":{");
        let written = facets::write_parts(&parts, rules, total, ["distribution", "stats"], out);
        if let Err(error) = written {
            out.truncate(start);
            return Err(error);
        }
        out.extend_from_slice(b"}}");
    }
    for (name, value) in others {
        write_member(&name, value, out);
    }
    out.push(b'}');
    Ok(Merged { hits: 0, total, ..Merged::default() })
}

/// Members of a federated answer that this crate writes; all others are copied from the first index.
const MADE_HERE: [&str; 14] = [
    "hits",
    "queryVectors",
    "processingTimeMs",
    "limit",
    "offset",
    "estimatedTotalHits",
    "page",
    "hitsPerPage",
    "totalHits",
    "totalPages",
    "facetDistribution",
    "facetStats",
    "facetsByIndex",
    "semanticHitCount",
];

/// Appends the answer of a federated search to `out`.
///
/// `answers`: one for each query, for offset 0 and as many hits as the page may need, with ranking scores and details.
/// Under `distinct` and numbered pages these are all hits.
/// `totals`: one for each index, from [`federated_totals`].
///
/// # Errors
/// `MergeError::Leg` with the query's position: an answer is unusable. `out` is then unchanged.
pub fn federation(
    answers: &[&[u8]],
    totals: &[&[u8]],
    spec: &FederationSpec<'_>,
    out: &mut Vec<u8>,
) -> Result<Merged, MergeError> {
    let start = out.len();
    let merged = merge(answers, totals, spec, out);
    if merged.is_err() {
        out.truncate(start);
    }
    merged
}

/// A hit of one query.
struct Hit<'a> {
    text: &'a str,
    query: usize,
    values: Vec<Value<'a>>,
    /// `_rankingScore` times the weight.
    score: f64,
    /// The raw primary key, where several queries name the index.
    identity: Option<&'a str>,
}

fn merge(
    answers: &[&[u8]],
    totals: &[&[u8]],
    spec: &FederationSpec<'_>,
    out: &mut Vec<u8>,
) -> Result<Merged, MergeError> {
    let mut read = Vec::with_capacity(answers.len());
    let mut lists = (0..spec.indexes.len()).map(|_| Vec::new()).collect::<Vec<_>>();
    for (position, (body, query)) in answers.iter().zip(spec.queries).enumerate() {
        let mut answer = Answer::read(body, "hits").map_err(|fault| fault.at(position))?;
        let hits = read_hits(&mut answer, position, spec).map_err(|fault| fault.at(position))?;
        lists[query.index].push(hits);
        read.push(answer);
    }
    let counted = totals.iter().map(|body| Answer::read(body, "hits"));
    let counted = counted.collect::<Result<Vec<_>, _>>().map_err(|fault| fault.at(answers.len()))?;
    let window = Window::of(spec.paging);
    // Numbered pages of a list without duplicates have an exact total, so all hits are there.
    let is_counted = spec.distinct.is_some() && matches!(spec.paging, Paging::Page { .. });
    let mut rejected = 0_u64;
    let of_indexes = lists.into_iter().zip(spec.indexes).map(|(lists, index)| {
        let wanted = if is_counted { usize::MAX } else { window.end() };
        let most = wanted.min(index.hits_total_max);
        let mut kept = Kept::of(lists, spec);
        let hits = kept.by_ref().take(most).collect::<Vec<_>>();
        rejected += kept.rejected;
        hits
    });
    let of_indexes = of_indexes.collect::<Vec<_>>();
    // Keys are unique only within an index, and duplicates there are gone now, so forget the identities.
    let strangers = of_indexes.into_iter().map(|hits| hits.into_iter().map(Hit::without_identity).collect());
    let mut kept = Kept::of(strangers.collect(), spec);
    let (mut listed, mut page) = (0, Vec::new());
    for hit in kept.by_ref() {
        if listed >= window.offset && page.len() < window.limit {
            page.push(hit);
        }
        listed += 1;
    }
    rejected += kept.rejected;
    let found =
        counted.iter().map(total_of).sum::<Result<u64, Fault>>().map_err(|fault| fault.at(answers.len()))?;
    let total = if is_counted { listed as u64 } else { found.saturating_sub(rejected) };
    out.extend_from_slice(b"{\"hits\":[");
    for (at, hit) in page.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        hit.write(spec, out);
    }
    out.push(b']');
    write_rest(&read, &counted, &page, total, spec, out).map_err(|fault| fault.at(answers.len()))?;
    out.push(b'}');
    Ok(Merged { hits: page.len(), total, ..Merged::default() })
}

/// The part of the merged order to write.
struct Window {
    offset: usize,
    limit: usize,
}

impl Window {
    fn of(paging: Paging) -> Self {
        match paging {
            Paging::Offset { offset, limit } => Self { offset, limit },
            Paging::Page { page: 0, .. } => Self { offset: 0, limit: 0 },
            Paging::Page { page, hits_per_page } => {
                Self { offset: hits_per_page.saturating_mul(page - 1), limit: hits_per_page }
            }
        }
    }

    fn end(&self) -> usize {
        self.offset.saturating_add(self.limit)
    }
}

/// All hits of one query. Scores are read twice, because later hits reveal the scale of earlier ones.
fn read_hits<'a>(
    answer: &mut Answer<'a>,
    position: usize,
    spec: &FederationSpec<'_>,
) -> Result<Vec<Hit<'a>>, Fault> {
    let query = &spec.queries[position];
    let primary_key = spec.indexes[query.index].primary_key;
    let mut texts = Vec::new();
    let mut scale = Scale::new(spec.scores_end_at_sorts);
    while let Some(text) = answer.next_element()? {
        let details = hit::added(text, "_rankingScoreDetails");
        let details = details.ok_or_else(|| Fault::new("a hit has no _rankingScoreDetails"))?;
        scale.learn(details);
        texts.push((text, details));
    }
    let read = texts.into_iter().map(|(text, details)| {
        let score = hit::added(text, "_rankingScore").and_then(number);
        let score = score.ok_or_else(|| Fault::new("a hit has no _rankingScore"))?;
        let identity = primary_key.map(|primary_key| {
            hit::field(text, primary_key).ok_or_else(|| Fault::new("a hit has no primary key"))
        });
        let values = weighted_score::values(details, score, query.weight, &scale)?;
        let identity = identity.transpose()?;
        Ok(Hit { text, query: position, values, score: score * query.weight, identity })
    });
    read.collect()
}

impl<'a> Hit<'a> {
    fn precedes(&self, other: &Self) -> bool {
        match weighted_score::compare((&self.values, self.score), (&other.values, other.score)) {
            Ordering::Greater => true,
            Ordering::Equal => self.query < other.query,
            Ordering::Less => false,
        }
    }

    fn without_identity(mut self) -> Self {
        self.identity = None;
        self
    }

    fn is_semantic(&self) -> bool {
        self.values.iter().any(|value| matches!(value, Value::Vector(_)))
    }

    fn write(&self, spec: &FederationSpec<'_>, out: &mut Vec<u8>) {
        let query = &spec.queries[self.query];
        let mut federation = b"{\"indexUid\":".to_vec();
        write_string(spec.indexes[query.index].uid, &mut federation);
        let score = sonic_rs::to_string(&self.score).unwrap_or_default();
        let rest = format!(",\"queriesPosition\":{},\"weightedRankingScore\":{score}}}", self.query);
        federation.extend_from_slice(rest.as_bytes());
        let mut details = Vec::new();
        if query.show_ranking_score_details && query.displayed.is_some() {
            let shown = hit::added(self.text, "_rankingScoreDetails").unwrap_or("{}");
            strip::details(shown, None, query.displayed, &mut details);
        }
        let details = String::from_utf8_lossy(&details);
        let edit = Edit {
            score: query.show_ranking_score,
            details: query.show_ranking_score_details,
            new_score: None,
            new_details: (!details.is_empty()).then_some(&details),
            federation: Some(&String::from_utf8_lossy(&federation)),
            extra: query.extra,
        };
        hit::write(self.text, &edit, out);
    }
}

/// Lists of hits, of which the best head is pulled first.
struct Heads<'a>(Vec<std::iter::Peekable<std::vec::IntoIter<Hit<'a>>>>);

impl<'a> Heads<'a> {
    fn of(lists: Vec<Vec<Hit<'a>>>) -> Self {
        Self(lists.into_iter().map(|list| list.into_iter().peekable()).collect())
    }
}

impl<'a> Iterator for Heads<'a> {
    type Item = Hit<'a>;

    fn next(&mut self) -> Option<Hit<'a>> {
        let mut best: Option<usize> = None;
        for at in 0..self.0.len() {
            let (before, rest) = self.0.split_at_mut(at);
            let Some(head) = rest[0].peek() else { continue };
            let leader = best.and_then(|best| before[best].peek());
            if leader.is_none_or(|leader| head.precedes(leader)) {
                best = Some(at);
            }
        }
        self.0[best?].next()
    }
}

/// Skips hits that were seen before, and those that share a distinct value with one.
struct Kept<'a, 's> {
    hits: Heads<'a>,
    seen: AHashSet<&'a str>,
    distinct: Option<Distinct<'s>>,
    /// The number of hits skipped for their values.
    rejected: u64,
}

impl<'a, 's> Kept<'a, 's> {
    fn of(lists: Vec<Vec<Hit<'a>>>, spec: &FederationSpec<'s>) -> Self {
        let distinct = spec.distinct.map(Distinct::new);
        Self { hits: Heads::of(lists), seen: AHashSet::new(), distinct, rejected: 0 }
    }
}

impl<'a> Iterator for Kept<'a, '_> {
    type Item = Hit<'a>;

    fn next(&mut self) -> Option<Hit<'a>> {
        loop {
            let hit = self.hits.next()?;
            if hit.identity.is_some_and(|identity| !self.seen.insert(identity)) {
                continue;
            }
            if self.distinct.as_mut().is_none_or(|distinct| distinct.admit(hit.text) == Admitted::Yes) {
                return Some(hit);
            }
            self.rejected += 1;
        }
    }
}

fn total_of(answer: &Answer<'_>) -> Result<u64, Fault> {
    let name = if answer.member("totalHits").is_some() { "totalHits" } else { "estimatedTotalHits" };
    answer.count(name)
}

/// Writes all members after the hits.
fn write_rest(
    answers: &[Answer<'_>],
    totals: &[Answer<'_>],
    page: &[Hit<'_>],
    total: u64,
    spec: &FederationSpec<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    if answers.iter().any(|answer| answer.member("queryVector").is_some()) {
        let vectors = answers.iter().enumerate();
        let vectors =
            vectors.filter_map(|(at, answer)| Some(format!("\"{at}\":{}", answer.member("queryVector")?)));
        write_member("queryVectors", &format!("{{{}}}", vectors.collect::<Vec<_>>().join(",")), out);
    }
    write_count("processingTimeMs", spec.processing_time_ms, out);
    match spec.paging {
        Paging::Offset { offset, limit } => {
            write_count("limit", limit as u64, out);
            write_count("offset", offset as u64, out);
            write_count("estimatedTotalHits", total, out);
        }
        Paging::Page { page, hits_per_page } => {
            let per_page = hits_per_page as u64;
            write_count("hitsPerPage", per_page, out);
            write_count("page", page as u64, out);
            write_count("totalPages", if per_page == 0 { 0 } else { total.div_ceil(per_page) }, out);
            write_count("totalHits", total, out);
        }
    }
    let facets =
        spec.indexes.iter().zip(totals).filter_map(|(index, answer)| {
            Some((index, hit::field(answer.member("facetsByIndex")?, index.uid)?))
        });
    let facets = facets.collect::<Vec<_>>();
    if let Some(values_max) = spec.merge_facets.filter(|_| !facets.is_empty()) {
        write_merged_facets(&facets, values_max, out)?;
    } else if !facets.is_empty() {
        let members = facets.iter().map(|(index, facets)| format!("\"{}\":{facets}", index.uid));
        write_member("facetsByIndex", &format!("{{{}}}", members.collect::<Vec<_>>().join(",")), out);
    }
    for (name, value) in totals.first().into_iter().flat_map(|answer| answer.members()) {
        if !MADE_HERE.contains(&name.as_ref()) {
            write_member(name, value, out);
        }
    }
    if answers.iter().any(|answer| answer.member("semanticHitCount").is_some()) {
        write_count("semanticHitCount", page.iter().filter(|hit| hit.is_semantic()).count() as u64, out);
    }
    Ok(())
}

/// Merges facets of all indexes by name: sums the counts of equal values, and orders and truncates as the first index
/// with the facet does.
fn write_merged_facets(
    facets: &[(&FederatedIndex<'_>, &str)],
    values_max: Option<usize>,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let mut merged = BTreeMap::<Cow<'_, str>, (FacetOrder, AHashMap<&str, u64>)>::new();
    let mut ranges = BTreeMap::<Cow<'_, str>, [(f64, &str); 2]>::new();
    for (index, facets) in facets {
        let members = |name| hit::field(facets, name).and_then(Members::of).into_iter().flatten();
        for facet in members("distribution") {
            let name = unescape(facet.key);
            let order = index.facets.order(&name);
            let (_, values) = merged.entry(name).or_insert_with(|| (order, AHashMap::new()));
            for value in Members::of(facet.value).into_iter().flatten() {
                let count = value.value.parse::<u64>();
                let count =
                    count.map_err(|_| Fault::new(format!("`{}` is no count", shorten(value.value))))?;
                let sum = values.entry(value.key).or_insert(0);
                *sum = sum.saturating_add(count);
            }
        }
        for facet in members("stats") {
            let bound = |name| hit::field(facet.value, name).and_then(|raw| Some((number(raw)?, raw)));
            let (Some(min), Some(max)) = (bound("min"), bound("max")) else {
                return Err(Fault::new("facet stats have no min and max"));
            };
            let range = ranges.entry(unescape(facet.key)).or_insert([min, max]);
            range[0] = if min.0 < range[0].0 { min } else { range[0] };
            range[1] = if max.0 > range[1].0 { max } else { range[1] };
        }
    }
    let mut distribution = b"{".to_vec();
    for (at, (name, (order, values))) in merged.into_iter().enumerate() {
        let mut values = values.into_iter().collect::<Vec<_>>();
        // Equal counts are ordered by value; one node leaves their order to chance.
        values.sort_by(|left, right| unescape(left.0).cmp(&unescape(right.0)));
        if order == FacetOrder::Count {
            values.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        }
        values.truncate(values_max.unwrap_or(usize::MAX));
        distribution.extend_from_slice(if at > 0 { b"," } else { b"" });
        write_string(&name, &mut distribution);
        let values = values.iter().map(|(value, count)| format!("\"{value}\":{count}"));
        distribution.extend_from_slice(format!(":{{{}}}", values.collect::<Vec<_>>().join(",")).as_bytes());
    }
    distribution.push(b'}');
    write_member("facetDistribution", &String::from_utf8_lossy(&distribution), out);
    let mut stats = b"{".to_vec();
    for (at, (name, [min, max])) in ranges.iter().enumerate() {
        stats.extend_from_slice(if at > 0 { b"," } else { b"" });
        write_string(name, &mut stats);
        stats.extend_from_slice(format!(":{{\"min\":{},\"max\":{}}}", min.1, max.1).as_bytes());
    }
    stats.push(b'}');
    write_member("facetStats", &String::from_utf8_lossy(&stats), out);
    Ok(())
}
