//! Attacks `merge::search`.
//!
//! Checked: the caller's buffer; sound JSON; no reserved member in any hit; as many hits as reported; consecutive pages
//! equal one big page; undamaged legs merge to the order of one node; no score that was not requested is shown.

use arbitrary::{Result, Unstructured};
use merge::{FacetOrder, FacetRules, Merged, Paging, SearchSpec};

use super::{must_be_sound, mutate_one, raw_legs, written};
use crate::answer_oracle::{Object, answer, check_hit};
use crate::sound_answers::World;

pub(crate) fn run(bytes: &[u8]) {
    // Running out of bytes to choose by is no finding.
    let _ = attack(Unstructured::new(bytes));
}

/// The client's request.
struct Asked {
    numbered_pages: bool,
    page_hits: usize,
    pages: usize,
    score: bool,
    details: bool,
    hits_total_max: usize,
}

impl Asked {
    fn arbitrary(choices: &mut Unstructured<'_>) -> Result<Self> {
        Ok(Self {
            numbered_pages: choices.arbitrary()?,
            page_hits: choices.int_in_range(0..=5)?,
            pages: choices.int_in_range(1..=6)?,
            score: choices.arbitrary()?,
            details: choices.arbitrary()?,
            hits_total_max: if choices.ratio(1, 4)? { choices.int_in_range(0..=12)? } else { 1_000 },
        })
    }

    fn total_name(&self) -> &'static str {
        if self.numbered_pages { "totalHits" } else { "estimatedTotalHits" }
    }

    /// Page `at`, counted from 0, of pages with `hits` hits each.
    fn paging(&self, at: usize, hits: usize) -> Paging {
        if self.numbered_pages {
            Paging::Page { page: at + 1, hits_per_page: hits }
        } else {
            Paging::Offset { offset: at * hits, limit: hits }
        }
    }
}

fn attack(mut choices: Unstructured<'_>) -> Result<()> {
    let asked = Asked::arbitrary(&mut choices)?;
    if choices.arbitrary()? {
        check(&raw_legs(choices.take_rest()), &asked);
        return Ok(());
    }
    let world = World::arbitrary(&mut choices)?;
    let mut legs = world.search_answers(asked.total_name());
    let sound = mutate_one(&mut choices, &mut legs)?;
    let whole = check(&legs, &asked);
    if sound {
        check_sound(&world, &asked, whole);
    }
    Ok(())
}

/// One page, or `None` if the legs cannot be merged.
fn page(legs: &[Vec<u8>], asked: &Asked, paging: Paging) -> Option<(Merged, String)> {
    let rules = FacetRules { values_max: 3, default_order: FacetOrder::Count, ..FacetRules::default() };
    let slices = legs.iter().map(Vec::as_slice).collect::<Vec<_>>();
    let spec = SearchSpec {
        show_ranking_score: asked.score,
        show_ranking_score_details: asked.details,
        facets: Some(&rules),
        processing_time_ms: 7,
        hits_total_max: asked.hits_total_max,
        total_clipped: true,
        // Equals come by their ids, which grow from leg to leg.
        tie_break: Some("id:asc"),
        ..SearchSpec::plain(paging, usize::MAX)
    };
    let (merged, out) = written(|out| merge::search(&slices, &spec, out))?;
    if !must_be_sound(&slices) {
        return None;
    }
    let text = answer(&out);
    let hits = Object::read(text).expect("an answer is an object").elements("hits");
    assert_eq!(hits.len(), merged.hits, "another number of hits than reported: {text}");
    hits.iter().for_each(|hit| check_hit(hit));
    assert!(merged.total <= asked.hits_total_max as u64, "the total is over its maximum: {text}");
    Some((merged, text.to_owned()))
}

fn hits(text: &str) -> Vec<&str> {
    Object::read(text).expect("an answer is an object").elements("hits")
}

/// Checks the properties of any legs. Returns the one page that covers all others.
fn check(legs: &[Vec<u8>], asked: &Asked) -> Option<String> {
    let (merged, whole) = page(legs, asked, asked.paging(0, asked.page_hits * asked.pages))?;
    let mut joined = Vec::new();
    for at in 0..asked.pages {
        let Some((part, text)) = page(legs, asked, asked.paging(at, asked.page_hits)) else {
            panic!("page {at} is refused, the page that holds it is not: {whole}");
        };
        assert_eq!(part.total, merged.total, "page {at} names another total");
        joined.extend(hits(&text).into_iter().map(str::to_owned));
    }
    assert_eq!(joined, hits(&whole), "the pages together are not the page that holds them");
    Some(whole)
}

/// Checks the properties of undamaged legs.
fn check_sound(world: &World, asked: &Asked, whole: Option<String>) {
    let whole = whole.expect("undamaged legs merge");
    let wanted = (asked.page_hits * asked.pages).min(asked.hits_total_max);
    let expected = world.ranked_ids().into_iter().take(wanted).map(|id| id.to_string()).collect::<Vec<_>>();
    let merged = hits(&whole);
    let members = merged.iter().map(|hit| Object::read(hit).expect("a hit is an object")).collect::<Vec<_>>();
    let ids = members.iter().map(|hit| hit.get("id").unwrap_or_default()).collect::<Vec<_>>();
    assert_eq!(ids, expected, "not the order of one node: {whole}");
    for hit in &members {
        assert!(asked.score || hit.get("_rankingScore").is_none(), "an unasked score: {whole}");
        assert_eq!(hit.get("_rankingScoreDetails").is_some(), asked.details, "details: {whole}");
        assert!(hit.get("text").is_some(), "a field is gone: {whole}");
    }
    let answer = Object::read(&whole).expect("an answer is an object");
    let total = world.hits_total().min(asked.hits_total_max).to_string();
    assert_eq!(answer.get(asked.total_name()), Some(&*total), "{whole}");
    let legs = world.legs.len();
    let facets = format!(r#"{{"color":{{"red":{},"1":{legs}}},"size":{{}}}}"#, 2 * legs);
    assert_eq!(answer.get("facetDistribution").map(compact).as_ref(), Some(&facets), "{whole}");
}

/// Removes the spaces that some legs write; no generated facet has spaces in its names.
fn compact(raw: &str) -> String {
    raw.chars().filter(|character| !character.is_whitespace()).collect()
}
