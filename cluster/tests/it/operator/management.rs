//! The management API: described, audited, and idempotent.

use serde_json::{Value, json};

use crate::operator::{ADMIN_KEY, operated};
use node::test_client::Client;

/// Sends a change with an idempotency key; gives status and body.
fn with_key(operator: &Client, key: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let headers = [("Content-Type", "application/json"), ("Idempotency-Key", key)];
    let (status, answer) = operator.raw(method, path, &headers, body.to_string().as_bytes()).unwrap();
    (status, serde_json::from_slice(&answer).unwrap_or_default())
}

#[test]
fn every_request_that_is_described_is_served_with_the_key_alone() {
    let (cluster, operator) = operated(|_| {});
    let document = operator.read("/_miroir/openapi.json");
    assert_eq!(document["openapi"], "3.1.0");
    let stranger = Client::new(cluster.cluster.url()).with_key("wrong");
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let parts = path.split('/').map(|part| if part.starts_with('{') { "7" } else { part });
            let filled = parts.collect::<Vec<_>>().join("/");
            let method = method.to_uppercase();
            let is_open = operation["security"] == json!([]);
            let (status, _, body) = stranger.with_headers(&method, &filled, &[], b"").unwrap();
            // What is open to all may still ask for a token of its own.
            let error: Value = serde_json::from_slice(&body).unwrap_or_default();
            let is_refused = status == 401 && error["code"] == "miroir_invalid_auth";
            assert_eq!(is_refused, !is_open, "{method} {path}: {status} {error}");
            // A stream of events does not end.
            if filled.ends_with("/events") {
                continue;
            }
            let (status, body) = operator.raw(&method, &filled, &[], b"").unwrap();
            // A path that is not served is refused without a body, and so is a file that there is not.
            if filled.contains("/assets/") || filled.contains("/locale/") {
                continue;
            }
            assert!(status != 405 && (status != 404 || !body.is_empty()), "{method} {path}: {status}");
            if method == "GET" && !path.contains('{') && !path.contains("/admin") {
                let is_off = String::from_utf8_lossy(&body).contains("feature_not_enabled");
                assert!(status == 200 || (status == 400 && is_off), "{path}: {status}");
            }
        }
    }
}

#[test]
fn changes_are_in_the_audit_log_with_what_was_there_before() {
    let (_cluster, operator) = operated(|_| {});
    assert_eq!(
        operator.read("/_miroir/audit"),
        json!({"limit": 20, "from": null, "next": null, "results": []})
    );
    for uid in ["one", "two"] {
        let client = Client::new(operator.base());
        client.done("POST", "/indexes", &json!({"uid": uid}));
    }
    let alias = json!({"name": "things", "target": "one"});
    assert_eq!(operator.call("POST", "/_miroir/aliases", &alias).0, 201);
    assert_eq!(operator.call("PUT", "/_miroir/aliases/things", &json!({"target": "two"})).0, 200);
    assert_eq!(operator.call("PUT", "/_miroir/aliases/nobody", &json!({"target": "two"})).0, 404);
    assert_eq!(operator.call("DELETE", "/_miroir/aliases/things", &Value::Null).0, 204);
    let log = operator.read("/_miroir/audit");
    let entries = log["results"].as_array().unwrap();
    let told = entries.iter().map(|entry| (&entry["action"], &entry["status"])).collect::<Vec<_>>();
    assert_eq!(
        told,
        [
            (&json!("DELETE /_miroir/aliases/{name}"), &json!(204)),
            (&json!("PUT /_miroir/aliases/{name}"), &json!(404)),
            (&json!("PUT /_miroir/aliases/{name}"), &json!(200)),
            (&json!("POST /_miroir/aliases"), &json!(201)),
        ]
    );
    let [deleted, refused, flipped, made] = entries.as_slice() else { panic!("{log}") };
    assert_eq!((&made["before"], &made["after"]["target"]), (&Value::Null, &json!("one")));
    assert_eq!((&flipped["before"]["target"], &flipped["after"]["target"]), (&json!("one"), &json!("two")));
    assert_eq!(refused["after"], json!({"refused": "miroir_alias_not_found"}));
    assert_eq!((&deleted["before"]["target"], &deleted["after"]), (&json!("two"), &Value::Null));
    assert_eq!((&made["key"], &made["path"]), (&json!("admin"), &json!("/_miroir/aliases")));
    assert!(!log.to_string().contains(ADMIN_KEY), "{log}");
    let page = operator.read("/_miroir/audit?limit=2");
    assert_eq!((&page["from"], &page["next"]), (&deleted["id"], &flipped["id"]));
    let rest = operator.read(&format!("/_miroir/audit?limit=2&from={}", page["next"]));
    assert_eq!((&rest["results"], &rest["next"]), (&json!([flipped, made]), &Value::Null));
    for (query, named) in
        [("limit=0", "limit"), ("limit=1001", "limit"), ("from=-1", "from"), ("since=1", "since")]
    {
        let (status, error) = operator.get(&format!("/_miroir/audit?{query}"));
        assert_eq!((status, &error["code"]), (400, &json!("bad_request")), "{error}");
        assert!(error["message"].as_str().unwrap().contains(named), "{error}");
    }
}

#[test]
fn a_change_that_is_sent_again_is_done_once() {
    let (_cluster, operator) = operated(|options| options.replication_factor = 1);
    let client = Client::new(operator.base());
    client.done("POST", "/indexes", &json!({"uid": "one"}));
    let alias = json!({"name": "things", "target": "one"});
    let (status, made) = with_key(&operator, "k1", "POST", "/_miroir/aliases", &alias);
    assert_eq!(status, 201, "{made}");
    // Without the key it is refused, since the alias is there; with it the first answer is given again.
    assert_eq!(operator.call("POST", "/_miroir/aliases", &alias).0, 409);
    assert_eq!(with_key(&operator, "k1", "POST", "/_miroir/aliases", &alias), (201, made));
    let other = json!({"name": "others", "target": "one"});
    let (status, error) = with_key(&operator, "k1", "POST", "/_miroir/aliases", &other);
    assert_eq!((status, &error["code"]), (409, &json!("miroir_idempotency_key_reused")));
    // A change that was refused may use its key again.
    let (status, _) = with_key(&operator, "k2", "PUT", "/_miroir/aliases/nobody", &json!({"target": "one"}));
    assert_eq!(status, 404);
    let (status, _) = with_key(&operator, "k2", "POST", "/_miroir/aliases", &other);
    assert_eq!(status, 201);
    assert_eq!(with_key(&operator, "k3", "DELETE", "/_miroir/aliases/others", &Value::Null).0, 204);
    assert_eq!(with_key(&operator, "k3", "DELETE", "/_miroir/aliases/others", &Value::Null).0, 204);
    let (status, error) = with_key(&operator, "", "DELETE", "/_miroir/aliases/things", &Value::Null);
    assert_eq!((status, &error["code"]), (400, &json!("bad_request")), "{error}");
    let changes = operator.read("/_miroir/audit")["results"].as_array().unwrap().len();
    assert_eq!(changes, 5, "repetitions change nothing");
}

#[test]
fn a_write_that_does_not_end_is_shown_and_ended_by_hand() {
    // Only embedded nodes can be stalled.
    let (cluster, operator) = operated(|options| {
        options.control = true;
        options.node_binary = None;
    });
    let client = &cluster.client;
    client.done("POST", "/indexes", &json!({"uid": "films", "primaryKey": "id"}));
    let control = (0..3).map(|number| Client::new(cluster.cluster.node(number).unwrap().control().unwrap()));
    let control = control.collect::<Vec<_>>();
    for node in &control {
        node.post("/faults", &json!({"stall_tasks": true}));
    }
    let (_, summary) = client.call("POST", "/indexes/films/documents", &json!([{"id": 7, "title": "seven"}]));
    let uid = summary["taskUid"].as_u64().unwrap();
    let task = operator.read(&format!("/_miroir/tasks/{uid}"));
    assert_eq!((&task["status"], task["nodes"].as_array().unwrap().len()), (&json!("enqueued"), 1), "{task}");
    assert_eq!(task["nodes"][0]["status"], "enqueued", "{task}");
    let listed = operator.read("/_miroir/writes?index=films&documentId=7");
    assert_eq!(listed["results"][0]["uid"], uid, "{listed}");
    assert_eq!(operator.read("/_miroir/writes?stuck=true")["results"], json!([]), "it is not old enough");
    for (body, status, code) in [
        (json!({"taskUid": uid}), 400, "bad_request"),
        (json!({"taskUid": uid, "documentId": "7", "reason": "x"}), 400, "bad_request"),
        (json!({"documentId": "7", "reason": "x"}), 400, "bad_request"),
        (json!({"taskUid": uid, "reason": ""}), 400, "bad_request"),
        (json!({"taskUid": uid, "reason": 1}), 400, "bad_request"),
        (json!({"taskUid": uid, "reason": "x", "more": 1}), 400, "bad_request"),
        (json!({"taskUid": 999, "reason": "x"}), 404, "task_not_found"),
        (json!({"taskUid": 0, "reason": "x"}), 409, "miroir_write_not_pending"),
        (json!({"documentId": "7", "index": "none", "reason": "x"}), 404, "index_not_found"),
    ] {
        let (seen, error) = operator.call("POST", "/_miroir/writes/fail", &body);
        assert_eq!((seen, &error["code"]), (status, &json!(code)), "{body}: {error}");
    }
    let body = json!({"documentId": "7", "index": "films", "reason": "the nodes are stalled"});
    let ended = operator.post("/_miroir/writes/fail", &body);
    assert_eq!((&ended["uid"], &ended["status"]), (&json!(uid), &json!("failed")), "{ended}");
    let seen = client.read(&format!("/tasks/{uid}"));
    assert_eq!(seen["error"]["message"], "Ended by an operator: the nodes are stalled", "{seen}");
    assert_eq!(operator.read("/_miroir/writes")["results"], json!([]));
    for node in &control {
        assert_eq!(node.call("DELETE", "/faults", &Value::Null).0, 200);
    }
    // The index goes on, and the next write is a write like any other.
    client.done("POST", "/indexes/films/documents", &json!([{"id": 8, "title": "eight"}]));
    assert_eq!(client.read("/indexes/films/documents/8")["title"], "eight");
}
