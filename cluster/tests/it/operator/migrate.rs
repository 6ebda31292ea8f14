//! One Meilisearch is copied into a cluster, again after it has changed, and what only the cluster has stays unless
//! that is asked for.

use serde_json::{Value, json};

use crate::operator::{Ended, ctl, operated};
use crate::support::{SingleNode, TestCluster, load_cities};

/// Runs the command; gives its exit code and what it reports of each index.
fn migrate(cluster: &TestCluster, source: &SingleNode, more: &[&str]) -> (i32, Value) {
    let words = ["migrate", "--from", source.client.base(), "--json"];
    let Ended { code, out, error } = ctl(cluster, &[&words[..], more].concat());
    let report: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{error}"));
    (code, report["indexes"].clone())
}

fn of(indexes: &Value, uid: &str) -> Value {
    indexes.as_array().unwrap().iter().find(|index| index["uid"] == uid).unwrap().clone()
}

#[test]
fn a_server_is_copied_and_its_changes_follow() {
    let source = SingleNode::start();
    let node = &source.client;
    load_cities(node);
    let embedders = json!({"mine": {"source": "userProvided", "dimensions": 2}});
    node.done("PATCH", "/indexes/films/settings", &json!({"embedders": embedders, "synonyms": {"a": ["b"]}}));
    let films = json!([
        {"id": "a", "_vectors": {"mine": [0.25, 0.5]}}, {"id": "b", "_vectors": {"mine": null}}, {"id": "c", "_vectors": {"mine": null}}
    ]);
    node.done("POST", "/indexes/films/documents", &films);
    node.done("POST", "/indexes", &json!({"uid": "empty"}));
    let before = node.read("/stats");

    let (cluster, _) = operated(|options| options.shards = 8);
    let client = &cluster.client;
    let (code, compared) = migrate(&cluster, &source, &["--compare"]);
    assert_eq!((code, &of(&compared, "films")["differing"]), (1, &json!(3)), "{compared}");
    assert_eq!(client.read("/indexes")["total"], 0, "a comparison writes nothing");
    let (code, copied) = migrate(&cluster, &source, &[]);
    assert_eq!(code, 0, "{copied}");
    assert_eq!(of(&copied, "films")["written"], 3);
    let fetch = |client: &crate::support::Client| {
        let question = json!({"limit": 10, "retrieveVectors": true});
        let mut all =
            client.post("/indexes/films/documents/fetch", &question)["results"].as_array().unwrap().clone();
        all.sort_by_key(|film| film["id"].to_string());
        all
    };
    assert_eq!(fetch(client), fetch(node));
    for index in ["cities", "films", "empty"] {
        let path = format!("/indexes/{index}/settings");
        assert_eq!(client.read(&path), node.read(&path), "{index}");
    }
    assert_eq!(node.read("/stats")["indexes"], before["indexes"], "the source is only read");

    // Changes of the source follow; what is gone there was perhaps never from there.
    node.done(
        "PUT",
        "/indexes/films/documents",
        &json!([{"id": "c", "title": "new"}, {"id": "d", "_vectors": {"mine": null}}]),
    );
    node.done("DELETE", "/indexes/films/documents/b", &Value::Null);
    let (code, again) = migrate(&cluster, &source, &["--index", "films"]);
    let films = of(&again, "films");
    assert_eq!((code, &films["written"], &films["foreign"]), (1, &json!(2), &json!(1)), "{again}");
    let (code, mirrored) = migrate(&cluster, &source, &["--index", "films", "--mirror"]);
    assert_eq!((code, &of(&mirrored, "films")["equal"]), (0, &json!(true)), "{mirrored}");
    assert_eq!(fetch(client), fetch(node));

    let refused = |words: &[&str], code: i32, word: &str| {
        let ended = ctl(&cluster, &[&["migrate"], words].concat());
        assert!(
            ended.code == code && ended.error.contains(word),
            "{words:?}: {} {}",
            ended.code,
            ended.error
        );
    };
    refused(&["--from", node.base(), "--index", "none"], 2, "\"none\"");
    refused(&["--from", "http://127.0.0.1:1"], 3, "127.0.0.1:1");
    refused(&["--from", "ftp://a"], 2, "ftp://a");
    client.done("POST", "/indexes", &json!({"uid": "other", "primaryKey": "isbn"}));
    node.done("POST", "/indexes", &json!({"uid": "other", "primaryKey": "id"}));
    refused(&["--from", node.base(), "--index", "other"], 1, "primary key");
}
