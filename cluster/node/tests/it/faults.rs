//! Fault switches: each one has its effect, and none once it is off.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::{Client, TestNode, film_node};

#[test]
fn statuses_are_answered_for_as_many_requests() {
    let node = TestNode::start();
    node.faults(&json!({ "status": 503, "status_requests": 2, "path_prefix": "/version" }));
    let statuses: Vec<u16> = ["/version", "/health", "/version", "/version"]
        .iter()
        .map(|path| node.client.raw("GET", path, &[], b"").unwrap().0)
        .collect();
    assert_eq!(statuses, [503, 200, 503, 200]);
}

#[test]
fn delays_and_hangs_hold_requests() {
    let node = TestNode::start();
    node.faults(&json!({ "delay_ms": 150 }));
    let started = Instant::now();
    node.client.read("/health");
    assert!(started.elapsed() >= Duration::from_millis(150));
    node.faults(&json!({ "hang": true }));
    let url = node.url();
    let hanging = std::thread::spawn(move || Client::new(url).get("/health").0);
    let mut probe = TcpStream::connect(node.url().trim_start_matches("http://")).unwrap();
    probe.write_all(b"GET /health HTTP/1.1\r\nHost: node\r\n\r\n").unwrap();
    probe.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let error = probe.read(&mut [0; 16]).unwrap_err();
    assert!(matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut), "{error}");
    node.clear_faults();
    assert_eq!(hanging.join().unwrap(), 200);
}

#[test]
fn connections_are_refused_and_reset() {
    let node = TestNode::start();
    node.faults(&json!({ "refuse": true }));
    assert!(Client::new(node.url()).raw("GET", "/health", &[], b"").is_err());
    node.faults(&json!({ "reset": true }));
    let mut stream = TcpStream::connect(node.url().trim_start_matches("http://")).unwrap();
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: node\r\n\r\n").unwrap();
    let error = stream.read(&mut [0; 16]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    node.clear_faults();
    assert_eq!(Client::new(node.url()).get("/health").0, 200);
}

#[test]
fn bodies_are_cut_short() {
    let node = film_node();
    node.faults(&json!({ "cut_body_bytes": 10, "path_prefix": "/indexes" }));
    let mut stream = TcpStream::connect(node.url().trim_start_matches("http://")).unwrap();
    stream.write_all(b"GET /indexes/films/documents HTTP/1.1\r\nHost: node\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert_eq!(body.len(), 10, "{answer}");
    let promised =
        head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ").map(str::to_owned));
    assert!(promised.unwrap().parse::<usize>().unwrap() > 100);
    node.clear_faults();
    assert_eq!(node.client.get("/indexes/films/documents").0, 200);
}

#[test]
fn writes_are_acknowledged_and_lost() {
    let node = film_node();
    node.faults(&json!({ "drop_next_writes": 1 }));
    let lost = node.client.done("POST", "/indexes/films/documents", &json!([{ "id": 50 }]));
    assert_eq!(lost["details"], json!({ "receivedDocuments": 1, "indexedDocuments": 1 }));
    assert_eq!(node.client.get("/indexes/films/documents/50").0, 404);
    node.client.done("POST", "/indexes/films/documents", &json!([{ "id": 51 }]));
    assert_eq!(node.client.get("/indexes/films/documents/51").0, 200);
}

#[test]
fn clocks_are_skewed() {
    let node = TestNode::start();
    node.faults(&json!({ "clock_skew_ms": -(1000_i64 * 60 * 60 * 24 * 365 * 20) }));
    let task = node.client.done("POST", "/indexes", &json!({ "uid": "a" }));
    assert!(task["enqueuedAt"].as_str().unwrap() < "2015", "{task}");
    node.clear_faults();
    let task = node.client.done("POST", "/indexes", &json!({ "uid": "b" }));
    assert!(task["enqueuedAt"].as_str().unwrap() > "2015", "{task}");
}

#[test]
fn unknown_switches_are_refused() {
    let node = TestNode::start();
    let (status, text) = node.control().call("POST", "/faults", &json!({ "typo": 1 }));
    assert_eq!(status, 400);
    assert!(text.as_str().unwrap().contains("unknown field `typo`"), "{text}");
    assert_eq!(node.control().read("/faults")["delay_ms"], 0);
}
