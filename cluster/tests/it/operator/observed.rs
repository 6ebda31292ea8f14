//! What a cluster tells of itself: traces at a collector, slow queries, metrics with their meaning.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener},
    sync::mpsc,
    thread,
    time::Duration,
};

use cluster::faulty_proxy::Trouble;
use serde_json::{Value, json};

use crate::operator::operated;
use node::test_client::Client;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const COLLECTED_MAX: Duration = Duration::from_secs(60);

/// A collector that gives the spans of each request.
fn collector() -> (SocketAddr, mpsc::Receiver<Vec<Value>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (collected, spans) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            let (mut line, mut length) = (String::new(), 0);
            reader.read_line(&mut line).unwrap();
            assert!(line.starts_with("POST /v1/traces HTTP/1.1"), "{line}");
            loop {
                let mut header = String::new();
                reader.read_line(&mut header).unwrap();
                let Some((name, value)) = header.trim_end().split_once(": ") else { break };
                if name.eq_ignore_ascii_case("content-length") {
                    length = value.parse().unwrap();
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
            reader.get_mut().write_all(answer).unwrap();
            let body: Value = serde_json::from_slice(&body).unwrap();
            let found = body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone();
            if collected.send(found).is_err() {
                return;
            }
        }
    });
    (address, spans)
}

#[test]
fn a_traced_search_is_told_to_the_collector_with_a_span_for_each_leg() {
    let (address, collected) = collector();
    let (cluster, _) = operated(|options| {
        let traced = ["--otlp-endpoint", &format!("http://{address}/"), "--trace-sample", "0"];
        options.gateway_arguments.extend(traced.map(str::to_owned));
    });
    let client = &cluster.client;
    client.done("POST", "/indexes", &json!({"uid": "films", "primaryKey": "id"}));
    client.done(
        "POST",
        "/indexes/films/documents",
        &json!([{"id": 1, "title": "one"}, {"id": 2, "title": "two"}]),
    );
    // Only what comes with a trace is traced, since chance chooses nothing.
    client.search("films", &json!({"q": "untraced"}));
    let headers = [("Content-Type", "application/json"), ("traceparent", PARENT), ("tracestate", "a=1")];
    let (status, _) = client.raw("POST", "/indexes/films/search", &headers, br#"{"q": "secret"}"#).unwrap();
    assert_eq!(status, 200);
    let spans = collected.recv_timeout(COLLECTED_MAX).unwrap();
    let (roots, legs): (Vec<_>, Vec<_>) = spans.iter().partition(|span| span["kind"] == 2);
    assert_eq!((roots.len(), legs.len()), (1, 3), "{spans:?}");
    let root = roots[0];
    assert_eq!(root["name"], "POST /indexes/{uid}/search");
    assert_eq!(root["traceId"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(root["parentSpanId"], "b7ad6b7169203331");
    for leg in legs {
        assert_eq!((&leg["parentSpanId"], &leg["traceId"]), (&root["spanId"], &root["traceId"]));
        let time = |name: &str| leg[name].as_str().unwrap().parse::<u64>().unwrap();
        assert!(time("startTimeUnixNano") <= time("endTimeUnixNano"), "{leg}");
    }
    assert!(!json!(spans).to_string().contains("secret"), "{spans:?}");
}

#[test]
fn a_traced_write_tells_its_wait_its_batch_every_node_its_quorum_and_its_commit() {
    let (address, collected) = collector();
    let (cluster, _) = operated(|options| {
        let traced = ["--otlp-endpoint", &format!("http://{address}"), "--trace-sample", "0"];
        options.gateway_arguments.extend(traced.map(str::to_owned));
    });
    let client = &cluster.client;
    client.done("POST", "/indexes", &json!({"uid": "films", "primaryKey": "id"}));
    let films = (0..60).map(|id| json!({"id": id, "title": "secret"})).collect::<Vec<_>>();
    let headers = [("Content-Type", "application/json"), ("traceparent", PARENT)];
    let written = |method: &str, path: &str, body: &Value| {
        let (status, answer) = client.raw(method, path, &headers, body.to_string().as_bytes()).unwrap();
        assert_eq!(status, 202, "{}", String::from_utf8_lossy(&answer));
        collected.recv_timeout(COLLECTED_MAX).unwrap()
    };
    let named = |spans: &[Value], name: &str| {
        let found = spans.iter().filter(|span| span["name"] == name).collect::<Vec<_>>();
        assert_eq!(found.len(), 1, "{name}: {spans:?}");
        found[0].clone()
    };
    // Documents share a batch with others, and a deletion has a turn of its own.
    for (method, path, suffix, body) in [
        ("POST", "/indexes/films/documents", "/documents", json!(films)),
        (
            "POST",
            "/indexes/films/documents/delete-batch",
            "/documents/delete-batch",
            json!((0..60).collect::<Vec<_>>()),
        ),
    ] {
        let spans = written(method, path, &body);
        let root = spans.iter().find(|span| span["kind"] == 2).unwrap();
        assert_eq!(root["traceId"], "0af7651916cd43dd8448eb211c80319c");
        let [wait, batch, quorum, commit] =
            ["lane wait", "batch", "quorum", "commit"].map(|name| named(&spans, name));
        for step in [&wait, &batch, &commit] {
            assert_eq!(step["parentSpanId"], root["spanId"], "{step}");
        }
        assert_eq!(quorum["parentSpanId"], batch["spanId"], "{quorum}");
        assert!(quorum["status"].is_null(), "{quorum}");
        let is_leg = |span: &&Value| span["kind"] == 3 && span["name"].as_str().unwrap().ends_with(suffix);
        let legs = spans.iter().filter(is_leg).collect::<Vec<_>>();
        assert_eq!(legs.len(), 3, "{path}: {spans:?}");
        assert!(legs.iter().all(|leg| leg["parentSpanId"] == batch["spanId"]), "{legs:?}");
        let time = |span: &Value, name: &str| span[name].as_str().unwrap().parse::<u64>().unwrap();
        let (began, ended) = ("startTimeUnixNano", "endTimeUnixNano");
        assert!(time(root, began) <= time(&wait, began) && time(&wait, ended) <= time(&batch, ended));
        assert!(time(&batch, ended) <= time(&commit, ended) && time(&commit, ended) <= time(root, ended));
        assert!(!json!(spans).to_string().contains("secret"), "{spans:?}");
    }
}

#[test]
fn slow_queries_are_counted_and_metrics_say_what_they_mean() {
    let (cluster, operator) = operated(|options| {
        options.proxied = true;
        options.gateway_arguments.extend(["--slow-query-log", "20ms"].map(str::to_owned));
    });
    let client = &cluster.client;
    client.done("POST", "/indexes", &json!({"uid": "films", "primaryKey": "id"}));
    for number in 0..3 {
        cluster.cluster.proxy(number).unwrap().set(Trouble::Delay(Duration::from_millis(60)));
    }
    client.search("films", &json!({"q": "late"}));
    let (status, text) = operator.raw("GET", "/_miroir/metrics", &[], b"").unwrap();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(status, 200);
    let value = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("no {name}")).rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    assert!(value("miroir_slow_queries_total") >= 1.0, "{text}");
    // Whatever is shown has its meaning, and its kind.
    for line in text.lines().filter(|line| line.starts_with("# TYPE ")) {
        let name = line.split(' ').nth(2).unwrap();
        assert!(name.starts_with("miroir_"), "{line}");
        assert!(text.contains(&format!("# HELP {name} ")), "{name} has no meaning");
    }
    let stranger = Client::new(cluster.cluster.url());
    assert_eq!(stranger.get("/_miroir/metrics").0, 401);
}
