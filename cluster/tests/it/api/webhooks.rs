//! Webhooks: created, changed and deleted as on one node, and notified of the gateway's own tasks.
//! Invariant: the expected answers come from a running Meilisearch 1.50. With such a binary they are also compared with
//! its answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use flate2::read::GzDecoder;
use serde_json::{Value, json};

use crate::support::{SingleNode, TestCluster, real_node};
use node::test_client::Client;

/// How long a message may take before a test gives up.
const MESSAGE_MAX: Duration = Duration::from_secs(60);

/// A message to a webhook: its headers, in lower case, and the tasks.
struct Message {
    headers: Vec<String>,
    tasks: Vec<Value>,
}

/// A listener that refuses the first message and accepts all later ones.
fn listen() -> (SocketAddr, Receiver<Message>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (told, messages) = channel();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut headers = Vec::new();
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).unwrap();
                match line.trim_end() {
                    "" => break,
                    line => headers.push(line.to_lowercase()),
                }
            }
            let length = headers.iter().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            let mut body = vec![0; length.parse().unwrap()];
            stream.read_exact(&mut body).unwrap();
            let mut lines = String::new();
            GzDecoder::new(&body[..]).read_to_string(&mut lines).unwrap();
            let tasks = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            let status = if number == 0 { "503 Service Unavailable" } else { "200 OK" };
            write!(stream.get_mut(), "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                .unwrap();
            if told.send(Message { headers, tasks }).is_err() {
                return;
            }
        }
    });
    (address, messages)
}

#[test]
fn webhooks_are_told_of_tasks_that_end() {
    let (address, messages) = listen();
    let mut cluster = TestCluster::start(|options| {
        options.gateway_arguments.extend(["--allowed-ip-networks", "127.0.0.0/8"].map(str::to_owned));
    });
    let webhook = json!({"url": format!("http://{address}/told?by=tasks"), "headers": {"X-Mine": "yes"}});
    assert_eq!(cluster.client.call("POST", "/webhooks", &webhook).0, 201);
    let task =
        cluster.client.done("POST", "/indexes/films/documents", &json!([{"id": 1}, {"id": 2}, {"id": 3}]));
    let refused = messages.recv_timeout(MESSAGE_MAX).unwrap();
    let taken = messages.recv_timeout(MESSAGE_MAX).unwrap();
    assert_eq!((&refused.tasks, &taken.tasks), (&vec![task.clone()], &vec![task]));
    assert_eq!(taken.headers[0], "post /told?by=tasks http/1.1");
    for header in ["content-encoding: gzip", "content-type: application/x-ndjson", "x-mine: yes"] {
        assert!(taken.headers.iter().any(|line| line == header), "{header}: {:?}", taken.headers);
    }
    // No client polls, and a restart forgets no webhook.
    cluster.cluster.kill_gateway().unwrap();
    cluster.cluster.start_gateway().unwrap();
    let (_, summary) = cluster.client.call("DELETE", "/indexes/nope", &Value::Null);
    // Messages from before the kill may be repeated.
    let told =
        std::iter::from_fn(|| messages.recv_timeout(MESSAGE_MAX).ok()).flat_map(|message| message.tasks);
    let failed = told.into_iter().find(|task| task["uid"] == summary["taskUid"]).unwrap();
    assert_eq!(failed["status"], "failed", "{failed}");
}

/// Method, path (`{}` is a webhook's uid), body; then the status and the code (empty if it is no error).
type Asked = (&'static str, &'static str, &'static str, u16, &'static str);

const ASKED: &[Asked] = &[
    ("GET", "/webhooks", "", 200, ""),
    ("GET", "/webhooks/{}", "", 200, ""),
    (
        "PATCH",
        "/webhooks/{}",
        "{\"headers\": {\"Authorization\": \"Bearer a-rather-long-secret-token-of-mine\"}}",
        200,
        "",
    ),
    (
        "PATCH",
        "/webhooks/{}",
        "{\"url\": \"https://b.example/x\", \"headers\": {\"X-A\": null, \"X-B\": \"2\"}}",
        200,
        "",
    ),
    ("PATCH", "/webhooks/{}", "{}", 200, ""),
    ("GET", "/webhooks", "", 200, ""),
    ("PATCH", "/webhooks/{}", "{\"url\": null}", 400, "invalid_webhook_url"),
    ("PATCH", "/webhooks/{}", "{\"url\": \"\"}", 400, "invalid_webhook_url"),
    ("PATCH", "/webhooks/{}", "{\"url\": \"no url\"}", 400, "invalid_webhook_url"),
    ("PATCH", "/webhooks/{}", "{\"url\": 7}", 400, "invalid_webhook_url"),
    ("PATCH", "/webhooks/{}", "{\"headers\": []}", 400, "invalid_webhook_headers"),
    ("PATCH", "/webhooks/{}", "{\"headers\": {\"a b\": \"c\"}}", 400, "invalid_webhook_headers"),
    ("PATCH", "/webhooks/{}", "{\"headers\": {\"a\": \"c\\nd\"}}", 400, "invalid_webhook_headers"),
    ("PATCH", "/webhooks/{}", "{\"headers\": {\"a\": 7}}", 400, "invalid_webhook_headers"),
    ("PATCH", "/webhooks/{}", "{\"uuid\": \"x\"}", 400, "immutable_webhook_uuid"),
    ("PATCH", "/webhooks/{}", "{\"isEditable\": true}", 400, "immutable_webhook_is_editable"),
    ("PATCH", "/webhooks/{}", "{\"nope\": 1}", 400, "bad_request"),
    ("PATCH", "/webhooks/{}", "[]", 400, "bad_request"),
    ("PATCH", "/webhooks/{}", "", 400, "missing_payload"),
    ("PATCH", "/webhooks/{}", "{", 400, "malformed_payload"),
    ("PATCH", "/webhooks/x", "{}", 400, "invalid_webhook_uuid"),
    ("GET", "/webhooks/x", "", 400, "invalid_webhook_uuid"),
    ("DELETE", "/webhooks/x", "", 400, "invalid_webhook_uuid"),
    ("GET", "/webhooks/00000000-0000-4000-8000-000000000000", "", 404, "webhook_not_found"),
    ("PATCH", "/webhooks/00000000-0000-4000-8000-000000000000", "{}", 404, "webhook_not_found"),
    ("DELETE", "/webhooks/00000000-0000-4000-8000-000000000000", "", 404, "webhook_not_found"),
    ("DELETE", "/webhooks/00000000-0000-0000-0000-000000000000", "", 400, "immutable_webhook"),
    ("PATCH", "/webhooks/00000000-0000-0000-0000-000000000000", "{}", 400, "immutable_webhook"),
    ("POST", "/webhooks", "{}", 400, "invalid_webhook_url"),
    ("POST", "/webhooks", "{\"url\": \"nope\"}", 400, "invalid_webhook_url"),
    ("PUT", "/webhooks", "{}", 405, ""),
    ("DELETE", "/webhooks/{}", "", 204, ""),
    ("DELETE", "/webhooks/{}", "", 404, "webhook_not_found"),
    ("GET", "/webhooks", "", 200, ""),
];

#[test]
fn webhooks_are_made_and_changed_as_on_one_node() {
    let (cluster, single) = (TestCluster::start(|_| {}), real_node().map(|_| SingleNode::start()));
    let clients = [Some(&cluster.client), single.as_ref().map(|single| &single.client)];
    let webhook =
        json!({"url": "http://a.example/", "headers": {"X-A": "1", "authorization": "Bearer secret"}});
    let made = clients.map(|client| client.map(|client| client.call("POST", "/webhooks", &webhook)));
    let uids = made.each_ref().map(|made| {
        made.as_ref().map_or(String::new(), |(status, made)| {
            assert_eq!(*status, 201, "{made}");
            made["uuid"].as_str().unwrap().to_owned()
        })
    });
    for (method, path, body, status, code) in ASKED {
        let mut answers = Vec::new();
        for (client, uid) in clients.iter().zip(&uids) {
            let Some(client) = client else { continue };
            answers.push(ask(client, method, &path.replace("{}", uid), body, uid));
        }
        let found = (answers[0].0, answers[0].1["code"].as_str().unwrap_or_default());
        assert_eq!(found, (*status, *code), "{method} {path} {body}: {}", answers[0].1);
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{method} {path} {body}: {answers:?}");
    }
}

/// Status and body without the webhook's uid and the parser's own messages.
fn ask(client: &Client, method: &str, path: &str, body: &str, uid: &str) -> (u16, Value) {
    let headers = [("Content-Type", "application/json")];
    let (status, answer) = client.raw(method, path, &headers, body.as_bytes()).unwrap();
    let answer = String::from_utf8(answer).unwrap().replace(uid, "uid");
    let mut answer = serde_json::from_str(&answer).unwrap_or(Value::Null);
    if answer["code"] == "malformed_payload" || path == "/webhooks" && status == 400 {
        // The message about a refused new webhook contains a fresh uid.
        answer["message"] = Value::Null;
    }
    (status, answer)
}

#[test]
fn there_are_twenty_webhooks_at_most() {
    let cluster = TestCluster::start(|options| options.nodes = 1);
    let webhook = json!({"url": "http://a.example/"});
    for _ in 0..20 {
        assert_eq!(cluster.client.call("POST", "/webhooks", &webhook).0, 201);
    }
    let (status, answer) = cluster.client.call("POST", "/webhooks", &webhook);
    assert_eq!((status, &answer["code"]), (400, &json!("invalid_webhooks")), "{answer}");
    assert_eq!(cluster.client.read("/webhooks")["results"].as_array().unwrap().len(), 20);
}
