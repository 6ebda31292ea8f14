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
fn tenants_are_listed_set_and_deleted() {
    let table =
        r#"{"results": [{"tenant": "acme", "group": 2}], "keys": [{"keyUid": "k", "tenant": "acme"}]}"#;
    let expected = format!("{:<40} GROUP\n{:<40} 2\nkey {:<36} acme\n", "TENANT", "acme", "k");
    check(&[("GET /_miroir/tenants", 200, table)], &["tenant", "list"], 0, &expected);
    let set = [
        ("PUT /_miroir/tenants/acme", 200, r#"{"tenant": "acme", "group": 2}"#),
        ("PUT /_miroir/tenants/keys/k", 200, r#"{"keyUid": "k", "tenant": "acme"}"#),
    ];
    let words = ["tenant", "set", "acme", "--group", "2", "--key", "k"];
    let asked = check(&set, &words, 0, "acme reads group 2\nthe key k belongs to acme\n");
    let bodies = asked.iter().map(|request| request.body.as_str()).collect::<Vec<_>>();
    assert_eq!(bodies, [r#"{"group":2}"#, r#"{"tenant":"acme"}"#]);
    fails(&[], &["tenant", "set", "acme"], "give --group, --key or both");
    let gone = [("DELETE /_miroir/tenants/acme", 204, "")];
    check(&gone, &["tenant", "delete", "acme"], 0, "acme is not in the table any more\n");
    let gone = [("DELETE /_miroir/tenants/keys/k", 204, "")];
    check(&gone, &["tenant", "delete", "k", "--key"], 0, "k is not in the table any more\n");
    let refusal = [("PUT /_miroir/tenants/acme", 400, r#"{"message": "there is no group 9"}"#)];
    fails(&refusal, &["tenant", "set", "acme", "--group", "9"], "status 400: there is no group 9");
}

#[test]
fn canaries_are_made_judged_and_deleted() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let body = r#"{"name":"a","index":"films","query":{},"assertions":[{"type":"min_hits","value":1}]}"#;
    std::fs::write(file.path(), body).unwrap();
    let made =
        r#"{"name": "a", "index": "films", "intervalSeconds": 60, "assertions": [{"type": "min_hits"}]}"#;
    let line = format!("{:<30} films every 60 s: min_hits\n", "a");
    let words = ["canary", "create", file.path().to_str().unwrap()];
    let asked = check(&[("POST /_miroir/canaries", 201, made)], &words, 0, &line);
    assert_eq!(asked[0].body, body);
    fails(&[], &["canary", "create", "/nowhere/a.json"], "cannot be read");
    let listed = r#"{"results": []}"#;
    check(&[("GET /_miroir/canaries", 200, listed)], &["canary", "list"], 0, "");
    let status = r#"{"results": [
        {"name": "new", "runs": []},
        {"name": "good", "runs": [{"passed": false}, {"at": "t", "passed": true, "milliseconds": 2.5}]}
    ]}"#;
    let good = format!("{:<30} has not run yet\n{:<30} passed t in 2.5 ms\n", "new", "good");
    check(&[("GET /_miroir/canaries/status", 200, status)], &["canary", "status"], 0, &good);
    let status = r#"{"results": [{"name": "bad", "runs": [
        {"at": "t", "passed": false, "failures": [{"type": "min_hits", "expected": 2, "observed": 1}]}
    ]}]}"#;
    let bad = format!("{:<30} FAILED t: min_hits expected 2 observed 1\n", "bad");
    check(&[("GET /_miroir/canaries/status", 200, status)], &["canary", "status"], 1, &bad);
    let words = ["canary", "capture", "films", "--count", "3", "--prefix", "seen"];
    let expected = "the next 3 searches of films become canaries\n";
    let asked = check(&[("POST /_miroir/canaries/capture", 202, "{}")], &words, 0, expected);
    assert_eq!(asked[0].body, r#"{"index":"films","count":3,"namePrefix":"seen"}"#);
    let gone = [("DELETE /_miroir/canaries/a", 204, "")];
    check(&gone, &["canary", "delete", "a"], 0, "a is deleted\n");
}

#[test]
fn differences_of_shadows_are_listed() {
    let diffs = r#"{"results": [{"id": 7, "target": "next", "kind": "hits", "index": "films",
        "query": {"q": "a"}, "primary": 1, "shadow": 2}]}"#;
    let line = "7 next hits films {\"q\":\"a\"}: 1 | 2\n";
    check(&[("GET /_miroir/shadow/diff", 200, diffs)], &["shadow", "diff"], 0, line);
    let asked = "GET /_miroir/shadow/diff?target=next&kind=hits&limit=5&sinceId=6";
    let words = ["shadow", "diff", "--target", "next", "--kind", "hits", "--limit", "5", "--since", "6"];
    check(&[(asked, 200, diffs)], &words, 0, line);
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
