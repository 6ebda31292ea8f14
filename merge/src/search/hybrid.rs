//! Hybrid search: merges the list by keywords and the list by vectors into one.
//!
//! - Both lists are complete from the start to the end of the client's page, in the order of one node, with ranking
//!   scores and details.
//! - Each step takes the better head of the two by score times ratio, the semantic one among equals. A document counts
//!   where it comes first (milli/src/search/hybrid.rs).
//! - Totals and facets are those of the semantic list, whose candidates include the other's.

use std::collections::VecDeque;

use ahash::AHashSet;

use crate::error::{Fault, MergeError};
use crate::json::hit::{added, field};
use crate::json::{Answer, number};
use crate::order::leg_cursor::{Hit, LegCursor, Ranked};
use crate::order::weighted_score::{Scale, Value, compare_halves, values};
use crate::search::{Page, Window, matched, write_rest};
use crate::{Merged, SearchSpec};

/// A keyword score, times its share, above this makes the semantic half unnecessary.
const GOOD_ENOUGH: f64 = 0.45;

/// The two lists of a hybrid search.
#[derive(Debug, Clone, Copy)]
pub struct Halves<'a> {
    /// A merged answer with ranking scores and details.
    pub keyword: &'a [u8],
    /// The same by vectors. `None` if the keyword list is good enough, or there is no vector.
    pub semantic: Option<&'a [u8]>,
    /// The weight of the semantic half, 0 to 1.
    pub semantic_ratio: f32,
    /// The field that identifies documents; every hit contains it.
    pub primary_key: &'a str,
    /// Whether ranking scores cover only the rules up to the first sort, as before v1.24.
    pub scores_end_at_sorts: bool,
}

/// Whether the keyword list alone answers the search: it has `hits_wanted` hits, all with a good score.
///
/// # Errors
/// `MergeError::Leg` with leg 0: the answer is unusable.
pub fn is_good_enough(keyword: &[u8], hits_wanted: usize, semantic_ratio: f32) -> Result<bool, MergeError> {
    let at = |fault: Fault| fault.at(0);
    let mut answer = Answer::read(keyword, "hits").map_err(at)?;
    let mut hits = 0;
    while let Some(hit) = answer.next_element().map_err(at)? {
        hits += 1;
        if ranking_score(hit).map_err(at)? * f64::from(1.0 - semantic_ratio) < GOOD_ENOUGH {
            return Ok(false);
        }
    }
    Ok(hits >= hits_wanted)
}

/// Appends the answer of a hybrid search to `out`. Leg 0 is the keyword list, leg 1 the semantic one.
///
/// # Errors
/// `MergeError::Leg`: a list is unusable. `out` is then unchanged.
pub fn hybrid(halves: &Halves<'_>, spec: &SearchSpec<'_>, out: &mut Vec<u8>) -> Result<Merged, MergeError> {
    let start = out.len();
    let merged = merge(halves, spec, out);
    if merged.is_err() {
        out.truncate(start);
    }
    merged
}

fn merge(halves: &Halves<'_>, spec: &SearchSpec<'_>, out: &mut Vec<u8>) -> Result<Merged, MergeError> {
    let scale = || Scale::new(halves.scores_end_at_sorts);
    let (mut run, keyword) = read(0, halves.keyword, 1.0 - halves.semantic_ratio, scale())?;
    let mut semantic = List::new();
    if let Some(body) = halves.semantic {
        (run, semantic) = read(1, body, halves.semantic_ratio, scale())?;
    }
    let runs = [run];
    let window = Window::of(spec);
    let total = matched(&runs, spec)?;
    out.extend_from_slice(b"{\"hits\":[");
    let mut page = Page::new(&window, spec, out);
    let semantic_hits = interleave(keyword, semantic, halves.primary_key, &mut page)?;
    let hits = page.written;
    out.push(b']');
    let contested = write_rest(&runs, &window, (hits, total), Some(semantic_hits), spec, out)?;
    out.push(b'}');
    Ok(Merged { hits, total: spec.total(total), contested })
}

/// The remaining hits of one half, with the values by which they are compared.
type List<'a> = VecDeque<(Hit<'a>, Vec<Value<'a>>)>;

/// Reads one half. Scores are read twice, because later hits reveal the scale of earlier ones.
fn read<'a>(
    leg: usize,
    body: &'a [u8],
    share: f32,
    mut scale: Scale<'a>,
) -> Result<(LegCursor<'a>, List<'a>), MergeError> {
    let at = |fault: Fault| fault.at(leg);
    let mut answer = Answer::read(body, "hits").map_err(at)?;
    let mut hits = Vec::new();
    while let Some(text) = answer.next_element().map_err(at)? {
        let hit = Hit::read(text).map_err(at)?;
        scale.learn(hit.details);
        hits.push(hit);
    }
    let list = hits.into_iter().map(|hit| {
        let score = ranking_score(hit.text)?;
        Ok((hit, values(hit.details, score, f64::from(share), &scale)?))
    });
    let list = list.collect::<Result<_, _>>().map_err(at)?;
    Ok((LegCursor::new(leg, answer, false), list))
}

fn ranking_score(hit: &str) -> Result<f64, Fault> {
    let score = added(hit, "_rankingScore").and_then(number);
    score.ok_or_else(|| Fault::new("a hit has no _rankingScore"))
}

/// Fills the page. Returns how many of its hits were found by their vector.
fn interleave<'a>(
    mut keyword: List<'a>,
    mut semantic: List<'a>,
    primary_key: &str,
    page: &mut Page<'_, '_>,
) -> Result<u64, MergeError> {
    let mut seen = AHashSet::new();
    let mut semantic_hits = 0;
    while page.wants_more() {
        let by_vector = match (semantic.front(), keyword.front()) {
            (None, None) => break,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some((_, left)), Some((_, right))) => compare_halves(left, right).is_ge(),
        };
        let list = if by_vector { &mut semantic } else { &mut keyword };
        let Some((hit, _)) = list.pop_front() else { break };
        let identity = field(hit.text, primary_key).map(|raw| raw.trim_matches('"'));
        let identity =
            identity.ok_or_else(|| Fault::new("a hit has no primary key").at(usize::from(by_vector)))?;
        if seen.insert(identity) {
            let written = page.written;
            page.add(Ranked { hit, buckets: Vec::new() });
            semantic_hits += u64::from(by_vector && page.written > written);
        }
    }
    Ok(semantic_hits)
}
