//! Rolling indexes through the API: aliases move on, reads stay complete, what is wrong is refused.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Client, TestCluster};

const LONGEST: Duration = Duration::from_secs(120);
const POLICIES: &str = "/_miroir/rollover-policies";

fn policy() -> Value {
    json!({
        "name": "logs",
        "writeAlias": "logs-write",
        "readAlias": "logs-read",
        "pattern": "logs-{YYYY}-{NNNN}",
        "triggers": {"maxDocs": 5},
        "retention": {"keepIndexes": 1},
        "template": {"primaryKey": "id", "settings": {"sortableAttributes": ["at"]}},
    })
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONGEST;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn resting(client: &Client, name: &str) -> Value {
    let path = format!("{POLICIES}/{name}");
    wait_for("the policy rests", || client.read(&path)["phase"] == "resting");
    client.read(&path)
}

/// Has a policy checked, and waits for the end of it.
fn run(client: &Client, name: &str) -> Value {
    let (status, asked) = client.call("POST", &format!("{POLICIES}/{name}/run"), &json!({}));
    assert_eq!(status, 202, "{asked}");
    let path = format!("/_miroir/operations/{}", asked["operation"]);
    wait_for("the operation ends", || !client.read(&path)["finishedAt"].is_null());
    client.read(&path)
}

#[test]
fn the_write_alias_moves_on_and_reads_stay_whole() {
    let mut cluster = TestCluster::start(|options| options.replication_factor = 2);
    let client = &cluster.client;
    let (status, made) = client.call("POST", POLICIES, &policy());
    assert_eq!(status, 201, "{made}");
    let rested = resting(client, "logs");
    let first = rested["indexes"][0]["uid"].as_str().unwrap().to_owned();
    assert!(first.ends_with("-0001"), "{rested}");
    let documents = (0..7).map(|id| json!({"id": id, "at": id})).collect::<Vec<_>>();
    client.done("POST", "/indexes/logs-write/documents", &documents.into());
    let plan = client.post(&format!("{POLICIES}/logs/run"), &json!({"dryRun": true}));
    assert_eq!((&plan["wouldRollOver"], &plan["current"]["documents"]), (&json!(true), &json!(7)), "{plan}");
    assert_eq!(client.read("/_miroir/aliases/logs-write")["target"], first.as_str());

    let ended = run(client, "logs");
    assert_eq!((&ended["status"], &ended["kind"]), (&json!("succeeded"), &json!("rollover")), "{ended}");
    let second = client.read("/_miroir/aliases/logs-write")["target"].as_str().unwrap().to_owned();
    assert!(second.ends_with("-0002") && second != first);
    // One index is to be kept, and the lock keeps the other.
    assert_eq!(client.read("/_miroir/aliases/logs-read")["targets"], json!([first, second]));
    client.done("POST", "/indexes/logs-write/documents", &json!([{"id": 100, "at": 100}]));
    let found = client.search("logs-read", &json!({"sort": ["at:desc"], "limit": 20}));
    assert_eq!((&found["estimatedTotalHits"], &found["hits"][0]["id"]), (&json!(8), &json!(100)), "{found}");
    assert_eq!(client.read(&format!("/indexes/{second}/settings"))["sortableAttributes"], json!(["at"]));
    // Nothing is due now, and a check says so.
    assert_eq!(run(client, "logs")["status"], "succeeded");
    assert_eq!(client.read("/_miroir/aliases/logs-write")["target"], second.as_str());
    let metrics = client.raw("GET", "/_miroir/metrics", &[], b"").unwrap().1;
    let metrics = String::from_utf8(metrics).unwrap();
    assert!(metrics.contains("miroir_rollover_events_total{policy=\"logs\"} 2"), "{metrics}");

    // A gateway that is killed goes on with the policy.
    let more = (200..207).map(|id| json!({"id": id, "at": id})).collect::<Vec<_>>();
    client.done("POST", "/indexes/logs-write/documents", &more.into());
    client.call("POST", &format!("{POLICIES}/logs/run"), &json!({}));
    cluster.cluster.kill_gateway().unwrap();
    cluster.cluster.start_gateway().unwrap();
    let client = &cluster.client;
    wait_for("the third index", || {
        client.read("/_miroir/aliases/logs-write")["target"].as_str().unwrap().ends_with("-0003")
    });
    assert_eq!(client.search("logs-read", &json!({"limit": 0}))["estimatedTotalHits"], 15);

    // Aliases are the policy's until it is deleted.
    let flip = json!({"target": first});
    let (status, refused) = client.call("PUT", "/_miroir/aliases/logs-write", &flip);
    assert_eq!((status, &refused["code"]), (409, &json!("miroir_alias_conflict")));
    assert_eq!(client.call("DELETE", "/_miroir/aliases/logs-read", &Value::Null).0, 409);
    resting(client, "logs");
    assert_eq!(client.call("DELETE", &format!("{POLICIES}/logs"), &Value::Null).0, 204);
    assert_eq!(client.call("PUT", "/_miroir/aliases/logs-write", &flip).0, 200);
    assert_eq!(client.get(&format!("{POLICIES}/logs")).1["code"], "miroir_rollover_policy_not_found");
}

#[test]
fn what_is_wrong_is_refused_and_changes_nothing() {
    let cluster = TestCluster::start(|_| {});
    let client = &cluster.client;
    let with = |path: &str, value: Value| {
        let mut body = policy();
        *body.pointer_mut(path).unwrap() = value;
        client.call("POST", POLICIES, &body)
    };
    for (path, value, word) in [
        ("/pattern", json!("logs-{YYYY-QQ}"), "`QQ`"),
        ("/pattern", json!("logs"), ".pattern"),
        ("/readAlias", json!("logs-write"), "the same"),
        ("/triggers", json!({}), "maxDocs"),
        ("/retention/keepIndexes", json!(0), "keepIndexes"),
    ] {
        let (status, refused) = with(path, value);
        assert_eq!(status, 400, "{refused}");
        assert!(refused["message"].as_str().unwrap().contains(word), "{refused}");
    }
    client.done("POST", "/indexes", &json!({"uid": "plain", "primaryKey": "id"}));
    assert_eq!(with("/writeAlias", json!("plain")).1["code"], "miroir_alias_conflict");
    let alias = json!({"name": "one", "target": "plain"});
    assert_eq!(client.call("POST", "/_miroir/aliases", &alias).0, 201);
    let (status, refused) = with("/readAlias", json!("one"));
    assert_eq!((status, &refused["code"]), (409, &json!("miroir_rollover_policy_conflict")), "{refused}");
    let alias = json!({"name": "many", "targets": ["plain"]});
    assert_eq!(client.call("POST", "/_miroir/aliases", &alias).0, 201);
    assert!(with("/readAlias", json!("many")).1["message"].as_str().unwrap().contains("`plain`"));
    assert_eq!(client.read(POLICIES)["results"], json!([]));
    assert_eq!(client.call("POST", &format!("{POLICIES}/none/run"), &json!({})).0, 404);
    assert_eq!(client.call("DELETE", &format!("{POLICIES}/none"), &Value::Null).0, 404);
    assert_eq!(client.get("/_miroir/operations/7").1["code"], "miroir_operation_not_found");

    assert_eq!(client.call("POST", POLICIES, &policy()).0, 201);
    for (path, value) in [("/name", json!("logs")), ("/name", json!("other"))] {
        let (status, refused) = with(path, value);
        assert_eq!((status, &refused["code"]), (409, &json!("miroir_rollover_policy_conflict")), "{refused}");
    }
    resting(client, "logs");
    let (status, refused) = client.call("POST", &format!("{POLICIES}/logs/run"), &json!({"dryRun": 1}));
    assert_eq!(status, 400, "{refused}");

    // Settings that nodes refuse leave the index that was, and the policy says why.
    let mut wrong = policy();
    wrong["name"] = json!("wrong");
    wrong["writeAlias"] = json!("wrong-write");
    wrong["readAlias"] = json!("wrong-read");
    wrong["pattern"] = json!("wrong-{N}");
    wrong["template"]["settings"] = json!({"embedders": {"a": {"source": "userProvided", "dimensions": 0}}});
    assert_eq!(client.call("POST", POLICIES, &wrong).0, 201);
    let path = format!("{POLICIES}/wrong");
    wait_for("the policy says why", || !client.read(&path)["lastError"].is_null());
    wait_for("nothing is left", || {
        client.read("/indexes?limit=50")["results"]
            .as_array()
            .unwrap()
            .iter()
            .all(|index| index["uid"] != "wrong-1")
    });
    assert_eq!(client.get("/_miroir/aliases/wrong-write").0, 404);
}
