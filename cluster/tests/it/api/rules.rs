//! Routes that embedded nodes do not have: dynamic search rules, rendering, and the network.
//! Invariant: with embedded nodes the gateway refuses what they refuse. With a real Meilisearch all answers are
//! compared with those of one node.

use serde_json::{Value, json};

use crate::{
    failures::failover::wait_for_state,
    support::{SingleNode, TestCluster, real_node},
};
use node::test_client::Client;

/// Status and body without times, versions and uids of requests.
fn ask(client: &Client, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let headers = [("Content-Type", "application/json")];
    let (status, answer) = client.raw(method, path, &headers, body.to_string().as_bytes()).unwrap();
    let text = String::from_utf8(answer).unwrap();
    let mut answer = serde_json::from_str(&text).unwrap_or(Value::String(text));
    clean(&mut answer);
    (status, answer)
}

fn clean(value: &mut Value) {
    if let Some(members) = value.as_object_mut() {
        for name in ["processingTimeMs", "requestUid", "lastUpdatedAt", "version", "enqueuedAt"] {
            members.remove(name);
        }
        members.values_mut().for_each(clean);
    }
    value.as_array_mut().into_iter().flatten().for_each(clean);
}

fn same(clients: &[&Client; 2], method: &str, path: &str, body: &Value) {
    let [found, expected] = clients.map(|client| ask(client, method, path, body));
    assert_eq!(found, expected, "{method} {path} {body}");
}

#[test]
fn a_network_is_kept_and_shown_as_on_one_node() {
    let (cluster, single) = (TestCluster::start(|_| {}), real_node().map(|_| SingleNode::start()));
    let client = &cluster.client;
    let remote = json!({"url": "http://a.example/", "searchApiKey": "key"});
    assert_eq!(client.get("/network").1["code"], "feature_not_enabled");
    assert_eq!(client.call("PATCH", "/network", &json!({})).1["code"], "feature_not_enabled");
    client.call("PATCH", "/experimental-features", &json!({"network": true}));
    let (status, network) = client.call("PATCH", "/network", &json!({"remotes": {"a": remote}, "self": "a"}));
    assert_eq!((status, &network["self"]), (200, &json!("a")), "{network}");
    assert_eq!(network["remotes"]["a"]["searchApiKey"], "key");
    assert_eq!(client.read("/network"), network);
    for url in cluster.cluster.node_urls() {
        let of_node = Client::new(url).with_key("the-key-of-the-nodes").read("/network");
        assert_eq!(of_node["remotes"], json!({}), "no node hears of it");
    }
    let (status, answer) = client.call("PATCH", "/network", &json!({"leader": "a"}));
    assert_eq!((status, &answer["code"]), (451, &json!("requires_enterprise_edition")), "{answer}");
    let Some(single) = single else { return };
    let clients = [client, &single.client];
    ask(clients[1], "PATCH", "/experimental-features", &json!({"network": true}));
    ask(clients[1], "PATCH", "/network", &json!({"remotes": {"a": remote}, "self": "a"}));
    for body in [
        json!({"remotes": {"b": {"url": "http://b.example"}}, "shards": {"s": {"remotes": ["a", "b"]}}}),
        json!({"remotes": {"b": {"writeApiKey": "w"}}, "self": null}),
        json!({"shards": {"s": {"addRemotes": ["c"], "removeRemotes": ["a"]}, "t": {"remotes": []}}}),
        json!({"remotes": {"b": null}}),
        json!({"remotes": {"c": {}}}),
        json!({"remotes": {"a": {"url": null}}}),
        json!({"remotes": {"a": {"url": "a b"}}}),
        json!({"remotes": {"a": {"url": 7}}}),
        json!({"remotes": {"a": {"nope": 7}}}),
        json!({"remotes": 7}),
        json!({"shards": {"s": {"remotes": 7}}}),
        json!({"shards": {"s": {"nope": 7}}}),
        json!({"previousRemotes": {}}),
        json!({"previousShards": {}}),
        json!({"leader": "a"}),
        json!({"nope": 1}),
        json!({"remotes": null, "shards": null}),
    ] {
        same(&clients, "PATCH", "/network", &body);
        same(&clients, "GET", "/network", &Value::Null);
    }
}

#[test]
fn rules_and_templates_are_those_of_one_node() {
    let (cluster, single) = (TestCluster::start(|_| {}), SingleNode::start());
    let clients = [&cluster.client, &single.client];
    let rule = |index: &str, id: &str, position: u32, words: &str| {
        json!({
            "actions": [{"selector": {"indexUid": index, "id": id}, "action": {"type": "pin", "position": position}}],
            "conditions": {"query": {"words": words}},
            // If the order of rules differs from their positions, one node loses those behind its page.
            "precedence": position,
        })
    };
    let early = rule("pets", "7", 2, "cat");
    if real_node().is_none() {
        for client in clients {
            let (status, _) = client.call("PATCH", "/dynamic-search-rules/early", &early);
            assert!(status > 500, "embedded nodes have no rules, and neither has a cluster of them");
        }
        let page = client_page(&cluster.client);
        assert_eq!(page["estimatedTotalHits"], 1, "a rule that was not taken pins nothing");
        return;
    }
    same(&clients, "PATCH", "/dynamic-search-rules/early", &early);
    for client in clients {
        let features = json!({"dynamicSearchRules": true, "renderRoute": true});
        client.call("PATCH", "/experimental-features", &features);
        // A rule may be created before its index.
        client.done("PATCH", "/dynamic-search-rules/early", &early);
        client.done("POST", "/indexes", &json!({"uid": "pets", "primaryKey": "id"}));
        client.done("PUT", "/indexes/pets/settings/sortable-attributes", &json!(["id"]));
        let words = ["cat", "dog", "black", "white"];
        let pet = |id: usize| json!({"id": id, "t": format!("{} {}", words[id % 2], words[2 + id % 3 % 2])});
        client.done("POST", "/indexes/pets/documents", &(0..60).map(pet).collect());
        client.done("PATCH", "/dynamic-search-rules/late", &rule("pets", "13", 0, "dog"));
        client.done(
            "POST",
            "/indexes/others/documents",
            &json!([{"id": 1, "t": "cat"}, {"id": 7, "t": "dog"}]),
        );
    }
    let searches = |index: &str| {
        for q in ["cat", "dog", "white cat", "", "dog cat"] {
            for body in [
                json!({}),
                json!({"limit": 2}),
                json!({"offset": 2, "limit": 3}),
                json!({"page": 2, "hitsPerPage": 4}),
            ] {
                let mut body = body;
                (body["q"], body["sort"]) = (json!(q), json!(["id:asc"]));
                same(&clients, "POST", &format!("/indexes/{index}/search"), &body);
            }
        }
    };
    searches("pets");
    for client in clients {
        client.done("PUT", "/indexes/others/settings/sortable-attributes", &json!(["id"]));
        client.done("POST", "/swap-indexes", &json!([{"indexes": ["pets", "others"]}]));
    }
    searches("pets");
    searches("others");
    same_rules_and_templates(&clients);
    for client in clients {
        client.done("DELETE", "/dynamic-search-rules/late", &Value::Null);
        client.done("DELETE", "/dynamic-search-rules", &Value::Null);
    }
    same(&clients, "POST", "/dynamic-search-rules", &json!({}));
}

fn same_rules_and_templates(clients: &[&Client; 2]) {
    for body in [json!({}), json!({"limit": 1}), json!({"filter": {"query": "dog"}}), json!({"nope": 1})] {
        same(clients, "POST", "/dynamic-search-rules", &body);
    }
    for uid in ["early", "nope", "a%20b"] {
        same(clients, "GET", &format!("/dynamic-search-rules/{uid}"), &Value::Null);
    }
    for body in [json!({"actions": 7}), json!([]), json!({"precedence": -1})] {
        same(clients, "PATCH", "/dynamic-search-rules/early", &body);
    }
    let template = json!({"kind": "inlineDocumentTemplate", "inline": "A {{doc.t}}"});
    for input in [
        json!({"kind": "inlineDocument", "inline": {"t": "x"}}),
        json!({"kind": "indexDocument", "indexUid": "others", "id": "42"}),
        json!({"kind": "indexDocument", "indexUid": "others", "id": "4200"}),
        json!({"kind": "indexDocument", "indexUid": "pets-1", "id": "1"}),
        json!({"kind": "nope"}),
        Value::Null,
    ] {
        same(clients, "POST", "/render-template", &json!({"template": template, "input": input}));
    }
}

/// A page of one document.
fn client_page(client: &Client) -> Value {
    client.done("POST", "/indexes/pets/documents", &json!([{"id": 7, "t": "cat"}]));
    client.post("/indexes/pets/search", &json!({"q": "cat"}))
}

#[test]
fn a_search_may_name_this_cluster_as_its_remote() {
    let Some(_) = real_node() else { return };
    let (cluster, single) = (TestCluster::start(|_| {}), SingleNode::start());
    let clients = [&cluster.client, &single.client];
    let ours = json!({"indexUid": "pets", "q": "a", "federationOptions": {"remote": "us", "weight": 0.5}});
    let plain = json!({"indexUid": "pets", "q": "b"});
    let search = |queries: &[&Value]| {
        same(&clients, "POST", "/multi-search", &json!({"federation": {}, "queries": queries}));
    };
    for client in clients {
        client.done("POST", "/indexes", &json!({"uid": "pets", "primaryKey": "id"}));
        let pets = (0..9).map(|id| json!({"id": id, "t": if id % 2 == 0 { "a" } else { "b" }}));
        client.done("POST", "/indexes/pets/documents", &pets.collect());
    }
    search(&[&ours]);
    for client in clients {
        client.call("PATCH", "/experimental-features", &json!({"network": true}));
        let network = json!({"self": "us", "remotes": {"us": {"url": "http://a.example"}}});
        client.call("PATCH", "/network", &network);
    }
    for queries in [vec![&ours], vec![&ours, &plain], vec![&plain]] {
        search(&queries);
    }
    search(&[&json!({"indexUid": "pets", "federationOptions": {"remote": "nobody"}})]);
}

#[test]
fn foreign_documents_are_found_as_on_one_node() {
    let Some(_) = real_node() else { return };
    let (cluster, single) = (TestCluster::start(|_| {}), SingleNode::start());
    let clients = [&cluster.client, &single.client];
    let keys = json!([
        {"foreignIndexUid": "people", "fieldName": "by"},
        {"foreignIndexUid": "people", "fieldName": "parts.editors"},
    ]);
    let path = "/indexes/books/settings/foreign-keys";
    for client in clients {
        client.done("POST", "/indexes", &json!({"uid": "books", "primaryKey": "id"}));
    }
    same(&clients, "GET", path, &Value::Null);
    same(&clients, "PUT", path, &keys);
    for client in clients {
        client.call("PATCH", "/experimental-features", &json!({"foreignKeys": true}));
        let people = (0..20).map(|id| json!({"id": id, "name": format!("p{id}"), "secret": 1}));
        client.done("POST", "/indexes/people/documents", &people.collect());
        client.done("PUT", "/indexes/people/settings/displayed-attributes", &json!(["id", "name"]));
        let books = (0..20).map(|id| {
            let parts = json!([{"editors": [id, format!("{}", 19 - id)]}, {"editors": 300}]);
            json!({"id": id, "title": format!("t{id}"), "by": (id * 7) % 23, "parts": parts})
        });
        client.done("POST", "/indexes/books/documents", &books.collect());
    }
    same(&clients, "GET", path, &Value::Null);
    for body in [
        json!([{"foreignIndexUid": "people"}]),
        json!(7),
        json!([{"foreignIndexUid": "p", "fieldName": "f", "x": 1}]),
    ] {
        same(&clients, "PUT", path, &body);
    }
    clients.iter().for_each(|client| drop(client.done("PUT", path, &keys)));
    same(&clients, "GET", path, &Value::Null);
    same(&clients, "GET", "/indexes/books/settings", &Value::Null);
    let query = json!({"q": "t7", "attributesToHighlight": ["title"]});
    same(&clients, "POST", "/indexes/books/search", &query);
    same(
        &clients,
        "POST",
        "/indexes/books/search",
        &json!({"limit": 20, "attributesToRetrieve": ["id", "by"]}),
    );
    let queries = json!([{"indexUid": "books", "q": "t7"}, {"indexUid": "people", "q": "p3"}]);
    same(&clients, "POST", "/multi-search", &json!({"queries": queries}));
    same(&clients, "POST", "/multi-search", &json!({"federation": {}, "queries": queries}));
    let filter = json!({"filter": "_foreign(by, name = p7)"});
    let (status, answer) = ask(clients[0], "POST", "/indexes/books/search", &filter);
    assert_eq!((status, &answer["code"]), (400, &json!("invalid_search_filter")), "{answer}");
    assert!(answer["message"].as_str().unwrap().contains("does not serve `_foreign`"), "{answer}");
    clients.iter().for_each(|client| drop(client.done("DELETE", path, &Value::Null)));
    same(&clients, "GET", path, &Value::Null);
    same(&clients, "POST", "/indexes/books/search", &query);
}

#[test]
fn functions_edit_documents_and_no_reserved_fields() {
    let Some(_) = real_node() else { return };
    let cluster = TestCluster::start(|options| {
        options.nodes = 3;
        options.replication_factor = 2;
    });
    let single = SingleNode::start();
    let clients = [&cluster.client, &single.client];
    let edit = "/indexes/books/documents/edit";
    let page = json!({"sort": ["id:asc"], "limit": 20});
    for client in clients {
        client.call("PATCH", "/experimental-features", &json!({"editDocumentsByFunction": true}));
        client.done("POST", "/indexes", &json!({"uid": "books", "primaryKey": "id"}));
        let settings = json!({"filterableAttributes": ["id"], "sortableAttributes": ["id"]});
        client.done("PATCH", "/indexes/books/settings", &settings);
        client.done(
            "POST",
            "/indexes/books/documents",
            &(0..20).map(|id| json!({"id": id, "a": 1})).collect(),
        );
    }
    for (function, filter) in [
        ("doc = #{id: doc.id, n: doc.len(), k: doc.keys()}", Value::Null),
        ("doc.b = `b ${doc.id}`; // so", json!("id > 15")),
        ("if doc.id % 3 == 0 { doc = () }", Value::Null),
        ("doc.clear(); doc.id = 1", json!("id = 1")),
        ("doc.c = 2", json!("id = 400")),
        ("doc[\"_mir\" + \"oir_shard\"] = 7; doc.b = context.x", json!("id < 5")),
    ] {
        let body = json!({"function": function, "filter": filter, "context": {"x": 9}});
        let tasks = clients.map(|client| {
            let task = client.write("POST", edit, &body);
            (task["status"].clone(), task["details"].clone())
        });
        assert_eq!(tasks[0].0, "succeeded", "{function}: {tasks:?}");
        assert!(tasks[0] == tasks[1] || function.contains("_mir"), "{function}: {tasks:?}");
        if !function.contains("_mir") {
            same(&clients, "POST", "/indexes/books/documents/fetch", &page);
        }
    }
    // Whichever copies answer, all documents are in their place.
    for _ in 0..6 {
        assert_eq!(cluster.client.post("/indexes/books/documents/fetch", &page)["total"], 13);
    }
    for function in ["return", "doc._miroir_shard = 1", "doc.a = 1 /*"] {
        let (status, answer) = ask(clients[0], "POST", edit, &json!({"function": function}));
        assert_eq!(status, 400, "{answer}");
    }
    for body in [json!({}), json!({"function": 7}), json!({"function": "doc.a = 1", "nope": 1})] {
        same(&clients, "POST", edit, &body);
    }
}

#[test]
fn a_node_that_was_away_has_the_rules_of_now() {
    let Some(_) = real_node() else { return };
    let mut cluster = TestCluster::start(|options| options.replication_factor = 2);
    let client = &cluster.client;
    client.call("PATCH", "/experimental-features", &json!({"dynamicSearchRules": true}));
    let rule = |text: &str| json!({"description": text, "conditions": {"query": {"words": text}}});
    for uid in ["kept", "changed", "gone"] {
        client.done("PATCH", &format!("/dynamic-search-rules/{uid}"), &rule(uid));
    }
    cluster.cluster.kill_node(1).unwrap();
    wait_for_state(&cluster, 1, "down");
    client_changes(&cluster.client, &rule("new"));
    cluster.cluster.start_node(1).unwrap();
    wait_for_state(&cluster, 1, "healthy");
    let node = Client::new(cluster.cluster.node(1).unwrap().url()).with_key("the-key-of-the-nodes");
    while node.read("/tasks?statuses=enqueued,processing&limit=0")["total"] != 0 {
        std::thread::yield_now();
    }
    let listed = node.post("/dynamic-search-rules", &json!({}));
    let mut listed = listed["results"].as_array().unwrap().iter();
    let mut listed =
        listed.by_ref().map(|rule| (rule["uid"].clone(), rule["description"].clone())).collect::<Vec<_>>();
    listed.sort_by_key(|(uid, _)| uid.to_string());
    assert_eq!(json!(listed), json!([["changed", "new"], ["kept", "kept"], ["late", "new"]]));
}

/// Changes to rules while a node is down; writes continue without it.
fn client_changes(client: &Client, new: &Value) {
    for (method, uid, body) in
        [("PATCH", "changed", new), ("DELETE", "gone", &Value::Null), ("PATCH", "late", new)]
    {
        let (status, answer) = client.call(method, &format!("/dynamic-search-rules/{uid}"), body);
        assert_eq!(status, 202, "{answer}");
    }
}

#[test]
fn a_blank_node_gets_the_features_of_the_others() {
    let mut cluster = TestCluster::start(|_| {});
    cluster.client.call("PATCH", "/experimental-features", &json!({"containsFilter": true}));
    cluster.cluster.kill_node(1).unwrap();
    // The other nodes still report the enabled features.
    assert_eq!(cluster.client.read("/experimental-features")["containsFilter"], true);
    wait_for_state(&cluster, 1, "down");
    std::fs::remove_dir_all(cluster.directory().join("node-1")).unwrap();
    cluster.cluster.start_node(1).unwrap();
    cluster.cluster.wait_until_ready().unwrap();
    let node = Client::new(cluster.cluster.node(1).unwrap().url()).with_key("the-key-of-the-nodes");
    assert_eq!(node.read("/experimental-features")["containsFilter"], true);
    assert_eq!(cluster.client.read("/experimental-features")["containsFilter"], true);
}
