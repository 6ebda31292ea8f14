//! Truncated or damaged answers give an error or a sound answer, never a panic.

use fastrand::Rng;
use merge::{FacetOrder, FacetRules, Paging, SearchSpec};

use crate::search::{merged, spec};
use crate::world::World;

fn sample(seed: u64) -> Vec<Vec<u8>> {
    let mut random = Rng::with_seed(seed);
    loop {
        let world = World::new(&mut random);
        if world.legs.len() == 3 && world.legs.iter().all(|leg| leg.len() > 1) {
            return world.answers(Paging::Offset { offset: 0, limit: 4 }, Some(FacetOrder::Alpha));
        }
    }
}

fn all_merges(legs: &[Vec<u8>], rules: &FacetRules) -> Result<String, merge::MergeError> {
    let slices = legs.iter().map(Vec::as_slice).collect::<Vec<_>>();
    let mut out = Vec::new();
    // Answers of the wrong kind are foreign bytes too.
    assert!(merge::documents(&slices, &[], None, 0, 9, &mut out).is_err());
    assert!(merge::facet_search(&slices, "f", (FacetOrder::Count, 9), 0, &mut out).is_err());
    assert!(out.is_empty());
    let _ = merge::strip_document(slices[1], &mut out);
    let spec = SearchSpec {
        facets: Some(rules),
        show_ranking_score_details: true,
        ..spec(Paging::Offset { offset: 0, limit: 4 })
    };
    merged(legs, &spec)
}

#[test]
fn an_answer_cut_at_any_byte_is_refused() {
    let rules = FacetRules { values_max: 9, ..FacetRules::default() };
    for seed in 0..2 {
        let legs = sample(seed);
        assert!(all_merges(&legs, &rules).is_ok());
        for end in 0..legs[1].len() {
            let mut legs = legs.clone();
            legs[1].truncate(end);
            let merge::MergeError::Leg { leg, .. } = all_merges(&legs, &rules).unwrap_err() else {
                panic!("no leg is blamed")
            };
            assert_eq!(leg, 1, "cut at {end}");
        }
    }
}

#[test]
fn a_damaged_answer_never_panics_nor_gives_broken_json() {
    let rules = FacetRules { values_max: 9, ..FacetRules::default() };
    let mut random = Rng::with_seed(1);
    let (mut merged, mut refused) = (0, 0);
    let samples = (0..7).map(sample).collect::<Vec<_>>();
    for round in 0..1500 {
        let mut legs = samples[round % 7].clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(0..legs[1].len());
            let byte = *random.choice(b"{}[]\",:\\0-9.etn_ \xc3\xff\x00").unwrap();
            match random.u8(0..3) {
                0 => legs[1][at] = byte,
                1 => legs[1].insert(at, byte),
                _ => drop(legs[1].remove(at)),
            }
        }
        // `merged` itself verifies that the output is JSON.
        match all_merges(&legs, &rules) {
            Ok(_) => merged += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(merged > 50 && refused > 50, "{merged} merged, {refused} refused");
}
