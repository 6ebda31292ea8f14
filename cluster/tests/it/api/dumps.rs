//! Dumps: one archive of the whole cluster, as one node would have written it.
//! Invariant: if there is a real Meilisearch, it has to load the archive.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use flate2::read::GzDecoder;
use serde_json::{Value, json};

use crate::support::{TestCluster, cities, load_cities, real_node};
use node::test_client::Client;

/// The files of an archive by path.
fn read(dump: &Path) -> BTreeMap<String, String> {
    let mut archive = tar::Archive::new(GzDecoder::new(File::open(dump).unwrap()));
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut content = String::new();
        entry.read_to_string(&mut content).unwrap();
        (entry.path().unwrap().display().to_string(), content)
    });
    entries.collect()
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_dump_is_one_of_the_whole_cluster() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let cluster = TestCluster::start(|options| {
        options.nodes = 4;
        options.replication_factor = 2;
        let dumps = ["--dump-dir".to_owned(), directory.path().display().to_string()];
        options.gateway_arguments.extend(dumps);
    });
    let client = &cluster.client;
    load_cities(client);
    let settings = json!({
        "displayedAttributes": ["name", "country"],
        "rankingRules": ["words", "typo", "sort", "name:asc"],
        "faceting": {"maxValuesPerFacet": 7},
    });
    client.done("PATCH", "/indexes/cities/settings", &settings);
    let embedders = json!({"mine": {"source": "userProvided", "dimensions": 2}});
    client.done("PATCH", "/indexes/films/settings/embedders", &embedders);
    let films = json!([
        {"id": "a", "_vectors": {"mine": [0.25, 0.5]}},
        {"id": "b", "_vectors": {"mine": [0.75, 0.125]}},
        {"id": "c", "_vectors": {"mine": null}},
    ]);
    client.done("POST", "/indexes/films/documents", &films);
    client.write("POST", "/indexes", &json!({"uid": "films"}));
    let task = client.done("POST", "/dumps", &Value::Null);
    let uid = task["details"]["dumpUid"].as_str().unwrap();
    let dump = directory.path().join(format!("{uid}.dump"));
    let files = read(&dump);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing else is left");
    assert!(files.values().all(|content| !content.contains("_miroir")), "reserved fields are gone");
    let mut documents = lines(&files["indexes/cities/documents.jsonl"]);
    let mut expected = cities();
    let by_id = |document: &Value| document["id"].as_u64();
    documents.sort_by_key(by_id);
    expected.sort_by_key(by_id);
    assert_eq!(documents, expected);
    let vectors = lines(&files["indexes/films/documents.jsonl"]);
    assert_eq!(vectors.len(), 3);
    let of = |id: &str| &vectors.iter().find(|document| document["id"] == id).unwrap()["_vectors"]["mine"];
    assert_eq!(of("b"), &json!({"embeddings": [[0.75, 0.125]], "regenerate": false}));
    let shown: Value = serde_json::from_str(&files["indexes/cities/settings.json"]).unwrap();
    assert_eq!(shown, client.read("/indexes/cities/settings"));
    let about: Value = serde_json::from_str(&files["indexes/cities/metadata.json"]).unwrap();
    assert_eq!((&about["uid"], &about["primaryKey"]), (&json!("cities"), &json!("id")));
    assert_eq!(lines(&files["tasks/queue.jsonl"]).len(), 7);
    if let Some(binary) = real_node() {
        load(&binary, &dump, directory.path(), client);
    }
}

/// A process that ends with its handle.
struct Loaded(Child);

impl Drop for Loaded {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Checks that one node that has loaded the dump equals the cluster.
fn load(binary: &Path, dump: &Path, directory: &Path, cluster: &Client) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new(binary);
    command
        .arg("--no-analytics")
        .arg("--db-path")
        .arg(directory.join("loaded"))
        .arg("--import-dump")
        .arg(dump);
    command.args(["--http-addr", &format!("127.0.0.1:{port}")]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut loaded = Loaded(command.spawn().unwrap());
    let node = Client::new(format!("http://127.0.0.1:{port}"));
    while node.raw("GET", "/health", &[], b"").is_err() {
        assert!(loaded.0.try_wait().unwrap().is_none(), "the node does not load the dump");
        std::thread::yield_now();
    }
    for path in ["/indexes/cities/settings", "/indexes/films/settings"] {
        assert_eq!(node.read(path), cluster.read(path), "{path}");
    }
    for uid in 0..6 {
        let tasks = [&node, cluster].map(|client| {
            let task = client.read(&format!("/tasks/{uid}"));
            ["type", "status", "indexUid", "error", "enqueuedAt", "finishedAt"].map(|name| task[name].clone())
        });
        assert_eq!(tasks[0], tasks[1]);
    }
    for q in ["san", "paris", "sao", "new york", "a", ""] {
        let search = json!({"q": q, "limit": 50, "facets": ["country"], "sort": ["population:desc"]});
        let answers = [&node, cluster].map(|client| {
            let mut answer = client.post("/indexes/cities/search", &search);
            ["hits", "estimatedTotalHits", "facetDistribution"].map(|name| answer[name].take())
        });
        assert_eq!(answers[0], answers[1], "{q}");
    }
    let near = json!({"vector": [0.75, 0.125], "hybrid": {"embedder": "mine", "semanticRatio": 1.0}});
    let hits = [&node, cluster].map(|client| client.post("/indexes/films/search", &near)["hits"].take());
    assert_eq!(hits[0], hits[1]);
}
