//! What a killed or stopped node leaves behind, and that the restarted node continues from it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use cluster::node_process::{NodeKind, NodeProcess, SpawnOptions};
use serde_json::{Value, json};

use node::test_client::{Client, films, ids};

use crate::support::PROGRAM;

fn spawn(data: &Path, options: &SpawnOptions) -> (NodeProcess, Client) {
    let options = SpawnOptions { leading_arguments: vec!["role-node".to_owned()], ..options.clone() };
    let node = NodeProcess::spawn(NodeKind::Embedded, Path::new(PROGRAM), data, &options).unwrap();
    let client = Client::new(node.url());
    (node, client)
}

#[test]
fn an_acknowledged_write_survives_sigkill() {
    let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (node, client) = spawn(data.path(), &SpawnOptions::default());
    client.done("POST", "/indexes/films/documents", &films());
    let mut summaries = Vec::new();
    for id in 100..120 {
        let (status, summary) = client.call("POST", "/indexes/films/documents", &json!([{ "id": id }]));
        assert_eq!(status, 202);
        summaries.push(summary);
    }
    node.kill().unwrap();
    let (node, client) = spawn(data.path(), &SpawnOptions::default());
    for summary in &summaries {
        assert_eq!(client.finished(summary)["status"], "succeeded");
    }
    assert_eq!(client.read("/indexes/films/stats")["numberOfDocuments"], 25);
    assert_eq!(ids(&client.search("films", &json!({ "q": "alien" }))), [4]);
    let next = client.done("POST", "/indexes/films/documents", &json!([{ "id": 7 }]));
    assert_eq!(next["uid"], 21);
    node.stop().unwrap();
}

#[test]
fn stalled_tasks_settings_and_features_survive_sigkill() {
    let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let options = SpawnOptions { control: true, no_sync: true, ..SpawnOptions::default() };
    let (node, client) = spawn(data.path(), &options);
    client.done("PATCH", "/indexes/a/settings", &json!({ "stopWords": ["the"] }));
    client.call("PATCH", "/experimental-features", &json!({ "metrics": true }));
    Client::new(node.control().unwrap()).post("/faults", &json!({ "stall_tasks": true }));
    let large: Vec<Value> = (0..2000).map(|id| json!({ "id": id, "text": "x".repeat(100) })).collect();
    let (_, addition) = client.call("POST", "/indexes/a/documents", &json!(large));
    let (_, deletion) = client.call("DELETE", "/indexes/b", &json!(null));
    node.kill().unwrap();
    let (_node, client) = spawn(data.path(), &options);
    assert_eq!(client.finished(&addition)["details"]["indexedDocuments"], 2000);
    assert_eq!(client.finished(&deletion)["error"]["code"], "index_not_found");
    assert_eq!(client.read("/indexes/a/settings/stop-words"), json!(["the"]));
    assert_eq!(client.read("/experimental-features")["metrics"], true);
}

#[test]
fn a_node_ends_well_on_sigterm() {
    let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut child = Command::new(PROGRAM)
        .args(["role-node", "--listen", "127.0.0.1:0", "--data"])
        .arg(data.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(ready["control"], Value::Null);
    let client = Client::new(format!("http://{}", ready["address"].as_str().unwrap()));
    client.done("POST", "/indexes", &json!({ "uid": "a" }));
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_node_ends_when_its_parent_is_gone() {
    let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (node, client) = spawn(data.path(), &SpawnOptions::default());
    assert_eq!(client.get("/health").0, 200);
    // `stop` only closes the child's stdin, as the death of its parent does.
    node.stop().unwrap();
    assert!(client.raw("GET", "/health", &[], b"").is_err());
}

#[test]
fn a_snapshot_is_a_node_of_its_own() {
    let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let options = SpawnOptions { no_sync: true, ..SpawnOptions::default() };
    let (_node, client) = spawn(data.path(), &options);
    for rating in [1, 2] {
        client.done("POST", "/indexes/films/documents", &films());
        client.done("POST", "/indexes/films/documents", &json!([{ "id": 1, "rating": rating }]));
        let task = client.done("POST", "/snapshots", &Value::Null);
        assert_eq!((&task["type"], &task["indexUid"]), (&json!("snapshotCreation"), &Value::Null));
        assert_eq!(task.get("details"), None);
    }
    client.done("DELETE", "/indexes/films", &Value::Null);
    let (_copy, copied) = spawn(&data.path().join("snapshot"), &options);
    assert_eq!(copied.read("/indexes/films/stats")["numberOfDocuments"], 5);
    assert_eq!(copied.read("/indexes/films/documents/1")["rating"], 2);
    assert_eq!(client.get("/indexes/films").0, 404);
}
