//! Tasks: views, filters, cancelation and deletion.

use serde_json::{Value, json};

use crate::client::{TestNode, film_node};

#[test]
fn a_task_shows_all_its_fields() {
    let node = film_node();
    let task = node.client.read("/tasks/1");
    let fields: Vec<&String> = task.as_object().unwrap().keys().collect();
    let expected = [
        "uid",
        "batchUid",
        "indexUid",
        "status",
        "type",
        "canceledBy",
        "details",
        "error",
        "duration",
        "enqueuedAt",
        "startedAt",
        "finishedAt",
    ];
    assert_eq!(fields, expected);
    assert!(task["duration"].as_str().unwrap().starts_with("PT"));
    assert_eq!(node.client.get("/tasks/99").1["code"], "task_not_found");
    assert_eq!(node.client.get("/tasks/x").1["code"], "invalid_task_uids");
}

#[test]
fn tasks_are_listed_by_filter_and_page() {
    let node = film_node();
    let client = &node.client;
    client.write("DELETE", "/indexes/nope", &json!(null));
    client.done("POST", "/indexes/films/documents/delete-batch", &json!([1]));
    let check = |query: &str, uids: &[u64], total: u64, next: Value| {
        let list = client.read(&format!("/tasks?{query}"));
        let got: Vec<u64> =
            list["results"].as_array().unwrap().iter().map(|task| task["uid"].as_u64().unwrap()).collect();
        assert_eq!((got.as_slice(), &list["total"], &list["next"]), (uids, &json!(total), &next), "{query}");
    };
    check("", &[3, 2, 1, 0], 4, Value::Null);
    check("limit=2", &[3, 2], 4, json!(1));
    check("limit=2&from=1", &[1, 0], 4, Value::Null);
    check("limit=2&reverse=true&from=1", &[1, 2], 4, json!(3));
    check("statuses=failed,canceled", &[2], 1, Value::Null);
    check("types=documentDeletion,settingsUpdate", &[3, 0], 2, Value::Null);
    check("indexUids=films&uids=0,1,2", &[1, 0], 2, Value::Null);
    check("afterEnqueuedAt=2000-01-01&beforeEnqueuedAt=2001-01-01", &[], 0, Value::Null);
    let batch = client.read("/batches/1");
    assert_eq!(batch["stats"]["types"], json!({ "documentAdditionOrUpdate": 1 }));
    assert_eq!(client.read("/batches?limit=1")["results"][0]["uid"], 3);
}

#[test]
fn tasks_are_canceled_and_deleted() {
    let node = TestNode::start();
    let client = &node.client;
    node.faults(&json!({ "stall_tasks": true }));
    let (_, addition) = client.call("POST", "/indexes/a/documents", &json!([{ "id": 1 }]));
    assert_eq!(client.read(&format!("/tasks/{}", addition["taskUid"]))["status"], "enqueued");
    let (status, cancelation) = client.call("POST", "/tasks/cancel?uids=0", &json!(null));
    assert_eq!((status, &cancelation["type"]), (200, &json!("taskCancelation")));
    node.clear_faults();
    let cancelation = client.finished(&cancelation);
    let details = json!({ "matchedTasks": 1, "canceledTasks": 1, "originalFilter": "?uids=0" });
    assert_eq!(cancelation["details"], details);
    let addition = client.finished(&addition);
    assert_eq!((&addition["status"], &addition["canceledBy"]), (&json!("canceled"), &cancelation["uid"]));
    assert_eq!(client.get("/indexes/a").0, 404);
    let (_, deletion) = client.call("DELETE", "/tasks?statuses=canceled", &json!(null));
    let deletion = client.finished(&deletion);
    assert_eq!(deletion["details"]["deletedTasks"], 1);
    assert_eq!(client.get("/tasks/0").0, 404);
    for (method, path) in [("POST", "/tasks/cancel"), ("DELETE", "/tasks")] {
        assert_eq!(client.call(method, path, &json!(null)).1["code"], "missing_task_filters");
    }
}

#[test]
fn many_writers_share_batches() {
    let node = TestNode::start();
    let url = node.url();
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let url = url.clone();
            scope.spawn(move || {
                let client = crate::client::Client::new(url);
                for number in 0..25 {
                    let document = json!([{ "id": writer * 100 + number }]);
                    assert_eq!(client.call("POST", "/indexes/a/documents", &document).0, 202);
                }
            });
        }
    });
    let last = json!({ "taskUid": 199 });
    assert_eq!(node.client.finished(&last)["status"], "succeeded");
    assert_eq!(node.client.read("/indexes/a/stats")["numberOfDocuments"], 200);
    let batches = node.client.read("/batches?limit=0")["total"].as_u64().unwrap();
    assert!(batches < 200, "{batches} batches for 200 tasks");
}
