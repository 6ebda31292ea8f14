//! Slow clients, vanishing clients and clients that send garbage cost what they may, and others nothing. Invariant:
//! memory is what the kernel reports for the process.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crate::{
    gateway::{Gateway, MASTER_KEY},
    wire::{Answer, Wire},
};

/// Connections that never finish a request: few enough for any machine's descriptors. `MIROIR_TEST_CONNECTIONS` sets
/// another number.
const SLOW_CONNECTIONS: usize = 1500;
/// Bytes that one waiting connection may hold: its buffer, its task and what belongs to them.
const CONNECTION_BYTES_MAX: u64 = 64 << 10;
/// Bytes that the process holds once it is warm.
const WARM_BYTES: u64 = 8 << 20;
/// The longest time in which another client must be answered meanwhile.
const OTHERS_WAIT_MAX: Duration = Duration::from_secs(2);

const HEALTH: &[u8] = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n";

fn connections() -> usize {
    let given = std::env::var("MIROIR_TEST_CONNECTIONS").ok();
    given.map_or(SLOW_CONNECTIONS, |text| text.parse().expect("MIROIR_TEST_CONNECTIONS is a number"))
}

fn resident_bytes(gateway: &Gateway) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    kilobytes << 10
}

/// Asks as another client would; the response has to come soon.
fn somebody_else_is_served(address: SocketAddr) {
    let started = Instant::now();
    let mut wire = Wire::connect(address);
    wire.send(HEALTH, usize::MAX);
    assert_eq!(wire.read_answer(false).map(|answer| answer.status), Some(200));
    assert!(started.elapsed() < OTHERS_WAIT_MAX, "another client waited {:?}", started.elapsed());
}

fn refusals(gateway: &Gateway, reason: &str) -> f64 {
    let name = format!("miroir_request_refusals_total{{reason=\"{reason}\"}}");
    gateway.metric(&name).unwrap_or(0.0)
}

fn check_slow_and_garbage(runtime: &str) {
    let many = connections();
    let arguments =
        ["--connections-per-address-max", "100000", "--head-timeout", "5m", "--first-byte-timeout", "5m"];
    let gateway = Gateway::start(runtime, &[&arguments[..], &["--body-gap-timeout", "5m"]].concat());
    somebody_else_is_served(gateway.address);
    let before = resident_bytes(&gateway);
    let beginnings: [&[u8]; 4] = [
        b"",
        b"GET /health HT",
        b"GET /health HTTP/1.1\r\nHost: a\r\nX-Slow: ",
        b"POST /multi-search HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n{",
    ];
    let mut slow = Vec::with_capacity(many);
    for number in 0..many {
        let mut stream = TcpStream::connect(gateway.address).unwrap();
        stream.write_all(beginnings[number % beginnings.len()]).unwrap();
        slow.push(stream);
    }
    somebody_else_is_served(gateway.address);
    let held = resident_bytes(&gateway).saturating_sub(before + WARM_BYTES) / many as u64;
    eprintln!("{runtime}: {many} slow connections hold {held} bytes each");
    assert!(held < CONNECTION_BYTES_MAX, "{held} bytes for each of {many} slow connections");

    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for number in 0..1000 {
        let mut stream = TcpStream::connect(gateway.address).unwrap();
        let garbage = std::iter::repeat_with(|| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            random.to_be_bytes()[0]
        });
        let garbage = garbage.take(1 + number * 7).collect::<Vec<_>>();
        // The gateway may close the connection before all of it is sent.
        let _ = stream.write_all(&garbage);
    }
    somebody_else_is_served(gateway.address);

    for _ in 0..500 {
        let mut stream = TcpStream::connect(gateway.address).unwrap();
        stream
            .write_all(b"POST /multi-search HTTP/1.1\r\nHost: a\r\nContent-Length: 90000000\r\n\r\n")
            .unwrap();
        // The client vanishes in the middle, with a good part of the body sent.
        let _ = stream.write_all(&[b' '; 100 << 10]);
    }
    somebody_else_is_served(gateway.address);
    drop(slow);
    somebody_else_is_served(gateway.address);
    // The memory of vanished clients is freed as their ends are noticed.
    let bound = before + many as u64 * CONNECTION_BYTES_MAX / 2 + (64 << 20);
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let after = resident_bytes(&gateway);
        if after < bound {
            break;
        }
        assert!(Instant::now() < deadline, "{after} bytes after it all, {before} before");
        somebody_else_is_served(gateway.address);
    }
}

#[test]
fn slow_garbled_and_vanishing_clients_harm_nobody_on_monoio() {
    check_slow_and_garbage("monoio");
}

#[test]
fn slow_garbled_and_vanishing_clients_harm_nobody_on_glommio() {
    check_slow_and_garbage("glommio");
}

#[test]
fn every_phase_of_a_request_has_its_time() {
    for runtime in ["monoio", "glommio"] {
        let arguments = ["first-byte-timeout", "head-timeout", "idle-timeout", "body-gap-timeout"];
        let arguments = arguments.map(|name| format!("--{name}=300ms"));
        let gateway = Gateway::start(runtime, &arguments.each_ref().map(String::as_str));
        let check = |sent: &[u8], answers: &[u16]| {
            let mut wire = Wire::connect(gateway.address);
            wire.send(sent, usize::MAX);
            for status in answers {
                let answer = wire.read_answer(false).map(|Answer { status, .. }| status);
                assert_eq!(answer, Some(*status), "{:?} on {runtime}", sent.escape_ascii());
            }
            assert_eq!(wire.read_answer(false), None, "{:?} on {runtime}", sent.escape_ascii());
        };
        check(b"", &[]);
        check(b"GET /health HTTP/1.1\r\n", &[408]);
        check(HEALTH, &[200]);
        check(b"POST /keys HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc", &[408]);
        check(b"POST /keys HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", &[408]);
        assert_eq!((refusals(&gateway, "head_timeout"), refusals(&gateway, "body_timeout")), (1.0, 2.0));
    }
}

/// Bytes that come just often enough do not extend the time for a head.
#[test]
fn a_head_that_drips_is_refused() {
    let gateway = Gateway::start("monoio", &["--head-timeout=500ms"]);
    let mut stream = TcpStream::connect(gateway.address).unwrap();
    let started = Instant::now();
    stream.write_all(b"GET /health HTTP/1.1\r\nX: ").unwrap();
    while refusals(&gateway, "head_timeout") == 0.0 {
        assert!(started.elapsed() < Duration::from_secs(20), "it drips on");
        let _ = stream.write_all(b"a");
        thread::yield_now();
    }
}

#[test]
fn connections_over_a_bound_are_closed() {
    let gateway = Gateway::start("monoio", &["--connections-per-address-max=3"]);
    let mut kept = (0..3).map(|_| Wire::connect(gateway.address)).collect::<Vec<_>>();
    for wire in &mut kept {
        wire.send(HEALTH, usize::MAX);
        assert_eq!(wire.read_answer(false).unwrap().status, 200);
    }
    let mut refused = Wire::connect(gateway.address);
    assert_eq!(refused.read_answer(false), None);
    assert_eq!(refusals(&gateway, "too_many_connections_of_address"), 1.0);
    kept.pop().unwrap().finish();
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let mut wire = Wire::connect(gateway.address);
        wire.send(HEALTH, usize::MAX);
        if wire.read_answer(false).is_some() {
            break;
        }
        assert!(Instant::now() < deadline, "a place that was given back is not there");
    }
}

#[test]
fn requests_on_one_connection_are_counted() {
    let gateway = Gateway::start("monoio", &["--requests-per-connection-max=3"]);
    let mut wire = Wire::connect(gateway.address);
    wire.send(&HEALTH.repeat(4), usize::MAX);
    for last in [false, false, true] {
        assert_eq!(wire.read_answer(false).unwrap().head.contains("connection: close"), last);
    }
    assert_eq!(wire.read_answer(false), None);
}

/// What is refused after the head is counted as well.
#[test]
fn every_refusal_has_its_reason() {
    let gateway = Gateway::start("monoio", &["--json-depth-max=8", "--multi-search-queries-max=2"]);
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(9), "]".repeat(9));
    let query = "{\"indexUid\":\"a\"}";
    let many = format!("{{\"queries\":[{query},{query},{query}]}}");
    let check = |key: &str, target: &str, body: &str, status: u16, reason: &str| {
        let mut wire = Wire::connect(gateway.address);
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
        );
        wire.send(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes(), usize::MAX);
        assert_eq!(wire.read_answer(false).unwrap().status, status, "{reason}");
        assert_eq!(refusals(&gateway, reason), 1.0, "{reason}");
    };
    check(MASTER_KEY, "/keys", &deep, 400, "json_too_deep");
    check(MASTER_KEY, "/multi-search", &many, 400, "too_many_queries");
    check("another", "/keys", "{}", 403, "invalid_api_key");
    check(MASTER_KEY, "/nowhere", "{}", 404, "no_such_route");
    check(MASTER_KEY, "/indexes/a/search", "{}", 404, "index_not_found");
}

/// A request too many is told when to come back, and the gateway's health can still be asked for.
#[test]
fn a_full_core_refuses_and_stays_watched() {
    // This node answers what the gateway asks of its own, and holds what a client asks; it tells when that has come.
    let node = TcpListener::bind("127.0.0.1:0").unwrap();
    let node_url = format!("http://{}", node.local_addr().unwrap());
    let (arrived, question) = mpsc::channel();
    thread::spawn(move || {
        let mut held = Vec::new();
        let answer = "{\"status\":\"available\",\"pkgVersion\":\"1.15.0\",\"results\":[],\"total\":0}";
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
        let answer = format!("{head}content-length: {}\r\n\r\n{answer}", answer.len());
        for stream in node.incoming() {
            let (mut stream, mut piece) = (stream.unwrap(), [0; 4096]);
            let length = stream.read(&mut piece).unwrap_or(0);
            if !piece[..length].starts_with(b"GET /network ") {
                let _ = stream.write_all(answer.as_bytes());
                continue;
            }
            held.push(stream);
            if arrived.send(()).is_err() {
                return;
            }
        }
    });
    let gateway = Gateway::start_with_node("monoio", &node_url, &["--in-flight-max=1"]);
    let ask = |target: &str| {
        let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {MASTER_KEY}\r\n\r\n");
        let mut wire = Wire::connect(gateway.address);
        wire.send(head.as_bytes(), usize::MAX);
        wire
    };
    let first = ask("/network");
    question.recv_timeout(Duration::from_secs(20)).unwrap();
    let refused = ask("/stats").read_answer(false).unwrap();
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.head.contains("retry-after: "), "{refused:?}");
    assert!(refused.body.contains("miroir_overloaded"), "{refused:?}");
    assert_eq!(refusals(&gateway, "overloaded"), 1.0);
    somebody_else_is_served(gateway.address);
    drop(first);
}

/// A small body that decompresses to a large one is refused long before it is large.
#[test]
fn a_bomb_is_refused_early() {
    let gateway = Gateway::start("monoio", &["--body-limit=1MB"]);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..256 {
        encoder.write_all(&[b' '; 1 << 20]).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 1 << 20);
    let before = resident_bytes(&gateway);
    let head = format!(
        "POST /keys HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {MASTER_KEY}\r\nContent-Type: application/json\r\n\
         Content-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        bomb.len()
    );
    let mut wire = Wire::connect(gateway.address);
    wire.send(&[head.as_bytes(), &bomb].concat(), usize::MAX);
    let answer = wire.read_answer(false).unwrap();
    assert_eq!(answer.status, 413, "{answer:?}");
    assert_eq!(refusals(&gateway, "body_too_large"), 1.0);
    assert!(resident_bytes(&gateway) < before + (32 << 20));
}
