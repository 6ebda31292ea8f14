//! Answers that once differed from one node's: each case is asked of a cluster and of one node with the same documents.
//! Invariant: what differs is times and uids alone.

use serde_json::{Value, json};

use crate::support::{SingleNode, TestCluster};
use node::test_client::Client;

/// A cluster of three nodes, and one node.
struct Pair {
    cluster: TestCluster,
    single: SingleNode,
}

impl Pair {
    fn start() -> Self {
        Self { cluster: TestCluster::start(|options| options.no_sync = true), single: SingleNode::start() }
    }

    fn clients(&self) -> [&Client; 2] {
        [&self.cluster.client, &self.single.client]
    }

    fn load(&self, uid: &str, settings: &Value, documents: &Value) {
        for client in self.clients() {
            client.done("POST", "/indexes", &json!({"uid": uid, "primaryKey": "id"}));
            client.done("PATCH", &format!("/indexes/{uid}/settings"), settings);
            client.done("POST", &format!("/indexes/{uid}/documents"), documents);
        }
    }

    /// Asks both, and gives the answer that they agree on.
    fn same(&self, method: &str, path: &str, body: &Value) -> Value {
        let [found, expected] = self.clients().map(|client| {
            let (status, mut answer) = client.call(method, path, body);
            clean(&mut answer);
            (status, answer)
        });
        assert_eq!(found, expected, "{method} {path} {body}");
        found.1
    }
}

fn clean(value: &mut Value) {
    if let Some(members) = value.as_object_mut() {
        for name in ["processingTimeMs", "requestUid", "uid", "batchUid", "duration", "enqueuedAt"] {
            members.remove(name);
        }
        for name in ["startedAt", "finishedAt", "taskUid"] {
            members.remove(name);
        }
        members.values_mut().for_each(clean);
    }
    value.as_array_mut().into_iter().flatten().for_each(clean);
}

#[test]
fn a_clients_own_fields_are_not_taken_for_a_nodes() {
    let pair = Pair::start();
    let documents = json!([
        {"id": 1, "t": "own", "_rankingScore": "mine", "_formatted": {"b": 1}},
        {"id": 2, "t": "own number", "_rankingScore": 5},
        {"id": 3, "t": "own nothing"},
        {"id": 4, "t": "own half", "_rankingScore": 0.5},
    ]);
    pair.load("scores", &json!({}), &documents);
    for query in ["own", "own number", ""] {
        for shown in [
            json!({}),
            json!({"showRankingScore": true}),
            json!({"showRankingScoreDetails": true}),
            json!({"showRankingScore": true, "showRankingScoreDetails": true}),
            json!({"attributesToHighlight": ["*"], "showMatchesPosition": true}),
            json!({"attributesToRetrieve": ["_rankingScore"]}),
        ] {
            let mut body = shown;
            body["q"] = json!(query);
            pair.same("POST", "/indexes/scores/search", &body);
        }
    }
}

#[test]
fn what_is_displayed_goes_by_exact_names() {
    let pair = Pair::start();
    let documents = json!([
        {"id": 1, "maker": {"tax": 1, "name": "n"}, "t": "x"},
        {"id": 2, "maker": "flat", "maker.tax": 7, "t": "x"},
        {"id": 3, "t": "x"},
        {"id": 4, "maker": [{"tax": 2, "name": "m"}, {"name": "o"}], "t": "x"},
    ]);
    for (number, displayed) in
        [json!(["id", "maker"]), json!(["id", "maker.tax"]), json!(["maker.tax", "maker"])].iter().enumerate()
    {
        let uid = format!("makers{number}");
        pair.load(&uid, &json!({"displayedAttributes": displayed}), &documents);
        for body in [
            json!({}),
            json!({"attributesToRetrieve": ["maker.tax"]}),
            json!({"attributesToRetrieve": ["maker"]}),
            json!({"attributesToRetrieve": ["maker.tax", "maker"]}),
            json!({"attributesToHighlight": ["maker.tax"]}),
            json!({"attributesToHighlight": ["maker"]}),
            json!({"attributesToCrop": ["maker.name"]}),
            json!({"attributesToHighlight": ["maker.name"], "attributesToRetrieve": ["id"]}),
            json!({"attributesToHighlight": ["*"]}),
        ] {
            pair.same("POST", &format!("/indexes/{uid}/search"), &body);
        }
    }
}

#[test]
fn facets_of_numbers_and_texts_are_cut_as_by_one_node() {
    let pair = Pair::start();
    for (numbers, texts) in [(6, 4), (3, 4)] {
        let documents = (0..numbers)
            .map(|number| json!({"id": number, "v": number + 1}))
            .chain((0..texts).map(|number| json!({"id": 100 + number, "v": format!("t{number}")})));
        let documents = documents.collect::<Value>();
        for order in ["alpha", "count"] {
            for most in [0, 5, 6] {
                let uid = format!("mixed{numbers}{order}{most}");
                let faceting = json!({"maxValuesPerFacet": most, "sortFacetValuesBy": {"*": order}});
                let settings = json!({"filterableAttributes": ["v"], "faceting": faceting});
                pair.load(&uid, &settings, &documents);
                pair.same("POST", &format!("/indexes/{uid}/search"), &json!({"facets": ["v"], "limit": 0}));
            }
        }
    }
}

#[test]
fn bodies_and_settings_are_refused_and_told_as_by_one_node() {
    let pair = Pair::start();
    pair.load("told", &json!({}), &json!([{"id": 1, "a": 1}]));
    for refused in [json!(0), json!(-1), json!("1"), json!(1.5)] {
        let change = json!({"pagination": {"maxTotalHits": refused}});
        let answer = pair.same("PATCH", "/indexes/told/settings", &change);
        assert_eq!(answer["code"], "invalid_settings_pagination", "{answer}");
    }
    pair.same("GET", "/indexes/told/settings/pagination", &Value::Null);
    for change in [
        json!({"stopWords": ["b", "a", "a"], "dictionary": ["x", "a"]}),
        json!({"sortableAttributes": ["b", "a", "a"], "separatorTokens": ["&", ";", "&"]}),
        json!({"typoTolerance": {"disableOnWords": ["b", "a"]}}),
        json!({"displayedAttributes": null, "searchableAttributes": null, "stopWords": null}),
        json!({"filterableAttributes": ["n", {"attributePatterns": ["a"]}]}),
        json!({"filterableAttributes": [{"attributePatterns": ["a"], "features": {"filter": {"comparison": true}}}]}),
    ] {
        let [found, expected] = pair.clients().map(|client| {
            let task = client.done("PATCH", "/indexes/told/settings", &change);
            task["details"].clone()
        });
        assert_eq!(found, expected, "{change}");
    }
    let paths = ["/indexes/told/search", "/indexes/told/documents/fetch", "/multi-search"];
    for path in paths {
        let whole = if path == "/multi-search" { r#"{"queries":[]}"# } else { "{}" };
        for (tail, status) in [(" ", 200), (" x", 400), ("{}", 400), ("}", 400)] {
            let body = format!("{whole}{tail}");
            let [found, expected] = pair.clients().map(|client| {
                let headers = [("Content-Type", "application/json")];
                let (status, answer) = client.raw("POST", path, &headers, body.as_bytes()).unwrap();
                let mut answer = serde_json::from_slice(&answer).unwrap();
                clean(&mut answer);
                (status, answer)
            });
            assert_eq!((&found, found.0), (&expected, status), "{path} {body}");
        }
    }
}

#[test]
fn a_federation_under_a_tenants_rule_is_refused_in_one_nodes_words() {
    let key = "a-master-key-of-sixteen-bytes";
    let (cluster, master) = crate::support::guarded_cluster(key);
    for uid in ["alpha", "beta"] {
        master.done("POST", "/indexes", &json!({"uid": uid, "primaryKey": "id"}));
    }
    let search_key = master.read("/keys")["results"][0].clone();
    let token = meilisearch_sdk::client::Client::new(cluster.cluster.url(), Some(key)).unwrap();
    let rules = json!({"*": {"filter": "secret = 1"}});
    let uid = search_key["uid"].as_str().unwrap().to_owned();
    let token = token.generate_tenant_token(uid, rules, search_key["key"].as_str(), None).unwrap();
    let tenant = Client::new(cluster.cluster.url()).with_key(&token);
    let queries = json!([{"indexUid": "beta", "q": "x"}, {"indexUid": "alpha", "q": "x"}]);
    let (status, answer) =
        tenant.call("POST", "/multi-search", &json!({"federation": {}, "queries": queries}));
    let message = answer["message"].as_str().unwrap();
    assert_eq!((status, &answer["code"]), (400, &json!("invalid_search_filter")), "{answer}");
    // The query of the index that comes first by name, which a node looks at first.
    assert!(message.starts_with("Inside `.queries[1]`: ") && message.contains("`alpha`"), "{answer}");
}
