//! API keys: what each key may do on each route, and what the gateway answers otherwise.
//! Invariant: the expected status and code of every request come from a running Meilisearch 1.50. If the tests have
//! such a binary, they also compare the complete answers.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{SingleNode, guarded_cluster, real_node};
use node::test_client::Client;

const MASTER_KEY: &str = "the-master-key-of-the-clients";

/// Name, uid, actions and indexes of the keys.
const KEYS: &[(&str, &str, &[&str], &[&str])] = &[
    ("search", "00000001-0000-4000-8000-000000000000", &["search"], &["*"]),
    (
        "dogs",
        "00000002-0000-4000-8000-000000000000",
        &["search", "documents.add", "indexes.get", "tasks.get", "stats.get", "settings.*"],
        &["dog", "cat*"],
    ),
    ("documents", "00000003-0000-4000-8000-000000000000", &["documents.*"], &["dog"]),
    ("nothing", "00000004-0000-4000-8000-000000000000", &["*"], &[]),
    ("reader", "00000005-0000-4000-8000-000000000000", &["*.get"], &["*"]),
    ("maker", "00000006-0000-4000-8000-000000000000", &["indexes.*", "documents.add"], &["new*"]),
];

/// Key, method, path, body; then the status and the code of the answer (empty if it is no error).
type Asked = (&'static str, &'static str, &'static str, &'static str, u16, &'static str);

const ASKED: &[Asked] = &[
    ("nobody", "GET", "/health", "", 200, ""),
    ("nobody", "GET", "/version", "", 401, "missing_authorization_header"),
    ("nobody", "GET", "/keys", "", 401, "missing_authorization_header"),
    ("nobody", "GET", "/nope", "", 404, ""),
    ("nobody", "POST", "/indexes/dog/search", "{}", 401, "missing_authorization_header"),
    ("stranger", "GET", "/keys", "", 403, "invalid_api_key"),
    ("stranger", "POST", "/indexes/dog/search", "{}", 403, "invalid_api_key"),
    ("stranger", "POST", "/multi-search", "{", 403, "invalid_api_key"),
    (
        "dogs",
        "POST",
        "/multi-search",
        "{\"queries\": [{\"indexUid\": \"dog\"}, {\"indexUid\": \"cats\"}]}",
        200,
        "",
    ),
    (
        "dogs",
        "POST",
        "/multi-search",
        "{\"queries\": [{\"indexUid\": \"dog\"}, {\"indexUid\": \"bird\"}]}",
        403,
        "invalid_api_key",
    ),
    ("documents", "POST", "/multi-search", "{\"queries\": []}", 403, "invalid_api_key"),
    ("dogs", "POST", "/indexes/bird/similar", "{}", 403, "invalid_api_key"),
    ("search", "POST", "/indexes/dog/search", "{}", 200, ""),
    ("search", "GET", "/indexes/bird/search", "", 200, ""),
    ("search", "POST", "/indexes/nope/search", "{}", 404, "index_not_found"),
    ("search", "POST", "/indexes/dog/facet-search", "{\"facetName\": \"t\"}", 200, ""),
    ("search", "GET", "/indexes/dog/documents", "", 403, "invalid_api_key"),
    ("search", "GET", "/indexes", "", 403, "invalid_api_key"),
    ("search", "GET", "/tasks", "", 403, "invalid_api_key"),
    ("search", "GET", "/version", "", 403, "invalid_api_key"),
    ("search", "GET", "/keys", "", 403, "invalid_api_key"),
    ("search", "POST", "/dumps", "", 403, "invalid_api_key"),
    ("search", "DELETE", "/indexes/dog", "", 403, "invalid_api_key"),
    ("dogs", "POST", "/indexes/dog/search", "{}", 200, ""),
    ("dogs", "POST", "/indexes/cats/search", "{}", 200, ""),
    ("dogs", "POST", "/indexes/bird/search", "{}", 403, "invalid_api_key"),
    ("dogs", "POST", "/indexes/a%20b/search", "{}", 403, "invalid_api_key"),
    ("dogs", "GET", "/indexes", "", 200, ""),
    ("dogs", "GET", "/indexes?limit=1&offset=1", "", 200, ""),
    ("dogs", "GET", "/indexes/dog", "", 200, ""),
    ("dogs", "GET", "/indexes/bird", "", 403, "invalid_api_key"),
    ("dogs", "GET", "/indexes/dog/stats", "", 200, ""),
    ("dogs", "GET", "/indexes/bird/stats", "", 403, "invalid_api_key"),
    ("dogs", "GET", "/indexes/dog/settings/synonyms", "", 200, ""),
    ("dogs", "PUT", "/indexes/bird/settings/synonyms", "{}", 403, "invalid_api_key"),
    ("dogs", "POST", "/indexes", "{\"uid\": \"dog2\"}", 403, "invalid_api_key"),
    ("dogs", "DELETE", "/indexes/dog/documents", "", 403, "invalid_api_key"),
    ("documents", "GET", "/indexes/dog/documents/1", "", 200, ""),
    ("documents", "POST", "/indexes/dog/documents/fetch", "{}", 200, ""),
    ("documents", "GET", "/indexes/cats/documents/1", "", 403, "invalid_api_key"),
    ("documents", "POST", "/indexes/dog/documents/edit", "{\"function\": \"doc\"}", 403, "invalid_api_key"),
    ("documents", "POST", "/indexes/dog/search", "{}", 403, "invalid_api_key"),
    ("nothing", "POST", "/indexes/dog/search", "{}", 403, "invalid_api_key"),
    ("nothing", "GET", "/keys", "", 403, "invalid_api_key"),
    ("reader", "GET", "/keys", "", 403, "invalid_api_key"),
    ("reader", "GET", "/indexes/bird/documents", "", 200, ""),
    ("reader", "GET", "/indexes", "", 200, ""),
    ("reader", "DELETE", "/indexes/bird/documents", "", 403, "invalid_api_key"),
    ("maker", "POST", "/indexes", "{\"uid\": \"other\"}", 403, "invalid_api_key"),
    ("maker", "POST", "/indexes", "{}", 400, "missing_index_uid"),
    ("maker", "DELETE", "/indexes/dog", "", 403, "invalid_api_key"),
    ("master", "GET", "/keys/00000001-0000-4000-8000-000000000000", "", 200, ""),
    ("master", "GET", "/keys/00000001000040008000000000000000", "", 200, ""),
    ("master", "GET", "/keys/nope", "", 404, "api_key_not_found"),
    ("master", "GET", "/keys/00000099-0000-4000-8000-000000000000", "", 404, "api_key_not_found"),
    ("master", "GET", "/keys?limit=0", "", 200, ""),
    ("master", "GET", "/keys?limit=-1", "", 400, "invalid_api_key_limit"),
    ("master", "GET", "/keys?offset=x", "", 400, "invalid_api_key_offset"),
    ("master", "GET", "/keys?Limit=1", "", 400, "bad_request"),
    ("master", "PUT", "/keys", "{}", 405, ""),
    ("master", "POST", "/keys/nope", "{}", 405, ""),
    ("master", "POST", "/keys", "", 400, "missing_payload"),
    ("master", "POST", "/keys", "[]", 400, "bad_request"),
    ("master", "POST", "/keys", "{}", 400, "missing_api_key_actions"),
    (
        "master",
        "POST",
        "/keys",
        "{\"uid\": \"00000001-0000-4000-8000-000000000000\", \"actions\": [\"search\"], \"indexes\": [\"*\"], \"expiresAt\": null}",
        409,
        "api_key_already_exists",
    ),
    (
        "master",
        "POST",
        "/keys",
        "{\"actions\": [\"*\", \"version\"], \"indexes\": [\"a\"], \"expiresAt\": null}",
        400,
        "index_scoped_api_key_with_global_action",
    ),
    ("master", "PATCH", "/keys/nope", "{\"name\": \"x\"}", 404, "api_key_not_found"),
    ("master", "PATCH", "/keys/nope", "{\"uid\": 1}", 400, "immutable_api_key_uid"),
    ("master", "PATCH", "/keys/nope", "{\"key\": 1}", 400, "bad_request"),
    (
        "master",
        "PATCH",
        "/keys/00000001-0000-4000-8000-000000000000",
        "{\"name\": \"n\", \"description\": \"d\"}",
        200,
        "",
    ),
    ("master", "PATCH", "/keys/00000001-0000-4000-8000-000000000000", "{\"name\": null}", 200, ""),
    (
        "master",
        "PATCH",
        "/keys/00000001-0000-4000-8000-000000000000",
        "{\"name\": 7}",
        400,
        "invalid_api_key_name",
    ),
    ("master", "DELETE", "/keys/nope", "", 404, "api_key_not_found"),
    ("master", "DELETE", "/keys/00000004-0000-4000-8000-000000000000", "", 204, ""),
    ("master", "DELETE", "/keys/00000004-0000-4000-8000-000000000000", "", 404, "api_key_not_found"),
    ("nothing", "GET", "/keys", "", 403, "invalid_api_key"),
];

#[test]
fn keys_open_what_they_are_for_and_nothing_else() {
    let (cluster, master) = guarded_cluster(MASTER_KEY);
    let cluster_clients = prepare(&master, &cluster.cluster.url());
    let single = real_node().map(|_| SingleNode::start_with_key(Some(MASTER_KEY)));
    let single_clients = single.as_ref().map(|single| {
        let url = single.client.base().to_owned();
        prepare(&Client::new(&*url).with_key(MASTER_KEY), &url)
    });
    let mut differences = Vec::new();
    for (who, method, path, body, status, code) in ASKED {
        let ask = |clients: &BTreeMap<&str, Client>| {
            let headers: &[(&str, &str)] = &[("Content-Type", "application/json")];
            let headers = if matches!(*method, "GET" | "DELETE") { &[] } else { headers };
            let (status, answer) = clients[who].raw(method, path, headers, body.as_bytes()).unwrap();
            (status, comparable(serde_json::from_slice(&answer).unwrap_or(Value::Null)))
        };
        let found = ask(&cluster_clients);
        if (found.0, found.1["code"].as_str().unwrap_or_default()) != (*status, *code) {
            differences.push(format!("{who} {method} {path} {body}\n  found    {found:?}"));
        }
        if let Some(expected) = single_clients.as_ref().map(ask).filter(|expected| *expected != found) {
            differences
                .push(format!("{who} {method} {path} {body}\n  one node {expected:?}\n  cluster  {found:?}"));
        }
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}

/// Creates three indexes and the keys. Returns a client for each key, and some without a valid one.
fn prepare(master: &Client, url: &str) -> BTreeMap<&'static str, Client> {
    for uid in ["dog", "cats", "bird"] {
        master.done("PATCH", &format!("/indexes/{uid}/settings"), &json!({"filterableAttributes": ["t"]}));
        master.done("POST", &format!("/indexes/{uid}/documents"), &json!([{"id": 1, "t": "a"}]));
    }
    let client = |key: &str| Client::new(url).with_key(key);
    let mut clients = BTreeMap::from([
        ("nobody", Client::new(url)),
        ("stranger", client("a-stranger")),
        ("master", client(MASTER_KEY)),
    ]);
    for (name, uid, actions, indexes) in KEYS {
        let key =
            json!({"uid": uid, "name": name, "actions": actions, "indexes": indexes, "expiresAt": null});
        let (status, answer) = master.call("POST", "/keys", &key);
        assert_eq!(status, 201, "{answer}");
        clients.insert(name, client(answer["key"].as_str().unwrap()));
    }
    clients
}

/// The answer without the members that differ between any two nodes.
fn comparable(mut answer: Value) -> Value {
    const OWN: &[&str] =
        &["createdAt", "updatedAt", "processingTimeMs", "requestUid", "rawDocumentDbSize", "avgDocumentSize"];
    if let Some(members) = answer.as_object_mut() {
        members.retain(|name, _| !OWN.contains(&name.as_str()));
        for list in members.values_mut().filter_map(Value::as_array_mut) {
            for item in list.iter_mut() {
                *item = comparable(item.take());
            }
        }
    }
    answer
}

#[test]
fn writes_make_indexes_only_where_the_key_may() {
    let (cluster, master) = guarded_cluster(MASTER_KEY);
    let clients = prepare(&master, &cluster.cluster.url());
    let write = |who: &str, method: &str, path: &str, body: &Value| {
        let (status, summary) = clients[who].call(method, path, body);
        assert_eq!(status, 202, "{who} {path}: {summary}");
        let task = master.finished(&summary);
        (task["status"].as_str().unwrap().to_owned(), task["error"]["message"].as_str().map(str::to_owned))
    };
    let (failed, succeeded) = ("failed".to_owned(), ("succeeded".to_owned(), None));
    let missing = |uid: &str| (failed.clone(), Some(format!("Index `{uid}` not found.")));
    let documents = json!([{"id": 1}]);
    assert_eq!(write("dogs", "POST", "/indexes/cat2/documents", &documents), missing("cat2"));
    assert_eq!(write("dogs", "POST", "/indexes/cat2/documents", &json!([{"no": 1}])), missing("cat2"));
    assert_eq!(
        write("dogs", "PATCH", "/indexes/cat2/settings", &json!({"stopWords": ["a"]})),
        missing("cat2")
    );
    assert_eq!(write("dogs", "PUT", "/indexes/cat2/settings/stop-words", &json!(["a"])), missing("cat2"));
    assert_eq!(write("dogs", "POST", "/indexes/dog/documents", &documents), succeeded);
    assert_eq!(write("maker", "POST", "/indexes/new1/documents", &documents), succeeded);
    assert_eq!(write("maker", "POST", "/indexes", &json!({"uid": "new2"})), succeeded);
    let uids = |client: &Client| {
        let list = client.read("/indexes");
        list["results"].as_array().unwrap().iter().map(|index| index["uid"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(uids(&master), ["bird", "cats", "dog", "new1", "new2"]);
    assert_eq!(uids(&clients["dogs"]), ["cats", "dog"]);
    assert_eq!(uids(&clients["maker"]), ["new1", "new2"]);
    // Stats and tasks also show only what the key may see.
    let stats = clients["dogs"].read("/stats");
    assert_eq!(stats["indexes"].as_object().unwrap().keys().collect::<Vec<_>>(), ["cats", "dog"]);
    let tasks = clients["dogs"].read("/tasks?limit=1000");
    let seen = tasks["results"].as_array().unwrap();
    assert!(
        !seen.is_empty()
            && seen.iter().all(|task| ["dog", "cats", "cat2"].contains(&task["indexUid"].as_str().unwrap()))
    );
    let all = master.read("/tasks?limit=1000");
    let of_bird = all["results"].as_array().unwrap().iter().find(|task| task["indexUid"] == "bird").unwrap();
    assert_eq!(clients["dogs"].get(&format!("/tasks/{}", of_bird["uid"])).1["code"], "task_not_found");
}

#[test]
fn keys_survive_the_gateway_and_follow_its_master_key() {
    let (mut cluster, master) = guarded_cluster(MASTER_KEY);
    let names = |client: &Client| {
        let list = client.read("/keys");
        list["results"].as_array().unwrap().iter().map(|key| key["name"].clone()).collect::<Vec<_>>()
    };
    let defaults = [
        "Default Search API Key",
        "Default Admin API Key",
        "Default Read-Only Admin API Key",
        "Default Chat API Key",
    ];
    assert_eq!(names(&master), defaults);
    let body = json!({"name": "mine", "actions": ["version"], "indexes": ["*"], "expiresAt": null});
    let made = master.call("POST", "/keys", &body).1;
    let deleted = master.read("/keys?offset=4")["results"][0].clone();
    assert_eq!(
        master.call("DELETE", &format!("/keys/{}", deleted["uid"].as_str().unwrap()), &Value::Null).0,
        204
    );
    let before = master.read("/keys");
    cluster.cluster.kill_gateway().unwrap();
    cluster.cluster.start_gateway().unwrap();
    assert_eq!(master.read("/keys"), before);
    assert_eq!(names(&master).len(), 4);
    let client = |key: &Value| Client::new(cluster.cluster.url()).with_key(key.as_str().unwrap());
    assert_eq!(client(&made["key"]).get("/version").0, 200);
    assert_eq!(client(&deleted["key"]).get("/version").0, 403);
}

#[test]
fn without_a_master_key_there_are_no_keys() {
    let cluster = crate::support::TestCluster::start(|_| {});
    for (method, path) in [("GET", "/keys"), ("POST", "/keys"), ("PATCH", "/keys/a"), ("DELETE", "/keys/a")] {
        let (status, answer) = cluster.client.call(method, path, &json!({}));
        assert_eq!((status, &answer["code"]), (401, &json!("missing_master_key")), "{answer}");
    }
    assert_eq!(Client::new(cluster.cluster.url()).with_key("anything").get("/version").0, 200);
}
