//! Indexes: creation to deletion, lists, statistics.

use serde_json::json;

use crate::client::{TestNode, film_node};

#[test]
fn health_and_version_answer() {
    let node = TestNode::start();
    assert_eq!(node.client.read("/health"), json!({ "status": "available" }));
    assert_eq!(node.client.read("/version")["pkgVersion"], "1.15.1");
}

#[test]
fn an_index_lives_and_dies() {
    let node = TestNode::start();
    let client = &node.client;
    let created = client.done("POST", "/indexes", &json!({ "uid": "films", "primaryKey": "id" }));
    assert_eq!(created["type"], "indexCreation");
    assert_eq!(created["details"], json!({ "primaryKey": "id" }));
    assert_eq!(client.read("/indexes/films")["primaryKey"], "id");

    let again = client.write("POST", "/indexes", &json!({ "uid": "films" }));
    assert_eq!(again["error"]["code"], "index_already_exists");
    client.done("PATCH", "/indexes/films", &json!({ "primaryKey": "key" }));
    assert_eq!(client.read("/indexes/films")["primaryKey"], "key");

    client.done("POST", "/indexes", &json!({ "uid": "books" }));
    let list = client.read("/indexes?limit=1&offset=1");
    assert_eq!((&list["total"], &list["results"][0]["uid"]), (&json!(2), &json!("films")));

    client.done("DELETE", "/indexes/films", &json!(null));
    assert_eq!(client.get("/indexes/films").1["code"], "index_not_found");
    let missing = client.write("DELETE", "/indexes/films", &json!(null));
    assert_eq!((&missing["status"], &missing["details"]["deletedDocuments"]), (&json!("failed"), &json!(0)));
}

#[test]
fn a_primary_key_stays_once_there_are_documents() {
    let node = film_node();
    let task = node.client.write("PATCH", "/indexes/films", &json!({ "primaryKey": "title" }));
    assert_eq!(task["error"]["code"], "index_primary_key_already_exists");
}

#[test]
fn statistics_count() {
    let node = film_node();
    let stats = node.client.read("/indexes/films/stats");
    assert_eq!(stats["numberOfDocuments"], 5);
    assert_eq!(stats["isIndexing"], false);
    assert_eq!(stats["fieldDistribution"]["_geo"], 3);
    assert!(stats["avgDocumentSize"].as_u64().unwrap() > 20);
    let all = node.client.read("/stats");
    assert_eq!(all["indexes"]["films"], stats);
    assert!(all["databaseSize"].as_u64().unwrap() >= all["usedDatabaseSize"].as_u64().unwrap());
}

#[test]
fn indexes_swap() {
    let node = film_node();
    let client = &node.client;
    client.done("POST", "/indexes/other/documents", &json!([{ "id": 9 }]));
    let task = client.done("POST", "/swap-indexes", &json!([{ "indexes": ["films", "other"] }]));
    assert_eq!(task["details"], json!({ "swaps": [{ "indexes": ["films", "other"], "rename": false }] }));
    assert_eq!(client.read("/indexes/films/stats")["numberOfDocuments"], 1);
    assert_eq!(client.read("/indexes/other/stats")["numberOfDocuments"], 5);
    let missing = client.write("POST", "/swap-indexes", &json!([{ "indexes": ["films", "nope"] }]));
    assert_eq!(missing["error"]["message"], "Index `nope` not found.");
    for (body, code) in [
        (json!([{ "indexes": ["films"] }]), "invalid_swap_indexes"),
        (json!([{ "indexes": ["films", "films"] }]), "invalid_swap_duplicate_index_found"),
        (json!([{}]), "missing_swap_indexes"),
    ] {
        assert_eq!(client.call("POST", "/swap-indexes", &body).1["code"], code);
    }
}

#[test]
fn experimental_features_are_stored() {
    let node = TestNode::start();
    let features = node.client.call("PATCH", "/experimental-features", &json!({ "containsFilter": true }));
    assert_eq!((features.0, &features.1["containsFilter"]), (200, &json!(true)));
    assert_eq!(node.client.read("/experimental-features"), features.1);
    let wrong = node.client.call("PATCH", "/experimental-features", &json!({ "nope": true }));
    assert_eq!((wrong.0, &wrong.1["code"]), (400, &json!("bad_request")));
}
