//! Tasks and batches of a cluster: listed, filtered, canceled and deleted as on one node.

use serde_json::{Value, json};

use crate::support::{SingleNode, TestCluster, real_node};
use node::test_client::Client;

#[test]
fn tasks_are_listed_and_refused_as_on_one_node() {
    compare(&TestCluster::start(|_| {}));
}

#[test]
fn tasks_of_two_copies_are_those_of_one_node() {
    compare(&TestCluster::start(|options| {
        options.nodes = 4;
        options.replication_factor = 2;
        options.gateway_arguments.extend(["--runtime", "glommio"].map(str::to_owned));
    }));
}

fn compare(cluster: &TestCluster) {
    let single = SingleNode::start();
    for client in [&cluster.client, &single.client] {
        write_a_history(client);
    }
    let lists = [
        "",
        "limit=2",
        "limit=0",
        "limit=2&from=3",
        "from=3&reverse=true&limit=3",
        "from=4000",
        "statuses=failed",
        "statuses=succeeded,*",
        "statuses=enqueued,processing,canceled",
        "types=documentDeletion,indexSwap",
        "types=DOCUMENTADDITIONORUPDATE",
        "indexUids=films",
        "indexUids=books,nope",
        "uids=1,3,5,77",
        "uids=1,3&statuses=failed",
        "canceledBy=0",
        "afterEnqueuedAt=2000-01-01&beforeFinishedAt=2100-01-01T00:00:00Z",
        "beforeStartedAt=2000-01-01",
        "afterFinishedAt=*&beforeEnqueuedAt=*",
        "uids=a",
        "uids=1,b",
        "uids=",
        "batchUids=x",
        "canceledBy=-1",
        "statuses=done",
        "types=nope",
        "indexUids=a%20b",
        "limit=-1",
        "limit=x",
        "from=a",
        "reverse=1",
        "beforeStartedAt=yesterday",
        "afterEnqueuedAt=2026-13-01",
        "nope=1",
    ];
    let paths = lists.map(|query| format!("/tasks?{query}"));
    let others =
        ["/tasks/0", "/tasks/4", "/tasks/99", "/tasks/x", "/tasks/-1", "/batches/x", "/batches/4000"];
    let refused = ["uids=a", "limit=x", "nope=1", "batchUids=x"].map(|query| format!("/batches?{query}"));
    // Meilisearch 1.50 treats an empty list as no tasks, older versions refuse it.
    let paths = paths.into_iter().filter(|path| real_node().is_none() || path != "/tasks?uids=");
    for path in paths.chain(others.map(str::to_owned)).chain(refused) {
        same(&cluster.client, &single.client, "GET", &path);
    }
    for query in ["", "limit=3", "uids=a,1", "statuses=x", "nope=2", "from=1"] {
        same(&cluster.client, &single.client, "POST", &format!("/tasks/cancel?{query}"));
        same(&cluster.client, &single.client, "DELETE", &format!("/tasks?{query}"));
    }
    if real_node().is_some() {
        same(&cluster.client, &single.client, "GET", "/tasks/4/documents");
        same(&cluster.client, &single.client, "POST", "/tasks/compact");
    }
    cancel_nothing_and_delete(&cluster.client, &single.client);
}

/// Writes tasks of most kinds, some failed, one after the other.
fn write_a_history(client: &Client) {
    client.done("POST", "/indexes", &json!({"uid": "films", "primaryKey": "id"}));
    client.write("POST", "/indexes", &json!({"uid": "films"}));
    client.done("PATCH", "/indexes/films/settings", &json!({"filterableAttributes": ["year"]}));
    let films = (0..20).map(|id| json!({"id": id, "year": 2000 + id % 3})).collect::<Vec<_>>();
    client.done("POST", "/indexes/films/documents", &json!(films));
    client.write("POST", "/indexes/films/documents", &json!([{"id": 1}, {"id": "a b"}]));
    client.done("POST", "/indexes/films/documents/delete-batch", &json!([1, 2, 400]));
    client.done("POST", "/indexes/films/documents/delete", &json!({"filter": "year = 2002"}));
    client.write("POST", "/indexes/films/documents/delete", &json!({"filter": "colour = 1"}));
    client.done("PUT", "/indexes/books/documents", &json!([{"id": 7}]));
    client.write("DELETE", "/indexes/nope", &Value::Null);
    client.done("DELETE", "/indexes/books/documents", &Value::Null);
    client.done("POST", "/swap-indexes", &json!([{"indexes": ["films", "books"]}]));
    client.write("POST", "/swap-indexes", &json!([{"indexes": ["films", "missing"]}]));
    client.done("DELETE", "/indexes/books", &Value::Null);
}

fn cancel_nothing_and_delete(cluster: &Client, single: &Client) {
    let asked = [
        ("POST", "/tasks/cancel?statuses=succeeded"),
        ("POST", "/tasks/cancel?uids=*&indexUids=films,%2A"),
        ("DELETE", "/tasks?indexUids=films"),
        ("DELETE", "/tasks?uids=0,1,4000&statuses=succeeded"),
    ];
    for (method, path) in asked {
        let tasks = [cluster, single].map(|client| {
            let (status, summary) = client.call(method, path, &Value::Null);
            assert_eq!((status, &summary["status"]), (200, &json!("enqueued")), "{path}: {summary}");
            comparable(client.finished(&summary))
        });
        assert_eq!(tasks[0], tasks[1], "{method} {path}");
    }
    same(cluster, single, "GET", "/tasks?limit=100");
}

/// Checks for the same status and body, except for times and batches.
fn same(cluster: &Client, single: &Client, method: &str, path: &str) {
    let [found, expected] = [cluster, single].map(|client| {
        let (status, mut answer) = client.call(method, path, &Value::Null);
        // Meilisearch 1.50 counts the swaps of an index but does not list them.
        if let Some(answer) = answer.as_object_mut().filter(|_| path.contains("?indexUids=")) {
            answer.remove("total");
        }
        (status, comparable(answer))
    });
    assert_eq!(found, expected, "{method} {path}");
}

fn comparable(mut answer: Value) -> Value {
    let clean = |task: &mut Value| {
        for member in ["batchUid", "duration", "enqueuedAt", "startedAt", "finishedAt"] {
            if task.get(member).is_some_and(|value| !value.is_null()) {
                task[member] = json!("some");
            }
        }
    };
    clean(&mut answer);
    if let Some(tasks) = answer.get_mut("results").and_then(Value::as_array_mut) {
        tasks.iter_mut().for_each(clean);
    }
    answer
}

#[test]
fn a_batch_is_a_task_that_has_started() {
    let cluster = TestCluster::start(|options| options.nodes = 2);
    let client = &cluster.client;
    let task = client.done("POST", "/indexes/films/documents", &json!([{"id": 1}, {"id": 2}]));
    let failed = client.write("DELETE", "/indexes/nope", &Value::Null);
    let batch = client.read(&format!("/batches/{}", task["batchUid"]));
    let trace = &batch["stats"]["progressTrace"];
    assert!(trace["processing tasks"].as_str().is_some_and(|time| time.ends_with('s')), "{trace}");
    assert!(batch["batchStrategy"].as_str().unwrap().contains("documentAdditionOrUpdate"), "{batch}");
    let expected = json!({
        "progressTrace": trace,
        "totalNbTasks": 1,
        "status": {"succeeded": 1},
        "types": {"documentAdditionOrUpdate": 1},
        "indexUids": {"films": 1},
    });
    assert_eq!((&batch["stats"], &batch["details"]), (&expected, &task["details"]));
    assert_eq!((&batch["startedAt"], &batch["duration"]), (&task["startedAt"], &task["duration"]));
    let list = client.read("/batches?statuses=failed");
    assert_eq!((&list["total"], &list["results"][0]["uid"]), (&json!(1), &failed["batchUid"]));
    let of_batch = client.read(&format!("/tasks?batchUids={}", task["batchUid"]));
    assert_eq!(of_batch["results"], json!([task]));
    assert_eq!(client.read("/batches?statuses=enqueued")["total"], 0);
    assert_eq!(client.get("/batches/99").1["code"], "batch_not_found");
}

#[test]
fn a_cancelation_reaches_every_node() {
    // Only embedded nodes can be stalled.
    let cluster = TestCluster::start(|options| {
        options.control = true;
        options.node_binary = None;
    });
    let client = &cluster.client;
    client.done("POST", "/indexes", &json!({"uid": "films", "primaryKey": "id"}));
    let control = (0..3).map(|number| Client::new(cluster.cluster.node(number).unwrap().control().unwrap()));
    let control = control.collect::<Vec<_>>();
    for node in &control {
        node.post("/faults", &json!({"stall_tasks": true}));
    }
    let films = (0..50).map(|id| json!({"id": id})).collect::<Vec<_>>();
    let (_, addition) = client.call("POST", "/indexes/films/documents", &json!(films));
    let (_, settings) = client.call("PUT", "/indexes/films/settings/stop-words", &json!(["the"]));
    let uid = &addition["taskUid"];
    assert_eq!(client.read(&format!("/tasks/{uid}"))["status"], "enqueued");
    assert_eq!(client.get(&format!("/batches/{uid}")).0, 404);
    let (status, cancelation) =
        client.call("POST", "/tasks/cancel?statuses=enqueued,processing", &Value::Null);
    assert_eq!((status, &cancelation["type"]), (200, &json!("taskCancelation")));
    assert_eq!(client.read(&format!("/tasks/{uid}"))["canceledBy"], Value::Null, "not canceled yet");
    for node in &control {
        assert_eq!(node.call("DELETE", "/faults", &Value::Null).0, 200);
    }
    let cancelation = client.finished(&cancelation);
    let details = json!({
        "matchedTasks": 2,
        "canceledTasks": 1,
        "originalFilter": "?statuses=enqueued,processing",
    });
    assert_eq!((&cancelation["status"], &cancelation["details"]), (&json!("succeeded"), &details));
    let addition = client.finished(&addition);
    assert_eq!((&addition["status"], &addition["canceledBy"]), (&json!("canceled"), &cancelation["uid"]));
    assert_eq!(addition["details"], json!({"receivedDocuments": 50, "indexedDocuments": 0}));
    assert_eq!(client.finished(&settings)["status"], "succeeded", "what the registry has taken over goes on");
    let list = client.read(&format!("/tasks?canceledBy={}", cancelation["uid"]));
    assert_eq!(list["results"], json!([addition]));
    assert_eq!(client.read("/indexes/films/stats")["numberOfDocuments"], 0);
    let (_, deletion) = client.call("DELETE", "/tasks?statuses=canceled", &Value::Null);
    assert_eq!(client.finished(&deletion)["details"]["deletedTasks"], 1);
    assert_eq!(client.get(&format!("/tasks/{uid}")).1["code"], "task_not_found");
}

#[test]
fn a_task_whose_end_is_known_needs_no_node() {
    let mut cluster = TestCluster::start(|_| {});
    let done = cluster.client.done("POST", "/indexes", &json!({"uid": "films"}));
    for number in 0..3 {
        cluster.cluster.kill_node(number).unwrap();
    }
    assert_eq!(cluster.client.read(&format!("/tasks/{}", done["uid"])), done);
    assert_eq!(cluster.client.read("/tasks")["results"], json!([done]));
    assert_eq!(cluster.client.read("/batches")["total"], 1);
}

#[test]
fn a_deletion_waits_for_the_tasks_it_is_about() {
    let cluster = TestCluster::start(|_| {});
    let documents = json!([{"id": 1}, {"id": 2}, {"id": 3}]);
    let (_, summary) = cluster.client.call("POST", "/indexes/fresh/documents", &documents);
    let uid = &summary["taskUid"];
    let (status, deletion) = cluster.client.call("DELETE", &format!("/tasks?uids={uid}"), &Value::Null);
    assert_eq!(status, 200, "{deletion}");
    assert_eq!(cluster.client.finished(&deletion)["details"]["deletedTasks"], 1);
    assert_eq!(cluster.client.get(&format!("/tasks/{uid}")).0, 404);
}
