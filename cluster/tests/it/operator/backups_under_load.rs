//! Backups while clients write: what was acknowledged before is in them, and no document is there in part.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use cluster::cluster::ClusterOptions;
use serde_json::{Value, json};

use crate::operator::{ctl, operated};
use crate::support::TestCluster;
use node::test_client::Client;

/// How long writers may take to get on.
const WRITTEN_MAX: Duration = Duration::from_secs(120);
const MASTER_KEY: &str = "the-master-key-of-the-clients";
const INDEXES: [&str; 2] = ["films", "books"];
/// Writers of each index, and the documents that each changes again and again.
const WRITERS: usize = 2;
const DOCUMENTS: u64 = 40;

/// The newest acknowledged version of each document, by index and id.
type Acknowledged = BTreeMap<(&'static str, String), u64>;

fn start(folder: &Path, change: impl FnOnce(&mut ClusterOptions)) -> (TestCluster, Client, Client) {
    let (cluster, operator) = operated(|options| {
        let folder = folder.display().to_string();
        let arguments = ["--master-key", MASTER_KEY, "--backup-dir", &folder];
        options.gateway_arguments.extend(arguments.map(str::to_owned));
        change(options);
    });
    let master = Client::new(cluster.cluster.url()).with_key(MASTER_KEY);
    (cluster, operator, master)
}

/// A document whose parts show whether they belong together.
fn document(writer: usize, number: u64, version: u64) -> Value {
    let text = format!("version {version} ").repeat(20);
    json!({"id": format!("{writer}-{number}"), "first": version, "text": text, "last": version})
}

/// Writes documents of one index, each write acknowledged before the next, until it is told to stop.
fn write(
    master: &Client,
    uid: &'static str,
    writer: usize,
    acknowledged: &Mutex<Acknowledged>,
    stop: &AtomicBool,
) {
    let mut version = 0;
    while !stop.load(Ordering::Relaxed) {
        version += 1;
        let some = (0..5).map(|step| (version * 5 + step) % DOCUMENTS).collect::<Vec<_>>();
        let documents = some.iter().map(|number| document(writer, *number, version)).collect::<Vec<_>>();
        let (status, answer) = master.call("POST", &format!("/indexes/{uid}/documents"), &json!(documents));
        // Under load a write may be turned away; then it was not acknowledged.
        if status == 503 {
            continue;
        }
        assert_eq!(status, 202, "{answer}");
        let mut acknowledged = acknowledged.lock().unwrap();
        acknowledged.extend(some.iter().map(|number| ((uid, format!("{writer}-{number}")), version)));
    }
}

/// Waits until every document has been written at least so many more times than `before`.
fn until_written(acknowledged: &Mutex<Acknowledged>, before: &Acknowledged, times: u64) -> Acknowledged {
    let deadline = Instant::now() + WRITTEN_MAX;
    loop {
        let now = acknowledged.lock().unwrap().clone();
        let is_on =
            |(key, version): (&(&str, String), &u64)| *version >= before.get(key).unwrap_or(&0) + times;
        if now.len() as u64 == (INDEXES.len() * WRITERS) as u64 * DOCUMENTS && now.iter().all(is_on) {
            return now;
        }
        assert!(Instant::now() < deadline, "writers do not get on: {} documents", now.len());
        thread::sleep(Duration::from_millis(10));
    }
}

/// All documents of the indexes; each must be whole.
fn whole_documents(client: &Client) -> Acknowledged {
    let mut found = Acknowledged::new();
    for uid in INDEXES {
        let page = client.read(&format!("/indexes/{uid}/documents?limit=1000"));
        for document in page["results"].as_array().unwrap() {
            let version = document["first"].as_u64().unwrap();
            assert_eq!(document["last"], version, "{document}");
            assert_eq!(document["text"], format!("version {version} ").repeat(20), "{document}");
            found.insert((uid, document["id"].as_str().unwrap().to_owned()), version);
        }
    }
    found
}

/// Makes a backup by command while others write; gives its view.
fn back_up(cluster: &TestCluster) -> Value {
    let made = ctl(cluster, &["backup", "create", "--watch"]);
    assert_eq!(made.code, 0, "{}{}", made.out, made.error);
    let shown = ctl(cluster, &["backup", "status", "--json"]);
    serde_json::from_str(&shown.out).unwrap()
}

#[test]
fn a_backup_under_load_has_what_was_acknowledged_before_it_and_nothing_in_part() {
    let folder = tempfile::tempdir().unwrap();
    let (cluster, operator, master) = start(folder.path(), |options| {
        (options.nodes, options.replication_factor, options.shards) = (3, 2, 16);
    });
    let settings =
        json!({"filterableAttributes": ["first"], "stopWords": ["the"], "synonyms": {"movie": ["film"]}});
    for uid in INDEXES {
        master.done("POST", "/indexes", &json!({"uid": uid, "primaryKey": "id"}));
        master.done("PATCH", &format!("/indexes/{uid}/settings"), &settings);
    }
    let wanted = json!({"name": "readers", "actions": ["search"], "indexes": ["films"], "expiresAt": null});
    let (status, key) = master.call("POST", "/keys", &wanted);
    assert_eq!(status, 201, "{key}");
    let (acknowledged, stop) = (Mutex::default(), AtomicBool::new(false));
    let (before, backup) = thread::scope(|scope| {
        for uid in INDEXES {
            for writer in 0..WRITERS {
                let (master, acknowledged, stop) = (&master, &acknowledged, &stop);
                scope.spawn(move || write(master, uid, writer, acknowledged, stop));
            }
        }
        let before = until_written(&acknowledged, &Acknowledged::new(), 1);
        let backup = back_up(&cluster);
        // Writers went on all the time: after the backup everything is written anew once more.
        let during = acknowledged.lock().unwrap().clone();
        until_written(&acknowledged, &during, 1);
        stop.store(true, Ordering::Relaxed);
        (before, backup)
    });
    let after = acknowledged.into_inner().unwrap();
    let settings = INDEXES.map(|uid| master.read(&format!("/indexes/{uid}/settings")));
    let intact = ctl(&cluster, &["backup", "verify", backup["id"].as_str().unwrap()]);
    assert_eq!(intact.code, 0, "{}{}", intact.out, intact.error);
    assert_eq!(operator.read("/_miroir/writes?stuck=true")["results"], json!([]));
    // Everything is deleted: the folder is all that is left.
    drop(cluster);
    let (other, _, master) = start(folder.path(), |options| {
        (options.nodes, options.groups, options.replication_factor, options.shards) = (2, 2, 1, 6);
    });
    let restored = ctl(&other, &["backup", "restore", backup["id"].as_str().unwrap(), "--watch"]);
    assert_eq!(restored.code, 0, "{}{}", restored.out, restored.error);
    let found = whole_documents(&master);
    for (document, version) in &before {
        let restored = found.get(document).unwrap_or_else(|| panic!("{document:?} is missing"));
        assert!(version <= restored && *restored <= after[document], "{document:?}: {version} {restored}");
    }
    assert_eq!(found.len(), before.len());
    assert!(found.iter().any(|(document, version)| *version < after[document]), "it was made before the end");
    assert_eq!(INDEXES.map(|uid| master.read(&format!("/indexes/{uid}/settings"))), settings);
    let restored_key = master.read(&format!("/keys/{}", key["uid"].as_str().unwrap()));
    for member in ["key", "name", "actions", "indexes", "expiresAt"] {
        assert_eq!(restored_key[member], key[member], "{member}");
    }
    let again = back_up(&other);
    assert_eq!(again["manifest"]["indexes"], backup["manifest"]["indexes"], "fingerprints are equal");
}
