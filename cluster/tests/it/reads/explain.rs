//! Explanations: what they say of a search is what is then done, whatever is asked and whoever is down.

use std::time::Duration;

use serde_json::{Value, json};

use super::queries::{filter, query_text, vocabulary};
use crate::{
    failures::failover::{faulty, wait_for_state},
    support::{TestCluster, guarded_cluster, load_cities},
};
use node::test_client::Client;

/// Queries per state of the cluster.
const QUERIES: usize = 250;

/// The shards that each node is planned to answer for, or did.
fn by_node(pairs: impl Iterator<Item = (String, String)>) -> Vec<(String, String)> {
    let mut pairs = pairs.collect::<Vec<_>>();
    pairs.sort_unstable();
    pairs
}

fn planned(explained: &Value) -> Vec<(String, String)> {
    let nodes = explained["plan"]["nodes"].as_object().unwrap();
    by_node(nodes.iter().map(|(shard, node)| (node.as_str().unwrap().to_owned(), shard.clone())))
}

fn carried_out(explained: &Value) -> Vec<(String, String)> {
    let legs = explained["execution"]["legs"].as_array().unwrap();
    by_node(legs.iter().flat_map(|leg| {
        let node = leg["node"].as_str().unwrap();
        leg["shards"].as_array().unwrap().iter().map(move |shard| (node.to_owned(), shard.to_string()))
    }))
}

fn query(random: &mut fastrand::Rng, words: &[String]) -> Value {
    let mut query = json!({"limit": random.usize(1..40), "offset": random.usize(..30)});
    if random.u8(..4) > 0 {
        query["q"] = json!(query_text(random, words));
    }
    match random.u8(..4) {
        0 => query["filter"] = filter(random),
        1 => query["filter"] = json!(format!("id = {}", random.u32(1..9_000_000))),
        _ => {}
    }
    if random.bool() {
        query["sort"] = json!(["population:desc"]);
    }
    if random.u8(..5) == 0 {
        query["facets"] = json!(["country"]);
    }
    query
}

#[test]
fn a_plan_is_what_is_carried_out_also_with_a_node_down() {
    let mut cluster = TestCluster::start(faulty);
    load_cities(&cluster.client);
    let (mut random, words) = (fastrand::Rng::with_seed(17), vocabulary());
    for is_down in [false, true] {
        if is_down {
            cluster.cluster.kill_node(1).unwrap();
            wait_for_state(&cluster, 1, "down");
        }
        let (mut compared, mut narrowed) = (0, 0);
        for _ in 0..QUERIES {
            let asked = query(&mut random, &words);
            let explained = cluster.client.post("/indexes/cities/explain?execute=true", &asked);
            let (plan, done) = (&explained["plan"], &explained["execution"]);
            let found = cluster.client.search("cities", &asked);
            assert_eq!(explained["result"]["hits"], found["hits"], "{asked}");
            if plan["narrowed"] == true {
                narrowed += 1;
                assert_eq!(plan["targetShards"].as_array().unwrap().len(), 1, "{explained}");
            }
            assert_eq!(done["missingShards"], json!([]), "{explained}");
            // The nodes that were asked besides, because a node was slow under load, is told apart.
            if done["retries"] == 0 && done["hedges"] == 0 {
                compared += 1;
                assert_eq!(planned(&explained), carried_out(&explained), "{explained}");
                assert!(!is_down || planned(&explained).iter().all(|(node, _)| node != "n1"), "{explained}");
            }
        }
        assert!(
            compared > QUERIES / 2 && narrowed > QUERIES / 10,
            "{compared} compared, {narrowed} narrowed"
        );
    }
}

#[test]
fn a_plan_is_what_is_carried_out_for_every_tenant() {
    let mut cluster = TestCluster::start(|options| {
        faulty(options);
        options.nodes = 4;
        options.groups = 2;
        options.gateway_arguments.extend(["--tenant-affinity", "header"].map(str::to_owned));
    });
    load_cities(&cluster.client);
    assert_eq!(cluster.client.call("PUT", "/_miroir/tenants/acme", &json!({"group": 1})).0, 200);
    let (mut random, words) = (fastrand::Rng::with_seed(18), vocabulary());
    for is_down in [false, true] {
        if is_down {
            // Half of the second group: the other copy of each shard still answers.
            cluster.cluster.kill_node(3).unwrap();
            wait_for_state(&cluster, 3, "down");
        }
        let mut compared = 0;
        for _ in 0..QUERIES {
            let asked = query(&mut random, &words);
            let tenant = random.choice(["acme", "one", "two"]).unwrap();
            let headers = [("Content-Type", "application/json"), ("X-Miroir-Tenant", tenant)];
            let path = "/indexes/cities/explain?execute=true";
            let body = asked.to_string();
            let (status, answer) = cluster.client.raw("POST", path, &headers, body.as_bytes()).unwrap();
            let explained = serde_json::from_slice::<Value>(&answer).unwrap();
            assert_eq!(status, 200, "{explained}");
            let (plan, done) = (&explained["plan"], &explained["execution"]);
            assert_eq!(plan["tenant"]["name"], tenant, "{explained}");
            assert_eq!(
                plan["group"],
                json!({"id": plan["tenant"]["group"], "reason": "tenant"}),
                "{explained}"
            );
            assert!(tenant != "acme" || plan["tenant"]["group"] == 1, "{explained}");
            if done["retries"] == 0 && done["hedges"] == 0 {
                compared += 1;
                assert_eq!(planned(&explained), carried_out(&explained), "{explained}");
            }
        }
        assert!(compared > QUERIES / 2, "{compared} compared");
    }
}

#[test]
fn what_is_wrong_or_costly_is_warned_of() {
    let cluster = TestCluster::start(|_| {});
    load_cities(&cluster.client);
    let explain = |body: &Value| cluster.client.post("/indexes/cities/explain", body);
    // The settings of the cities are on their way until a look at the nodes has confirmed them.
    while explain(&json!({}))["plan"]["broadcastPending"] != false {
        std::thread::sleep(Duration::from_millis(20));
    }
    let codes = |body: Value| {
        let explained = explain(&body);
        let warnings = explained["warnings"].as_array().unwrap().clone();
        warnings.iter().map(|warning| warning["code"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(codes(json!({"q": "paris", "filter": "country = France"})), [""; 0]);
    assert_eq!(codes(json!({"filter": "name = Paris"})), ["attributeNotFilterable"]);
    assert_eq!(codes(json!({"q": "a", "sort": ["country:asc"]})), ["attributeNotSortable"]);
    assert_eq!(codes(json!({"q": "a", "offset": 9_990, "limit": 11})), ["deepPage"]);
    assert_eq!(codes(json!({})), ["emptyQuery"]);
    assert_eq!(codes(json!({"filter": "id = 5 OR id = 6"})), ["notNarrowed"]);
    assert_eq!(codes(json!({"filter": "id = 5", "facets": ["country"]})), ["notNarrowed"]);
    let narrowed = explain(&json!({"filter": "id = 5"}));
    assert_eq!((&narrowed["resolvedUid"], &narrowed["plan"]["narrowed"]), (&json!("cities"), &json!(true)));
    assert!(narrowed.get("result").is_none());
    assert_eq!(narrowed["plan"]["group"], json!({"id": 0, "reason": "turn"}));
    assert_eq!(narrowed["plan"]["nodes"].as_object().unwrap().len(), 1);
    let queries =
        json!({"queries": [{"indexUid": "cities", "q": "a"}, {"indexUid": "cities", "filter": "id = 5"}]});
    let many = explain(&queries);
    let narrowed = many["results"].as_array().unwrap().iter().map(|one| one["plan"]["narrowed"] == true);
    assert_eq!(narrowed.collect::<Vec<_>>(), [false, true], "{many}");
    let (status, refused) = cluster.client.call("POST", "/indexes/none/explain", &json!({}));
    assert_eq!((status, &refused["code"]), (404, &json!("index_not_found")));
    let (status, refused) = cluster.client.call("POST", "/indexes/cities/explain", &json!({"limit": "x"}));
    assert_eq!((status, &refused["code"]), (400, &json!("invalid_search_limit")));
}

#[test]
fn explanations_take_the_right_to_search() {
    let (cluster, master) = guarded_cluster("the-key-of-the-clients");
    master.done("POST", "/indexes", &json!({"uid": "films"}));
    let key = json!({"actions": ["search"], "indexes": ["films"], "expiresAt": null});
    let (_, made) = master.call("POST", "/keys", &key);
    let client = Client::new(cluster.cluster.url()).with_key(made["key"].as_str().unwrap());
    assert_eq!(client.call("POST", "/indexes/films/explain", &json!({})).0, 200);
    assert_eq!(client.call("POST", "/indexes/others/explain", &json!({})).0, 403);
    let both = json!({"queries": [{"indexUid": "films"}, {"indexUid": "others"}]});
    assert_eq!(client.call("POST", "/indexes/films/explain", &both).0, 403);
    assert_eq!(Client::new(cluster.cluster.url()).call("POST", "/indexes/films/explain", &json!({})).0, 401);
}
