//! Random legs: documents with ranking details, dealt to shards that each answer like a node.
//!
//! Values come from small sets, so that ties, missing values and equal normal forms are frequent.

use fastrand::Rng;
use merge::{FacetOrder, Paging};
use serde_json::{Map, Value, json};

use crate::model;

pub(crate) struct World {
    /// The hits of each leg, in the leg's own order.
    pub(crate) legs: Vec<Vec<Value>>,
}

const RULES: [&str; 10] = [
    "words",
    "typo",
    "proximity",
    "attributeRank",
    "attribute",
    "price:asc",
    "name:desc",
    "wordPosition",
    "exactness",
    "vectorSort",
];

impl World {
    pub(crate) fn new(random: &mut Rng) -> Self {
        let leg_count = random.usize(1..6);
        let document_count = random.usize(0..60);
        let rules = RULES.iter().filter(|_| random.u8(0..3) == 0).copied().collect::<Vec<_>>();
        let shape = Shape::new(random);
        let mut legs = vec![Vec::new(); leg_count];
        // A shard's greatest typo count depends on its own words.
        let typos_max = random.u64(2..6);
        for id in 0..document_count {
            let leg = random.usize(0..leg_count);
            let details = details(random, &rules, typos_max);
            legs[leg].push(shape.hit(random, id, details));
        }
        for leg in &mut legs {
            leg.sort_by(model::compare_hits);
        }
        Self { legs }
    }

    /// The answers of the legs to the gateway's requests for `paging`.
    pub(crate) fn answers(&self, paging: Paging, order: Option<FacetOrder>) -> Vec<Vec<u8>> {
        self.legs.iter().enumerate().map(|(leg, hits)| answer(leg, hits, paging, order)).collect()
    }

    pub(crate) fn documents(&self) -> Vec<Value> {
        self.legs.iter().flatten().cloned().collect()
    }
}

fn answer(leg: usize, hits: &[Value], paging: Paging, order: Option<FacetOrder>) -> Vec<u8> {
    let wanted = match paging {
        Paging::Offset { offset, limit } => offset + limit,
        Paging::Page { page, hits_per_page } => page * hits_per_page,
    };
    let shown = hits.iter().take(wanted).collect::<Vec<_>>();
    let mut answer = Map::new();
    answer.insert("hits".into(), json!(shown));
    answer.insert("query".into(), json!("q\"é"));
    answer.insert("processingTimeMs".into(), json!(100 + leg));
    match paging {
        Paging::Offset { .. } => {
            answer.insert("limit".into(), json!(wanted));
            answer.insert("offset".into(), json!(0));
            answer.insert("estimatedTotalHits".into(), json!(hits.len()));
        }
        Paging::Page { .. } => {
            answer.insert("hitsPerPage".into(), json!(wanted));
            answer.insert("page".into(), json!(1));
            answer.insert("totalPages".into(), json!(1));
            answer.insert("totalHits".into(), json!(hits.len()));
        }
    }
    if let Some(order) = order {
        let (distribution, stats) = model::facets(hits, order, usize::MAX);
        answer.insert("facetDistribution".into(), distribution);
        answer.insert("facetStats".into(), stats);
    }
    answer.insert("requestUid".into(), json!(format!("leg {leg}")));
    serde_json::to_vec(&answer).unwrap()
}

/// What all hits of one world have besides their fields.
struct Shape {
    formatted: bool,
    positions: bool,
    score: bool,
    marker_first: bool,
}

impl Shape {
    fn new(random: &mut Rng) -> Self {
        let (formatted, positions) = (random.u8(0..4) == 0, random.u8(0..4) == 0);
        Self { formatted, positions, score: random.bool(), marker_first: random.u8(0..4) > 0 }
    }

    fn hit(&self, random: &mut Rng, id: usize, details: Value) -> Value {
        let mut hit = Map::new();
        let mut fields = Map::new();
        let marker = json!(":.:.:.::");
        fields.insert("id".into(), json!(id));
        if self.marker_first {
            fields.insert("_miroir_shard".into(), marker.clone());
        }
        let color = match random.u8(0..5) {
            0 => json!(null),
            1 => json!(random.i32(-3..12)),
            2 => json!(f64::from(random.i32(0..8)) / 4.0),
            _ => json!(choose(random, &["red", "Red", " RED", "\"blue\"", "ﬁne", "FINE", "é", "É", "e\\"])),
        };
        fields.insert("color".into(), color);
        fields.insert(
            "title".into(),
            json!(choose(random, &["plain", "q\"\\_rankingScoreDetails\":{", "日本", "}],"])),
        );
        if random.bool() {
            fields.insert("nest".into(), json!({"_miroir_x": [1, {}], "_rankingScoreDetails": {"a": 1}}));
        }
        if !self.marker_first {
            fields.insert("_miroir_shard".into(), marker);
        }
        hit.extend(fields.clone());
        if self.formatted {
            hit.insert(
                "_formatted".into(),
                if random.bool() { json!({"_miroir_shard": "x"}) } else { json!(fields) },
            );
        }
        if self.positions {
            hit.insert("_matchesPosition".into(), json!({"_miroir_shard": [{"start": 0, "length": 2}]}));
        }
        if self.score {
            hit.insert("_rankingScore".into(), json!(0.5));
        }
        hit.insert("_rankingScoreDetails".into(), details);
        Value::Object(hit)
    }
}

fn details(random: &mut Rng, rules: &[&str], typos_max: u64) -> Value {
    let mut details = Map::new();
    // A search that was cut off omits the remaining rules.
    let cut_off = if random.u8(0..12) == 0 { random.usize(0..=rules.len()) } else { usize::MAX };
    for (order, rule) in rules.iter().enumerate() {
        if order == cut_off {
            details.insert("skipped".into(), json!({"order": order}));
            break;
        }
        let mut fields = rule_fields(random, rule, typos_max);
        fields.as_object_mut().unwrap().insert("order".into(), json!(order));
        details.insert((*rule).into(), fields);
    }
    Value::Object(details)
}

fn rule_fields(random: &mut Rng, rule: &str, typos_max: u64) -> Value {
    let score = f64::from(random.u8(0..4)) / 3.0;
    match rule {
        "words" => json!({"matchingWords": random.u8(1..4), "maxMatchingWords": 3, "score": score}),
        "typo" => {
            let count = random.u64(0..3);
            let score = (typos_max + 1 - count) as f64 / (typos_max + 1) as f64;
            json!({"typoCount": count, "maxTypoCount": typos_max, "score": score})
        }
        "attribute" => json!({
            "attributeRankingOrderScore": score,
            "queryWordDistanceScore": f64::from(random.u8(0..3)) / 2.0,
            "score": f64::from(random.u8(0..9)),
        }),
        "exactness" => match random.u8(0..4) {
            0 => json!({"matchType": "exactMatch", "score": 1.0}),
            1 => json!({"matchType": "matchesStart", "score": 0.6666666666666666}),
            _ => json!({
                "matchType": "noExactMatch",
                "matchingWords": random.u8(0..3),
                "maxMatchingWords": 2,
                "score": 0.1,
            }),
        },
        "vectorSort" if random.u8(0..5) == 0 => json!({"similarity": null}),
        "vectorSort" => json!({"similarity": score}),
        _ if rule.contains(':') => json!({"value": sort_value(random)}),
        _ => json!({"score": score}),
    }
}

fn sort_value(random: &mut Rng) -> Value {
    match random.u8(0..8) {
        0 => json!(null),
        1 | 2 => json!(random.i32(-3..4)),
        3 => json!(f64::from(random.i32(-8..9)) / 4.0),
        4 => json!(random.bool()),
        5 => Value::Array((0..random.usize(0..4)).map(|_| sort_value(random)).collect()),
        _ => json!(choose(random, &["a", " A ", "b\"", "ﬁ", "FI", "é", "E\u{301}", "zoé"])),
    }
}

fn choose<'a>(random: &mut Rng, choices: &[&'a str]) -> &'a str {
    choices[random.usize(0..choices.len())]
}
