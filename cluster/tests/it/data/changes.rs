//! The stream of changes: every confirmed write is told, in order, to whoever asks and to sinks; refused ones are not.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hmac::{Hmac, Mac};
use serde_json::{Map, Value, json};
use sha2::Sha256;

use super::receivers::webhook;
use crate::support::{Client, PROGRAM, TestCluster};

const LONGEST: Duration = Duration::from_secs(120);
const LOOPBACK: [&str; 2] = ["--allowed-ip-networks", "127.0.0.0/8"];

fn with_arguments(arguments: &[&str]) -> TestCluster {
    TestCluster::start(|options| {
        options.gateway_arguments.extend(arguments.iter().map(|text| (*text).to_owned()))
    })
}

/// All events since a cursor, and the next cursor.
fn events(client: &Client, since: &Value, more: &str) -> (Vec<Value>, Value) {
    let (mut all, mut since) = (Vec::new(), since.clone());
    loop {
        let answer = client.read(&format!("/_miroir/changes?since={since}&limit=1000{more}"));
        let page = answer["results"].as_array().unwrap();
        since = answer["next"].clone();
        if page.is_empty() {
            return (all, since);
        }
        all.extend(page.iter().cloned());
    }
}

#[test]
fn confirmed_changes_are_told_in_order_and_refused_ones_are_not() {
    let cluster = with_arguments(&["--cdc", "on"]);
    let client = &cluster.client;
    let documents = (0..30).map(|id| json!({"id": id, "kind": "a"})).collect::<Vec<_>>();
    let settings = json!({"filterableAttributes": ["kind"]});
    client.done("PATCH", "/indexes/films/settings", &settings);
    client.done("POST", "/indexes/films/documents", &documents.into());
    client.done("PUT", "/indexes/films/documents", &json!([{"id": 3, "kind": "b"}]));
    client.done("DELETE", "/indexes/films/documents/4", &Value::Null);
    client.done("POST", "/indexes/films/documents/delete", &json!({"filter": "kind = b"}));
    client.done("POST", "/indexes/books/documents", &json!([{"id": "x"}]));
    // A payload whose ids are wrong is a failed task; one that cannot be read is refused.
    client.write("POST", "/indexes/films/documents", &json!([{"id": 77}, {"id": "a b"}]));
    assert_eq!(client.call("POST", "/indexes/films/documents", &json!("text")).0, 400);
    client.done("DELETE", "/indexes/films/documents", &Value::Null);
    let (all, next) = events(client, &json!(0), "");
    let told = all.iter().map(|event| {
        let keys = event["primaryKeys"].as_array().unwrap().len();
        (event["index"].as_str().unwrap(), event["operation"].as_str().unwrap(), keys)
    });
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            ("films", "add", 30),
            ("films", "update", 1),
            ("films", "delete", 1),
            ("films", "delete", 0),
            ("books", "add", 1),
            ("films", "delete", 0)
        ]
    );
    assert_eq!((&all[3]["filter"], &all[5]["all"]), (&json!("kind = b"), &json!(true)));
    assert_eq!(all[1]["primaryKeys"], json!(["3"]));
    assert!(all.iter().all(|event| event.get("document").is_none()));
    assert!(all[0]["shardIds"].as_array().unwrap().len() > 1);
    let ids = all.iter().map(|event| event["eventId"].to_string()).collect::<BTreeSet<_>>();
    assert_eq!(ids.len(), all.len());
    assert_eq!(events(client, &json!(0), "&index=books").0.len(), 1);
    assert_eq!(events(client, &next, "").0.len(), 0);
    // Without a cursor one gets what comes from now on, and waits for it.
    let base = client.base().to_owned();
    let asked = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let end = Client::new(base.clone()).read("/_miroir/changes")["next"].clone();
            asked.store(true, Ordering::SeqCst);
            Client::new(base.clone()).read(&format!("/_miroir/changes?since={end}&wait=50"))
        });
        while !asked.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        client.done("POST", "/indexes/films/documents", &json!([{"id": 500}]));
        let heard = waiting.join().unwrap();
        assert_eq!(heard["results"][0]["primaryKeys"], json!(["500"]), "{heard}");
    });
    for (query, word) in
        [("limit=0", "limit"), ("since=x", "since"), ("index=a%20b", "a b"), ("order=up", "order")]
    {
        let (status, refused) = client.get(&format!("/_miroir/changes?{query}"));
        assert_eq!(status, 400, "{refused}");
        assert!(refused["message"].as_str().unwrap().contains(word), "{refused}");
    }
}

#[test]
fn a_killed_gateway_forgets_no_change_that_it_confirmed() {
    let mut cluster = with_arguments(&["--cdc", "on"]);
    let mut confirmed = BTreeSet::new();
    for round in 0..3 {
        let (ends, count) = (AtomicBool::new(false), AtomicUsize::new(0));
        let base = cluster.client.base().to_owned();
        let confirmed_now = std::thread::scope(|scope| {
            let writers = (0..3).map(|writer| {
                let (base, ends, count) = (&base, &ends, &count);
                scope.spawn(move || {
                    let client = Client::new(base.clone());
                    let mut confirmed = Vec::new();
                    for number in 0.. {
                        let key = format!("{round}-{writer}-{number}");
                        let body = json!([{"id": key}]).to_string();
                        let headers = [("Content-Type", "application/json")];
                        match client.raw(
                            "POST",
                            "/indexes/things/documents?primaryKey=id",
                            &headers,
                            body.as_bytes(),
                        ) {
                            Ok((202, _)) => {
                                confirmed.push(key);
                                count.fetch_add(1, Ordering::SeqCst);
                            }
                            Ok(_) => {}
                            Err(_) if ends.load(Ordering::SeqCst) => break,
                            Err(_) => {}
                        }
                        if ends.load(Ordering::SeqCst) && confirmed.len() > 2 {
                            break;
                        }
                    }
                    confirmed
                })
            });
            let writers = writers.collect::<Vec<_>>();
            let deadline = Instant::now() + LONGEST;
            while count.load(Ordering::SeqCst) < 20 {
                assert!(Instant::now() < deadline, "writes are confirmed");
                std::thread::sleep(Duration::from_millis(5));
            }
            cluster.cluster.kill_gateway().unwrap();
            ends.store(true, Ordering::SeqCst);
            writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect::<Vec<_>>()
        });
        confirmed.extend(confirmed_now);
        cluster.cluster.start_gateway().unwrap();
    }
    assert!(confirmed.len() >= 60, "{}", confirmed.len());
    let (all, _) = events(&cluster.client, &json!(0), "");
    let mut told = BTreeMap::new();
    for event in &all {
        for key in event["primaryKeys"].as_array().unwrap() {
            *told.entry(key.as_str().unwrap().to_owned()).or_insert(0) += 1;
        }
    }
    let missing = confirmed.iter().filter(|key| !told.contains_key(*key)).collect::<Vec<_>>();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(told.values().all(|count| *count == 1), "each write is one event");
}

/// A document that an engine refuses: it alone knows how many fields its index has.
fn too_wide(id: &str) -> Value {
    let mut document = (0..66_000).map(|number| (format!("f{number}"), json!(1))).collect::<Map<_, _>>();
    document.insert("id".to_owned(), json!(id));
    json!([document])
}

/// The events of one task, in their order.
fn of_task<'e>(events: &'e [Value], task: &Value) -> Vec<&'e Value> {
    events.iter().filter(|event| event["taskUid"] == *task).collect()
}

#[test]
fn what_nodes_refuse_after_its_acceptance_is_told_once() {
    // Only embedded nodes can be stalled.
    let mut cluster = TestCluster::start(|options| {
        (options.control, options.node_binary) = (true, None);
        options.gateway_arguments.extend(["--cdc", "on"].map(str::to_owned));
    });
    cluster.client.done("POST", "/indexes/films/documents", &json!([{"id": "a"}]));
    let failed = cluster.client.write("POST", "/indexes/films/documents", &too_wide("b"));
    assert_eq!(failed["error"]["code"], "max_fields_limit_exceeded", "{failed}");
    let (all, next) = events(&cluster.client, &json!(0), "&index=films");
    let told = of_task(&all, &failed["uid"]);
    assert_eq!(
        (told.len(), &told[0]["operation"], &told[1]["operation"]),
        (2, &json!("add"), &json!("refuse"))
    );
    assert_eq!((&told[1]["error"], &told[1]["shardIds"]), (&failed["error"], &told[0]["shardIds"]));
    assert_eq!((&told[1]["index"], &told[1]["primaryKeys"]), (&json!("films"), &json!([])));
    assert_eq!(told[1]["eventId"], format!("{}-refuse", failed["uid"]));

    // The gateway dies before the nodes have done anything, and nobody asks for the task afterwards.
    let control = (0..3).map(|number| cluster.cluster.node(number).unwrap().control().unwrap());
    let control = control.map(Client::new).collect::<Vec<_>>();
    control.iter().for_each(|node| drop(node.post("/faults", &json!({"stall_tasks": true}))));
    let (status, refused) = cluster.client.call("POST", "/indexes/films/documents", &too_wide("c"));
    assert_eq!(status, 202, "{refused}");
    cluster.cluster.kill_gateway().unwrap();
    control.iter().for_each(|node| assert_eq!(node.call("DELETE", "/faults", &Value::Null).0, 200));
    cluster.cluster.start_gateway().unwrap();
    let deadline = Instant::now() + LONGEST;
    loop {
        let (later, _) = events(&cluster.client, &next, "");
        if later.iter().any(|event| event["operation"] == "refuse") {
            break;
        }
        assert!(Instant::now() < deadline, "{later:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    cluster.cluster.kill_gateway().unwrap();
    cluster.cluster.start_gateway().unwrap();
    let task = cluster.client.finished(&refused);
    let (all, _) = events(&cluster.client, &json!(0), "");
    let told = of_task(&all, &task["uid"]);
    let operations = told.iter().map(|event| event["operation"].as_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(operations, ["add", "refuse"]);
    assert_eq!(told[1]["error"], task["error"]);
    assert_eq!(all.iter().filter(|event| event["operation"] == "refuse").count(), 2);
}

#[test]
fn what_is_canceled_after_its_acceptance_is_told() {
    // Only embedded nodes can be stalled.
    let cluster = TestCluster::start(|options| {
        (options.control, options.node_binary) = (true, None);
        options.gateway_arguments.extend(["--cdc", "on"].map(str::to_owned));
    });
    let client = &cluster.client;
    client.done("POST", "/indexes", &json!({"uid": "films", "primaryKey": "id"}));
    let control = (0..3).map(|number| cluster.cluster.node(number).unwrap().control().unwrap());
    let control = control.map(Client::new).collect::<Vec<_>>();
    control.iter().for_each(|node| drop(node.post("/faults", &json!({"stall_tasks": true}))));
    let (_, addition) = client.call("POST", "/indexes/films/documents", &json!([{"id": 1}, {"id": 2}]));
    let (status, cancelation) =
        client.call("POST", "/tasks/cancel?statuses=enqueued,processing", &Value::Null);
    assert_eq!(status, 200, "{cancelation}");
    control.iter().for_each(|node| assert_eq!(node.call("DELETE", "/faults", &Value::Null).0, 200));
    assert_eq!(client.finished(&cancelation)["details"]["canceledTasks"], 1);
    assert_eq!(client.finished(&addition)["status"], "canceled");
    let (all, _) = events(client, &json!(0), "");
    let told = of_task(&all, &addition["taskUid"]);
    assert_eq!(
        (told.len(), &told[0]["operation"], &told[1]["operation"]),
        (2, &json!("add"), &json!("cancel"))
    );
    assert_eq!((&told[1]["error"], &told[1]["shardIds"]), (&Value::Null, &told[0]["shardIds"]));
}

#[test]
fn a_webhook_gets_everything_whatever_fails_in_between() {
    let (web, deliveries) = webhook(2);
    let web_sink = format!("webhook=http://{web}/changes,body=on,batch=7,flush=10ms");
    let arguments = ["--cdc-sink", &web_sink, "--admin-key", "the-key-of-operators"];
    let mut cluster = with_arguments(&[&arguments[..], &LOOPBACK].concat());
    let documents = (0..20).map(|id| json!({"id": id, "title": format!("t{id}")})).collect::<Vec<_>>();
    cluster.client.done("POST", "/indexes/films/documents", &documents.into());
    let mut seen: Vec<Value> = Vec::new();
    let admin = Client::new(cluster.client.base()).with_key("the-key-of-operators");
    let shown = admin.read("/_miroir/changes/sinks");
    let sink =
        shown["results"].as_array().unwrap().iter().find(|sink| sink["kind"] == "webhook").unwrap().clone();
    let secret = sink["signingSecret"].as_str().unwrap().to_owned();
    while seen.len() < 20 {
        let delivery = deliveries.recv_timeout(LONGEST).unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(&delivery.body);
        let signed = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(delivery.signature, Some(format!("sha256={signed}")));
        assert!(delivery.events.len() <= 7);
        seen.extend(delivery.events);
    }
    let titles = seen.iter().map(|event| event["document"]["title"].as_str().unwrap().to_owned());
    assert_eq!(titles.collect::<Vec<_>>(), (0..20).map(|id| format!("t{id}")).collect::<Vec<_>>());
    // After a crash the sink goes on where it was; what is repeated has the same id.
    cluster.cluster.kill_gateway().unwrap();
    cluster.cluster.start_gateway().unwrap();
    cluster.client.done("DELETE", "/indexes/films/documents/7", &Value::Null);
    let deadline = Instant::now() + LONGEST;
    loop {
        let delivery = deliveries.recv_timeout(LONGEST).unwrap();
        let known = seen.iter().map(|event| event["eventId"].clone()).collect::<Vec<_>>();
        if let Some(deleted) = delivery.events.iter().find(|event| event["operation"] == "delete") {
            assert_eq!(deleted["primaryKeys"], json!(["7"]));
            break;
        }
        assert!(delivery.events.iter().all(|event| known.contains(&event["eventId"])), "a repetition");
        assert!(Instant::now() < deadline);
    }
    let path = "/_miroir/changes/sinks";
    while !admin.read(path)["results"].as_array().unwrap().iter().all(|sink| sink["state"] == "idle") {
        assert!(Instant::now() < deadline, "{}", admin.read(path));
        std::thread::yield_now();
    }
    assert!(!admin.read(path).to_string().contains("the-key-of-operators"));
}

#[test]
fn wrong_sinks_and_a_stream_that_is_off_are_refused() {
    let cluster = with_arguments(&[]);
    let (status, refused) = cluster.client.get("/_miroir/changes");
    assert_eq!((status, &refused["code"]), (400, &json!("feature_not_enabled")));
    for (sink, word) in [
        ("webhook=http://10.0.0.1/x", "allowed-ip-networks"),
        ("webhook=ftp://h/x", "http or https"),
        ("kafka=kafka://h/x", "webhook or nats"),
        ("webhook=http://h/x,batch=0", "whole number"),
    ] {
        let store = format!("sled:{}", cluster.directory().join("unused").display());
        let arguments =
            ["role-gateway", "--listen", "127.0.0.1:0", "--metrics-listen", "off", "--store", &store];
        let node = ["--node", "n0=http://127.0.0.1:1", "--cdc-sink", sink];
        let mut child = Command::new(PROGRAM)
            .args(arguments)
            .args(node)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Kept open until the end, because the child ends with its parent.
        let _parent = child.stdin.take();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{sink}: {said}");
        assert!(said.contains("cdc-sink") && said.contains(word), "{sink}: {said}");
    }
}
