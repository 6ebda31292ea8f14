//! Writes that fail: as on one node they fail whole, and leave nothing in force.
//!
//! Each case is done on a cluster and on one node: their tasks, documents and settings must be equal.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{SingleNode, TestCluster, real_node};
use node::test_client::Client;

/// A cluster of two copies and the node it is compared with.
struct Pair {
    cluster: TestCluster,
    single: SingleNode,
}

impl Pair {
    fn start() -> Self {
        let cluster = TestCluster::start(|options| {
            options.nodes = 4;
            options.replication_factor = 2;
        });
        Self { cluster, single: SingleNode::start() }
    }

    /// Does the same on both and compares how the tasks end.
    fn write(&self, method: &str, path: &str, body: &Value) -> Value {
        let [found, expected] = self.clients().map(|client| outcome(&client.write(method, path, body)));
        assert_eq!(found, expected, "{method} {path} {body}");
        found
    }

    /// Compares what is there.
    fn same_state(&self, index: &str) {
        // Copies are compared after a failed write, which may give nodes work that clients did not ask for.
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.cluster.client.read(&format!("/indexes/{index}/stats"))["isIndexing"] == true {
            assert!(Instant::now() < deadline, "the nodes of {index} do not come to rest");
            std::thread::sleep(Duration::from_millis(20));
        }
        for path in [format!("/indexes/{index}/settings"), format!("/indexes/{index}/stats")] {
            let [mut found, mut expected] = self.clients().map(|client| client.read(&path));
            for answer in [&mut found, &mut expected] {
                let members = answer.as_object_mut().unwrap();
                for member in ["rawDocumentDbSize", "avgDocumentSize"] {
                    members.remove(member);
                }
            }
            assert_eq!(found, expected, "{path}");
        }
        let key =
            self.clients().map(|client| client.read(&format!("/indexes/{index}"))["primaryKey"].clone());
        assert_eq!(key[0], key[1], "primary key of {index}");
        let [found, expected] = self.clients().map(|client| documents(client, index));
        assert_eq!(found, expected, "documents of {index}");
    }

    fn clients(&self) -> [&Client; 2] {
        [&self.cluster.client, &self.single.client]
    }
}

/// What must be equal of two ended tasks. Messages of nodes name the index since Meilisearch 1.16.
fn outcome(task: &Value) -> Value {
    json!({
        "status": task["status"],
        "type": task["type"],
        "code": task["error"]["code"],
        "message": task["error"]["message"],
        "details": task["details"],
    })
}

/// All documents with their vectors, by their text.
fn documents(client: &Client, index: &str) -> Vec<String> {
    let page = client.read(&format!("/indexes/{index}/documents?limit=1000&retrieveVectors=true"));
    let mut documents = page["results"].as_array().unwrap().iter().map(Value::to_string).collect::<Vec<_>>();
    documents.sort_unstable();
    documents
}

/// Twenty documents of which the one with this id has a field more.
fn with_one(id: u64, field: &str, value: &Value) -> Value {
    let document = |number: u64| {
        let mut document = json!({"id": number, "title": format!("new {number}")});
        if number == id {
            document[field] = value.clone();
        }
        document
    };
    Value::Array((0..20).map(document).collect())
}

#[test]
fn no_documents_are_a_write_that_succeeds() {
    let pair = Pair::start();
    pair.write("POST", "/indexes/films/documents", &json!([]));
    pair.write("PUT", "/indexes/films/documents", &json!([]));
    pair.same_state("films");
    pair.write("POST", "/indexes/films/documents", &json!([{"id": 1}]));
    pair.same_state("films");
}

#[test]
fn a_batch_with_one_document_that_the_engine_refuses_changes_nothing() {
    let pair = Pair::start();
    let settings = json!({
        "filterableAttributes": ["_geo", "title"],
        "embedders": {"mine": {"source": "userProvided", "dimensions": 2}},
    });
    pair.write("POST", "/indexes", &json!({"uid": "films", "primaryKey": "id"}));
    pair.write("PATCH", "/indexes/films/settings", &settings);
    let vector = json!({"mine": [0.5, 0.5]});
    let old = (0..10).map(|id| json!({"id": id, "title": "old", "_vectors": vector})).collect::<Vec<_>>();
    pair.write("POST", "/indexes/films/documents", &json!(old));
    let points =
        [json!("x"), json!({"lat": 1}), json!({"lat": "a", "lng": 1}), json!({"lat": 1, "lng": 2, "z": 3})];
    let vectors = [
        json!({"mine": [1, 2, 3]}),
        json!({"mine": "x"}),
        json!({"mine": [[1, 2], [3]]}),
        json!({"mine": {"embeddings": [1, 2]}}),
    ];
    let bad =
        points.iter().map(|value| ("_geo", value)).chain(vectors.iter().map(|value| ("_vectors", value)));
    for (number, (field, value)) in bad.enumerate() {
        let mut batch = with_one(3 + number as u64, field, value);
        for document in batch.as_array_mut().unwrap() {
            let members = document.as_object_mut().unwrap();
            members.entry("_vectors").or_insert_with(|| vector.clone());
        }
        let method = if number % 2 == 0 { "POST" } else { "PUT" };
        let outcome = pair.write(method, "/indexes/films/documents", &batch);
        assert_eq!(outcome["status"], "failed", "{outcome}");
        pair.same_state("films");
    }
    // Documents that are there keep their vectors, others lack them.
    let titles =
        |ids: std::ops::Range<u64>| ids.map(|id| json!({"id": id, "title": "new"})).collect::<Vec<_>>();
    assert_eq!(pair.write("PUT", "/indexes/films/documents", &json!(titles(2..5)))["status"], "succeeded");
    assert_eq!(pair.write("PUT", "/indexes/films/documents", &json!(titles(9..11)))["status"], "failed");
    pair.same_state("films");
}

#[test]
fn settings_that_documents_contradict_leave_nothing_in_force() {
    let pair = Pair::start();
    pair.write(
        "POST",
        "/indexes/films/documents?primaryKey=id",
        &with_one(3, "_geo", &json!({"lat": "a", "lng": 1})),
    );
    let change = json!({
        "filterableAttributes": ["_geo", "title"],
        "displayedAttributes": ["id"],
        "pagination": {"maxTotalHits": 3},
    });
    for _ in 0..2 {
        assert_eq!(pair.write("PATCH", "/indexes/films/settings", &change)["status"], "failed");
        pair.same_state("films");
        let found =
            pair.clients().map(|client| client.read("/indexes/films/search?limit=20")["hits"].clone());
        assert_eq!(found[0].as_array().unwrap().len(), 20);
        assert_eq!(found[0], found[1]);
        pair.write("PUT", "/indexes/films/settings/stop-words", &json!(["the"]));
        pair.same_state("films");
    }
    // What is accepted meanwhile is judged by what will hold.
    let accepted = pair.clients().map(|client| {
        let (_, settings) = client.call("PATCH", "/indexes/films/settings", &change);
        let (_, batch) = client.call("POST", "/indexes/films/documents", &with_one(7, "_geo", &json!("x")));
        [settings, batch].map(|summary| outcome(&client.finished(&summary))["status"].clone())
    });
    assert_eq!((&accepted[0], accepted[0][1].as_str()), (&accepted[1], Some("succeeded")));
    pair.same_state("films");
}

#[test]
fn a_primary_key_goes_with_the_first_addition_that_failed() {
    let pair = Pair::start();
    let settings = json!({"embedders": {"mine": {"source": "userProvided", "dimensions": 2}}});
    pair.write("PATCH", "/indexes/films/settings", &settings);
    let failed =
        pair.write("POST", "/indexes/films/documents?primaryKey=title", &with_one(3, "a", &json!(1)));
    assert_eq!(failed["status"], "failed", "{failed}");
    pair.same_state("films");
    let good = json!([{"id": 1, "title": "a", "_vectors": {"mine": null}}]);
    pair.write("POST", "/indexes/films/documents?primaryKey=id", &good);
    pair.same_state("films");
}

#[test]
fn a_function_that_throws_for_one_document_changes_none() {
    // Embedded nodes run no functions.
    if real_node().is_none() {
        return;
    }
    let pair = Pair::start();
    for client in pair.clients() {
        client.call("PATCH", "/experimental-features", &json!({"editDocumentsByFunction": true}));
    }
    pair.write("POST", "/indexes/films/documents", &with_one(3, "year", &json!(1999)));
    for function in [
        "doc.seen = true;\nif doc.id == 7 { throw \"no\" }",
        "if doc.id == 3 { doc.remove(\"id\") } else { doc.seen = 1 }",
        "if doc.id == 3 { doc.id = 77 } else { doc.seen = 1 }",
        "if doc.id == 3 { doc = 5 } else { doc.seen = 1 }",
    ] {
        let body = json!({"function": function});
        assert_eq!(pair.write("POST", "/indexes/films/documents/edit", &body)["status"], "failed");
        pair.same_state("films");
    }
    let good = json!({"function": "if doc.id == 5 { doc = () } else { doc.seen = true }"});
    assert_eq!(pair.write("POST", "/indexes/films/documents/edit", &good)["status"], "succeeded");
    pair.same_state("films");
}

#[test]
fn a_primary_key_that_some_nodes_refuse_goes_again() {
    let pair = Pair::start();
    pair.write("POST", "/indexes/films/documents", &json!([{"id": 1, "code": 7}]));
    assert_eq!(pair.write("PATCH", "/indexes/films", &json!({"primaryKey": "code"}))["status"], "failed");
    pair.same_state("films");
    pair.write("POST", "/indexes/films/documents", &with_one(3, "code", &json!(8)));
    pair.same_state("films");
}
