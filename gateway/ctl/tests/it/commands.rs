//! Tests every command over the management API: its requests, its output, and its exit code.

use crate::{
    gateway::{Answer, Gateway, Request},
    program::{KEY, run, run_in, run_open_to_others, run_with},
};

const READY: &str = r#"{"ready": true, "uncoveredShards": 0, "storeReached": true}"#;
const TOPOLOGY: &str = r#"{
    "shards": 64, "replicationFactor": 2, "gatewayVersion": "0.1.0", "tasks": {"unfinished": 2},
    "indexes": [{"uid": "films"}],
    "coordinator": {"pod": "a", "leads": ["settings"], "peers": [
        {"name": "b", "alive": true}, {"name": "c", "alive": false}]},
    "nodes": [
        {"id": "n1", "state": "up", "group": 0, "nodeVersion": "1.15", "hints": {"count": 0}, "url": "http://127.0.0.1:1"},
        {"id": "n2", "hints": {"count": 3, "bytes": 2048, "copyNeeded": false}},
        {"id": "n3", "state": "down", "hints": {"count": 3, "copyNeeded": true}}]
}"#;
const RUNNING: &str = r#"{"results": [{"operation": 7, "kind": "addNode", "phase": "DualWrite"}]}"#;
const SHARDS: &str =
    r#"{"placements": [{"shards": 2, "groups": [{"group": 1, "owners": [["n1", "n2"], ["n2"]]}]}]}"#;
const NODES: &str = "NODE  STATE  GROUP  HINTS        URL\n\
                     n1    up     0      0            http://127.0.0.1:1\n\
                     n2    -      -      3 (2.0 KiB)  -\n\
                     n3    down   -      whole copy   -\n";
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
    let url = gateway.address();
    let ended = run(&[&["--url", &url], words].concat());
    assert_eq!((ended.code, ended.out.as_str()), (code, out), "{words:?}: {}", ended.error);
    let requests = gateway.requests();
    assert!(requests.iter().all(|request| request.key.as_deref() == Some(KEY)), "{requests:?}");
    requests
}

/// Runs the words against a gateway with these answers; they must end with exit code 1, no output and this error.
#[track_caller]
fn fails(answers: &[Answer], words: &[&str], error: &str) {
    let gateway = Gateway::start(answers);
    let url = gateway.address();
    let ended = run(&[&["--url", &url], words].concat());
    assert_eq!((ended.code, ended.out.as_str()), (1, ""), "{words:?}: {}", ended.error);
    assert!(ended.error.starts_with("miroir-ctl: ") && ended.error.contains(error), "{}", ended.error);
    assert_eq!(ended.error.lines().count(), 1, "{}", ended.error);
}

#[test]
fn status_is_bad_news_when_the_cluster_is_not_ready() {
    let topology = ("GET /_miroir/topology", 200, TOPOLOGY);
    let screen = |gateway: &Gateway, heading: &str, shards: &str| {
        format!(
            "{heading}\n\
             gateway     http://{}\n\
             shards      64, {shards}\n\
             indexes     1\n\
             store       answers\n\
             pods        a (leads: settings) b c is missing\n\
             tasks       2 have not ended\n\
             operations  7 addNode (DualWrite)\n\
             versions    gateway 0.1.0, nodes 1.15\n\n{NODES}",
            gateway.address()
        )
    };
    let check = |ready: Answer, heading: &str, shards: &str, code: i32| {
        let running = ("GET /_miroir/operations?status=running&limit=5", 200, RUNNING);
        let gateway = Gateway::start(&[ready, topology, running]);
        let ended = run(&["--url", &gateway.address(), "status"]);
        let expected = screen(&gateway, heading, shards);
        assert_eq!((ended.code, ended.out), (code, expected), "{}", ended.error);
        let asked = gateway.requests();
        let lines = asked.iter().map(|request| request.line.as_str()).collect::<Vec<_>>();
        let asked = ["ready", "topology", "operations?status=running&limit=5"];
        assert_eq!(lines, asked.map(|path| format!("GET /_miroir/{path}")));
    };
    let all = "all with a healthy node; 2 copies in each group";
    check(("GET /_miroir/ready", 200, READY), "ready", all, 0);
    let unready = ("GET /_miroir/ready", 503, r#"{"ready": false, "uncoveredShards": 3}"#);
    check(unready, "not ready", "3 without a healthy node", 4);
    // Without its store the gateway still tells what it knows.
    let away = ("GET /_miroir/operations?status=running&limit=5", 503, r#"{"message": "no store"}"#);
    let gateway = Gateway::start(&[("GET /_miroir/ready", 200, READY), topology, away]);
    let ended = run(&["--url", &gateway.address(), "status"]);
    assert!(
        ended.code == 0 && ended.out.contains("operations  not known without the store\n"),
        "{}",
        ended.out
    );
}

#[test]
fn nodes_and_shards_are_listed() {
    check(&[("GET /_miroir/topology", 200, TOPOLOGY)], &["node", "list"], 0, NODES);
    check(&[("GET /_miroir/topology", 200, TOPOLOGY)], &["nodes", "list"], 0, NODES);
    let shards = "group 1, 2 shards\n     0 n1 n2\n     1 n2\n";
    check(&[("GET /_miroir/shards", 200, SHARDS)], &["shards", "list"], 0, shards);
    let answers = [("GET /_miroir/shards", 200, r#"{"placements":[]}"#)];
    check(&answers, &["--json", "shards", "list"], 0, "{\n  \"placements\": []\n}\n");
    check(&answers, &["shard", "list", "--json"], 0, "{\n  \"placements\": []\n}\n");
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
    let older = [("GET /_miroir/shards", 404, "")];
    fails(&older, &["shards", "list"], "it is older than miroir-ctl");
    for (url, error, code) in [
        ("ftp://a.example", "option url: \"ftp://a.example\" is not allowed", 2),
        ("127.0.0.1:port", "127.0.0.1:port", 2),
        ("127.0.0.1:1", "no answer from the gateway at http://127.0.0.1:1", 3),
    ] {
        let ended = run(&["--url", url, "status"]);
        assert!(ended.code == code && ended.error.contains(error), "{} {}", ended.code, ended.error);
        assert_eq!(ended.error.lines().count(), 1, "{}", ended.error);
    }
    let ended = run(&["statu"]);
    assert!(ended.code == 2 && ended.error.contains("did you mean `miroir-ctl status`?"), "{}", ended.error);
    let help = run(&["--help"]);
    assert!(help.code == 0 && help.out.contains("anti-entropy"), "{}", help.out);
}

#[test]
fn operations_are_listed_and_followed_to_their_end() {
    const ONE: &str = r#"{"operation": 7, "kind": "addNode", "status": "succeeded", "phase": "Complete",
        "progress": {"documentsMoved": 5, "documentsTotal": 5, "bytesMoved": 2048}, "reason": null}"#;
    const FAILED: &str = r#"{"operation": 8, "kind": "addNode", "status": "failed", "phase": "DualWrite",
        "progress": {"documentsMoved": 1, "documentsTotal": 5, "bytesMoved": 10}, "reason": "the disk is full"}"#;
    let shown = "operation 7: addNode succeeded, phase Complete, 5 of 5 documents, 2.0 KiB\n";
    let one = ("GET /_miroir/operations/7", 200, ONE);
    check(&[one], &["operations", "show", "7"], 0, shown);
    check(&[one], &["operation", "show", "7", "--watch"], 0, shown);
    let failed = "operation 8: addNode failed, phase DualWrite, 1 of 5 documents, 10 B\n\
                  reason: the disk is full\n";
    check(&[("GET /_miroir/operations/8", 200, FAILED)], &["operations", "show", "8"], 1, failed);
    let list = (
        "GET /_miroir/operations?limit=20&status=failed",
        200,
        r#"{"results": [
        {"operation": 8, "kind": "addNode", "status": "failed", "phase": "DualWrite",
         "progress": {"documentsMoved": 1, "documentsTotal": 5, "secondsLeft": 90}, "reason": "x"}]}"#,
    );
    let listed = "NUMBER  KIND     STATUS  PHASE      DOCUMENTS  LEFT    REASON\n\
                  8       addNode  failed  DualWrite  1/5        1m 30s  x\n";
    check(&[list], &["operations", "list", "--status", "failed"], 0, listed);
}

#[test]
fn completions_name_every_command() {
    for (kind, line) in [
        ("bash", "\"node list\") words="),
        ("zsh", "#compdef miroir-ctl"),
        ("fish", "complete -c miroir-ctl -n \"__fish_seen_subcommand_from node\" -a list"),
        ("man", ".SS anti\\-entropy run"),
    ] {
        let ended = run(&["completions", kind]);
        assert!(ended.code == 0 && ended.out.contains(line), "{kind}: {}", ended.out);
    }
    assert_eq!(run(&["completions", "csh"]).code, 2);
}

/// bash itself completes with the script that is printed.
#[test]
fn bash_completes_verbs_and_options() {
    let complete = |line: &str| {
        let words = line.split(' ').map(|word| format!("{word:?}")).collect::<Vec<_>>().join(" ");
        let script = format!(
            "{}\nCOMP_WORDS=(miroir-ctl {words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _miroir_ctl; echo \"${{COMPREPLY[@]}}\"",
            run(&["completions", "bash"]).out
        );
        let output = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(complete("statu"), "status");
    assert_eq!(complete("node li"), "list");
    assert_eq!(complete("anti-entropy v"), "verify");
    assert_eq!(complete("anti-entropy run --no"), "--node");
    assert_eq!(complete("node --json li"), "list");
}

#[test]
fn the_gateway_is_named_by_flag_or_environment() {
    let gateway = Gateway::start(&[("GET /_miroir/shards", 200, SHARDS)]);
    let named = run_in(&[("MIROIR_URL", &gateway.address())], &["shards", "list"]);
    assert_eq!(named.code, 0, "{}", named.error);
    let url = gateway.address();
    let named = run_in(&[("MIROIR_URL", "127.0.0.1:1")], &["--url", &url, "shards", "list"]);
    assert_eq!((named.code, gateway.requests().len()), (0, 2), "{}", named.error);
}

#[test]
fn the_key_comes_from_environment_file_and_flag_in_this_order() {
    let check = |environment, file, flag: Option<&str>, expected: Option<&str>| {
        let gateway = Gateway::start(&[("GET /_miroir/shards", 200, SHARDS)]);
        let url = gateway.address();
        let mut words = vec!["--url", &url];
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
    let ended = run_open_to_others("b");
    assert!(ended.code == 2 && ended.error.contains("(mode 644): chmod 600"), "{}", ended.error);
    let ended = run_with(Some("a\u{7f}b"), None, &["status"]);
    assert!(ended.code == 2 && ended.error.contains("the admin key has a character"), "{}", ended.error);
}
