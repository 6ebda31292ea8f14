//! Writes that fail: as on one node they fail whole, and leave nothing in force.
//!
//! Each case is done on a cluster and on one node: their tasks, documents and settings must be equal.

use serde_json::{Value, json};

use crate::support::{SingleNode, TestCluster};
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
        let key = self.clients().map(|client| client.read(&format!("/indexes/{index}"))["primaryKey"].clone());
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
