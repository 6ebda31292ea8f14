//! Backups: made under load, verified, restored into a cluster of another shape, refused where something would be lost.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::operator::{ctl, operated};
use crate::support::TestCluster;
use node::test_client::Client;

/// How long an operation may take.
const ENDED_MAX: Duration = Duration::from_secs(120);

/// A cluster with its backups in a folder.
fn with_backups(folder: &Path, more: &[&str], nodes: usize, shards: usize) -> (TestCluster, Client) {
    operated(|options| {
        (options.nodes, options.shards) = (nodes, shards);
        options.gateway_arguments.extend(["--backup-dir".to_owned(), folder.display().to_string()]);
        options.gateway_arguments.extend(more.iter().map(|word| (*word).to_owned()));
    })
}

/// Waits until an operation has ended, and gives it.
fn ended(operator: &Client, number: &Value) -> Value {
    let deadline = Instant::now() + ENDED_MAX;
    loop {
        let operation = operator.read(&format!("/_miroir/operations/{number}"));
        if !matches!(operation["status"].as_str(), Some("queued" | "running")) {
            return operation;
        }
        assert!(Instant::now() < deadline, "{operation}");
        std::thread::yield_now();
    }
}

/// Makes a backup and gives its id and its view.
fn back_up(operator: &Client, body: &Value) -> (String, Value) {
    let (status, begun) = operator.call("POST", "/_miroir/backups", body);
    assert_eq!(status, 202, "{begun}");
    let operation = ended(operator, &begun["operation"]);
    assert_eq!(operation["status"], "succeeded", "{operation}");
    let id = begun["backup"].as_str().unwrap().to_owned();
    let view = operator.read(&format!("/_miroir/backups/{id}"));
    (id, view)
}

fn fill(client: &Client) {
    client.done("POST", "/indexes", &json!({"uid": "films", "primaryKey": "id"}));
    let settings = json!({"filterableAttributes": ["year"], "synonyms": {"movie": ["film"]}});
    client.done("PATCH", "/indexes/films/settings", &settings);
    let films = (0..3000).map(|id| json!({"id": id, "title": format!("film {id}"), "year": 1900 + id % 120}));
    client.done("POST", "/indexes/films/documents", &films.collect::<Vec<_>>().into());
    client.done("POST", "/indexes", &json!({"uid": "books", "primaryKey": "isbn"}));
    let books = (0..50).map(|id| json!({"isbn": format!("b-{id}"), "title": "a book"})).collect::<Vec<_>>();
    client.done("POST", "/indexes/books/documents", &json!(books));
}

#[test]
fn a_backup_goes_into_a_cluster_of_another_shape() {
    let folder = tempfile::tempdir().unwrap();
    let (cluster, operator) = with_backups(folder.path(), &[], 3, 64);
    let client = &cluster.client;
    fill(client);
    let alias = json!({"name": "cinema", "target": "films"});
    assert_eq!(operator.call("POST", "/_miroir/aliases", &alias).0, 201);
    let policy = json!({"sweepIntervalSeconds": 60});
    assert_eq!(operator.call("POST", "/_miroir/indexes/books/ttl-policy", &policy).0, 200);
    let (id, view) = back_up(&operator, &json!({}));
    let counts = view["manifest"]["indexes"].as_array().unwrap().iter();
    let counts = counts.map(|index| (index["uid"].as_str().unwrap(), index["documents"].as_u64().unwrap()));
    assert_eq!(counts.collect::<Vec<_>>(), [("books", 50), ("films", 3000)]);
    let settings = client.read("/indexes/films/settings");
    // It was made under load: what is written afterwards is not in it.
    client.done("POST", "/indexes/films/documents", &json!([{"id": 5000, "title": "later"}]));
    let intact = ctl(&cluster, &["backup", "verify", &id]);
    assert!(intact.code == 0 && intact.out.contains("is intact"), "{}{}", intact.out, intact.error);
    let (status, error) = operator.call("POST", &format!("/_miroir/backups/{id}/restore"), &json!({}));
    assert_eq!((status, &error["code"]), (409, &json!("miroir_operation_conflict")), "{error}");
    assert!(error["message"].as_str().unwrap().contains("Index `books` is there already"), "{error}");
    drop(cluster);

    // Two nodes and other shards: the folder is all that is left.
    let (other, operator) = with_backups(folder.path(), &[], 2, 16);
    let listed = ctl(&other, &["backup", "list"]);
    assert!(listed.code == 0 && listed.out.contains(&id), "{}{}", listed.out, listed.error);
    let restored = ctl(&other, &["backup", "restore", &id, "--watch"]);
    assert_eq!(restored.code, 0, "{}{}", restored.out, restored.error);
    let client = &other.client;
    assert_eq!(client.read("/indexes/films/stats")["numberOfDocuments"], 3000);
    assert_eq!(client.read("/indexes/films/settings"), settings);
    assert_eq!(client.read("/indexes/books/documents/b-7")["title"], "a book");
    assert_eq!(client.search("cinema", &json!({"q": "film 77"}))["hits"][0]["id"], 77);
    assert_eq!(operator.read("/_miroir/indexes/books/ttl-policy")["sweepIntervalSeconds"], 60);
    // A backup of what was restored has the same fingerprints.
    let (_, again) = back_up(&operator, &json!({}));
    assert_eq!(again["manifest"]["indexes"], view["manifest"]["indexes"]);
}

#[test]
fn some_indexes_are_backed_up_and_old_backups_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let (cluster, operator) = with_backups(folder.path(), &["--backup-keep", "2"], 2, 8);
    fill(&cluster.client);
    let ids = (0..3).map(|_| back_up(&operator, &json!({"indexes": ["books"]})).0).collect::<Vec<_>>();
    let deadline = Instant::now() + ENDED_MAX;
    let kept = || {
        let listed = operator.read("/_miroir/backups");
        let listed = listed["results"].as_array().unwrap().iter();
        listed.map(|backup| backup["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    // The oldest goes from the folder first, then from the list.
    while folder.path().join(&ids[0]).exists() || kept().len() > 2 {
        assert!(Instant::now() < deadline, "the oldest stays");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(kept(), [&*ids[2], &*ids[1]]);
    cluster.client.done("DELETE", "/indexes/books", &Value::Null);
    let restore = format!("/_miroir/backups/{}/restore", ids[2]);
    for (path, body, status, code) in [
        ("/_miroir/backups", json!({"indexes": ["nothing"]}), 404, "index_not_found"),
        ("/_miroir/backups", json!({"indexes": []}), 400, "bad_request"),
        ("/_miroir/backups", json!({"indexes": "books"}), 400, "bad_request"),
        ("/_miroir/backups", json!({"index": ["books"]}), 400, "bad_request"),
        ("/_miroir/backups/none/restore", json!({}), 404, "miroir_backup_not_found"),
        (&*restore, json!({"indexes": ["films"]}), 404, "index_not_found"),
    ] {
        let (seen, error) = operator.call("POST", path, &body);
        assert_eq!((seen, &error["code"]), (status, &json!(code)), "{path} {body}: {error}");
    }
    // A damaged archive is found before anything is written.
    let archive = folder.path().join(&ids[2]).join("cluster.dump");
    let mut bytes = fs::read(&archive).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&archive, bytes).unwrap();
    let damaged = ctl(&cluster, &["backup", "verify", &ids[2]]);
    assert!(
        damaged.code == 1 && damaged.out.contains("cluster.dump has"),
        "{}{}",
        damaged.out,
        damaged.error
    );
    let (status, error) = operator.call("POST", &restore, &json!({}));
    assert_eq!((status, &error["code"]), (409, &json!("miroir_operation_conflict")), "{error}");
    assert_eq!(cluster.client.get("/indexes/books").0, 404);
    let good = format!("/_miroir/backups/{}/restore", ids[1]);
    let (status, begun) = operator.call("POST", &good, &json!({"indexes": ["books"]}));
    assert_eq!(status, 202, "{begun}");
    assert_eq!(ended(&operator, &begun["operation"])["status"], "succeeded");
    assert_eq!(cluster.client.read("/indexes/books/stats")["numberOfDocuments"], 50);
}

#[test]
fn a_schedule_makes_backups_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let (cluster, operator) = with_backups(folder.path(), &["--backup-interval", "100ms"], 1, 4);
    cluster.client.done("POST", "/indexes", &json!({"uid": "films"}));
    let deadline = Instant::now() + ENDED_MAX;
    loop {
        let listed = operator.read("/_miroir/backups");
        let all = listed["results"].as_array().unwrap();
        if all.iter().filter(|backup| backup["status"] == "succeeded").count() >= 2 {
            assert!(all.iter().all(|backup| backup["scheduled"] == true), "{listed}");
            break;
        }
        assert!(Instant::now() < deadline, "{listed}");
        std::thread::yield_now();
    }
}
