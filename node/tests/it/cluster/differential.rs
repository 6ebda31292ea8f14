//! The same queries to one node with all the documents and to a cluster: the same order, totals and
//! facets, ties aside.
//! Invariant: queries come from a seed that is printed with every difference.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{SingleNode, TestCluster, cities, load_cities};
use crate::client::Client;

/// Queries per kind of cluster.
const QUERIES: usize = 400;
const SEED: u64 = 0x5eed_c171;

#[test]
fn three_nodes_answer_as_one() {
    compare(&TestCluster::start(|_| {}));
}

#[test]
fn four_nodes_with_two_copies_answer_as_one() {
    compare(&TestCluster::start(|options| {
        options.nodes = 4;
        options.replication_factor = 2;
        options.gateway_arguments.extend(["--runtime", "glommio"].map(str::to_owned));
    }));
}

#[test]
fn what_one_node_hides_a_cluster_hides() {
    let (cluster, single) = (TestCluster::start(|_| {}), SingleNode::start());
    for client in [&cluster.client, &single.client] {
        load_cities(client);
        let hidden = json!({"displayedAttributes": ["id", "name", "country"]});
        client.done("PATCH", "/indexes/cities/settings", &hidden);
        let settings = client.read("/indexes/cities/settings");
        assert_eq!(settings["displayedAttributes"], json!(["id", "name", "country"]));
    }
    // Sorted by a field that is hidden, without ties: the hits must be equal byte for byte.
    let sort = json!(["population:desc", "name:asc"]);
    let asked = [
        json!({"q": "san"}),
        json!({"q": "new york", "attributesToRetrieve": ["*"]}),
        json!({"q": "new york", "attributesToRetrieve": ["name", "population"]}),
        json!({"q": "london", "attributesToRetrieve": ["population"]}),
        json!({"q": "paris", "attributesToHighlight": ["*"], "showMatchesPosition": true}),
        json!({"q": "byzance", "attributesToHighlight": ["alternateNames", "name"], "showMatchesPosition": true}),
        json!({"q": "byzance", "attributesToCrop": ["*:3"], "attributesToRetrieve": ["id"]}),
        json!({"q": "a", "page": 2, "hitsPerPage": 7}),
    ];
    for mut query in asked {
        query["sort"] = sort.clone();
        let (expected, found) =
            (single.client.search("cities", &query), cluster.client.search("cities", &query));
        assert_eq!(found["hits"], expected["hits"], "{query}");
    }
}

fn compare(cluster: &TestCluster) {
    let single = SingleNode::start();
    load_cities(&cluster.client);
    load_cities(&single.client);
    let mut random = fastrand::Rng::with_seed(SEED);
    let words = vocabulary();
    let mut differences = Vec::new();
    for number in 0..QUERIES {
        let query = generate(&mut random, &words);
        if let Err(difference) = compare_one(&single.client, &cluster.client, &query) {
            differences.push(format!("query {number} of seed {SEED:#x}: {query}\n  {difference}"));
        }
    }
    assert!(
        differences.is_empty(),
        "{} of {QUERIES} queries differ:\n{}",
        differences.len(),
        differences.join("\n")
    );
}

fn compare_one(single: &Client, cluster: &Client, query: &Value) -> Result<(), String> {
    let mut detailed = query.clone();
    detailed["showRankingScoreDetails"] = json!(true);
    let expected = single.search("cities", &detailed);
    let found = cluster.search("cities", &detailed);
    for member in [
        "estimatedTotalHits",
        "totalHits",
        "totalPages",
        "page",
        "hitsPerPage",
        "facetDistribution",
        "facetStats",
    ] {
        if expected[member] != found[member] {
            return Err(format!("{member}: one node {}, cluster {}", expected[member], found[member]));
        }
    }
    same_order(&expected["hits"], &found["hits"])?;
    // Without details the hits are the same ones, in the same order.
    let plain = cluster.search("cities", query);
    match ids(&plain["hits"]) == ids(&found["hits"]) {
        true => Ok(()),
        false => Err("details change the order".to_owned()),
    }
}

/// Position by position the same ranking; among equals the same documents, in any order. The last
/// equals of a page may be others: one node breaks ties by its own numbering.
fn same_order(expected: &Value, found: &Value) -> Result<(), String> {
    let (expected, found) = (ranked(expected), ranked(found));
    let keys = |list: &[(String, u64)]| list.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>();
    if keys(&expected) != keys(&found) {
        let place = expected.iter().zip(&found).position(|(one, other)| one.0 != other.0);
        return Err(format!("rankings differ at {place:?}: one node {expected:?}, cluster {found:?}"));
    }
    let Some((last, _)) = expected.last() else { return Ok(()) };
    let group = |list: &[(String, u64)], key: &str| {
        list.iter().filter(|(other, _)| other == key).map(|(_, id)| *id).collect::<BTreeSet<_>>()
    };
    for (key, _) in expected.iter().filter(|(key, _)| key != last) {
        // The first equals of a later page are cut as well: they are compared by rank alone.
        if key != &expected[0].0 && group(&expected, key) != group(&found, key) {
            return Err(format!("documents of equal rank {key} differ"));
        }
    }
    Ok(())
}

/// Hits as their ranking and id; what only shows a score is left out of the ranking.
fn ranked(hits: &Value) -> Vec<(String, u64)> {
    let hits = hits.as_array().unwrap();
    hits.iter().map(|hit| (ranking(&hit["_rankingScoreDetails"]), hit["id"].as_u64().unwrap())).collect()
}

fn ranking(details: &Value) -> String {
    let mut rules = details.as_object().cloned().unwrap_or_else(Map::new);
    for rule in rules.values_mut().filter_map(Value::as_object_mut) {
        // Depend on the words of the whole index, not on the document.
        rule.remove("maxTypoCount");
        if rule.contains_key("typoCount") || rule.contains_key("matchingWords") {
            rule.remove("score");
        }
        // Equal distances are reported with the first document's point.
        rule.remove("value").filter(|_| rule.contains_key("distance"));
    }
    Value::Object(rules).to_string()
}

fn ids(hits: &Value) -> Vec<u64> {
    hits.as_array().unwrap().iter().map(|hit| hit["id"].as_u64().unwrap()).collect()
}

/// Words of the cities, for queries.
pub(super) fn vocabulary() -> Vec<String> {
    let mut words = BTreeSet::new();
    for city in cities() {
        for word in
            city["name"].as_str().unwrap().split_whitespace().chain([city["country"].as_str().unwrap()])
        {
            words.insert(word.to_lowercase());
        }
    }
    words.into_iter().collect()
}

fn generate(random: &mut fastrand::Rng, words: &[String]) -> Value {
    let mut query = Map::new();
    if random.u8(..10) > 0 {
        query.insert("q".to_owned(), json!(query_text(random, words)));
    }
    if random.u8(..3) == 0 {
        query.insert("filter".to_owned(), filter(random));
    }
    if random.u8(..3) == 0 {
        query.insert("sort".to_owned(), sort(random));
    }
    if random.u8(..3) == 0 {
        query
            .insert("facets".to_owned(), json!(["country", "timezone", "population"][..random.usize(1..=3)]));
    }
    match random.u8(..4) {
        0 => {
            query.insert("page".to_owned(), json!(random.u8(1..4)));
            query.insert("hitsPerPage".to_owned(), json!(random.u8(1..30)));
        }
        1 => {
            query.insert("offset".to_owned(), json!(random.u8(..40)));
            query.insert("limit".to_owned(), json!(random.u8(1..40)));
        }
        _ => {}
    }
    if random.u8(..5) == 0 {
        let strategy = ["last", "all"][random.usize(..2)];
        query.insert("matchingStrategy".to_owned(), json!(strategy));
    }
    Value::Object(query)
}

/// One to three words: whole, begun, or with a typo.
pub(super) fn query_text(random: &mut fastrand::Rng, words: &[String]) -> String {
    let count = random.usize(1..=3);
    let picked = (0..count).map(|_| {
        let word = &words[random.usize(..words.len())];
        let letters = word.chars().collect::<Vec<_>>();
        match random.u8(..6) {
            0 => letters[..random.usize(1..=letters.len())].iter().collect(),
            1 if letters.len() > 5 => {
                let mut letters = letters.clone();
                letters.remove(random.usize(1..letters.len()));
                letters.into_iter().collect()
            }
            2 if letters.len() > 5 => {
                let mut letters = letters.clone();
                let place = random.usize(1..letters.len());
                letters[place] = random.lowercase();
                letters.into_iter().collect()
            }
            _ => word.clone(),
        }
    });
    picked.collect::<Vec<String>>().join(" ")
}

pub(super) fn filter(random: &mut fastrand::Rng) -> Value {
    let countries = ["Japan", "France", "Brazil", "India", "China", "Nigeria", "United States"];
    let country = countries[random.usize(..countries.len())];
    let population = random.u32(100_000..3_000_000);
    match random.u8(..6) {
        0 => json!(format!("country = \"{country}\"")),
        1 => json!(format!("population > {population}")),
        2 => json!([
            [format!("country = \"{country}\""), format!("population < {population}")],
            "timezone EXISTS"
        ]),
        3 => json!(format!("population {population} TO {} AND NOT country = \"{country}\"", population * 3)),
        4 => json!(format!("country IN [\"{country}\", Kenya, Peru] OR countryCode = \"DE\"")),
        _ => json!(format!("_geoRadius({}, {}, 2000000)", random.i32(-40..60), random.i32(-120..140))),
    }
}

fn sort(random: &mut fastrand::Rng) -> Value {
    match random.u8(..5) {
        0 => json!(["population:desc"]),
        1 => json!(["population:asc"]),
        2 => json!(["name:asc"]),
        3 => json!(["name:desc", "population:asc"]),
        _ => {
            let order = ["asc", "desc"][random.usize(..2)];
            json!([format!("_geoPoint({}, {}):{order}", random.i32(-40..60), random.i32(-120..140))])
        }
    }
}
