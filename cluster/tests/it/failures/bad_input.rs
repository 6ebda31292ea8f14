//! Bad requests: Meilisearch's own status, code and message, and nothing written on any node.

use serde_json::{Value, json};

use crate::support::{SingleNode, TestCluster};
use node::test_client::Client;

type Headers = &'static [(&'static str, &'static str)];

const JSON: Headers = &[("Content-Type", "application/json")];
const NDJSON: Headers = &[("Content-Type", "application/x-ndjson")];
const CSV: Headers = &[("Content-Type", "text/csv")];

/// Requests that are refused immediately, with the same answer as one node.
const REFUSED: &[(&str, &str, Headers, &str)] = &[
    ("POST", "/indexes/things/documents", JSON, "[{\"id\": 1},"),
    ("POST", "/indexes/things/documents", JSON, "{\"id\": 1"),
    ("POST", "/indexes/things/documents", JSON, ""),
    ("POST", "/indexes/things/documents", NDJSON, "{\"id\": 1}\n{\"id\""),
    ("POST", "/indexes/things/documents", NDJSON, ""),
    ("POST", "/indexes/things/documents", CSV, ""),
    ("POST", "/indexes/things/documents", &[("Content-Type", "text/plain")], "[]"),
    ("POST", "/indexes/things/documents", &[], "[]"),
    ("POST", "/indexes/th%20ings/documents", JSON, "[]"),
    ("PUT", "/indexes/things/documents", &[("Content-Type", "application/xml")], "[]"),
    ("POST", "/indexes", JSON, "{}"),
    ("POST", "/indexes", JSON, "{\"uid\": \"a b\"}"),
    ("POST", "/indexes", JSON, "{\"uid\": 7}"),
    ("POST", "/indexes", JSON, "{\"uid\": \"a\", \"primaryKey\": 7}"),
    ("POST", "/indexes", JSON, "{\"uid\": \"a\", \"nope\": 7}"),
    ("POST", "/indexes", JSON, "{"),
    ("GET", "/indexes/nope", &[], ""),
    ("GET", "/indexes?limit=a", &[], ""),
    ("GET", "/indexes/nope/stats", &[], ""),
    ("GET", "/indexes/nope/settings", &[], ""),
    ("GET", "/indexes/nope/documents", &[], ""),
    ("GET", "/indexes/things/documents/7777", &[], ""),
    ("GET", "/indexes/things/documents?limit=a", &[], ""),
    ("GET", "/indexes/things/documents?offset=-1", &[], ""),
    ("POST", "/indexes/things/documents/fetch", JSON, "{\"limit\": \"a\"}"),
    ("POST", "/indexes/things/documents/fetch", JSON, "{\"filter\": \"nope = 1\"}"),
    ("POST", "/indexes/things/documents/delete", JSON, "{}"),
    ("POST", "/indexes/things/documents/delete-batch", JSON, "{}"),
    ("POST", "/indexes/nope/search", JSON, "{}"),
    ("POST", "/indexes/things/search", JSON, "{\"q\": 7}"),
    ("POST", "/indexes/things/search", JSON, "{\"limit\": -1}"),
    ("POST", "/indexes/things/search", JSON, "{\"limit\": \"a\"}"),
    ("POST", "/indexes/things/search", JSON, "{\"nope\": 1}"),
    ("POST", "/indexes/things/search", JSON, "{\"filter\": \"name = \"}"),
    ("POST", "/indexes/things/search", JSON, "{\"filter\": \"nope = 1\"}"),
    ("POST", "/indexes/things/search", JSON, "{\"filter\": 7}"),
    ("POST", "/indexes/things/search", JSON, "{\"sort\": [\"nope:asc\"]}"),
    ("POST", "/indexes/things/search", JSON, "{\"sort\": [\"name\"]}"),
    ("POST", "/indexes/things/search", JSON, "{\"facets\": [\"nope\"]}"),
    ("POST", "/indexes/things/search", JSON, "{\"matchingStrategy\": \"most\"}"),
    ("POST", "/indexes/things/search", JSON, "{\"attributesToRetrieve\": \"name\"}"),
    ("POST", "/indexes/things/search", JSON, "[]"),
    ("POST", "/indexes/things/search", JSON, "{\"q\": \"a\""),
    ("GET", "/indexes/things/search?limit=a", &[], ""),
    ("GET", "/indexes/things/search?nope=1", &[], ""),
    ("GET", "/tasks/nope", &[], ""),
    ("GET", "/tasks/7777", &[], ""),
    ("GET", "/tasks?statuses=done", &[], ""),
    ("GET", "/tasks?limit=a", &[], ""),
    ("GET", "/tasks?uids=a", &[], ""),
    ("GET", "/tasks?nope=1", &[], ""),
    ("PATCH", "/indexes/things/settings", JSON, "{\"nope\": 1}"),
    ("PATCH", "/indexes/things/settings", JSON, "{\"rankingRules\": \"words\"}"),
    ("PATCH", "/indexes/things/settings", JSON, "{\"rankingRules\": [\"nope\"]}"),
    ("PATCH", "/indexes/things/settings", JSON, "{\"filterableAttributes\": 7}"),
    ("PATCH", "/indexes/things/settings", JSON, "{\"displayedAttributes\": 7}"),
    ("PATCH", "/indexes/things/settings", JSON, "{\"faceting\": {\"maxValuesPerFacet\": \"many\"}}"),
    ("PUT", "/indexes/things/settings/stop-words", JSON, "7"),
    ("PUT", "/indexes/things/settings/displayed-attributes", JSON, "{}"),
];

#[test]
fn bad_requests_are_refused_as_one_node_refuses_them() {
    let (cluster, single) = (TestCluster::start(|_| {}), SingleNode::start());
    for client in [&cluster.client, &single.client] {
        let settings = json!({"filterableAttributes": ["name"], "sortableAttributes": ["name"]});
        client.done("PATCH", "/indexes/things/settings", &settings);
        client.done("POST", "/indexes/things/documents", &json!([{"id": 1, "name": "one"}]));
    }
    let mut differences = Vec::new();
    for (method, path, headers, body) in REFUSED {
        let ask = |client: &Client| {
            let (status, answer) = client.raw(method, path, headers, body.as_bytes()).unwrap();
            (status, serde_json::from_slice::<Value>(&answer).unwrap_or(Value::Null))
        };
        let (expected, found) = (ask(&single.client), ask(&cluster.client));
        assert!((400..500).contains(&found.0), "{method} {path} {body}: {found:?}");
        let facts = |answer: &(u16, Value)| (answer.0, answer.1["code"].clone(), answer.1["type"].clone());
        if facts(&expected) != facts(&found) || said(&expected.1) != said(&found.1) {
            differences
                .push(format!("{method} {path} {body}\n  one node {expected:?}\n  cluster  {found:?}"));
        }
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
    nothing_written(&cluster);
}

/// The message of an answer; ignores the text of a JSON parser's error.
fn said(answer: &Value) -> Value {
    match answer["code"].as_str() {
        Some("malformed_payload") => Value::Null,
        _ => answer["message"].clone(),
    }
}

/// Documents that fail as a task: bad ids, or no primary key can be found.
const FAILED: &[(&str, &str)] = &[
    ("/indexes/things/documents", "[{\"id\": 1.5}]"),
    ("/indexes/things/documents", "[{\"id\": 2}, {\"id\": \"a b\"}]"),
    ("/indexes/things/documents", "[{\"id\": 2}, {\"name\": \"no id\"}]"),
    ("/indexes/things/documents", "[{\"id\": null}]"),
    ("/indexes/things/documents", "[{\"id\": [1]}]"),
    ("/indexes/things/documents?primaryKey=other", "[{\"id\": 2, \"other\": 1}]"),
    ("/indexes/new1/documents", "[{\"name\": \"no id\"}]"),
    ("/indexes/new2/documents", "[{\"a_id\": 1, \"b_id\": 2}]"),
];

#[test]
fn bad_documents_fail_as_on_one_node_and_none_is_written() {
    let (cluster, single) = (TestCluster::start(|_| {}), SingleNode::start());
    for client in [&cluster.client, &single.client] {
        client.done("POST", "/indexes/things/documents", &json!([{"id": 1, "name": "one"}]));
    }
    let mut differences = Vec::new();
    for (path, body) in FAILED {
        let fail = |client: &Client| client.write("POST", path, &serde_json::from_str(body).unwrap());
        let (expected, found) = (fail(&single.client), fail(&cluster.client));
        let facts = |task: &Value| {
            (
                task["status"].clone(),
                task["error"]["code"].clone(),
                task["error"]["message"].clone(),
                task["details"].clone(),
            )
        };
        if facts(&expected) != facts(&found) {
            differences.push(format!("{path} {body}\n  one node {expected}\n  cluster  {found}"));
        }
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
    nothing_written(&cluster);
}

#[test]
fn reserved_fields_and_large_bodies_are_refused() {
    let cluster = TestCluster::start(|options| {
        options.gateway_arguments.extend(["--body-limit", "100000"].map(str::to_owned));
    });
    let client = &cluster.client;
    client.done("POST", "/indexes/things/documents", &json!([{"id": 1, "name": "one"}]));
    for document in [json!([{"id": 2, "_miroir_shard": 1}]), json!([{"id": 2}, {"id": 3, "_miroir_x": null}])]
    {
        let (status, answer) = client.call("POST", "/indexes/things/documents", &document);
        assert_eq!((status, &answer["code"]), (400, &json!("miroir_reserved_field")), "{answer}");
    }
    let settings = json!({"sortableAttributes": ["_miroir_shard"]});
    let (status, answer) = client.call("PATCH", "/indexes/things/settings", &settings);
    assert_eq!((status, &answer["code"]), (400, &json!("miroir_reserved_field")), "{answer}");
    let large = json!([{"id": 2, "text": "x".repeat(100_000)}]);
    let (status, answer) = client.call("POST", "/indexes/things/documents", &large);
    assert_eq!((status, &answer["code"]), (413, &json!("payload_too_large")), "{answer}");
    assert_eq!(client.get("/nope").0, 404);
    assert_eq!(client.call("PUT", "/health", &json!({})).0, 405);
    let (status, answer) = client.call("POST", "/export", &Value::Null);
    assert_eq!((status, &answer["code"]), (400, &json!("bad_request")), "{answer}");
    nothing_written(&cluster);
}

/// Checks that document 1 is the only one and is unchanged.
fn nothing_written(cluster: &TestCluster) {
    let documents = cluster.client.read("/indexes/things/documents?limit=100");
    assert_eq!(documents["results"], json!([{"id": 1, "name": "one"}]));
}

#[test]
fn pages_too_deep_are_refused() {
    let cluster = TestCluster::start(|options| {
        options.gateway_arguments.extend(["--page-depth-max", "100"].map(str::to_owned));
    });
    let client = &cluster.client;
    client.done("POST", "/indexes/things/documents", &json!([{"id": 1, "name": "one"}]));
    let asked = [
        ("search", json!({"offset": 81, "limit": 20})),
        ("search", json!({"page": 6, "hitsPerPage": 20})),
        ("documents/fetch", json!({"offset": 100, "limit": 1})),
    ];
    for (number, (route, body)) in asked.iter().enumerate() {
        let (status, answer) = client.call("POST", &format!("/indexes/things/{route}"), body);
        assert_eq!((status, &answer["code"]), (400, &json!("bad_request")), "{answer}");
        let (_, metrics) = client.raw("GET", "/_miroir/metrics", &[], b"").unwrap();
        let counted = format!("miroir_request_refusals_total{{reason=\"page_too_deep\"}} {}\n", number + 1);
        assert!(String::from_utf8(metrics).unwrap().contains(&counted), "{route} {body}");
    }
    let (status, answer) = client.call("POST", "/indexes/things/search", &json!({"offset": 80, "limit": 20}));
    assert_eq!(status, 200, "{answer}");
}
