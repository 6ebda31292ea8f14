//! Merging search answers: cuts the page out of the merged order, and writes totals and facets.
//!
//! - `order` makes the order; this module cuts it and skips hits that `distinct` leaves out.
//! - The members of the answer are in the order of Meilisearch's `SearchResult` (meilisearch/src/search/mod.rs).

pub(crate) mod distinct;
pub(crate) mod distinct_walk;
pub(crate) mod facet_spelling;
pub(crate) mod facets;
pub(crate) mod federation;
pub(crate) mod hybrid;
pub(crate) mod similar;

use crate::error::{Fault, MergeError};
use crate::json::{Answer, Members, write_count, write_member};
use crate::order::k_way::Order;
use crate::order::leg_cursor::{Asked, Equals, Hit, LegCursor, Ranked};
use crate::order::weighted_score::Scale;
use crate::search::distinct::{Admitted, Distinct};
use crate::{Contested, Merged, Paging, SearchSpec, json::strip};

/// Members of an answer that this crate writes; all others are copied from the first leg.
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
/// `legs`: the raw answers in covering-set order. Each was asked for all hits from the start to the end of the client's
/// page (offset 0 and limit offset + limit, or page 1 and hitsPerPage page x hitsPerPage), or for more.
///
/// `hits_total_max` bounds hits and, if `total_clipped`, totals, as on one node (Meilisearch's search routes, before
/// and since v1.47).
///
/// # Errors
/// `Leg`: a leg's answer is unusable. `Dry`, `Short`, `Entangled`: one leg, or all, must be asked for more hits.
/// `out` is unchanged on an error.
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
        let answer = Answer::read(body, "hits").map_err(|fault| fault.at(leg))?;
        let mut run = LegCursor::new(leg, answer, spec.only_vectors);
        run.shows_details = spec.show_ranking_score_details;
        run.shallow = spec.legs_asked.get(leg).copied().filter(|asked| *asked < spec.hits_asked);
        runs.push(run);
    }
    if runs.is_empty() {
        return Err(Fault::new("there are no legs").at(0));
    }
    if runs.len() > 1 && !spec.details_in_legs {
        return Err(Fault::new("several legs cannot be merged without ranking details").at(0));
    }
    let window = Window::of(spec);
    let matched = matched(&runs, spec)?;
    out.extend_from_slice(b"{\"hits\":[");
    let scale = scale(legs, spec)?;
    let hits = write_hits(&mut runs, &window, matched, scale.as_ref(), spec, out)?;
    out.push(b']');
    let listed = window.ended(hits);
    // The walk saw every value of the distinct attribute, so the number of hits is exact.
    let matched = listed.filter(|_| spec.distinct.is_some()).map_or(matched, |listed| listed as u64);
    let contested = write_rest(&runs, &window, (hits, matched), None, spec, out)?;
    out.push(b'}');
    Ok(Merged { hits, total: spec.total(matched), contested })
}

/// The part of the merged order to write, with the bounds of one node.
pub(crate) struct Window {
    offset: usize,
    limit: usize,
}

impl Window {
    /// The total number of hits, if the page of `hits` is the last one.
    fn ended(&self, hits: usize) -> Option<usize> {
        (hits > 0 && hits < self.limit).then(|| self.offset + hits)
    }

    pub(crate) fn of(spec: &SearchSpec<'_>) -> Self {
        let (offset, limit) = match spec.paging {
            Paging::Offset { offset, limit } => (offset, limit),
            Paging::Page { page: 0, .. } => (0, 0),
            Paging::Page { page, hits_per_page } => (hits_per_page.saturating_mul(page - 1), hits_per_page),
        };
        let offset = offset.min(spec.hits_total_max);
        Self { offset, limit: limit.min(spec.hits_total_max - offset) }
    }
}

/// The typo counts by which shown scores have to be measured; `None` where a leg's own scores are right.
fn scale<'a>(legs: &[&'a [u8]], spec: &SearchSpec<'_>) -> Result<Option<Scale<'a>>, MergeError> {
    if legs.len() < 2 || !(spec.show_ranking_score || spec.show_ranking_score_details) {
        return Ok(None);
    }
    let mut scale = Scale::default();
    let mut learn = |body| {
        let mut answer = Answer::read(body, "hits")?;
        while let Some(text) = answer.next_raw()? {
            scale.learn_typos(Hit::read(text)?.details);
        }
        Ok(())
    };
    for (leg, body) in legs.iter().enumerate() {
        learn(body).map_err(|fault: Fault| fault.at(leg))?;
    }
    Ok(Some(scale))
}

/// Writes the hits of the window. Hits of a single leg keep their order.
fn write_hits(
    runs: &mut [LegCursor<'_>],
    window: &Window,
    matched: u64,
    scale: Option<&Scale<'_>>,
    spec: &SearchSpec<'_>,
    out: &mut Vec<u8>,
) -> Result<usize, MergeError> {
    let mut page = Page { scale, ..Page::new(window, spec, out) };
    if let [run] = runs {
        while page.wants_more() {
            let Some(text) = run.next_text().map_err(|fault| fault.at(run.leg))? else {
                if run.is_dry() {
                    return Err(MergeError::Dry { leg: run.leg });
                }
                let cut_short = spec.distinct.is_some() && run.pulled >= spec.hits_asked && run.pulled > 0;
                return if cut_short { Err(MergeError::Short) } else { Ok(page.written) };
            };
            if Members::of(text).is_none() {
                return Err(Fault::new("a hit is not an object").at(run.leg));
            }
            page.add(Ranked { hit: Hit::unread(text), buckets: Vec::new() });
        }
        return Ok(page.written);
    }
    if !page.wants_more() {
        return Ok(0);
    }
    let identity = spec.tie_break.and_then(|rule| rule.rsplit_once(':')).map(|(field, _)| field);
    let equals = Equals { identity, may_ask: spec.equals_may_be_sought };
    let asked = Asked { hits: spec.hits_asked, pins: spec.pins, matched, equals };
    let mut order = Order::of(runs, asked)?;
    while page.wants_more() {
        let Some(ranked) = order.next()? else { break };
        page.add(ranked);
    }
    if page.entangled && spec.distinct_legs { Err(MergeError::Entangled) } else { Ok(page.written) }
}

/// The client's page while it is written.
pub(crate) struct Page<'o, 's> {
    window: &'o Window,
    spec: &'o SearchSpec<'s>,
    distinct: Option<Distinct<'s>>,
    scale: Option<&'o Scale<'o>>,
    /// Whether a hit with several distinct values was left out.
    entangled: bool,
    /// The number of hits of the merged order so far, without those that `distinct` left out.
    position: usize,
    pub(crate) written: usize,
    out: &'o mut Vec<u8>,
}

impl<'o, 's> Page<'o, 's> {
    pub(crate) fn new(window: &'o Window, spec: &'o SearchSpec<'s>, out: &'o mut Vec<u8>) -> Self {
        let distinct = spec.distinct.map(Distinct::new);
        Self { window, spec, distinct, scale: None, entangled: false, position: 0, written: 0, out }
    }

    pub(crate) fn wants_more(&self) -> bool {
        self.window.limit > 0 && self.position < self.window.offset + self.window.limit
    }

    pub(crate) fn add(&mut self, ranked: Ranked<'_>) {
        match self.distinct.as_mut().map(|distinct| distinct.admit(ranked.hit.text)) {
            None | Some(Admitted::Yes) => {}
            Some(Admitted::No { several }) => {
                self.entangled |= several;
                return;
            }
        }
        if self.position >= self.window.offset {
            if self.written > 0 {
                self.out.push(b',');
            }
            strip::hit(&ranked, self.scale, self.spec, self.out);
            self.written += 1;
        }
        self.position += 1;
    }
}

/// The sum of the totals of page-based searches.
///
/// # Errors
/// `MergeError::Leg`: a leg's answer is unusable.
pub fn total_hits(legs: &[&[u8]]) -> Result<u64, MergeError> {
    let count = |body| Answer::read(body, "hits")?.count("totalHits");
    let counts = legs.iter().enumerate().map(|(leg, body)| count(body).map_err(|fault| fault.at(leg)));
    counts.sum()
}

/// The sum of the totals of all legs.
pub(crate) fn matched(runs: &[LegCursor<'_>], spec: &SearchSpec<'_>) -> Result<u64, MergeError> {
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

/// Writes all members after the page's `hits`. Returns the facet values that legs spell differently. `semantic_hits`:
/// the number of hits found by their vector, where it is neither all nor none.
pub(crate) fn write_rest(
    runs: &[LegCursor<'_>],
    window: &Window,
    (hits, matched): (usize, u64),
    semantic_hits: Option<u64>,
    spec: &SearchSpec<'_>,
    out: &mut Vec<u8>,
) -> Result<Vec<Contested>, MergeError> {
    let mut contested = Vec::new();
    let total = spec.total(matched);
    let first = &runs[0].answer;
    write_member("query", first.member("query").unwrap_or("\"\""), out);
    if let Some(vector) = runs.iter().find_map(|run| run.answer.member("queryVector")) {
        write_member("queryVector", vector, out);
    }
    write_count("processingTimeMs", spec.processing_time_ms, out);
    match spec.paging {
        Paging::Offset { limit, offset } => {
            // Where totals are not bounded, the answer has the offset as requested.
            let offset = if spec.total_clipped { window.offset } else { offset };
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
    if let Some(rules) = spec.facets {
        let answers = runs.iter().map(|run| &run.answer).collect::<Vec<_>>();
        let matched = spec.total.unwrap_or(matched);
        contested = facets::write_members(&answers, spec.facets_counted, rules, matched, out)?;
    }
    for (name, value) in first.members() {
        if !MADE_HERE.contains(&name.as_ref()) {
            write_member(name, value, out);
        }
    }
    // In a search by vector alone, every hit of the page was found by its vector.
    let counted = runs.iter().any(|run| run.answer.member("semanticHitCount").is_some());
    let semantic = semantic_hits.or(counted.then_some(hits as u64));
    if let Some(semantic) = semantic {
        write_count("semanticHitCount", semantic, out);
    }
    Ok(contested)
}
