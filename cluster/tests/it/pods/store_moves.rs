//! `miroir-ctl` moves a gateway's store to another place, and the gateway continues with it.

use std::{fs, path::Path, process::Command};

use serde_json::json;

use crate::support::guarded_cluster;

/// Runs `miroir-ctl store`. Returns its exit code and output.
fn transfer(verb: &str, store: &Path, file: &Path) -> (i32, String) {
    let store = format!("sled:{}", store.display());
    let mut command = Command::new(crate::support::PROGRAM);
    command.args(["role-ctl", "store", verb, "--store", &store]).arg(file);
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}

#[test]
fn a_gateway_goes_on_with_a_store_that_was_moved() {
    let (mut cluster, client) = guarded_cluster("master");
    let films = (0..50).map(|id| json!({"id": id, "title": format!("film {id}")})).collect::<Vec<_>>();
    client.done("POST", "/indexes/films/documents", &json!(films));
    client.done("PATCH", "/indexes/films/settings", &json!({"sortableAttributes": ["title"]}));
    let asked = json!({"actions": ["search"], "indexes": ["*"], "expiresAt": null});
    let (status, key) = client.call("POST", "/keys", &asked);
    assert_eq!(status, 201, "{key}");
    let tasks = client.read("/tasks");
    let data = cluster.directory().to_owned();
    let (store, file) = (data.join("gateway"), data.join("export"));
    let (code, said) = transfer("export", &store, &file);
    assert!(code == 1 && said.contains("in use by another process"), "{said}");
    cluster.cluster.kill_gateway().unwrap();
    let (code, said) = transfer("export", &store, &file);
    assert!(code == 0 && said.ends_with("entries exported\n"), "{said}");
    let (code, said) = transfer("import", &store, &file);
    assert!(code == 1 && said.contains("allowed: an empty one"), "{said}");
    let (code, said) = transfer("export", &store, &file);
    assert!(code == 1 && said.contains("cannot be made"), "a file is not written over: {said}");
    let (code, said) = transfer("export", &data.join("nowhere"), &data.join("other"));
    assert!(code == 1 && said.contains("there is none"), "{said}");
    fs::remove_dir_all(&store).unwrap();
    let (code, said) = transfer("import", &store, &file);
    assert!(code == 0 && said.ends_with("entries imported\n"), "{said}");
    cluster.cluster.start_gateway().unwrap();
    assert_eq!(client.read("/tasks"), tasks);
    assert_eq!(client.read(&format!("/keys/{}", key["uid"].as_str().unwrap()))["key"], key["key"]);
    assert_eq!(client.read("/indexes/films/settings")["sortableAttributes"], json!(["title"]));
    assert_eq!(client.read("/indexes/films/stats")["numberOfDocuments"], 50);
    let last = tasks["results"][0]["uid"].as_u64().unwrap();
    let next = client.write("POST", "/indexes/films/documents", &json!([{"id": 50}]))["uid"].as_u64();
    assert_eq!(next, Some(last + 1));
}
