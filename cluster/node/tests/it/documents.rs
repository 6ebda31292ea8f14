//! Documents: added in every format, read by every route, removed by every deletion.

use std::io::Write;

use serde_json::{Value, json};

use crate::client::{TestNode, film_node, films, ids};

#[test]
fn replace_and_update_differ() {
    let node = TestNode::start();
    let client = &node.client;
    let task =
        client.done("POST", "/indexes/a/documents", &json!([{ "id": 1, "x": 1, "y": 1 }, { "id": 2 }]));
    assert_eq!(task["type"], "documentAdditionOrUpdate");
    assert_eq!(task["details"], json!({ "receivedDocuments": 2, "indexedDocuments": 2 }));
    client.done("PUT", "/indexes/a/documents", &json!({ "id": 1, "x": 2 }));
    assert_eq!(client.read("/indexes/a/documents/1"), json!({ "id": 1, "x": 2, "y": 1 }));
    client.done("POST", "/indexes/a/documents", &json!([{ "id": 1, "z": 3 }]));
    assert_eq!(client.read("/indexes/a/documents/1"), json!({ "id": 1, "z": 3 }));
    assert_eq!(client.read("/indexes/a")["primaryKey"], "id");
}

#[test]
fn every_format_arrives() {
    let node = TestNode::start();
    let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    zipped.write_all(b"[{\"id\":1,\"n\":2}]").unwrap();
    let zipped = zipped.finish().unwrap();
    for (index, headers, body) in [
        ("lines", vec![("Content-Type", "application/x-ndjson")], b"{\"id\":1,\"n\":2}\n".as_slice()),
        ("table", vec![("Content-Type", "text/csv")], b"id,n:number\n1,2\n".as_slice()),
        ("zip", vec![("Content-Type", "application/json"), ("Content-Encoding", "gzip")], &zipped),
    ] {
        let path = format!("/indexes/{index}/documents?primaryKey=id");
        let (status, summary) = node.client.raw("POST", &path, &headers, body).unwrap();
        assert_eq!(status, 202, "{index}");
        let task = node.client.finished(&serde_json::from_slice(&summary).unwrap());
        assert_eq!(task["status"], "succeeded", "{task}");
        assert_eq!(node.client.read(&format!("/indexes/{index}/documents/1"))["n"], 2, "{index}");
    }
}

#[test]
fn one_bad_id_fails_its_payload_and_no_other() {
    let node = TestNode::start();
    let client = &node.client;
    node.faults(&json!({ "stall_tasks": true }));
    let payloads = [json!([{ "id": 1 }]), json!([{ "id": 2 }, { "id": "a b" }]), json!([{ "id": 3 }])];
    let summaries: Vec<Value> = payloads
        .iter()
        .map(|payload| {
            let (status, summary) = client.call("POST", "/indexes/a/documents?primaryKey=id", payload);
            assert_eq!(status, 202);
            summary
        })
        .collect();
    node.clear_faults();
    let tasks: Vec<Value> = summaries.iter().map(|summary| client.finished(summary)).collect();
    let statuses: Vec<&str> = tasks.iter().map(|task| task["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["succeeded", "failed", "succeeded"]);
    assert_eq!(tasks[1]["error"]["code"], "invalid_document_id");
    assert_eq!(tasks[1]["details"], json!({ "receivedDocuments": 2, "indexedDocuments": 0 }));
    let batches: Vec<&Value> = tasks.iter().map(|task| &task["batchUid"]).collect();
    assert!(batches.iter().all(|batch| *batch == batches[0]), "one transaction for all: {batches:?}");
    assert_eq!(ids(&client.read("/indexes/a/documents")), [1, 3]);
}

#[test]
fn documents_are_fetched_by_page_filter_and_id() {
    let node = film_node();
    let client = &node.client;
    let list = client.read("/indexes/films/documents?limit=2&offset=1&fields=id,director.name");
    assert_eq!((&list["total"], &list["limit"], &list["offset"]), (&json!(5), &json!(2), &json!(1)));
    assert_eq!(list["results"][1], json!({ "id": 3, "director": { "name": "Scott" } }));
    let fetch = |body: Value| client.post("/indexes/films/documents/fetch", &body);
    assert_eq!(ids(&fetch(json!({ "filter": "director.name = Scott" }))), [3, 4]);
    assert_eq!(ids(&fetch(json!({ "filter": [["year < 1980", "year > 2010"]], "fields": ["id"] }))), [4, 5]);
    assert_eq!(ids(&fetch(json!({ "ids": [5, "1", 77] }))), [1, 5]);
    let whole = fetch(json!({ "ids": [1], "retrieveVectors": true }));
    assert_eq!(whole["results"][0]["_vectors"], json!({}));
    assert_eq!(client.read("/indexes/films/documents/1"), films()[0]);
}

#[test]
fn hidden_fields_are_still_documents() {
    let node = film_node();
    node.client.done("PATCH", "/indexes/films/settings", &json!({ "displayedAttributes": ["title"] }));
    assert_eq!(node.client.read("/indexes/films/documents/1"), films()[0]);
    assert_eq!(node.client.search("films", &json!({}))["hits"][0], json!({ "title": "The Matrix" }));
}

#[test]
fn deletions_delete_what_they_name() {
    let node = film_node();
    let client = &node.client;
    let left = || ids(&client.read("/indexes/films/documents"));
    let one = client.done("DELETE", "/indexes/films/documents/1", &json!(null));
    assert_eq!(one["details"], json!({ "providedIds": 1, "deletedDocuments": 1, "originalFilter": null }));
    assert_eq!(left(), [2, 3, 4, 5]);
    client.done("POST", "/indexes/films/documents/delete-batch", &json!([2, "3"]));
    assert_eq!(left(), [4, 5]);
    let filter = json!({ "filter": "genres = horror" });
    let filtered = client.done("POST", "/indexes/films/documents/delete", &filter);
    assert_eq!(
        filtered["details"],
        json!({ "providedIds": 0, "deletedDocuments": 1, "originalFilter": "\"genres = horror\"" })
    );
    assert_eq!(left(), [5]);
    let all = client.done("DELETE", "/indexes/films/documents", &json!(null));
    assert_eq!(all["details"], json!({ "deletedDocuments": 1 }));
    assert_eq!(left(), Vec::<i64>::new());
    let missing = client.write("DELETE", "/indexes/nope/documents/1", &json!(null));
    assert_eq!(missing["error"]["code"], "index_not_found");
}

#[test]
fn a_primary_key_is_inferred_or_refused() {
    let node = TestNode::start();
    let client = &node.client;
    client.done("POST", "/indexes/a/documents", &json!([{ "filmId": 7, "x": 1 }]));
    assert_eq!(client.read("/indexes/a")["primaryKey"], "filmId");
    for (index, document, code) in [
        ("b", json!([{ "x": 1 }]), "index_primary_key_no_candidate_found"),
        ("c", json!([{ "aid": 1, "bid": 2 }]), "index_primary_key_multiple_candidates_found"),
        ("a", json!([{ "x": 1 }]), "missing_document_id"),
    ] {
        let task = client.write("POST", &format!("/indexes/{index}/documents"), &document);
        assert_eq!(task["error"]["code"], code, "{task}");
    }
    let task = client.write("POST", "/indexes/a/documents?primaryKey=x", &json!([{ "x": 1 }]));
    assert_eq!(task["error"]["code"], "index_primary_key_already_exists");
}

#[test]
fn large_payloads_survive_beside_the_journal() {
    let node = TestNode::start();
    let documents: Vec<Value> =
        (0..500).map(|id| json!({ "id": id, "text": "lorem ipsum ".repeat(40) })).collect();
    let task = node.client.done("POST", "/indexes/a/documents", &json!(documents));
    assert_eq!(task["details"]["indexedDocuments"], 500);
}
