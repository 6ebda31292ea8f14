//! Routes that embedded nodes do not have: dynamic search rules, rendering; and the network.
//! Invariant: with embedded nodes the gateway refuses what they refuse; with a real Meilisearch all answers are
//! compared with those of one node.

use serde_json::{Value, json};

use super::{SingleNode, TestCluster, failover::wait_for_state, real_node};
use crate::client::Client;

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
            // Where rules come in another order than their places, one node loses those behind its page.
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
        // A rule may come before its index.
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
fn a_blank_node_gets_the_features_of_the_others() {
    let mut cluster = TestCluster::start(|_| {});
    cluster.client.call("PATCH", "/experimental-features", &json!({"containsFilter": true}));
    cluster.cluster.kill_node(1).unwrap();
    // The others still say what is on.
    assert_eq!(cluster.client.read("/experimental-features")["containsFilter"], true);
    wait_for_state(&cluster, 1, "down");
    std::fs::remove_dir_all(cluster._data.path().join("node-1")).unwrap();
    cluster.cluster.start_node(1).unwrap();
    cluster.cluster.wait_until_ready().unwrap();
    let node = Client::new(cluster.cluster.node(1).unwrap().url()).with_key("the-key-of-the-nodes");
    assert_eq!(node.read("/experimental-features")["containsFilter"], true);
    assert_eq!(cluster.client.read("/experimental-features")["containsFilter"], true);
}
