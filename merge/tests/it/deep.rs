//! Orders that need more than one request to a leg: `_geoPoint` rules, distinct, pinned hits.
//!
//! A small model plays one node and, with fewer documents, every leg. Legs that were asked for too little are asked
//! again, as the gateway does, until there is an answer.

use std::collections::{HashSet, VecDeque};

use fastrand::Rng;
use geoutils::Location;
use merge::{ExtraFields, MergeError, Paging, SearchSpec};
use serde_json::{Map, Value, json};

use crate::search::merged;

#[derive(Clone)]
struct Document {
    id: usize,
    price: u8,
    rank: u8,
    place: Option<[f64; 2]>,
    group: Value,
}

#[derive(Clone, Copy)]
enum Rule {
    Price,
    Geo { point: [f64; 2], ascending: bool },
    Rank,
    Id,
}

type Ranked = (Document, Vec<(String, Value)>);

fn document(random: &mut Rng, id: usize) -> Document {
    // Few places, some within a metre of others (1e-5 degrees of latitude are 1.1 m).
    let jitter = |random: &mut Rng| f64::from(random.u8(0..6)) * 4e-6;
    let place = [48.0 + f64::from(random.u8(0..2)) * 0.01 + jitter(random), 2.0 + jitter(random)];
    let groups =
        [json!("a"), json!(" A"), json!("b"), json!(3), json!(3.0), json!(null), json!("c"), json!("d")];
    Document {
        id,
        price: random.u8(0..3),
        rank: random.u8(0..4),
        place: (random.u8(0..5) > 0).then_some(place),
        group: groups[random.usize(0..groups.len())].clone(),
    }
}

/// The answer of one node with `documents`, which are in the order of their ids.
fn node(documents: &[Document], rules: &[Rule]) -> Vec<Ranked> {
    let Some((rule, rest)) = rules.split_first() else {
        return documents.iter().map(|document| (document.clone(), Vec::new())).collect();
    };
    let mut ranked = Vec::new();
    for (name, details, bucket) in buckets(documents, *rule) {
        for (document, mut below) in node(&bucket, rest) {
            below.insert(0, (name.clone(), details.clone()));
            ranked.push((document, below));
        }
    }
    ranked
}

fn buckets(documents: &[Document], rule: Rule) -> Vec<(String, Value, Vec<Document>)> {
    let by = |name: &str, value: &dyn Fn(&Document) -> usize, descending: bool| {
        let mut values = documents.iter().map(value).collect::<Vec<_>>();
        values.sort_unstable();
        values.dedup();
        if descending {
            values.reverse();
        }
        let bucket = |wanted: usize| documents.iter().filter(|doc| value(doc) == wanted).cloned().collect();
        values.into_iter().map(|wanted| (name.to_owned(), json!({"value": wanted}), bucket(wanted))).collect()
    };
    match rule {
        Rule::Price => by("price:asc", &|doc| doc.price.into(), false),
        Rule::Rank => by("rank:desc", &|doc| doc.rank.into(), true),
        Rule::Id => by("id:asc", &|doc| doc.id, false),
        Rule::Geo { point, ascending } => geo_buckets(documents, point, ascending),
    }
}

fn geo_buckets(
    documents: &[Document],
    point: [f64; 2],
    ascending: bool,
) -> Vec<(String, Value, Vec<Document>)> {
    let name = format!("_geoPoint({}, {}):{}", point[0], point[1], if ascending { "asc" } else { "desc" });
    let metres = |document: &Document| {
        let [latitude, longitude] = document.place.unwrap();
        Location::new(point[0], point[1]).haversine_distance_to(&Location::new(latitude, longitude)).meters()
    };
    let mut placed = documents.iter().filter(|document| document.place.is_some()).collect::<Vec<_>>();
    placed.sort_by(|one, other| metres(one).trunc().total_cmp(&metres(other).trunc()));
    let mut queue = VecDeque::from(placed);
    let mut all = Vec::new();
    loop {
        let next = |queue: &mut VecDeque<_>| if ascending { queue.pop_front() } else { queue.pop_back() };
        let Some(first) = next(&mut queue) else { break };
        let distance = metres(first);
        let mut bucket = vec![first.clone()];
        while let Some(other) = if ascending { queue.front() } else { queue.back() } {
            if (metres(other) - distance).abs() > 1.0 {
                break;
            }
            bucket.extend(next(&mut queue).cloned());
        }
        bucket.sort_by_key(|document| document.id);
        let [lat, lng] = first.place.unwrap();
        all.push((name.clone(), json!({"value": {"lat": lat, "lng": lng}, "distance": distance}), bucket));
    }
    let nowhere = documents.iter().filter(|document| document.place.is_none()).cloned().collect::<Vec<_>>();
    if !nowhere.is_empty() {
        all.push((name, json!({"value": null, "distance": null}), nowhere));
    }
    all
}

fn without_repeats(ranked: Vec<Ranked>) -> Vec<Ranked> {
    let mut seen = HashSet::new();
    let value = |group: &Value| {
        let text = group.as_str().map(|text| text.trim().to_lowercase());
        text.or_else(|| group.as_f64().map(|number| number.to_string()))
    };
    ranked
        .into_iter()
        .filter(|(document, _)| value(&document.group).is_none_or(|key| seen.insert(key)))
        .collect()
}

fn hit((document, details): &Ranked) -> Value {
    let mut hit = Map::new();
    hit.insert("id".into(), json!(document.id));
    hit.insert("group".into(), document.group.clone());
    if let Some([lat, lng]) = document.place {
        hit.insert("_geo".into(), json!({"lat": lat, "lng": lng}));
    }
    let mut rules = Map::new();
    for (order, (name, fields)) in details.iter().enumerate() {
        let mut fields = fields.as_object().unwrap().clone();
        fields.insert("order".into(), json!(order));
        rules.insert(name.clone(), Value::Object(fields));
    }
    hit.insert("_rankingScoreDetails".into(), Value::Object(rules));
    Value::Object(hit)
}

fn answer(ranked: &[Ranked], asked: usize, total: usize) -> Vec<u8> {
    let hits = ranked.iter().take(asked).map(hit).collect::<Vec<_>>();
    json!({"hits": hits, "query": "", "estimatedTotalHits": total}).to_string().into_bytes()
}

/// Merges, asking for ever more hits. Returns the answer's hits and how often the legs were asked.
fn ask(legs: &[Vec<Ranked>], mut asked: usize, spec: &SearchSpec<'_>) -> (Vec<Value>, usize) {
    for round in 1.. {
        let answers = legs.iter().map(|leg| answer(leg, asked, leg.len())).collect::<Vec<_>>();
        match merged(&answers, &SearchSpec { hits_asked: asked, ..spec.clone() }) {
            Ok(text) => {
                let value: Value = serde_json::from_str(&text).unwrap();
                return (value["hits"].as_array().unwrap().clone(), round);
            }
            Err(MergeError::Short) => asked *= 2,
            Err(error) => panic!("{error}"),
        }
    }
    unreachable!("every round asks deeper")
}

/// At most one `_geoPoint` rule, because a node ignores further ones.
fn rules(random: &mut Rng) -> Vec<Rule> {
    let geo = |random: &mut Rng| Rule::Geo {
        point: [48.0 + f64::from(random.u8(0..3)) * 0.01, 2.0],
        ascending: random.bool(),
    };
    let mut rules = Vec::new();
    if random.bool() {
        rules.push(Rule::Price);
    }
    rules.push(geo(random));
    if random.bool() {
        rules.push(Rule::Rank);
    }
    rules.push(Rule::Id);
    rules
}

#[test]
fn legs_regroup_to_the_buckets_and_groups_of_one_node() {
    let mut deeper = 0;
    for seed in 0..1500 {
        let mut random = Rng::with_seed(seed);
        let documents = (0..random.usize(0..70)).map(|id| document(&mut random, id)).collect::<Vec<_>>();
        let mut rules = rules(&mut random);
        // Documents that distinct removes from a leg's answer may have begun one of the node's buckets. Together the
        // two are exact only to the metre, so the test separates them.
        let distinct = random.u8(0..3) == 0;
        if distinct {
            rules.retain(|rule| !matches!(rule, Rule::Geo { .. }));
        }
        let mut shares = vec![Vec::new(); random.usize(2..5)];
        for document in &documents {
            let share = random.usize(0..shares.len());
            shares[share].push(document.clone());
        }
        let list = |documents: &[Document]| {
            let ranked = node(documents, &rules);
            if distinct { without_repeats(ranked) } else { ranked }
        };
        let legs = shares.iter().map(|share| list(share)).collect::<Vec<_>>();
        let (offset, limit) = (random.usize(0..10), random.usize(1..20));
        let spec = SearchSpec {
            distinct: distinct.then_some("group"),
            show_ranking_score_details: true,
            ..SearchSpec::plain(Paging::Offset { offset, limit }, 0)
        };
        let (found, rounds) = ask(&legs, offset + limit, &spec);
        deeper += usize::from(rounds > 1);
        let expected = list(&documents).iter().skip(offset).take(limit).map(hit).collect::<Vec<_>>();
        assert_eq!(found, expected, "seed {seed}");
    }
    assert!(deeper > 50, "only {deeper} of the worlds needed a second look");
}

/// Legs that are asked for less than the page give the same page in the end, whatever each was asked for first.
#[test]
fn shallow_legs_give_the_same_page() {
    let mut refills = 0;
    for seed in 0..500 {
        let random = &mut Rng::with_seed(seed);
        let rules = [Rule::Rank, Rule::Id];
        let mut shares = vec![Vec::new(); random.usize(1..6)];
        for id in 0..random.usize(0..80) {
            let share = random.usize(0..shares.len());
            shares[share].push(document(random, id));
        }
        let documents = shares.concat();
        let legs = shares.iter().map(|share| node(share, &rules)).collect::<Vec<_>>();
        let (offset, limit) = (random.usize(0..10), random.usize(0..20));
        let wanted = offset + limit;
        let mut asked = legs.iter().map(|_| random.usize(0..=wanted).max(1)).collect::<Vec<_>>();
        let spec = SearchSpec::plain(Paging::Offset { offset, limit }, wanted);
        let found = loop {
            let answers = legs
                .iter()
                .zip(&asked)
                .map(|(leg, asked)| answer(leg, *asked, leg.len()))
                .collect::<Vec<_>>();
            match merged(&answers, &SearchSpec { legs_asked: &asked, ..spec.clone() }) {
                Ok(text) => break serde_json::from_str::<Value>(&text).unwrap()["hits"].clone(),
                Err(MergeError::Dry { leg }) => {
                    assert!(asked[leg] < wanted, "only a leg that was asked for less runs dry");
                    asked[leg] = wanted;
                    refills += 1;
                }
                Err(error) => panic!("seed {seed}: {error}"),
            }
        };
        let whole = legs.iter().map(|leg| answer(leg, wanted, leg.len())).collect::<Vec<_>>();
        let expected: Value = serde_json::from_str(&merged(&whole, &spec).unwrap()).unwrap();
        assert_eq!(found, expected["hits"], "seed {seed}, {} documents", documents.len());
    }
    assert!(refills > 100, "only {refills} legs ran dry");
}

#[test]
fn the_tie_break_and_extra_fields_are_cut_out() {
    let documents = (0..4).map(|id| document(&mut Rng::with_seed(1), id)).collect::<Vec<_>>();
    let legs =
        [node(&documents[..2], &[Rule::Rank, Rule::Id]), node(&documents[2..], &[Rule::Rank, Rule::Id])];
    let extra = ExtraFields {
        members: vec!["group".into(), "_geo".into()],
        retrieved: vec!["id".into(), "_geo.lat".into()],
        formatted: Vec::new(),
    };
    let spec = SearchSpec {
        show_ranking_score_details: true,
        tie_break: Some("id:asc"),
        extra_fields: Some(&extra),
        ..SearchSpec::plain(Paging::Offset { offset: 0, limit: 4 }, 0)
    };
    let (hits, _) = ask(&legs, 4, &spec);
    assert_eq!(hits.len(), 4);
    for hit in hits {
        let names = hit.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert!(!names.contains(&"group".to_owned()), "{hit}");
        assert!(hit["_geo"].get("lng").is_none(), "{hit}");
        assert_eq!(hit["_rankingScoreDetails"].as_object().unwrap().len(), 1, "{hit}");
    }
}

#[test]
fn pinned_hits_stand_at_their_positions() {
    let hit = |id: &str, details: Value| json!({"id": id, "_rankingScoreDetails": details});
    let price = |value: u8| json!({"price:asc": {"order": 0, "value": value}});
    let pin = |position: u8| json!({"pin": {"order": 0, "position": position}});
    let answer = |hits: Vec<Value>| {
        json!({"hits": hits, "query": "", "estimatedTotalHits": hits.len()}).to_string().into_bytes()
    };
    let legs = [
        answer(vec![hit("a", price(1)), hit("p1", pin(1)), hit("c", price(3))]),
        answer(vec![hit("p0", pin(0)), hit("b", price(2)), hit("p9", pin(9))]),
    ];
    let check = |offset: usize, limit: usize, expected: &[&str]| {
        let spec = SearchSpec { pins: true, ..SearchSpec::plain(Paging::Offset { offset, limit }, 100) };
        let text = merged(&legs, &spec).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        let ids = value["hits"].as_array().unwrap().iter().map(|hit| hit["id"].as_str().unwrap().to_owned());
        assert_eq!(ids.collect::<Vec<_>>(), expected);
    };
    check(0, 20, &["p0", "p1", "a", "b", "c", "p9"]);
    check(1, 3, &["p1", "a", "b"]);
    let spec = SearchSpec { pins: true, ..SearchSpec::plain(Paging::Offset { offset: 0, limit: 6 }, 3) };
    assert_eq!(merged(&legs, &spec), Err(MergeError::Short));
}
