//! What is wrong with a change is said by name before anything moves.

use serde_json::{Value, json};

use super::shapes::{ask, done};
use crate::support::{SingleNode, TestCluster};

#[test]
fn what_cannot_be_done_is_refused_and_nothing_moves() {
    let cluster = TestCluster::start(|options| options.shards = 8);
    let version =
        || ask(&cluster.cluster, "GET", "/_miroir/topology", &Value::Null).unwrap().1["version"].clone();
    let before = version();
    let check = |method: &str, path: &str, body: Value, status: u16, expected: &str| {
        let (found, answer) = ask(&cluster.cluster, method, path, &body).unwrap();
        let message = answer["message"].as_str().unwrap_or_default();
        assert!(found == status && message.contains(expected), "{method} {path}: {found} {answer}");
    };
    let node = |id: &str, url: &str| json!({"id": id, "url": url});
    let known = cluster.cluster.node(0).unwrap().url();
    check("POST", "/_miroir/nodes", node("n0", "http://127.0.0.1:9"), 400, "there is a node `n0` already");
    check("POST", "/_miroir/nodes", node("x", &known), 400, "is the URL of node `n0`");
    check("POST", "/_miroir/nodes", node("x", "ftp://a"), 400, "node `x`");
    check("POST", "/_miroir/nodes", node("x", "http://127.0.0.1:9"), 400, "does not answer /health");
    check("POST", "/_miroir/nodes", json!({"id": "x"}), 400, "missing field `url`");
    check("DELETE", "/_miroir/nodes/x", Value::Null, 400, "there is no node `x`");
    check("DELETE", "/_miroir/nodes/n0?force=true", Value::Null, 400, "has no other copy");
    check("DELETE", "/_miroir/nodes/n0?force=maybe", Value::Null, 400, "allowed: true and false");
    check("PATCH", "/_miroir/topology", json!({"replicationFactor": 4}), 400, "3 nodes for 4 copies");
    check("PATCH", "/_miroir/topology", json!({"replicationFactor": 1}), 400, "is 1 already");
    check("DELETE", "/_miroir/groups/0", Value::Null, 400, "the last one");
    check("DELETE", "/_miroir/groups/7", Value::Null, 400, "there is no group 7");
    check("GET", "/_miroir/operations/99", Value::Null, 404, "no operation 99");
    check("GET", "/_miroir/operations/x", Value::Null, 404, "no operation \"x\"");
    for wish in ["pause", "resume", "abort", "cutover"] {
        check("POST", &format!("/_miroir/operations/99/{wish}"), Value::Null, 404, "no operation 99");
    }
    check("GET", "/_miroir/operations?limit=many", Value::Null, 400, "`limit` is \"many\"");
    check("GET", "/_miroir/operations?order=up", Value::Null, 400, "order");
    check("POST", "/_miroir/nodes", json!([]), 400, "");
    check(
        "POST",
        "/_miroir/nodes/n0/replace",
        json!({"id": "n1", "url": "http://127.0.0.1:9"}),
        400,
        "a node `n1` already",
    );
    check(
        "POST",
        "/_miroir/nodes/x/replace",
        json!({"id": "y", "url": "http://127.0.0.1:9"}),
        400,
        "no node `x`",
    );
    check("POST", "/_miroir/nodes/x/drain", Value::Null, 400, "no node `x`");
    check("POST", "/_miroir/nodes/n0/drain", json!({"dryrun": true}), 400, "unknown field `dryrun`");
    check("PATCH", "/_miroir/topology", json!({"replicationFactor": 0}), 400, "at least 1");
    check("PATCH", "/_miroir/topology", json!({"replicationFactor": "two"}), 400, "invalid type");
    check("PATCH", "/_miroir/topology", json!({}), 400, "missing field `replicationFactor`");
    check("DELETE", "/_miroir/groups/first", Value::Null, 400, "a number names one");
    check("POST", "/_miroir/rebalance", json!({"throttle": 1}), 400, "unknown field `throttle`");
    assert_eq!(version(), before);
}

#[test]
fn a_node_with_somebody_elses_data_is_not_taken() {
    let cluster = TestCluster::start(|options| options.node_master_key = None);
    let stranger = SingleNode::start();
    stranger.client.done("POST", "/indexes", &json!({"uid": "theirs"}));
    let body = json!({"id": "x", "url": stranger.client.base()});
    let (status, answer) = ask(&cluster.cluster, "POST", "/_miroir/nodes", &body).unwrap();
    let message = answer["message"].as_str().unwrap_or_default();
    assert!(status == 400 && message.contains("`theirs` among them"), "{status} {answer}");
}

#[test]
fn a_plan_says_what_would_be_done_and_does_nothing() {
    let cluster = TestCluster::start(|options| options.shards = 8);
    crate::support::load_cities(&cluster.client);
    let drain = |dry_run: bool| ("/_miroir/nodes/n0/drain", json!({"dryRun": dry_run}));
    let (path, body) = drain(true);
    let (status, plan) = ask(&cluster.cluster, "POST", path, &body).unwrap();
    assert!(
        status == 200 && plan["documents"].as_u64() > Some(0) && plan["bytes"].as_u64() > Some(0),
        "{plan}"
    );
    let (_, list) = ask(&cluster.cluster, "GET", "/_miroir/operations", &Value::Null).unwrap();
    assert_eq!(list["total"], 0, "{list}");
    let operation = done(&cluster.cluster, "POST", path, &json!({"dryRun": false})).unwrap();
    assert_eq!(operation["shards"], plan["shards"]);
    let number = &operation["operation"];
    for wish in ["pause", "resume", "abort", "cutover"] {
        let path = format!("/_miroir/operations/{number}/{wish}");
        let (status, answer) = ask(&cluster.cluster, "POST", &path, &Value::Null).unwrap();
        assert!(status == 409 && answer["message"].as_str().unwrap().contains("it has ended"), "{answer}");
    }
    assert!(operation["progress"]["bytesMoved"].as_u64() > Some(0), "{operation}");
    assert_eq!(operation["progress"]["documentsMoved"], plan["documents"], "{operation}");
}
