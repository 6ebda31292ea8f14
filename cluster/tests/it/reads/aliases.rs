//! Aliases: names that stand for indexes, flipped while everybody reads and writes through them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::support::{TestCluster, cities, city_settings, guarded_cluster};
use node::test_client::{Client, ids};

fn alias(client: &Client, name: &str, target: &str) {
    let (status, answer) = client.call("POST", "/_miroir/aliases", &json!({"name": name, "target": target}));
    assert_eq!(status, 201, "{answer}");
}

/// An index whose documents all say which one it is.
fn fill(client: &Client, uid: &str, count: usize) {
    client.done("POST", "/indexes", &json!({"uid": uid, "primaryKey": "id"}));
    let settings = json!({"filterableAttributes": ["of", "id"], "sortableAttributes": ["id"]});
    client.done("PATCH", &format!("/indexes/{uid}/settings"), &settings);
    let documents = (0..count).map(|id| json!({"id": id, "of": uid, "title": format!("thing {id}")}));
    client.done("POST", &format!("/indexes/{uid}/documents"), &documents.collect::<Vec<_>>().into());
}

#[test]
fn everything_a_client_names_takes_an_alias() {
    let cluster = TestCluster::start(|_| {});
    let client = &cluster.client;
    fill(client, "one", 20);
    alias(client, "things", "one");
    assert_eq!(client.search("things", &json!({"limit": 50}))["estimatedTotalHits"], 20);
    let many = json!({"queries": [{"indexUid": "things", "q": "thing", "limit": 2}]});
    assert_eq!(client.post("/multi-search", &many)["results"][0]["indexUid"], "things");
    let facets = json!({"facetsByIndex": {"things": ["of"]}});
    let federated = json!({"federation": facets, "queries": [{"indexUid": "things", "q": "thing"}]});
    let answer = client.post("/multi-search", &federated);
    assert_eq!(answer["hits"][0]["_federation"]["indexUid"], "things", "{answer}");
    assert_eq!(answer["facetsByIndex"]["things"]["distribution"]["of"], json!({"one": 20}), "{answer}");
    let facet = json!({"facetName": "of", "facetQuery": "o"});
    assert_eq!(client.post("/indexes/things/facet-search", &facet)["facetHits"][0]["count"], 20);
    assert_eq!(client.read("/indexes/things/documents/3")["of"], "one");
    assert_eq!(client.read("/indexes/things/documents?limit=1")["total"], 20);
    assert_eq!(client.read("/indexes/things/settings/sortable-attributes"), json!(["id"]));
    assert_eq!(client.read("/indexes/things/stats")["numberOfDocuments"], 20);
    assert_eq!(client.read("/indexes/things")["uid"], "things");
    let (status, summary) =
        client.call("POST", "/indexes/things/documents", &json!([{"id": 99, "of": "one"}]));
    assert_eq!((status, &summary["indexUid"]), (202, &json!("things")));
    let task = client.finished(&summary);
    assert_eq!((&task["indexUid"], &task["status"]), (&json!("things"), &json!("succeeded")), "{task}");
    assert_eq!(client.read("/indexes/one/documents/99")["id"], 99);
    client.done("DELETE", "/indexes/things/documents/99", &Value::Null);
    client.done("PUT", "/indexes/things/settings/stop-words", &json!(["the"]));
    assert_eq!(client.read("/indexes/one/settings/stop-words"), json!(["the"]));
    let tasks = client.read("/tasks?indexUids=things&types=settingsUpdate");
    assert_eq!(tasks["total"], 2, "those of its index: {tasks}");
    let explained = client.post("/indexes/things/explain", &json!({"q": "thing"}));
    assert_eq!(explained["resolvedUid"], "one");
    assert_eq!(explained["plan"]["alias"], json!({"name": "things", "kind": "single", "version": 1}));
    let (status, refused) = client.call("POST", "/indexes/things/search", &json!({"filter": "title = 1"}));
    assert_eq!(status, 400);
    assert!(!refused["message"].as_str().unwrap().contains("one-"), "{refused}");
}

#[test]
fn what_cannot_be_an_alias_is_refused_and_changes_nothing() {
    let cluster = TestCluster::start(|_| {});
    let client = &cluster.client;
    fill(client, "one", 1);
    fill(client, "two", 1);
    alias(client, "things", "one");
    let before = client.read("/_miroir/aliases");
    let check = |method: &str, path: &str, body: Value, status: u16, code: &str| {
        let (found, answer) = client.call(method, path, &body);
        assert_eq!(
            (found, answer["code"].as_str()),
            (status, Some(code)),
            "{method} {path} {body}: {answer}"
        );
    };
    let post = |body: Value, status: u16, code: &str| check("POST", "/_miroir/aliases", body, status, code);
    post(json!({"name": "a", "target": "a"}), 400, "bad_request");
    post(json!({"name": "a", "target": "things"}), 400, "bad_request");
    post(json!({"name": "a", "target": "none"}), 404, "index_not_found");
    post(json!({"name": "a", "targets": ["one", "none"]}), 404, "index_not_found");
    post(json!({"name": "two", "target": "one"}), 409, "miroir_alias_conflict");
    post(json!({"name": "things", "target": "two"}), 409, "miroir_alias_conflict");
    post(json!({"name": "a b", "target": "two"}), 400, "invalid_index_uid");
    let flip =
        |body: Value, status: u16, code: &str| check("PUT", "/_miroir/aliases/things", body, status, code);
    flip(json!({"target": "two", "version": 7}), 409, "miroir_alias_conflict");
    flip(json!({"targets": ["two"]}), 409, "miroir_alias_conflict");
    flip(json!({"target": "none"}), 404, "index_not_found");
    flip(json!({"target": "things"}), 400, "bad_request");
    check("PUT", "/_miroir/aliases/none", json!({"target": "two"}), 404, "miroir_alias_not_found");
    check("DELETE", "/_miroir/aliases/none", Value::Null, 404, "miroir_alias_not_found");
    check("POST", "/indexes", json!({"uid": "things"}), 409, "miroir_alias_conflict");
    check("PATCH", "/indexes/two", json!({"uid": "things"}), 409, "miroir_alias_conflict");
    check("DELETE", "/indexes/things", Value::Null, 409, "miroir_alias_conflict");
    let swap = json!([{"indexes": ["two", "things"], "rename": true}]);
    check("POST", "/swap-indexes", swap, 409, "miroir_alias_conflict");
    assert_eq!(client.read("/_miroir/aliases"), before);
    assert_eq!(client.read("/indexes")["total"], 2);
    let (status, flipped) =
        client.call("PUT", "/_miroir/aliases/things", &json!({"target": "two", "version": 1}));
    assert_eq!((status, &flipped["version"], &flipped["target"]), (200, &json!(2), &json!("two")));
    assert_eq!(flipped["history"][0]["target"], "one");
    client.done("POST", "/swap-indexes", &json!([{"indexes": ["one", "things"]}]));
    assert_eq!(
        client.search("things", &json!({}))["hits"][0]["of"],
        "one",
        "the index behind it was swapped"
    );
    assert_eq!(client.call("DELETE", "/_miroir/aliases/things", &Value::Null).0, 204);
    assert_eq!(client.call("POST", "/indexes/things/search", &json!({})).0, 404);
}

#[test]
fn flips_tear_nothing() {
    const FLIPS: usize = 60;
    let mut cluster = TestCluster::start(|options| options.no_sync = true);
    for uid in ["one", "two"] {
        fill(&cluster.client, uid, 40);
    }
    alias(&cluster.client, "things", "one");
    let url = cluster.cluster.url();
    let (over, searches, writes) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let written = std::thread::scope(|scope| {
        for reader in 0..3 {
            let (url, over, searches) = (url.clone(), &over, &searches);
            scope.spawn(move || {
                let client = Client::new(url);
                for round in reader.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    let query = json!({"q": "thing", "limit": 40, "offset": round % 3, "facets": ["of"]});
                    let answer = client.search("things", &query);
                    let of = answer["hits"].as_array().unwrap().iter().map(|hit| hit["of"].as_str().unwrap());
                    let mut of = of.collect::<Vec<_>>();
                    of.dedup();
                    assert_eq!(of.len(), 1, "an answer of two indexes: {answer}");
                    let counted = answer["facetDistribution"]["of"].as_object().unwrap();
                    assert!(counted.len() == 1 && counted.contains_key(of[0]), "{answer}");
                    searches.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let writer = scope.spawn(|| {
            let client = Client::new(url.clone());
            let mut summaries = Vec::new();
            for id in 1000.. {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                let (status, summary) = client.call("PUT", "/indexes/things/documents", &json!([{"id": id}]));
                assert_eq!(status, 202, "{summary}");
                summaries.push((id, summary));
                writes.fetch_add(1, Ordering::Relaxed);
            }
            summaries
        });
        let mut version = 1;
        for flip in 0..FLIPS {
            // Somebody has read, and somebody has written, between two flips.
            let (searched, wrote) = (searches.load(Ordering::Relaxed), writes.load(Ordering::Relaxed));
            while searches.load(Ordering::Relaxed) < searched + 2 || writes.load(Ordering::Relaxed) <= wrote {
                assert!(!writer.is_finished(), "the writer has failed");
                std::thread::yield_now();
            }
            let target = if flip % 2 == 0 { "two" } else { "one" };
            let body = json!({"target": target, "version": version});
            let (status, flipped) = cluster.client.call("PUT", "/_miroir/aliases/things", &body);
            assert_eq!(status, 200, "{flipped}");
            version = flipped["version"].as_u64().unwrap();
        }
        over.store(true, Ordering::Relaxed);
        writer.join().unwrap()
    });
    for (id, summary) in &written {
        assert_eq!(cluster.client.finished(summary)["status"], "succeeded");
        let there = |uid: &str| cluster.client.get(&format!("/indexes/{uid}/documents/{id}")).0 == 200;
        assert!(there("one") != there("two"), "document {id} is in one of the two");
    }
    // What an alias stands for outlives the process.
    let before = cluster.client.read("/_miroir/aliases/things");
    assert_eq!(before["history"].as_array().unwrap().len(), 10);
    cluster.cluster.kill_gateway().unwrap();
    cluster.cluster.start_gateway().unwrap();
    assert_eq!(cluster.client.read("/_miroir/aliases/things"), before);
    assert_eq!(cluster.client.call("POST", "/indexes/things/search", &json!({})).0, 200);
}

#[test]
fn keys_and_rules_judge_the_name_that_was_given() {
    let (cluster, master) = guarded_cluster("the-key-of-the-clients");
    fill(&master, "one", 5);
    alias(&master, "things", "one");
    let key = json!({"actions": ["search", "documents.add", "tasks.get"], "indexes": ["things"], "expiresAt": null});
    let (_, made) = master.call("POST", "/keys", &key);
    let client = Client::new(cluster.cluster.url()).with_key(made["key"].as_str().unwrap());
    assert_eq!(client.search("things", &json!({}))["estimatedTotalHits"], 5);
    assert_eq!(client.call("POST", "/indexes/one/search", &json!({})).0, 403);
    client.done("POST", "/indexes/things/documents", &json!([{"id": 7, "of": "one"}]));
    assert_eq!(client.call("GET", "/_miroir/aliases", &Value::Null).0, 401);
}

/// Statistics, settings and the index itself, of an alias of several as of one index with the same documents.
fn what_is_told_of_several_is_told_of_one(client: &Client) {
    let stats = |uid: &str| {
        let stats = client.read(&format!("/indexes/{uid}/stats"));
        ["numberOfDocuments", "isIndexing", "fieldDistribution"].map(|name| stats[name].clone())
    };
    assert_eq!(stats("all"), stats("whole"));
    assert_eq!(client.read("/indexes/all/settings"), client.read("/indexes/whole/settings"));
    let setting = |uid: &str| client.read(&format!("/indexes/{uid}/settings/sortable-attributes"));
    assert_eq!(setting("all"), setting("whole"));
    let described = client.read("/indexes/all");
    assert_eq!((&described["uid"], &described["primaryKey"]), (&json!("all"), &json!("id")));
    // Where settings that do not matter to the merge differ, only what is common can be shown.
    client.done("PUT", "/indexes/part-1/settings/stop-words", &json!(["the"]));
    for path in ["/indexes/all/settings", "/indexes/all/settings/stop-words"] {
        let (status, refused) = client.get(path);
        assert_eq!((status, &refused["code"]), (400, &json!("bad_request")), "{path}: {refused}");
        let message = refused["message"].as_str().unwrap();
        assert!(message.contains("`stopWords`") && message.contains("`part-1`"), "{path}: {message}");
    }
    assert_eq!(setting("all"), setting("whole"));
    assert_eq!(client.call("POST", "/indexes/all/search", &json!({})).0, 200);
}

#[test]
fn neighbours_are_found_in_all_indexes_of_an_alias() {
    const DIMENSIONS: usize = 48;
    let cluster = TestCluster::start(|_| {});
    let client = &cluster.client;
    let embedders = json!({"embedders": {"own": {"source": "userProvided", "dimensions": DIMENSIONS}}});
    let mut random = fastrand::Rng::with_seed(5);
    let mut point = |id: usize| {
        let vector = (0..DIMENSIONS).map(|_| f64::from(random.i32(-100..100))).collect::<Vec<_>>();
        json!({"id": id, "_vectors": {"own": vector}})
    };
    let points = (0..36).map(&mut point).collect::<Vec<_>>();
    for uid in ["whole", "part-0", "part-1", "part-2"] {
        client.done("POST", "/indexes", &json!({"uid": uid, "primaryKey": "id"}));
        client.done("PATCH", &format!("/indexes/{uid}/settings"), &embedders);
    }
    client.done("POST", "/indexes/whole/documents", &points.clone().into());
    for part in 0..3 {
        let own = points.iter().skip(part).step_by(3).cloned().collect::<Vec<_>>();
        client.done("POST", &format!("/indexes/part-{part}/documents"), &own.into());
    }
    let body = json!({"name": "all", "targets": ["part-0", "part-1", "part-2"]});
    assert_eq!(client.call("POST", "/_miroir/aliases", &body).0, 201);
    for id in [0, 7, 20, 35] {
        for asked in [
            json!({"id": id, "embedder": "own", "limit": 12, "showRankingScore": true}),
            json!({"id": id, "embedder": "own", "limit": 5, "offset": 3, "attributesToRetrieve": ["id"]}),
        ] {
            let similar = |uid: &str| {
                let mut answer = client.post(&format!("/indexes/{uid}/similar"), &asked);
                answer.as_object_mut().unwrap().remove("processingTimeMs");
                answer
            };
            assert_eq!(similar("all"), similar("whole"), "{asked}");
        }
    }
    let (status, refused) =
        client.call("POST", "/indexes/all/similar", &json!({"id": 99, "embedder": "own"}));
    assert_eq!((status, &refused["code"]), (400, &json!("not_found_similar_id")), "{refused}");
}

#[test]
fn several_indexes_are_searched_as_one() {
    let cluster = TestCluster::start(|_| {});
    let client = &cluster.client;
    let all = cities();
    for uid in ["whole", "part-0", "part-1", "part-2"] {
        client.done("POST", "/indexes", &json!({"uid": uid, "primaryKey": "id"}));
        client.done("PATCH", &format!("/indexes/{uid}/settings"), &city_settings());
    }
    client.done("POST", "/indexes/whole/documents", &all.clone().into());
    for part in 0..3 {
        let own = all.iter().skip(part).step_by(3).cloned().collect::<Vec<_>>();
        client.done("POST", &format!("/indexes/part-{part}/documents"), &own.into());
    }
    let body = json!({"name": "all", "targets": ["part-0", "part-1", "part-2"]});
    let (status, made) = client.call("POST", "/_miroir/aliases", &body);
    assert_eq!((status, &made["kind"]), (201, &json!("multi")));
    for query in [
        json!({"q": "san", "limit": 50}),
        json!({"q": "new", "offset": 10, "limit": 30, "attributesToHighlight": ["name"]}),
        json!({"sort": ["population:desc", "name:asc"], "hitsPerPage": 25, "page": 3}),
        json!({"filter": "country = Japan", "sort": ["name:asc"], "facets": ["timezone", "countryCode"], "limit": 100}),
        json!({"distinct": "country", "sort": ["population:desc"], "limit": 30}),
        json!({"filter": "id IN [2988507, 1850147]", "sort": ["population:desc"]}),
        json!({"sort": ["_geoPoint(48.8, 2.3):asc"], "limit": 20}),
    ] {
        let (mut one, mut several) = (client.search("whole", &query), client.search("all", &query));
        for answer in [&mut one, &mut several] {
            answer.as_object_mut().unwrap().remove("processingTimeMs");
        }
        assert_eq!(one, several, "{query}");
    }
    let facet = json!({"facetName": "country", "facetQuery": "ja"});
    let hits = |uid: &str| client.post(&format!("/indexes/{uid}/facet-search"), &facet)["facetHits"].clone();
    assert_eq!(hits("whole"), hits("all"));
    assert_eq!(client.read("/indexes/all/documents?limit=3")["total"], all.len());
    assert_eq!(client.read("/indexes/all/documents/2988507")["name"], "Paris");
    let many = json!({"queries": [{"indexUid": "all", "q": "paris", "limit": 1}]});
    assert_eq!(client.post("/multi-search", &many)["results"][0]["hits"][0]["name"], "Paris");
    let federation = |uid: &str| {
        let facets = json!({"facetsByIndex": {uid: ["country"]}});
        let body = json!({"federation": facets, "queries": [{"indexUid": uid, "q": "santa"}]});
        let answer = client.post("/multi-search", &body);
        (ids(&answer), answer["facetsByIndex"][uid].clone(), answer["estimatedTotalHits"].clone())
    };
    assert_eq!(federation("whole"), federation("all"));
    let explained = client.post("/indexes/all/explain?execute=true", &json!({"filter": "id = 2988507"}));
    assert_eq!(explained["resolvedUid"], json!(["part-0", "part-1", "part-2"]));
    assert_eq!(explained["plan"]["targetShards"].as_array().unwrap().len(), 3, "one of each: {explained}");
    for (method, path, body) in [
        ("POST", "/indexes/all/documents", json!([{"id": 1}])),
        ("DELETE", "/indexes/all/documents", Value::Null),
        ("PATCH", "/indexes/all/settings", json!({"stopWords": ["a"]})),
    ] {
        let (status, refused) = client.call(method, path, &body);
        assert_eq!((status, &refused["code"]), (409, &json!("miroir_multi_alias_not_writable")), "{path}");
        assert!(refused["message"].as_str().unwrap().contains("`operator`"), "{refused}");
    }
    what_is_told_of_several_is_told_of_one(client);
    client.done("PUT", "/indexes/part-1/settings/ranking-rules", &json!(["sort", "words"]));
    let (status, refused) = client.call("POST", "/indexes/all/search", &json!({}));
    assert_eq!(status, 400);
    assert!(refused["message"].as_str().unwrap().contains("`rankingRules`"), "{refused}");
}
