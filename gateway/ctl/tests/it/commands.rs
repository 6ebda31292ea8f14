//! Tests every command over the management API: its requests, its output, and its exit code.

use crate::{
    gateway::{Answer, Gateway, Request},
    program::{KEY, run, run_with},
};

const READY: &str = r#"{"ready": true, "uncoveredShards": 0}"#;
const TOPOLOGY: &str = r#"{
    "indexes": [{"uid": "films"}],
    "nodes": [{"id": "n1", "state": "up", "group": 0, "url": "http://127.0.0.1:1"}, {"id": "n2"}]
}"#;
const SHARDS: &str =
    r#"{"placements": [{"shards": 2, "groups": [{"group": 1, "owners": [["n1", "n2"], ["n2"]]}]}]}"#;
const NODES: &str = "NODE                 STATE      GROUP  URL\n\
                     n1                   up         0      http://127.0.0.1:1\n\
                     n2                   -          null   -\n";
const PASSES: &str = r#"{"results": [
    {"number": 8, "startedAt": "2026-01-02", "dryRun": true, "index": "films", "report": {
        "shards": 2, "compared": 20, "differing": 3, "rewritten": 0, "deleted": 0, "failed": 0, "undecided": 0}},
    {"number": 7, "startedAt": "2026-01-01", "dryRun": false, "index": null, "report": {
        "shards": 4, "compared": 40, "differing": 3, "rewritten": 2, "deleted": 1, "failed": 0, "undecided": 0}}
]}"#;
const SEVENTH: &str =
    "2026-01-01 run: 4 shards, 40 copies of documents compared, 3 differ, 2 rewritten, 1 deleted, 0 failed\n";
const EIGHTH: &str = "2026-01-02 verify films: 2 shards, 20 copies of documents compared, 3 differ, 0 rewritten, 0 deleted, 0 failed\n";

/// Runs the words against a gateway with these answers; checks exit code and output; gives the requests.
#[track_caller]
fn check(answers: &[Answer], words: &[&str], code: i32, out: &str) -> Vec<Request> {
    let gateway = Gateway::start(answers);
    let address = gateway.address();
    let ended = run(&[&["--address", &address], words].concat());
    assert_eq!((ended.code, ended.out.as_str()), (code, out), "{words:?}: {}", ended.error);
    let requests = gateway.requests();
    assert!(requests.iter().all(|request| request.key.as_deref() == Some(KEY)), "{requests:?}");
    requests
}

/// Runs the words against a gateway with these answers; they must end with exit code 2, no output and this error.
#[track_caller]
fn fails(answers: &[Answer], words: &[&str], error: &str) {
    let gateway = Gateway::start(answers);
    let address = gateway.address();
    let ended = run(&[&["--address", &address], words].concat());
    assert_eq!((ended.code, ended.out.as_str()), (2, ""), "{words:?}: {}", ended.error);
    assert!(ended.error.starts_with("miroir-ctl: ") && ended.error.contains(error), "{}", ended.error);
    assert_eq!(ended.error.lines().count(), 1, "{}", ended.error);
}

#[test]
fn status_is_bad_news_when_the_cluster_is_not_ready() {
    let topology = ("GET /_miroir/topology", 200, TOPOLOGY);
    let expected = format!("ready: 0 shards without a healthy node, 1 indexes\n{NODES}");
    let asked = check(&[("GET /_miroir/ready", 200, READY), topology], &["status"], 0, &expected);
    let lines = asked.iter().map(|request| request.line.as_str()).collect::<Vec<_>>();
    assert_eq!(lines, ["GET /_miroir/ready", "GET /_miroir/topology"]);
    let expected = format!("not ready: 3 shards without a healthy node, 1 indexes\n{NODES}");
    let unready = ("GET /_miroir/ready", 503, r#"{"ready": false, "uncoveredShards": 3}"#);
    check(&[unready, topology], &["status"], 1, &expected);
}

#[test]
fn nodes_and_shards_are_listed() {
    check(&[("GET /_miroir/topology", 200, TOPOLOGY)], &["node", "list"], 0, NODES);
    let shards = "group 1, 2 shards\n     0 n1 n2\n     1 n2\n";
    check(&[("GET /_miroir/shards", 200, SHARDS)], &["shards", "list"], 0, shards);
    let answers = [("GET /_miroir/shards", 200, r#"{"placements":[]}"#)];
    check(&answers, &["--json", "shards", "list"], 0, "{\n  \"placements\": []\n}\n");
}

#[test]
fn passes_are_awaited_and_judged() {
    let past = ("GET /_miroir/anti-entropy/history", 200, PASSES);
    let begin = |answer| ("POST /_miroir/anti-entropy", 202, answer);
    let status = ("GET /_miroir/anti-entropy", 200, r#"{"running": null, "dead": [9]}"#);
    let words = ["anti-entropy", "run", "--node", "n1"];
    let asked = check(&[begin(r#"{"pass": 7}"#), status, past], &words, 0, SEVENTH);
    assert_eq!(asked[0].body, r#"{"index":null,"node":"n1"}"#);
    let words = ["anti-entropy", "verify", "--index", "films"];
    let asked = check(&[begin(r#"{"pass": 8}"#), status, past], &words, 1, EIGHTH);
    assert_eq!(asked[0].body, r#"{"index":"films","dryRun":true}"#);
    fails(&[begin(r#"{"pass": 9}"#), status, past], &words, "every pod that began this pass has died of it");
    check(&[past], &["anti-entropy", "history"], 0, &format!("{EIGHTH}{SEVENTH}"));
    check(&[status], &["anti-entropy", "status"], 0, "running: none\nlast:    none\n");
}

#[test]
fn what_cannot_be_asked_is_said_in_one_line() {
    let refusal = [("GET /_miroir/shards", 401, r#"{"message": "The admin key is wrong."}"#)];
    fails(&refusal, &["shards", "list"], "GET /_miroir/shards: status 401: The admin key is wrong.");
    let refusal = [("GET /_miroir/shards", 503, r#"{"message": "Too much."}"#)];
    fails(&refusal, &["shards", "list"], "status 503: Too much.");
    let moved = [("GET /_miroir/shards", 302, ""), ("GET /_miroir/elsewhere", 200, SHARDS)];
    fails(&moved, &["shards", "list"], "status 302");
    for (address, error) in [
        ("ftp://a.example", "option address: \"ftp://a.example\" is not allowed"),
        ("127.0.0.1:port", "127.0.0.1:port"),
        ("127.0.0.1:1", "no answer from the gateway at http://127.0.0.1:1"),
    ] {
        let ended = run(&["--address", address, "status"]);
        assert!(ended.code == 2 && ended.error.contains(error), "{}", ended.error);
    }
    let ended = run(&["dance"]);
    assert!(ended.code == 2 && ended.error.contains("dance"), "{}", ended.error);
    let help = run(&["--help"]);
    assert!(help.code == 0 && help.out.contains("anti-entropy"), "{}", help.out);
}

#[test]
fn the_key_comes_from_environment_file_and_flag_in_this_order() {
    let check = |environment, file, flag: Option<&str>, expected: Option<&str>| {
        let gateway = Gateway::start(&[("GET /_miroir/shards", 200, SHARDS)]);
        let address = gateway.address();
        let mut words = vec!["--address", &address];
        words.extend(flag.iter().flat_map(|key| ["--admin-key", key]));
        words.extend(["shards", "list"]);
        let ended = run_with(environment, file, &words);
        assert_eq!(ended.code, 0, "{}", ended.error);
        assert_eq!(gateway.requests()[0].key.as_deref(), expected);
    };
    check(Some("a"), Some("b\n"), Some("c"), Some("a"));
    check(Some(" "), Some("b\n"), Some("c"), Some("b"));
    check(None, Some("\n"), Some("c"), Some("c"));
    check(None, None, None, None);
    let ended = run_with(Some("a\u{7f}b"), None, &["status"]);
    assert!(ended.code == 2 && ended.error.contains("the admin key has a character"), "{}", ended.error);
}
