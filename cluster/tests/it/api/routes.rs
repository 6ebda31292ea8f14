//! Routes about the cluster as a whole: features, snapshots, network; and requests from other origins.

use std::io::Read;

use serde_json::{Value, json};
use ureq::http::Request;

use crate::support::{SingleNode, TestCluster, real_node};
use node::test_client::Client;

/// Method, path, headers.
type Ask<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);

/// Sends a request. Returns status, sorted headers and body.
fn ask(client: &Client, method: &str, path: &str, headers: &[(&str, &str)]) -> (u16, Vec<String>, String) {
    let mut request = Request::builder().method(method).uri(format!("{}{path}", client.base()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let agent = cluster::cluster::agent();
    let mut response = agent.run(request.body(()).unwrap()).unwrap();
    let kept = |name: &str| name.starts_with("access-control-") || name == "vary" || name == "allow";
    let mut shown = Vec::new();
    for (name, value) in response.headers() {
        if kept(name.as_str()) {
            // Meilisearch lists the allowed methods in any order.
            let mut parts = value.to_str().unwrap().split(", ").collect::<Vec<_>>();
            parts.sort_unstable();
            shown.push(format!("{name}: {}", parts.join(", ")));
        }
    }
    shown.sort_unstable();
    let status = response.status().as_u16();
    (status, shown, response.body_mut().read_to_string().unwrap())
}

#[test]
fn features_are_switched_on_every_node() {
    let (cluster, single) = (TestCluster::start(|_| {}), SingleNode::start());
    let path = "/experimental-features";
    let bodies = [
        json!({}),
        json!({"containsFilter": true}),
        json!({"containsFilter": null, "metrics": true}),
        json!({"metrics": false, "nope": true}),
        json!({"metrics": "yes"}),
        json!([]),
        json!({"containsFilter": false}),
    ];
    for body in bodies {
        let answers = [&cluster.client, &single.client].map(|client| client.call("PATCH", path, &body));
        assert_eq!(answers[0], answers[1], "{body}");
        assert_eq!(cluster.client.read(path), single.client.read(path), "{body}");
        for url in cluster.cluster.node_urls() {
            let of_node = Client::new(url).with_key("the-key-of-the-nodes").read(path);
            assert_eq!(of_node, single.client.read(path), "{body}");
        }
    }
}

#[test]
fn features_change_on_all_nodes_or_none() {
    let mut cluster = TestCluster::start(|_| {});
    cluster.cluster.kill_node(2).unwrap();
    let body = json!({"metrics": true});
    let (status, answer) = cluster.client.call("PATCH", "/experimental-features", &body);
    assert_eq!((status, &answer["code"]), (503, &json!("miroir_no_quorum")), "{answer}");
    let node = Client::new(&cluster.cluster.node_urls()[0]).with_key("the-key-of-the-nodes");
    assert_eq!(node.read("/experimental-features")["metrics"], false);
}

#[test]
fn a_snapshot_is_one_task_of_all_nodes() {
    let cluster = TestCluster::start(|_| {});
    cluster.client.done("POST", "/indexes/films/documents", &json!([{"id": 1}, {"id": 2}, {"id": 3}]));
    let task = cluster.client.done("POST", "/snapshots", &Value::Null);
    assert_eq!((&task["type"], &task["indexUid"]), (&json!("snapshotCreation"), &Value::Null), "{task}");
    assert_eq!(task.get("details"), None, "{task}");
    let listed = cluster.client.read("/tasks?types=snapshotCreation");
    assert_eq!((&listed["total"], &listed["results"][0]["uid"]), (&json!(1), &task["uid"]));
    for url in cluster.cluster.node_urls() {
        let node = Client::new(url).with_key("the-key-of-the-nodes");
        let of_node = node.read("/tasks?types=snapshotCreation&statuses=succeeded");
        assert_eq!(of_node["total"], 1, "{of_node}");
    }
}

#[test]
fn clients_see_no_network_and_learn_which_feature_is_off() {
    let (cluster, single) = (TestCluster::start(|_| {}), SingleNode::start());
    assert_eq!(cluster.client.get("/network"), single.client.get("/network"));
    for client in [&cluster.client, &single.client] {
        client.call("PATCH", "/experimental-features", &json!({"network": true}));
    }
    assert_eq!(cluster.client.read("/network"), single.client.read("/network"));
    assert_eq!(cluster.client.read("/webhooks"), json!({"results": []}));
    let asked = json!({"model": "m", "messages": []});
    for (path, feature) in [("/logs/stderr", "logs route"), ("/chats/a/chat/completions", "chat completions")]
    {
        let body = if path == "/logs/stderr" { &json!({}) } else { &asked };
        let (status, answer) = cluster.client.call("POST", path, body);
        assert_eq!((status, &answer["code"]), (400, &json!("feature_not_enabled")), "{answer}");
        let words = format!("requires enabling the `{feature}` experimental feature");
        assert!(answer["message"].as_str().unwrap().contains(&words), "{answer}");
    }
}

#[test]
fn pages_of_other_origins_may_ask_everything() {
    let cluster = TestCluster::start(|_| {});
    let page = ("Origin", "http://shop.example");
    let asked = "Access-Control-Request-Method";
    let vary = "vary: Access-Control-Request-Headers, Access-Control-Request-Method, Origin";
    let open = "access-control-allow-origin: *";
    let check = |method: &str, path: &str, headers: &[(&str, &str)], status: u16, expected: &[&str]| {
        let (seen, shown, _) = ask(&cluster.client, method, path, headers);
        assert_eq!(
            (seen, shown),
            (status, expected.iter().map(|&line| line.to_owned()).collect()),
            "{method} {path}"
        );
    };
    check("GET", "/health", &[], 200, &[vary]);
    check("GET", "/health", &[page], 200, &[open, vary]);
    check("GET", "/indexes/nope", &[page], 404, &[open, vary]);
    check("GET", "/nope", &[page], 404, &[open, vary]);
    check("PUT", "/keys", &[page], 405, &[open, "allow: GET, POST", vary]);
    check("OPTIONS", "/indexes", &[], 405, &["allow: GET, POST", vary]);
    let methods =
        "access-control-allow-methods: CONNECT, DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT, TRACE";
    let age = "access-control-max-age: 86400";
    check("OPTIONS", "/nope", &[page, (asked, "GET")], 200, &[methods, open, age, vary]);
    if real_node().is_some() {
        let single = SingleNode::start();
        let asks: [Ask<'_>; 6] = [
            ("GET", "/health", &[page]),
            ("GET", "/nope", &[page]),
            ("PUT", "/keys", &[page]),
            ("OPTIONS", "/indexes", &[]),
            ("OPTIONS", "/nope", &[page, (asked, "GET")]),
            ("OPTIONS", "/x", &[page, (asked, "PUT"), ("Access-Control-Request-Headers", "x-a, x-b")]),
        ];
        for (method, path, headers) in asks {
            let answers = [&cluster.client, &single.client].map(|client| ask(client, method, path, headers));
            assert_eq!(answers[0], answers[1], "{method} {path}");
        }
    }
}

#[test]
fn a_head_is_a_get_without_its_body() {
    let cluster = TestCluster::start(|_| {});
    cluster.client.done("POST", "/indexes/films/documents", &json!([{"id": 1}]));
    let paths =
        ["/health", "/version", "/indexes", "/indexes/films", "/indexes/films/search?q=", "/tasks", "/stats"];
    for path in paths {
        let (status, shown, body) = ask(&cluster.client, "HEAD", path, &[]);
        assert_eq!((status, body.as_str()), (200, ""), "{path} {shown:?}");
    }
    assert_eq!(ask(&cluster.client, "HEAD", "/indexes/nope", &[]).0, 404);
    assert_eq!(ask(&cluster.client, "HEAD", "/multi-search", &[]).0, 405);
}

#[test]
fn answers_are_compressed_for_those_who_ask() {
    let cluster = TestCluster::start(|options| options.nodes = 1);
    let plain = cluster.client.raw("GET", "/version", &[], b"").unwrap();
    for (asked, given) in
        [("gzip", "gzip"), ("deflate, gzip;q=0.5", "deflate"), ("br, gzip", "br"), ("*", ""), ("x", "")]
    {
        let url = format!("{}/version", cluster.client.base());
        let request = Request::builder().uri(url).header("accept-encoding", asked).body(()).unwrap();
        let mut answer = cluster::cluster::agent().run(request).unwrap();
        let encoding =
            answer.headers().get("content-encoding").map_or("", |value| value.to_str().unwrap()).to_owned();
        assert_eq!(encoding, given, "{asked}");
        let body = answer.body_mut().read_to_vec().unwrap();
        let mut read = Vec::new();
        match given {
            "gzip" => flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut read),
            "deflate" => flate2::read::ZlibDecoder::new(&body[..]).read_to_end(&mut read),
            // The gateway's own tests decompress it.
            "br" => continue,
            _ => (&body[..]).read_to_end(&mut read),
        }
        .unwrap();
        assert_eq!(read, plain.1, "{asked}");
    }
}
