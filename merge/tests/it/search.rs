//! Random legs merged and compared byte for byte with the model; pages against one big page.

use fastrand::Rng;
use merge::{FacetOrder, FacetRules, MergeError, Paging, SearchSpec};
use serde_json::{Value, json};

use crate::model;
use crate::world::World;

pub(crate) fn spec(paging: Paging) -> SearchSpec<'static> {
    SearchSpec {
        processing_time_ms: 7,
        hits_total_max: 1000,
        total_clipped: true,
        ..SearchSpec::plain(paging, usize::MAX)
    }
}

pub(crate) fn merged(legs: &[Vec<u8>], spec: &SearchSpec<'_>) -> Result<String, MergeError> {
    let legs = legs.iter().map(Vec::as_slice).collect::<Vec<_>>();
    let mut out = b"kept".to_vec();
    let result = merge::search(&legs, spec, &mut out);
    let text = String::from_utf8(out).unwrap();
    let text = text.strip_prefix("kept").unwrap().to_owned();
    if result.is_err() {
        assert_eq!(text, "", "an error leaves nothing behind");
    }
    let merged = result?;
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["hits"].as_array().unwrap().len(), merged.hits);
    let total = answer.get("totalHits").or_else(|| answer.get("estimatedTotalHits")).unwrap();
    assert_eq!(*total, json!(merged.total));
    Ok(text)
}

#[test]
fn random_legs_merge_as_the_model_says() {
    for seed in 0..800 {
        let mut random = Rng::with_seed(seed);
        let world = World::new(&mut random);
        let paging = if random.bool() {
            Paging::Offset { offset: random.usize(0..20), limit: random.usize(0..70) }
        } else {
            Paging::Page { page: random.usize(0..4), hits_per_page: random.usize(0..20) }
        };
        let order = [None, Some(FacetOrder::Alpha), Some(FacetOrder::Count)][random.usize(0..3)];
        let mut rules = FacetRules { values_max: random.usize(0..8), ..FacetRules::default() };
        if let Some(order) = order {
            rules.order_by_name.insert("*".into(), order);
        }
        let spec = SearchSpec {
            show_ranking_score: random.bool(),
            show_ranking_score_details: random.bool(),
            facets: order.map(|_| &rules),
            hits_total_max: if random.bool() { 1000 } else { random.usize(0..40) },
            total_clipped: true,
            ..spec(paging)
        };
        let facets = order.map(|order| model::facets(&world.documents(), order, rules.values_max));
        let shown = (spec.show_ranking_score, spec.show_ranking_score_details);
        let expected = model::search(&world.legs, paging, spec.hits_total_max, shown, facets);
        let answer = merged(&world.answers(paging, order), &spec);
        assert_eq!(answer.unwrap(), expected, "seed {seed}");
    }
}

#[test]
fn totals_are_clipped_where_nodes_clip_them() {
    let mut random = Rng::with_seed(7);
    let world = World::new(&mut random);
    let matched = world.documents().len();
    assert!(matched > 2);
    for (total_clipped, expected) in [(true, 2), (false, matched)] {
        for (paging, member) in [
            (Paging::Offset { offset: 0, limit: 100 }, "estimatedTotalHits"),
            (Paging::Page { page: 1, hits_per_page: 100 }, "totalHits"),
        ] {
            let spec = SearchSpec { hits_total_max: 2, total_clipped, ..spec(paging) };
            let answer = merged(&world.answers(paging, None), &spec).unwrap();
            let answer: Value = serde_json::from_str(&answer).unwrap();
            assert_eq!(answer[member], expected);
            assert_eq!(answer["hits"].as_array().unwrap().len(), 2, "hits are clipped either way");
        }
    }
}

#[test]
fn pages_in_a_row_are_one_big_page() {
    for seed in 0..60 {
        let mut random = Rng::with_seed(seed);
        let world = World::new(&mut random);
        let hits = |paging: Paging| {
            let answer = merged(&world.answers(paging, None), &spec(paging)).unwrap();
            let answer: Value = serde_json::from_str(&answer).unwrap();
            answer["hits"].as_array().unwrap().clone()
        };
        let all = hits(Paging::Offset { offset: 0, limit: 100 });
        assert_eq!(all.len(), world.documents().len(), "seed {seed}");
        let limit = random.usize(1..9);
        let by_offset =
            (0..=all.len()).step_by(limit).flat_map(|offset| hits(Paging::Offset { offset, limit }));
        assert_eq!(by_offset.collect::<Vec<_>>(), all, "seed {seed}");
        let by_page = (1..=all.len()).flat_map(|page| hits(Paging::Page { page, hits_per_page: limit }));
        assert_eq!(by_page.collect::<Vec<_>>(), all, "seed {seed}");
    }
}

#[test]
fn a_leg_out_of_its_own_order_is_refused() {
    let mut refused = 0;
    for seed in 0..300 {
        let mut random = Rng::with_seed(seed);
        let mut world = World::new(&mut random);
        let leg = random.usize(0..world.legs.len());
        if world.legs.len() < 2 || world.legs[leg].len() < 2 {
            continue;
        }
        let at = random.usize(1..world.legs[leg].len());
        world.legs[leg].swap(at - 1, at);
        let details = |at: usize| &world.legs[leg][at]["_rankingScoreDetails"];
        let disordered = model::compare(details(at - 1), details(at)).is_gt();
        let paging = Paging::Offset { offset: 0, limit: 100 };
        match merged(&world.answers(paging, None), &spec(paging)) {
            Ok(_) => assert!(!disordered, "seed {seed}"),
            Err(MergeError::Leg { leg: blamed, reason }) => {
                assert!(disordered && blamed == leg, "seed {seed}: leg {blamed}: {reason}");
                assert!(reason.contains("order"), "{reason}");
                refused += 1;
            }
            Err(error) => panic!("seed {seed}: {error}"),
        }
    }
    assert!(refused > 50, "only {refused} worlds were out of order");
}

#[test]
fn members_of_the_answer_keep_a_nodes_order() {
    let leg = |extra: &str| {
        format!(r#"{{"hits":[],"query":"a",{extra}"limit":1,"offset":0,"estimatedTotalHits":2}}"#)
    };
    let check = |legs: [&str; 2], expected: &str| {
        let legs = legs.map(|extra| leg(extra).into_bytes());
        let answer = merged(&legs, &spec(Paging::Offset { offset: 0, limit: 1 })).unwrap();
        assert_eq!(answer, expected);
    };
    let rest = r#""processingTimeMs":7,"limit":1,"offset":0,"estimatedTotalHits":4"#;
    check(["", ""], &format!(r#"{{"hits":[],"query":"a",{rest}}}"#));
    check(
        ["", r#""queryVector":[1.0,2.5],"#],
        &format!(r#"{{"hits":[],"query":"a","queryVector":[1.0,2.5],{rest}}}"#),
    );
    check(
        [r#""semanticHitCount":2,"new \" member":{},"#, r#""semanticHitCount":3,"other":1,"#],
        &format!(r#"{{"hits":[],"query":"a",{rest},"new \" member":{{}},"semanticHitCount":0}}"#),
    );
}

#[test]
fn one_leg_without_details_is_copied() {
    let leg = br#"{"hits":[{"id":1,"_miroir_shard":"::","_rankingScore":0.1},{"id":2,"_rankingScore":0.9},{"_rankingScore":1.0}],"query":"","estimatedTotalHits":3}"#;
    let paging = Paging::Offset { offset: 0, limit: 20 };
    let spec = SearchSpec { details_in_legs: false, ..spec(paging) };
    let answer = merged(&[leg.to_vec()], &spec).unwrap();
    assert!(answer.starts_with(r#"{"hits":[{"id":1},{"id":2},{}],"query":"""#), "{answer}");
    let shown = SearchSpec { show_ranking_score: true, ..spec.clone() };
    let answer = merged(&[leg.to_vec()], &shown).unwrap();
    assert!(answer.starts_with(r#"{"hits":[{"id":1,"_rankingScore":0.1},{"id":2,"_ranking"#), "{answer}");
    assert!(merged(&[leg.to_vec(), leg.to_vec()], &spec).is_err());
    assert!(merged(&[], &spec).is_err());
}

#[test]
fn shown_scores_are_ranked_among_the_most_typos_of_any_leg() {
    let leg = |typos: u32, most: u32, id: u32, score: &str| {
        let of_typos = f64::from(most + 1 - typos) / f64::from(most + 1);
        format!(
            r#"{{"hits":[{{"id":{id},"_rankingScore":{score},"_rankingScoreDetails":{{"words":{{"order":0,"matchingWords":1,"maxMatchingWords":1,"score":1.0}},"typo":{{"order":1,"typoCount":{typos},"maxTypoCount":{most},"score":{of_typos:?}}}}}}}],"query":"","estimatedTotalHits":1}}"#
        )
    };
    let legs = [leg(0, 2, 1, "1.0").into_bytes(), leg(1, 1, 2, "0.5").into_bytes()];
    let spec = spec(Paging::Offset { offset: 0, limit: 20 });
    let spec = SearchSpec { show_ranking_score: true, show_ranking_score_details: true, ..spec };
    let typo = |details: bool| {
        let answer = merged(&legs, &SearchSpec { show_ranking_score_details: details, ..spec.clone() });
        serde_json::from_str::<Value>(&answer.unwrap()).unwrap()["hits"][1].take()
    };
    let hit = typo(true);
    assert_eq!(hit["_rankingScore"], json!(2.0 / 3.0));
    let expected = json!({"order": 1, "typoCount": 1, "maxTypoCount": 2, "score": 2.0 / 3.0});
    assert_eq!(hit["_rankingScoreDetails"]["typo"], expected);
    assert_eq!(typo(false), json!({"id": 2, "_rankingScore": 2.0 / 3.0}));
}

#[test]
fn hits_that_no_rule_tells_apart_come_by_their_keys() {
    // All of these are one number as doubles.
    const BASE: u64 = 1 << 60;
    let leg = |ids: &[u64]| {
        let hits = ids.iter().map(|id| {
            let id = BASE + id;
            format!(r#"{{"id":{id},"_rankingScoreDetails":{{"id:asc":{{"order":0,"value":{BASE}}}}}}}"#)
        });
        let hits = hits.collect::<Vec<_>>().join(",");
        format!(r#"{{"hits":[{hits}],"query":"","estimatedTotalHits":9}}"#).into_bytes()
    };
    let check = |legs: &[&[u64]], asked: usize, may_ask: bool, expected: Result<&[u64], ()>| {
        let legs = legs.iter().map(|ids| leg(ids)).collect::<Vec<_>>();
        let spec = SearchSpec {
            tie_break: Some("id:asc"),
            equals_may_be_sought: may_ask,
            hits_asked: asked,
            ..spec(Paging::Offset { offset: 0, limit: 4 })
        };
        let found = match merged(&legs, &spec) {
            Ok(answer) => {
                let ids = answer.split("\"id\":").skip(1);
                Ok(ids
                    .map(|id| id.split('}').next().unwrap().parse::<u64>().unwrap() - BASE)
                    .collect::<Vec<_>>())
            }
            Err(error) => {
                assert!(matches!(error, MergeError::Short), "{error}");
                Err(())
            }
        };
        assert_eq!(found.as_deref(), expected.as_ref().map(|ids| *ids).map_err(|()| &()), "{legs:?}");
    };
    // Nodes give equals in the order in which they were first written.
    check(&[&[4, 9, 12], &[7, 1]], 10, true, Ok(&[1, 4, 7, 9]));
    check(&[&[7, 1], &[4, 9, 12]], 10, true, Ok(&[1, 4, 7, 9]));
    check(&[&[12, 9, 1], &[4], &[7]], 10, true, Ok(&[1, 4, 7, 9]));
    // A leg that gave all it was asked for may have equals left: it is asked deeper, as far as that may be.
    check(&[&[4, 9, 12], &[7, 1]], 3, true, Err(()));
    check(&[&[4, 9, 12], &[7, 1]], 3, false, Ok(&[1, 4, 7, 9]));
}
