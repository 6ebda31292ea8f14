//! Dumps of others come in whole, go on after pauses and crashes, and what is no dump changes nothing.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use crate::support::{Client, TestCluster, guarded_cluster_with, load_cities};

const MASTER: &str = "the-master-key-of-both-sides";
const ADMIN: &str = "the-key-of-operators";
const LONGEST: Duration = Duration::from_secs(180);

/// A cluster with its dumps in a folder, a client with the master key, and one for operators.
fn guarded(folder: &Path, nodes: usize, shards: usize, more: &[&str]) -> (TestCluster, Client, Client) {
    let (cluster, master) = guarded_cluster_with(MASTER, |options| {
        (options.nodes, options.shards) = (nodes, shards);
        let folder = folder.display().to_string();
        let arguments = ["--dump-dir", &folder, "--admin-key", ADMIN];
        options.gateway_arguments.extend(arguments.iter().chain(more).map(|word| (*word).to_owned()));
    });
    let operator = Client::new(cluster.cluster.url()).with_key(ADMIN);
    (cluster, master, operator)
}

fn import(operator: &Client, headers: &[(&str, &str)], body: &[u8]) -> (u16, Value) {
    let (status, answer) = operator.raw("POST", "/_miroir/dumps/import", headers, body).unwrap();
    (status, serde_json::from_slice(&answer).unwrap_or_default())
}

/// Waits until an operation is as wanted, and gives it.
fn wait_for(operator: &Client, number: &Value, is_so: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + LONGEST;
    loop {
        let operation = operator.read(&format!("/_miroir/operations/{number}"));
        if is_so(&operation) {
            return operation;
        }
        assert!(Instant::now() < deadline, "{operation}");
        std::thread::yield_now();
    }
}

fn ended(operator: &Client, number: &Value) -> Value {
    wait_for(operator, number, |operation| {
        !matches!(operation["status"].as_str(), Some("queued" | "running"))
    })
}

/// All documents of an index with their vectors, by their ids.
fn documents(client: &Client, index: &str) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    loop {
        let page = json!({"limit": 1000, "offset": all.len(), "retrieveVectors": true});
        let page = client.post(&format!("/indexes/{index}/documents/fetch"), &page);
        let page = page["results"].as_array().unwrap();
        if page.is_empty() {
            all.sort_by_key(|document| document["id"].to_string());
            return all;
        }
        all.extend(page.iter().cloned());
    }
}

/// An archive of files.
fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, content) in files {
        let mut header = tar::Header::new_ustar();
        // The name is written as it is, since a builder refuses the wrong ones.
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append(&header, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

const V6: &str = r#"{"dumpVersion":"V6","dbVersion":"1.15.1","dumpDate":"2026-01-31 12:00:00.0 +00:00:00"}"#;

/// A key as dumps have it. A gateway without a master key has no use for it.
const KEY: &str = r#"{"uid":"2a0fd030-e362-466e-acbe-d9b4651cfd56","name":"of others","description":null,"actions":["search"],"indexes":["*"],"expires_at":null,"created_at":"2026-01-31T12:00:00Z","updated_at":"2026-01-31T12:00:00Z"}"#;

/// A dump of three documents and a key.
pub(crate) fn small_dump() -> Vec<u8> {
    archive(&[
        ("metadata.json", V6),
        ("keys.jsonl", KEY),
        ("indexes/small/metadata.json", r#"{"uid":"small","primaryKey":"id"}"#),
        ("indexes/small/documents.jsonl", "{\"id\":1}\n{\"id\":2}\n{\"id\":3}\n"),
    ])
}

/// A dump of `count` documents that hardly compress, documents first as servers write them.
fn large(count: usize) -> Vec<u8> {
    let mut seed = 7_u64;
    let mut text = String::new();
    for id in 0..count {
        let noise = std::iter::repeat_with(|| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            format!("{:08x}", seed >> 32)
        });
        let noise = noise.take(110).collect::<String>();
        text.push_str(&format!("{{\"id\":{id},\"noise\":\"{noise}\"}}\n"));
    }
    archive(&[
        ("indexes/things/documents.jsonl", &text),
        ("indexes/things/metadata.json", r#"{"uid":"things","primaryKey":"id"}"#),
        ("indexes/things/settings.json", r#"{"filterableAttributes":["id"]}"#),
        ("metadata.json", V6),
        ("keys.jsonl", ""),
    ])
}

/// `metadata.json` as servers before 1.0 wrote it.
fn older(version: &str) -> String {
    let dates = r#""indexDbSize":1,"updateDbSize":1,"dumpDate":"2022-10-04T15:55:10.344982459Z""#;
    format!(r#"{{"dumpVersion":"{version}","dbVersion":"0.29.0",{dates}}}"#)
}

/// The folder of an index, and what it says of the index.
const NAME: &str = r#"{"uid":"small","index_meta":{"uuid":"22c2","creation_task_id":1}}"#;
const META: &str = r#"{"settings":{"displayedAttributes":["*"],"filterableAttributes":["year"],"rankingRules":["words","typo","year:desc"],"stopWords":["the"],"synonyms":{"film":["movie"]},"distinctAttribute":null,"typoTolerance":{"enabled":true,"minWordSizeForTypos":{"oneTypo":4,"twoTypos":8},"disableOnWords":[],"disableOnAttributes":[]}},"primary_key":"id"}"#;

/// A dump in the layout of versions 4 and 5, with two indexes of which one has nothing.
fn older_dump(version: &str, keys: &str) -> Vec<u8> {
    let names = format!("{NAME}\n{}\n", NAME.replace("small", "empty").replace("22c2", "6d04"));
    archive(&[
        ("./indexes/22c2/documents.jsonl", "{\"id\":1,\"year\":1999}\n{\"id\":2,\"year\":2003}\n"),
        ("./indexes/22c2/meta.json", META),
        ("./indexes/6d04/documents.jsonl", ""),
        ("./indexes/6d04/meta.json", r#"{"settings":{},"primary_key":null}"#),
        ("./index_uuids/data.jsonl", &names),
        ("./instance-uid", "9e15e977-f2ae-4761-943f-1eaf75fd736d"),
        ("./keys", keys),
        ("./metadata.json", &older(version)),
        ("./updates/data.jsonl", "{\"id\":1}\n"),
        ("./updates/updates_files/c83a004a", "{\"id\":3}\n"),
    ])
}

#[test]
fn older_dumps_are_converted() {
    let rest = r#""indexes":["small"],"expires_at":null,"created_at":"2022-06-21T11:46:40Z","updated_at":"2022-06-21T11:46:40Z""#;
    let v4 = format!(
        r#"{{"description":"of v4","id":[84,69,83,84,75,69,89,52],"actions":["search","dumps.get"],{rest}}}"#
    );
    let v5 = format!(
        r#"{{"description":"of v5","name":null,"uid":"0a77e2b3-6f3e-4b0e-8a3b-6f1d3b0e4c11","actions":["search"],{rest}}}"#
    );
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (mut cluster, client, operator) = guarded(folder.path(), 2, 16, &[]);
    let mut uids = Vec::new();
    for (version, key) in [("V4", &v4), ("V5", &v5), ("V4", &v4)] {
        let (status, begun) = import(&operator, &[], &older_dump(version, key));
        assert_eq!(status, 202, "{begun}");
        let operation = ended(&operator, &begun["operation"]);
        assert_eq!(operation["status"], "succeeded", "{operation}");
        assert_eq!(operation["dump"]["serverVersion"], "0.29.0");
        assert_eq!(operation["dump"]["indexes"]["small"], json!({"primaryKey": "id", "documents": 2}));
        let all = json!([{"id": 1, "year": 1999, "_vectors": {}}, {"id": 2, "year": 2003, "_vectors": {}}]);
        assert_eq!(json!(documents(&client, "small")), all);
        let settings = client.read("/indexes/small/settings");
        for (name, value) in [
            ("displayedAttributes", json!(["*"])),
            ("filterableAttributes", json!(["year"])),
            ("rankingRules", json!(["words", "typo", "year:desc"])),
            ("stopWords", json!(["the"])),
            ("synonyms", json!({"film": ["movie"]})),
        ] {
            assert_eq!(settings[name], value, "{version}");
        }
        assert_eq!(settings["typoTolerance"]["minWordSizeForTypos"], json!({"oneTypo": 4, "twoTypos": 8}));
        assert_eq!(client.read("/indexes/empty")["primaryKey"], Value::Null);
        let keys = client.read("/keys?limit=100");
        let named = format!("of {}", version.to_lowercase());
        let of_dump =
            keys["results"].as_array().unwrap().iter().filter(|key| key["description"] == named.as_str());
        let of_dump = of_dump.collect::<Vec<_>>();
        assert_eq!((of_dump.len(), &of_dump[0]["actions"]), (1, &json!(["search"])), "{keys}");
        let holder = Client::new(client.base()).with_key(of_dump[0]["key"].as_str().unwrap());
        assert_eq!(holder.search("small", &json!({"q": "movie"}))["hits"], json!([]));
        assert_eq!(holder.call("POST", "/indexes/empty/search", &json!({})).0, 403);
        uids.push(of_dump[0]["uid"].clone());
        client.done("DELETE", "/indexes/small", &Value::Null);
        client.done("DELETE", "/indexes/empty", &Value::Null);
    }
    assert_eq!(uids[0], uids[2], "a key of the fourth version gets the same uid each time");
    assert_eq!(uids[1], "0a77e2b3-6f3e-4b0e-8a3b-6f1d3b0e4c11");
    // One that is interrupted goes on under the names of its indexes.
    let (status, begun) = import(&operator, &[], &older_dump("V5", &v5));
    assert_eq!(status, 202, "{begun}");
    cluster.cluster.kill_gateway().unwrap();
    cluster.cluster.start_gateway().unwrap();
    assert_eq!(ended(&operator, &begun["operation"])["status"], "succeeded");
    assert_eq!(documents(&client, "small").len(), 2);
}

#[test]
fn a_dump_of_a_cluster_goes_whole_into_one_of_another_shape() {
    let folders = [0, 1].map(|_| tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap());
    let (source, client, _) = guarded(folders[0].path(), 3, 64, &[]);
    load_cities(&client);
    let embedders = json!({"mine": {"source": "userProvided", "dimensions": 2}});
    client.done("PATCH", "/indexes/films/settings/embedders", &embedders);
    let films =
        json!([{"id": "a", "_vectors": {"mine": [0.25, 0.5]}}, {"id": "b", "_vectors": {"mine": null}}]);
    client.done("POST", "/indexes/films/documents", &films);
    client.done("POST", "/indexes", &json!({"uid": "empty"}));
    let key = json!({"name": "of films", "actions": ["search"], "indexes": ["films"], "expiresAt": null});
    let (status, key) = client.call("POST", "/keys", &key);
    assert_eq!(status, 201, "{key}");
    let task = client.done("POST", "/dumps", &Value::Null);
    let file = folders[0].path().join(format!("{}.dump", task["details"]["dumpUid"].as_str().unwrap()));
    let dump = std::fs::read(file).unwrap();

    let (_other, there, operator) = guarded(folders[1].path(), 2, 16, &[]);
    let boundary = "5d41402abc4b";
    let form = format!("multipart/form-data; boundary={boundary}");
    let head =
        format!("--{boundary}\r\nContent-Disposition: form-data; name=\"dump\"; filename=\"a.dump\"\r\n\r\n");
    let body = [head.as_bytes(), &dump, format!("\r\n--{boundary}--\r\n").as_bytes()].concat();
    let (status, begun) = import(&operator, &[("Content-Type", &form)], &body);
    assert_eq!(status, 202, "{begun}");
    let operation = ended(&operator, &begun["operation"]);
    assert_eq!(
        (&operation["status"], &operation["kind"]),
        (&json!("succeeded"), &json!("dumpImport")),
        "{operation}"
    );
    assert_eq!(operation["progress"]["documentsMoved"], operation["progress"]["documentsTotal"]);
    assert_eq!(operation["dump"]["indexes"]["films"], json!({"primaryKey": "id", "documents": 2}));
    for index in ["cities", "films"] {
        assert_eq!(documents(&there, index), documents(&client, index), "{index}");
    }
    for index in ["cities", "films", "empty"] {
        let settings = format!("/indexes/{index}/settings");
        assert_eq!(there.read(&settings), client.read(&settings), "{index}");
        let of = |client: &Client| client.read(&format!("/indexes/{index}"))["primaryKey"].clone();
        assert_eq!(of(&there), of(&client));
    }
    // With the same master key the key itself is the same.
    let holder = Client::new(there.base()).with_key(key["key"].as_str().unwrap());
    assert_eq!(holder.search("films", &json!({}))["hits"].as_array().unwrap().len(), 2);
    assert_eq!(holder.call("POST", "/indexes/cities/search", &json!({})).0, 403);
    assert_eq!(std::fs::read_dir(folders[1].path()).unwrap().count(), 0, "nothing is left of it");

    // Once more: nothing that is there is touched.
    let (status, refused) = import(&operator, &[], &dump);
    assert_eq!((status, &refused["code"]), (409, &json!("miroir_operation_conflict")), "{refused}");
    drop(source);
}

#[test]
fn an_import_goes_on_after_a_pause_and_a_crash() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    // The dump is larger than a body may be, and than what is read before the answer.
    let (mut cluster, client, operator) = guarded(folder.path(), 3, 16, &["--body-limit", "256KiB"]);
    let dump = large(11_000);
    assert!(dump.len() > 4 << 20, "{}", dump.len());
    let (status, begun) = import(&operator, &[], &dump);
    assert_eq!(status, 202, "{begun}");
    let number = &begun["operation"];
    let has_moved = |least: u64| {
        move |operation: &Value| {
            operation["progress"]["documentsMoved"].as_u64() >= Some(least) || operation["status"] == "paused"
        }
    };
    wait_for(&operator, number, has_moved(1));
    let ask = |wish: &str| operator.call("POST", &format!("/_miroir/operations/{number}/{wish}"), &json!({}));
    let (status, paused) = ask("pause");
    assert_eq!((status, &paused["status"]), (200, &json!("paused")), "{paused}");
    assert_eq!(ask("pause").0, 409);
    let (status, resumed) = ask("resume");
    assert_eq!((status, &resumed["status"]), (200, &json!("queued")), "{resumed}");
    wait_for(&operator, number, has_moved(4000));
    cluster.cluster.kill_gateway().unwrap();
    cluster.cluster.start_gateway().unwrap();
    let operation = ended(&operator, number);
    assert_eq!(operation["status"], "succeeded", "{operation}");
    assert_eq!(operation["progress"]["documentsMoved"], 11_000);
    assert_eq!(client.read("/indexes/things/stats")["numberOfDocuments"], 11_000);
    let all = documents(&client, "things");
    assert_eq!(all.len(), 11_000, "none is missing and none is double");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left of it");

    // One that is given up leaves no file, and its operation has ended.
    client.done("DELETE", "/indexes/things", &Value::Null);
    let (_, begun) = import(&operator, &[], &dump);
    let number = &begun["operation"];
    let (status, aborted) = operator.call("POST", &format!("/_miroir/operations/{number}/abort"), &json!({}));
    assert_eq!((status, &aborted["status"]), (200, &json!("aborted")), "{aborted}");
    let deadline = Instant::now() + LONGEST;
    while std::fs::read_dir(folder.path()).unwrap().count() > 0 {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
}

#[test]
fn a_dump_that_an_option_names_is_imported_once() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = folder.path().join("given.dump");
    std::fs::write(&file, small_dump()).unwrap();
    let dumps = folder.path().join("dumps");
    let named = file.display().to_string();
    let (mut cluster, client, operator) = guarded(&dumps, 2, 16, &["--import-dump", &named]);
    let path = "/_miroir/operations?kind=dumpImport";
    let ended = || {
        let deadline = Instant::now() + LONGEST;
        while operator.read(path)["results"][0]["finishedAt"].is_null() {
            assert!(Instant::now() < deadline, "{}", operator.read(path));
            std::thread::yield_now();
        }
        operator.read(path)
    };
    assert_eq!(ended()["results"][0]["status"], "succeeded");
    client.done("DELETE", "/indexes/small/documents/2", &Value::Null);
    cluster.cluster.kill_gateway().unwrap();
    cluster.cluster.start_gateway().unwrap();
    // What comes after it shows that it was not begun again.
    let (status, begun) = import(&operator, &[], &large(10));
    assert_eq!(status, 202, "{begun}");
    wait_for(&operator, &begun["operation"], |operation| operation["status"] == "succeeded");
    assert_eq!(ended()["total"], 2);
    assert_eq!(client.read("/indexes/small/stats")["numberOfDocuments"], 2);
}

#[test]
fn what_is_no_dump_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (_cluster, client, operator) = guarded(folder.path(), 2, 16, &[]);
    let whole = large(100);
    let mut bomb = GzEncoder::new(Vec::new(), Compression::fast());
    bomb.write_all(&vec![0; 8 << 20]).unwrap();
    let table: [(Vec<u8>, &str); 15] = [
        (b"no archive".to_vec(), "gzip"),
        (Vec::new(), "cannot be imported"),
        (whole[..whole.len() / 2].to_vec(), "cannot be imported"),
        (bomb.finish().unwrap(), "follows its last file"),
        (archive(&[("metadata.json", V6), ("../../etc/cron.d/x", "x")]), "outside"),
        (archive(&[("metadata.json", &V6.replace("V6", "V1"))]), "\"V1\""),
        (archive(&[("metadata.json", &V6.replace("V6", "V2"))]), "\"V2\""),
        (archive(&[("metadata.json", &V6.replace("V6", "V3"))]), "\"V3\""),
        (archive(&[("metadata.json", &older("V5")), ("keys", "{\"uid\"")]), "line 1 of keys"),
        (
            archive(&[("metadata.json", &older("V5")), ("index_uuids/data.jsonl", NAME)]),
            "for the index `small`",
        ),
        (
            archive(&[("metadata.json", &older("V4")), ("indexes/22c2/meta.json", META)]),
            "names no index for the folder \"22c2\"",
        ),
        (
            archive(&[
                ("metadata.json", &older("V4")),
                ("index_uuids/data.jsonl", NAME),
                ("indexes/22c2/meta.json", "{\"settings\": []}"),
            ]),
            "no JSON object",
        ),
        (archive(&[("keys.jsonl", "")]), "no metadata.json"),
        (archive(&[("metadata.json", V6), ("indexes/a b/metadata.json", "{}")]), "\"a b\""),
        (
            archive(&[
                ("metadata.json", V6),
                ("indexes/a/metadata.json", r#"{"primaryKey":"id"}"#),
                ("indexes/a/documents.jsonl", "{\"id\":1}\n{\"id\":"),
            ]),
            "document 2 of the index `a`",
        ),
    ];
    for (body, word) in &table {
        let (status, refused) = import(&operator, &[], body);
        assert_eq!((status, &refused["code"]), (400, &json!("bad_request")), "{word}: {refused}");
        assert!(refused["message"].as_str().unwrap().contains(word), "{word}: {refused}");
    }
    let form = [("Content-Type", "multipart/form-data; boundary=x")];
    assert_eq!(import(&operator, &form, &whole).0, 400);
    let (status, refused) = operator.call("POST", "/_miroir/dumps/import?mode=fast", &json!({}));
    assert!(status == 400 && refused["message"].as_str().unwrap().contains("`mode`"), "{refused}");
    assert_eq!(operator.call("GET", "/_miroir/dumps/import", &Value::Null).0, 405);
    let stranger = Client::new(client.base());
    assert_eq!(import(&stranger, &[], &whole).0, 401);
    assert_eq!(client.read("/indexes")["total"], 0);
    assert_eq!(operator.read("/_miroir/operations?kind=dumpImport")["total"], 0);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left of them");
}
