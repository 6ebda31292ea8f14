//! A tenant never sees a document that its token's filter excludes: not as a hit, not in a facet, not in a count.
//! Invariants: rules, queries and documents come from a seed that is printed with every difference. The test itself,
//! not the engine, decides document by document what is allowed.

use std::collections::BTreeMap;

use meilisearch_sdk::client::Client as Sdk;
use serde_json::{Map, Value, json};

use crate::support::guarded_cluster;
use node::test_client::Client;

const MASTER_KEY: &str = "the-master-key-of-the-clients";
const SEED: u64 = 0x7e4a_4700;
const CASES: usize = 150;
const DOCUMENTS: usize = 240;
const WORDS: [&str; 8] = ["amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heath"];

/// One condition on a document.
#[derive(Clone)]
enum Condition {
    Tenant(usize),
    NotTenant(usize),
    Team(usize),
    PriceBelow(u64),
}

/// A conjunction of disjunctions of conditions.
#[derive(Clone)]
struct Filter(Vec<Vec<Condition>>);

impl Condition {
    fn random(random: &mut fastrand::Rng) -> Self {
        match random.u8(0..4) {
            0 => Self::Tenant(random.usize(0..5)),
            1 => Self::NotTenant(random.usize(0..4)),
            2 => Self::Team(random.usize(0..3)),
            _ => Self::PriceBelow(random.u64(0..55)),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Tenant(number) => format!("tenant = t{number}"),
            Self::NotTenant(number) => format!("tenant != t{number}"),
            Self::Team(number) => format!("team = team{number}"),
            Self::PriceBelow(price) => format!("price < {price}"),
        }
    }

    fn holds(&self, document: &Value) -> bool {
        match self {
            Self::Tenant(number) => document["tenant"] == format!("t{number}"),
            Self::NotTenant(number) => document["tenant"] != format!("t{number}"),
            Self::Team(number) => {
                document["team"].as_array().unwrap().iter().any(|team| *team == format!("team{number}"))
            }
            Self::PriceBelow(price) => document["price"].as_u64().unwrap() < *price,
        }
    }
}

impl Filter {
    fn random(random: &mut fastrand::Rng) -> Self {
        let clause = |random: &mut fastrand::Rng| {
            (0..random.usize(1..3)).map(|_| Condition::random(random)).collect::<Vec<_>>()
        };
        Self((0..random.usize(1..3)).map(|_| clause(random)).collect())
    }

    fn text(&self) -> String {
        let clause = |clause: &Vec<Condition>| {
            format!("({})", clause.iter().map(Condition::text).collect::<Vec<_>>().join(" OR "))
        };
        self.0.iter().map(clause).collect::<Vec<_>>().join(" AND ")
    }

    /// The filter as a text or as nested arrays.
    fn value(&self, random: &mut fastrand::Rng) -> Value {
        if random.bool() {
            return json!(self.text());
        }
        self.0.iter().map(|clause| clause.iter().map(Condition::text).collect::<Value>()).collect()
    }

    fn holds(&self, document: &Value) -> bool {
        self.0.iter().all(|clause| clause.iter().any(|condition| condition.holds(document)))
    }
}

#[test]
fn tenants_see_only_what_their_rules_let_through() {
    let (cluster, master) = guarded_cluster(MASTER_KEY);
    let mut random = fastrand::Rng::with_seed(SEED);
    let documents = load(&master, &mut random);
    let key = json!({"actions": ["search"], "indexes": ["*"], "expiresAt": null});
    let key = master.call("POST", "/keys", &key).1;
    let sdk = Sdk::new(cluster.cluster.url(), Some(MASTER_KEY)).unwrap();
    for case in 0..CASES {
        let rule = Filter::random(&mut random);
        let rules = search_rules(&rule, &mut random);
        let uid = key["uid"].as_str().unwrap().to_owned();
        let token = sdk.generate_tenant_token(uid, rules.clone(), key["key"].as_str(), None).unwrap();
        let tenant = Client::new(cluster.cluster.url()).with_key(&token);
        let own = random.bool().then(|| Filter::random(&mut random));
        let context = format!("case {case} of seed {SEED:#x}: {rules}");
        let allowed =
            |document: &&Value| rule.holds(document) && own.as_ref().is_none_or(|own| own.holds(document));
        let visible = documents.iter().filter(allowed).collect::<Vec<_>>();
        check_search(&tenant, &master, &visible, (&rule, own.as_ref()), &mut random, &context);
        check_facet_search(&tenant, &visible, own.as_ref(), &mut random, &context);
        check_multi_search(&tenant, &visible, own.as_ref(), &mut random, &context);
        let seen = documents.iter().filter(|document| rule.holds(document)).collect::<Vec<_>>();
        check_similar(&tenant, &seen, &mut random, &context);
        check_other_routes(&tenant, &context);
    }
}

/// Creates the documents and loads them.
fn load(master: &Client, random: &mut fastrand::Rng) -> Vec<Value> {
    let document = |id: usize| {
        let words = (0..3).map(|_| *random.choice(&WORDS).unwrap()).collect::<Vec<_>>().join(" ");
        let team = (0..3).filter(|_| random.bool()).map(|number| format!("team{number}")).collect::<Vec<_>>();
        json!({"id": id, "tenant": format!("t{}", random.u8(0..4)), "team": team, "price": random.u8(0..50), "words": words})
    };
    let documents = (0..DOCUMENTS).map(document).collect::<Vec<_>>();
    let settings = json!({
        "filterableAttributes": ["tenant", "team", "price"],
        "sortableAttributes": ["price"],
        "embedders": {"given": {"source": "userProvided", "dimensions": 2}},
    });
    master.done("PATCH", "/indexes/things/settings", &settings);
    // Hits do not show vectors, so only the sent documents have them.
    let mut sent = documents.clone();
    for document in &mut sent {
        document["_vectors"] = json!({"given": [random.f32(), random.f32()]});
    }
    master.done("POST", "/indexes/things/documents", &json!(sent));
    documents
}

/// Search rules in which this filter is the one that applies to the index.
fn search_rules(rule: &Filter, random: &mut fastrand::Rng) -> Value {
    let mut rules = Map::new();
    let mut add =
        |pattern: &str, filter: Value| drop(rules.insert(pattern.to_owned(), json!({"filter": filter})));
    let exact = *random.choice(&["things", "thing*", "*"]).unwrap();
    if exact != "*" && random.bool() {
        add("*", json!("price >= 0"));
    }
    if exact == "things" && random.bool() {
        add("thin*", json!("price >= 0"));
    }
    add(exact, rule.value(random));
    Value::Object(rules)
}

fn check_search(
    tenant: &Client,
    master: &Client,
    visible: &[&Value],
    (rule, own): (&Filter, Option<&Filter>),
    random: &mut fastrand::Rng,
    context: &str,
) {
    let word = random.choice(&WORDS).unwrap();
    let words = if random.bool() { "" } else { &word[..random.usize(1..=word.len())] };
    let mut query = json!({"q": words, "facets": ["tenant", "team", "price"]});
    match random.bool() {
        true => (query["offset"], query["limit"]) = (json!(random.u8(0..5)), json!(random.u8(0..60))),
        false => (query["page"], query["hitsPerPage"]) = (json!(random.u8(1..4)), json!(random.u8(1..60))),
    }
    if random.bool() {
        query["sort"] = json!(["price:desc"]);
    }
    let mut wanted = query.clone();
    wanted["filter"] =
        json!(own.map_or_else(|| rule.text(), |own| format!("{} AND {}", rule.text(), own.text())));
    if let Some(own) = own {
        query["filter"] = own.value(random);
    }
    let context = format!("{context} {query}");
    let mut found = tenant.search("things", &query);
    for hit in found["hits"].as_array().unwrap() {
        assert!(visible.contains(&hit), "{context}: {hit}");
    }
    let total = ["totalHits", "estimatedTotalHits"].iter().find_map(|name| found[*name].as_u64()).unwrap();
    if words.is_empty() {
        assert_eq!(total, visible.len() as u64, "{context}");
        assert_eq!(found["facetDistribution"], distribution(visible), "{context}");
    }
    let prices = visible.iter().map(|document| document["price"].as_f64().unwrap());
    if let Some(stats) = found["facetStats"]["price"].as_object() {
        assert!(prices.clone().any(|price| json!(price) == stats["min"]), "{context}: {stats:?}");
        assert!(prices.clone().any(|price| json!(price) == stats["max"]), "{context}: {stats:?}");
    }
    let mut expected = master.search("things", &wanted);
    for answer in [&mut found, &mut expected] {
        let members = answer.as_object_mut().unwrap();
        members.retain(|name, _| name != "processingTimeMs" && name != "requestUid");
        // Equal hits of a page may differ, because the two filters order the nodes differently.
        members["hits"] = json!(members["hits"].as_array().unwrap().len());
    }
    assert_eq!(found, expected, "{context}");
}

/// The counts by facet and value.
fn distribution(visible: &[&Value]) -> Value {
    let mut counts: BTreeMap<&str, BTreeMap<String, u64>> = BTreeMap::new();
    for name in ["price", "team", "tenant"] {
        let of_facet = counts.entry(name).or_default();
        for document in visible {
            let values = match document[name].as_array() {
                Some(values) => values.iter().collect::<Vec<_>>(),
                None => vec![&document[name]],
            };
            for value in values {
                *of_facet
                    .entry(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
                    .or_default() += 1;
            }
        }
    }
    json!(counts)
}

fn check_facet_search(
    tenant: &Client,
    visible: &[&Value],
    own: Option<&Filter>,
    random: &mut fastrand::Rng,
    context: &str,
) {
    let facet = *random.choice(&["tenant", "team"]).unwrap();
    let mut query = json!({"facetName": facet, "facetQuery": ""});
    if let Some(own) = own {
        query["filter"] = own.value(random);
    }
    let found = tenant.post("/indexes/things/facet-search", &query);
    let hits = found["facetHits"].as_array().unwrap();
    let counts = hits.iter().map(|hit| (hit["value"].as_str().unwrap().to_owned(), hit["count"].clone()));
    assert_eq!(Value::Object(counts.collect()), distribution(visible)[facet], "{context} {query}");
}

/// Separate and federated queries: hits, totals and facets of both.
fn check_multi_search(
    tenant: &Client,
    visible: &[&Value],
    own: Option<&Filter>,
    random: &mut fastrand::Rng,
    context: &str,
) {
    let mut query = json!({"indexUid": "things", "q": ""});
    if let Some(own) = own {
        query["filter"] = own.value(random);
    }
    let context = format!("{context} {query}");
    let mut apart = query.clone();
    apart["limit"] = json!(1000);
    apart["facets"] = json!(["tenant", "team", "price"]);
    let found =
        tenant.post("/multi-search", &json!({"queries": [apart, {"indexUid": "things", "q": "amber"}]}));
    same_documents(&found["results"][0]["hits"], visible, &context);
    assert_eq!(found["results"][0]["facetDistribution"], distribution(visible), "{context}");
    let federation = json!({"limit": 1000, "facetsByIndex": {"things": ["tenant", "team", "price"]}});
    let mut found = tenant.post("/multi-search", &json!({"queries": [query], "federation": federation}));
    for hit in found["hits"].as_array_mut().unwrap() {
        hit.as_object_mut().unwrap().remove("_federation");
    }
    same_documents(&found["hits"], visible, &context);
    assert_eq!(found["facetsByIndex"]["things"]["distribution"], distribution(visible), "{context}");
}

/// The neighbours of a document, and none for a document that the rules exclude.
fn check_similar(tenant: &Client, seen: &[&Value], random: &mut fastrand::Rng, context: &str) {
    let id = random.usize(0..DOCUMENTS);
    let query = json!({"id": id, "embedder": "given", "limit": 1000});
    let (status, found) = tenant.call("POST", "/indexes/things/similar", &query);
    if !seen.iter().any(|document| document["id"] == id) {
        assert_eq!(
            (status, &found["code"]),
            (400, &json!("not_found_similar_id")),
            "{context} {id}: {found}"
        );
        return;
    }
    assert_eq!(status, 200, "{context} {id}: {found}");
    let others = seen.iter().filter(|document| document["id"] != id).copied().collect::<Vec<_>>();
    same_documents(&found["hits"], &others, context);
}

/// Checks that the hits are exactly these documents, in any order.
fn same_documents(hits: &Value, expected: &[&Value], context: &str) {
    let hits = hits.as_array().unwrap();
    assert_eq!(hits.len(), expected.len(), "{context}");
    assert!(expected.iter().all(|document| hits.contains(document)), "{context}");
}

/// Checks that other routes that show documents or counts refuse tenants' tokens.
fn check_other_routes(tenant: &Client, context: &str) {
    for path in [
        "/indexes/things/documents",
        "/indexes/things/documents/1",
        "/indexes/things/stats",
        "/stats",
        "/tasks",
        "/indexes",
    ] {
        let (status, answer) = tenant.get(path);
        assert_eq!((status, &answer["code"]), (403, &json!("invalid_api_key")), "{context} {path}: {answer}");
    }
    let (status, answer) = tenant.call("POST", "/indexes/things/documents/fetch", &json!({}));
    assert_eq!((status, &answer["code"]), (403, &json!("invalid_api_key")), "{context}: {answer}");
}
