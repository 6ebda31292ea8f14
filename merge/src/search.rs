//! The k-way merge of search answers.
//!
//! - Hits are pulled lazily: a leg's hit is read when its predecessor has been taken.
//! - Equal keys: the lower leg first, then the order within the leg, so every page of one covering set cuts the
//!   same merged order.
//! - A leg that is not in the order of its own keys is a fault of that leg.
//! - The members of the answer stand in the order of Meilisearch's `SearchResult` (meilisearch/src/search/mod.rs).

use std::cmp::Ordering;

use crate::error::{Fault, MergeError};
use crate::json::{Answer, Members, is_one_value, write_string};
use crate::key::Key;
use crate::strip::{self, Asked};
use crate::{Merged, Paging, SearchSpec, facets};

/// Members of an answer that are made here; all others are the first leg's.
const MADE_HERE: [&str; 13] = [
    "query",
    "queryVector",
    "processingTimeMs",
    "hitsPerPage",
    "page",
    "totalPages",
    "totalHits",
    "limit",
    "offset",
    "estimatedTotalHits",
    "facetDistribution",
    "facetStats",
    "semanticHitCount",
];

/// Appends the merged answer of `POST /indexes/{uid}/search` to `out`.
///
/// `legs`: the raw answers in covering-set order, each asked for everything from the start to the end of the
/// client's page (offset 0 and limit offset + limit, or page 1 and hitsPerPage page x hitsPerPage).
///
/// Hits, and totals where `total_clipped` says so, are clipped by `hits_total_max` as on one node (Meilisearch's
/// search routes, before and since v1.47).
///
/// # Errors
/// `MergeError::Leg` if a leg's answer is unusable; `out` is then as it was.
pub fn search(legs: &[&[u8]], spec: &SearchSpec<'_>, out: &mut Vec<u8>) -> Result<Merged, MergeError> {
    let start = out.len();
    let merged = merge(legs, spec, out);
    if merged.is_err() {
        out.truncate(start);
    }
    merged
}

fn merge(legs: &[&[u8]], spec: &SearchSpec<'_>, out: &mut Vec<u8>) -> Result<Merged, MergeError> {
    let mut runs = Vec::with_capacity(legs.len());
    for (leg, body) in legs.iter().enumerate() {
        runs.push(Run::new(leg, Answer::read(body, "hits").map_err(|fault| fault.at(leg))?));
    }
    if runs.is_empty() {
        return Err(Fault::new("there are no legs").at(0));
    }
    if runs.len() > 1 && !spec.details_in_legs {
        return Err(Fault::new("several legs cannot be merged without ranking details").at(0));
    }
    let window = Window::of(spec);
    let matched = matched(&runs, spec)?;
    let total = spec.total(matched);
    out.extend_from_slice(b"{\"hits\":[");
    let hits = if runs.len() == 1 {
        copy_one(&mut runs[0], &window, spec, out)?
    } else {
        merge_hits(&mut runs, &window, spec, out)?
    };
    out.push(b']');
    write_rest(&runs, &window, matched, spec, out)?;
    out.push(b'}');
    Ok(Merged { hits, total })
}

/// The part of the merged order to write, as one node cuts it.
struct Window {
    offset: usize,
    limit: usize,
}

impl Window {
    fn of(spec: &SearchSpec<'_>) -> Self {
        let (offset, limit) = match spec.paging {
            Paging::Offset { offset, limit } => (offset, limit),
            Paging::Page { page: 0, .. } => (0, 0),
            Paging::Page { page, hits_per_page } => (hits_per_page.saturating_mul(page - 1), hits_per_page),
        };
        let offset = offset.min(spec.hits_total_max);
        Self { offset, limit: limit.min(spec.hits_total_max - offset) }
    }
}

/// One leg's answer and the hit it now offers.
struct Run<'a> {
    leg: usize,
    answer: Answer<'a>,
    hit: Hit<'a>,
    key: Key<'a>,
    /// The key of the hit before, to check the leg's order; the two take turns.
    previous_key: Key<'a>,
    started: bool,
}

#[derive(Debug, Default, Clone, Copy)]
struct Hit<'a> {
    text: &'a str,
    /// The raw ranking details.
    details: &'a str,
    /// Where the opening quote of `_rankingScoreDetails` is, if it is the last member of compact JSON.
    details_at: Option<usize>,
}

impl<'a> Run<'a> {
    fn new(leg: usize, answer: Answer<'a>) -> Self {
        let (key, previous_key) = (Key::default(), Key::default());
        Self { leg, answer, hit: Hit::default(), key, previous_key, started: false }
    }

    /// Pulls the next hit with its key; false at the end of the leg.
    fn advance(&mut self) -> Result<bool, Fault> {
        let Some(text) = self.answer.next_element()? else { return Ok(false) };
        let before = self.hit.details;
        let candidate = Hit::guess(text);
        // Ties repeat their details byte for byte: such a hit has the key of the one before.
        if let Some(hit) = candidate
            && self.started
            && hit.details == before
        {
            self.hit = hit;
            return Ok(true);
        }
        std::mem::swap(&mut self.key, &mut self.previous_key);
        let verified = |hit: &Hit<'a>| self.key.read(hit.details).is_ok_and(|end| end == hit.details.len());
        self.hit = match candidate.filter(verified) {
            Some(hit) => hit,
            None => {
                let hit = Hit::search(text)?;
                self.key.read(hit.details)?;
                hit
            }
        };
        if self.started && self.key.compare(&self.previous_key)? == Ordering::Greater {
            return Err(Fault::new("its hits are not in the order of their ranking details"));
        }
        self.started = true;
        Ok(true)
    }
}

impl<'a> Hit<'a> {
    /// Finds the details where nodes put them, last in the hit, without walking it. What follows the last mention of
    /// their name is the details only if it is one object up to the hit's closing brace: the caller checks.
    fn guess(text: &'a str) -> Option<Self> {
        const MEMBER: &str = "_rankingScoreDetails\":";
        let close = text.len().checked_sub(1)?;
        let mut end = close;
        loop {
            let at = text[..end].rfind('_')?;
            if text[at..].starts_with(MEMBER) {
                let details_at = at.checked_sub(1).filter(|quote| text.as_bytes()[*quote] == b'"')?;
                let separator = *text.as_bytes().get(details_at.checked_sub(1)?)?;
                let details =
                    text.get(at + MEMBER.len()..close).filter(|details| details.starts_with('{'))?;
                return matches!(separator, b',' | b'{').then_some(Self {
                    text,
                    details,
                    details_at: Some(details_at),
                });
            }
            end = at;
        }
    }

    /// A hit whose details only have to be cut out.
    fn unread(text: &'a str) -> Self {
        let last = Self::guess(text).filter(|hit| is_one_value(hit.details));
        last.unwrap_or(Self { text, details: "", details_at: None })
    }

    /// Walks the hit to its details.
    fn search(text: &'a str) -> Result<Self, Fault> {
        let mut members = Members::of(text).ok_or_else(|| Fault::new("a hit is not an object"))?;
        let details = members.find(|member| member.key == "_rankingScoreDetails");
        let details = details.ok_or_else(|| Fault::new("a hit has no _rankingScoreDetails"))?;
        Ok(Self { text, details: details.value, details_at: None })
    }
}

/// Merges by keys. `order` holds the runs that still offer a hit, the best one last.
fn merge_hits(
    runs: &mut [Run<'_>],
    window: &Window,
    spec: &SearchSpec<'_>,
    out: &mut Vec<u8>,
) -> Result<usize, MergeError> {
    let end = window.offset + window.limit;
    let mut written = 0;
    if window.limit == 0 {
        return Ok(written);
    }
    let mut order = Vec::with_capacity(runs.len());
    for at in 0..runs.len() {
        offer(runs, at, &mut order)?;
    }
    for position in 0..end {
        let Some(best) = order.pop() else { break };
        if position >= window.offset {
            write_hit(&runs[best].hit, written, spec, out);
            written += 1;
        }
        if position + 1 < end {
            offer(runs, best, &mut order)?;
        }
    }
    Ok(written)
}

/// Pulls the next hit of the run `at`, if it has one, and puts the run at its place in `order`.
fn offer(runs: &mut [Run<'_>], at: usize, order: &mut Vec<usize>) -> Result<(), MergeError> {
    let leg = runs[at].leg;
    if !runs[at].advance().map_err(|fault| fault.at(leg))? {
        return Ok(());
    }
    let (mut low, mut high) = (0, order.len());
    while low < high {
        let middle = low.midpoint(high);
        let other = order[middle];
        let ordering = runs[at].key.compare(&runs[other].key).map_err(|fault| fault.at(leg))?;
        // The lower leg comes first among equals, so it stands nearer to the end.
        if ordering.then_with(|| other.cmp(&at)) == Ordering::Greater {
            low = middle + 1
        } else {
            high = middle
        }
    }
    order.insert(low, at);
    Ok(())
}

/// One leg needs no keys: its order is the answer's.
fn copy_one(
    run: &mut Run<'_>,
    window: &Window,
    spec: &SearchSpec<'_>,
    out: &mut Vec<u8>,
) -> Result<usize, MergeError> {
    let mut written = 0;
    for position in 0..window.offset + window.limit {
        let Some(text) = run.answer.next_element().map_err(|fault| fault.at(run.leg))? else { break };
        if position >= window.offset {
            if Members::of(text).is_none() {
                return Err(Fault::new("a hit is not an object").at(run.leg));
            }
            write_hit(&Hit::unread(text), written, spec, out);
            written += 1;
        }
    }
    Ok(written)
}

fn write_hit(hit: &Hit<'_>, written: usize, spec: &SearchSpec<'_>, out: &mut Vec<u8>) {
    if written > 0 {
        out.push(b',');
    }
    let asked = Asked { score: spec.show_ranking_score, details: spec.show_ranking_score_details };
    strip::hit(hit.text, hit.details_at, asked, out);
}

/// The sum of the totals of all legs.
fn matched(runs: &[Run<'_>], spec: &SearchSpec<'_>) -> Result<u64, MergeError> {
    let name = match spec.paging {
        Paging::Offset { .. } => "estimatedTotalHits",
        Paging::Page { .. } => "totalHits",
    };
    let mut sum = 0_u64;
    for run in runs {
        sum = sum.saturating_add(run.answer.count(name).map_err(|fault| fault.at(run.leg))?);
    }
    Ok(sum)
}

/// Writes all members after the hits.
fn write_rest(
    runs: &[Run<'_>],
    window: &Window,
    matched: u64,
    spec: &SearchSpec<'_>,
    out: &mut Vec<u8>,
) -> Result<(), MergeError> {
    let total = spec.total(matched);
    let first = &runs[0].answer;
    write_member("query", first.member("query").unwrap_or("\"\""), out);
    if let Some(vector) = runs.iter().find_map(|run| run.answer.member("queryVector")) {
        write_member("queryVector", vector, out);
    }
    write_count("processingTimeMs", spec.processing_time_ms, out);
    match spec.paging {
        Paging::Offset { limit, .. } => {
            write_count("limit", limit as u64, out);
            write_count("offset", window.offset as u64, out);
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
    if let Some(rules) = spec.facets {
        let answers = runs.iter().map(|run| &run.answer).collect::<Vec<_>>();
        facets::write_members(&answers, rules, matched, out)?;
    }
    for (name, value) in first.members() {
        if !MADE_HERE.contains(&name.as_ref()) {
            write_member(name, value, out);
        }
    }
    let mut semantic = None;
    for run in runs.iter().filter(|run| run.answer.member("semanticHitCount").is_some()) {
        let count = run.answer.count("semanticHitCount").map_err(|fault| fault.at(run.leg))?;
        semantic = Some(semantic.unwrap_or(0_u64).saturating_add(count));
    }
    if let Some(semantic) = semantic {
        write_count("semanticHitCount", semantic, out);
    }
    Ok(())
}

/// Every member but the first, so a comma goes before it. The names that nodes give need no escapes; others are
/// written with them.
fn write_member(name: &str, value: &str, out: &mut Vec<u8>) {
    out.push(b',');
    write_string(name, out);
    out.push(b':');
    out.extend_from_slice(value.as_bytes());
}

fn write_count(name: &str, count: u64, out: &mut Vec<u8>) {
    write_member(name, &count.to_string(), out);
}
