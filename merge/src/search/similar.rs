//! Neighbours of one document, out of vector searches over all shards.
//!
//! - The document itself is never among its neighbours. A document found by several of its vectors counts once, where
//!   it is nearest.
//! - Totals and thresholds are those of milli/src/search/similar.rs (v1.15 to v1.50): every document that passes the
//!   filter counts, until a hit of the page is below the threshold.

use ahash::AHashSet;

use crate::error::{Fault, MergeError};
use crate::json::hit::{self, Edit};
use crate::json::{Answer, Members, number, string, write_string};
use crate::{ExtraFields, Merged, Paging, SearchSpec, search};

/// What the client requested of `POST /indexes/{uid}/similar`.
#[derive(Debug, Clone)]
pub struct SimilarSpec<'a> {
    /// The primary key of the document whose neighbours are requested.
    pub id: &'a str,
    pub primary_key: &'a str,
    pub offset: usize,
    pub limit: usize,
    pub ranking_score_threshold: Option<f64>,
    pub show_ranking_score: bool,
    pub show_ranking_score_details: bool,
    /// Fields that were requested for merging only, to cut out of the hits.
    pub extra: Option<&'a ExtraFields<'a>>,
    /// The number of documents that pass the filter, without the document itself.
    pub candidates: u64,
    /// `maxTotalHits` of the index, which bounds the total.
    pub hits_total_max: usize,
    pub processing_time_ms: u64,
}

/// Appends the answer of a similar search to `out`.
///
/// `searches`: one merged vector search for each vector of the document, with `_rankingScore` and
/// `_rankingScoreDetails`, for offset 0 and limit `offset + limit + 1`.
///
/// # Errors
/// `MergeError::Leg`: the search with that number is unusable, or its first ranking rule is not the vectors'
/// similarity.
pub fn similar(searches: &[&[u8]], spec: &SimilarSpec<'_>, out: &mut Vec<u8>) -> Result<Merged, MergeError> {
    let most = spec.offset.saturating_add(spec.limit).saturating_add(1).saturating_mul(searches.len().max(1));
    let mut merged = Vec::new();
    if !searches.is_empty() {
        let spec = SearchSpec {
            show_ranking_score: true,
            show_ranking_score_details: true,
            ..SearchSpec::plain(Paging::Offset { offset: 0, limit: most }, most)
        };
        search(searches, &spec, &mut merged)?;
    }
    let start = out.len();
    let written = write(&merged, spec, out);
    if written.is_err() {
        out.truncate(start);
    }
    written.map_err(|fault| fault.at(0))
}

fn write(merged: &[u8], spec: &SimilarSpec<'_>, out: &mut Vec<u8>) -> Result<Merged, Fault> {
    let mut hits = 0;
    let mut total = spec.candidates;
    out.extend_from_slice(b"{\"hits\":[");
    if !merged.is_empty() {
        let mut answer = Answer::read(merged, "hits")?;
        let mut neighbours = Neighbours { answer: &mut answer, seen: AHashSet::new(), spec };
        let mut position = 0_usize;
        while hits < spec.limit
            && let Some(neighbour) = neighbours.next()?
        {
            if position >= spec.offset {
                if spec.ranking_score_threshold.is_some_and(|threshold| neighbour.score < threshold) {
                    total = position as u64;
                    break;
                }
                if hits > 0 {
                    out.push(b',');
                }
                let details =
                    format!("{{\"vectorSort\":{{\"order\":0,\"similarity\":{}}}}}", neighbour.similarity);
                let edit = Edit {
                    score: spec.show_ranking_score,
                    details: spec.show_ranking_score_details,
                    new_score: None,
                    new_details: Some(&details),
                    federation: None,
                    extra: spec.extra,
                };
                hit::write(neighbour.text, &edit, out);
                hits += 1;
            }
            position += 1;
        }
    }
    let total = total.min(spec.hits_total_max as u64);
    out.extend_from_slice(b"],\"id\":");
    write_string(spec.id, out);
    let (limit, offset, took) = (spec.limit, spec.offset, spec.processing_time_ms);
    let counts = format!(
        ",\"processingTimeMs\":{took},\"limit\":{limit},\"offset\":{offset},\"estimatedTotalHits\":{total}}}"
    );
    out.extend_from_slice(counts.as_bytes());
    Ok(Merged { hits, total, ..Merged::default() })
}

/// The hits that are neighbours, nearest first.
struct Neighbours<'a, 'm> {
    answer: &'m mut Answer<'a>,
    seen: AHashSet<&'a str>,
    spec: &'m SimilarSpec<'m>,
}

struct Neighbour<'a> {
    text: &'a str,
    /// As the node wrote it.
    similarity: &'a str,
    score: f64,
}

impl<'a> Neighbours<'a, '_> {
    fn next(&mut self) -> Result<Option<Neighbour<'a>>, Fault> {
        while let Some(text) = self.answer.next_element()? {
            // Documents without vectors come last, so nothing follows.
            let Some(similarity) = similarity(text)? else { return Ok(None) };
            let id = hit::field(text, self.spec.primary_key);
            let id = id.ok_or_else(|| Fault::new("a hit has no primary key"))?;
            let is_itself = string(id).map_or(id == self.spec.id, |id| id == self.spec.id);
            if is_itself || !self.seen.insert(id) {
                continue;
            }
            let score = hit::added(text, "_rankingScore").and_then(number);
            let score = score.ok_or_else(|| Fault::new("a hit has no _rankingScore"))?;
            return Ok(Some(Neighbour { text, similarity, score }));
        }
        Ok(None)
    }
}

/// The raw similarity of a hit; `None` if it has none.
fn similarity(text: &str) -> Result<Option<&str>, Fault> {
    let details = hit::added(text, "_rankingScoreDetails").and_then(Members::of);
    let mut details = details.ok_or_else(|| Fault::new("a hit has no _rankingScoreDetails"))?;
    let first = details.find(|rule| hit::field(rule.value, "order") == Some("0"));
    let first = first.ok_or_else(|| Fault::new("a hit has no first ranking rule"))?;
    if first.key != "vectorSort" {
        return Err(Fault::new("hits are not ranked by their vectors first"));
    }
    Ok(hit::field(first.value, "similarity").filter(|similarity| *similarity != "null"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search_of(hits: &[(i32, &str)]) -> Vec<u8> {
        let hits = hits.iter().map(|(id, similarity)| {
            let score = if *similarity == "null" { "0.0" } else { similarity };
            format!(
                r#"{{"id":{id},"_rankingScore":{score},"_rankingScoreDetails":{{"vectorSort":{{"order":0,"similarity":{similarity}}},"id:asc":{{"order":1,"value":{id}}}}}}}"#
            )
        });
        let hits = hits.collect::<Vec<_>>().join(",");
        format!(r#"{{"hits":[{hits}],"query":"","processingTimeMs":0,"limit":20,"offset":0,"estimatedTotalHits":9}}"#)
            .into_bytes()
    }

    fn spec<'a>() -> SimilarSpec<'a> {
        SimilarSpec {
            id: "1",
            primary_key: "id",
            offset: 0,
            limit: 2,
            ranking_score_threshold: None,
            show_ranking_score: false,
            show_ranking_score_details: false,
            extra: None,
            candidates: 8,
            hits_total_max: 1000,
            processing_time_ms: 3,
        }
    }

    fn check(searches: &[Vec<u8>], spec: &SimilarSpec<'_>, expected: &str) {
        let searches = searches.iter().map(Vec::as_slice).collect::<Vec<_>>();
        let mut out = Vec::new();
        similar(&searches, spec, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn neighbours_come_without_the_document_itself() {
        let one = || vec![search_of(&[(1, "1.0"), (2, "0.75"), (3, "0.5"), (4, "null")])];
        let tail = r#""id":"1","processingTimeMs":3,"limit":2,"offset":0,"estimatedTotalHits":8}"#;
        check(&one(), &spec(), &format!(r#"{{"hits":[{{"id":2}},{{"id":3}}],{tail}"#));
        let shown =
            SimilarSpec { show_ranking_score: true, show_ranking_score_details: true, limit: 1, ..spec() };
        check(
            &one(),
            &shown,
            r#"{"hits":[{"id":2,"_rankingScore":0.75,"_rankingScoreDetails":{"vectorSort":{"order":0,"similarity":0.75}}}],"id":"1","processingTimeMs":3,"limit":1,"offset":0,"estimatedTotalHits":8}"#,
        );
        check(&[], &spec(), &format!(r#"{{"hits":[],{tail}"#));
        let two = [search_of(&[(1, "1.0"), (3, "0.9"), (2, "0.4")]), search_of(&[(2, "0.8"), (3, "0.7")])];
        check(&two, &spec(), &format!(r#"{{"hits":[{{"id":3}},{{"id":2}}],{tail}"#));
    }

    #[test]
    fn a_threshold_on_the_page_ends_the_total() {
        let one = vec![search_of(&[(1, "1.0"), (2, "0.75"), (3, "0.5"), (4, "0.25")])];
        let cut = SimilarSpec { ranking_score_threshold: Some(0.6), ..spec() };
        check(
            &one,
            &cut,
            r#"{"hits":[{"id":2}],"id":"1","processingTimeMs":3,"limit":2,"offset":0,"estimatedTotalHits":1}"#,
        );
        let above = SimilarSpec { ranking_score_threshold: Some(0.3), ..spec() };
        check(
            &one,
            &above,
            r#"{"hits":[{"id":2},{"id":3}],"id":"1","processingTimeMs":3,"limit":2,"offset":0,"estimatedTotalHits":8}"#,
        );
    }

    #[test]
    fn hits_that_are_not_ranked_by_vectors_are_refused() {
        let odd = br#"{"hits":[{"id":2,"_rankingScore":1.0,"_rankingScoreDetails":{"price:asc":{"order":0,"value":1}}}],"query":"","estimatedTotalHits":1}"#;
        let mut out = Vec::new();
        assert!(similar(&[odd], &spec(), &mut out).is_err());
        assert!(out.is_empty());
    }
}
