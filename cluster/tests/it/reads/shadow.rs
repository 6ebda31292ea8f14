//! Shadows: a second cluster gets a copy of searches and never of writes, and whatever it does, clients notice nothing.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    failures::failover::metric,
    support::{PROGRAM, SingleNode, TestCluster},
};
use node::test_client::Client;

/// How long a difference may be waited for.
const SEEN_MAX: Duration = Duration::from_secs(30);
const LOOPBACK: [&str; 2] = ["--allowed-ip-networks", "127.0.0.0/8"];

fn with_shadow(url: &str) -> TestCluster {
    let shadow = format!("name=next,url={url},sample=1");
    TestCluster::start(|options| {
        options.gateway_arguments.extend(LOOPBACK.map(str::to_owned));
        options.gateway_arguments.extend(["--shadow".to_owned(), shadow]);
    })
}

fn film(id: u64, title: &str) -> Value {
    json!({"id": id, "title": title})
}

fn fill(client: &Client, films: &[Value]) {
    client.done("POST", "/indexes", &json!({"uid": "films", "primaryKey": "id"}));
    client.done("PATCH", "/indexes/films/settings", &json!({"sortableAttributes": ["title"]}));
    client.done("POST", "/indexes/films/documents", &films.to_vec().into());
}

/// The differences once there are enough of them.
fn diffs(client: &Client, parameters: &str, enough: usize) -> Vec<Value> {
    let deadline = Instant::now() + SEEN_MAX;
    loop {
        let found = client.read(&format!("/_miroir/shadow/diff{parameters}"));
        let found = found["results"].as_array().unwrap().clone();
        if found.len() >= enough {
            return found;
        }
        assert!(Instant::now() < deadline, "{parameters}: {found:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn until_sent(cluster: &TestCluster, count: f64) {
    let deadline = Instant::now() + SEEN_MAX;
    while metric(cluster, "miroir_shadow_sent_total") < count {
        assert!(Instant::now() < deadline, "not all searches were copied");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn answers_are_compared_and_writes_are_never_copied() {
    let shadow = SingleNode::start();
    let cluster = with_shadow(shadow.client.base());
    fill(&cluster.client, &[film(1, "a"), film(2, "b"), film(3, "c")]);
    // The shadow has the first two the other way round, and one more film.
    fill(&shadow.client, &[film(1, "b"), film(2, "a"), film(3, "c"), film(4, "d")]);
    let tasks = |client: &Client| client.read("/tasks?limit=1")["total"].as_u64().unwrap();
    let written = tasks(&shadow.client);
    let same = json!({"q": "c"});
    assert_eq!(cluster.client.search("films", &same)["hits"].as_array().unwrap().len(), 1);
    until_sent(&cluster, 1.0);
    assert!(diffs(&cluster.client, "?kind=hits", 0).is_empty(), "equal answers differ in nothing");
    let query = json!({"sort": ["title:asc"], "limit": 3});
    cluster.client.search("films", &query);
    let hits = diffs(&cluster.client, "?kind=hits", 1).remove(0);
    assert_eq!((&hits["target"], &hits["index"]), (&json!("next"), &json!("films")));
    assert_eq!(hits["query"], query);
    assert_eq!(hits["primary"], json!({"ids": ["1", "2", "3"], "total": 3}));
    assert_eq!(hits["shadow"], json!({"ids": ["2", "1", "3"], "total": 4}));
    let ranking = diffs(&cluster.client, "?kind=ranking&target=next", 1).remove(0);
    assert_eq!(ranking["shadow"]["kendallTau"], 1.0 / 3.0);
    let after = format!("?sinceId={}", ranking["id"]);
    assert!(diffs(&cluster.client, &after, 0).iter().all(|diff| diff["kind"] == "latency"));
    // A GET is a search like any other; another index there is an error.
    assert_eq!(cluster.client.get("/indexes/films/search?sort=title:asc").0, 200);
    diffs(&cluster.client, "?kind=hits", 2);
    cluster.client.done("POST", "/indexes/books/documents?primaryKey=id", &json!([film(1, "a")]));
    cluster.client.search("books", &json!({}));
    let error = diffs(&cluster.client, "?kind=error", 1).remove(0);
    assert_eq!(error["shadow"]["error"], "status 404");
    assert_eq!(tasks(&shadow.client), written, "no write came along");
    assert!(metric(&cluster, "miroir_shadow_diff_total") >= 4.0);
    for (parameters, words) in [
        ("?target=other", "`next`"),
        ("?kind=colour", "`ranking`"),
        ("?limit=x", "`limit`"),
        ("?sinceId=-1", "`sinceId`"),
        ("?since=1", "`sinceId`"),
    ] {
        let (status, refused) = cluster.client.get(&format!("/_miroir/shadow/diff{parameters}"));
        assert_eq!(status, 400, "{parameters}: {refused}");
        assert!(refused["message"].as_str().unwrap().contains(words), "{parameters}: {refused}");
    }
}

/// What a broken target does with a connection once it has read some of a request.
type Behaviour = fn(TcpStream);

fn hang(stream: TcpStream) {
    // Held open until the gateway gives up.
    let mut stream = stream;
    let _ = stream.read_to_end(&mut Vec::new());
}

fn die(stream: TcpStream) {
    drop(stream);
}

fn garble(mut stream: TcpStream) {
    let _ = stream.write_all(b"\x00\xffthis is not HTTP\r\n\r\n");
}

fn nonsense(mut stream: TcpStream) {
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\nconnection: close\r\n\r\n{\"hits\":7");
}

fn flood(mut stream: TcpStream) {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", 10 << 20);
    let _ = stream.write_all(head.as_bytes());
    let piece = vec![b' '; 64 << 10];
    while stream.write_all(&piece).is_ok() {}
}

/// A target that misbehaves; gives its address and the number of its connections.
fn broken(behave: Behaviour) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            counted.fetch_add(1, Ordering::Relaxed);
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 4096]);
                behave(stream);
            });
        }
    });
    (address, count)
}

#[test]
fn clients_do_not_notice_what_is_wrong_with_a_shadow() {
    for (behave, hangs) in [
        (hang as Behaviour, true),
        (die as Behaviour, false),
        (garble as Behaviour, false),
        (nonsense as Behaviour, false),
        (flood as Behaviour, false),
    ] {
        let (address, connections) = broken(behave);
        let cluster = with_shadow(&format!("http://{address}"));
        fill(&cluster.client, &[film(1, "a")]);
        if hangs {
            // More than the queue takes: what is over is dropped, and every search is answered.
            for number in 0..400 {
                let found = cluster.client.search("films", &json!({"q": format!("a {number}")}));
                assert_eq!(found["hits"].as_array().unwrap().len(), 1);
            }
            assert!(metric(&cluster, "miroir_shadow_dropped_total") > 0.0);
            let sent = metric(&cluster, "miroir_shadow_sent_total");
            assert!(sent < 100.0, "{sent} were waited for");
        } else {
            for _ in 0..3 {
                cluster.client.search("films", &json!({"q": "a"}));
            }
            let errors = diffs(&cluster.client, "?kind=error", 3);
            assert!(errors.iter().all(|error| error["shadow"]["error"].is_string()), "{errors:?}");
            assert!(metric(&cluster, "miroir_shadow_errors_total") >= 3.0);
        }
        assert!(connections.load(Ordering::Relaxed) > 0);
        assert_eq!(cluster.client.get("/health").0, 200);
    }
}

#[test]
fn a_private_address_takes_a_permission() {
    let start = |shadow: &str| {
        let mut child = Command::new(PROGRAM)
            .args(["role-gateway", "--check-config", "--node", "n0=http://127.0.0.1:1", "--shadow", shadow])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // The child would end with its standard input.
        let _held = child.stdin.take();
        let ended = child.wait_with_output().unwrap();
        (ended.status.code(), String::from_utf8(ended.stderr).unwrap())
    };
    for address in ["127.0.0.1:7700", "localhost:7700", "10.1.2.3", "169.254.169.254", "[::1]:7700"] {
        let (code, error) = start(&format!("name=next,url=http://{address}"));
        assert_eq!(code, Some(2), "{address}: {error}");
        assert!(error.contains("--shadow") && error.contains("--allowed-ip-networks"), "{address}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    let (code, error) = start("name=next,url=http://127.0.0.1:1,sample=7");
    assert!(code == Some(2) && error.contains("sample"), "{error}");
    assert_eq!(start("name=next,url=http://9.9.9.9").0, Some(0));
}
