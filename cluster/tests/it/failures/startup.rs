//! Configurations with which a gateway refuses to start: one clear line, exit code 2.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, UdpSocket};
use std::process::{Command, Stdio};

use crate::support::{Client, PROGRAM};

#[test]
fn a_newcomer_sees_a_cluster_whatever_is_exported_for_another() {
    let mut child = Command::new(PROGRAM)
        .args(["--nodes", "1", "--listen", "127.0.0.1:0"])
        .env("MIROIR_MASTER_KEY", "the-key-of-another-gateway")
        .env("MIROIR_NODE_MASTER_KEY", "the-key-of-other-nodes")
        .env("MIROIR_ADMIN_API_KEY", "the-key-of-another-admin")
        .env("MIROIR_SHARDS", "none")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut said = Vec::new();
    for line in lines {
        said.push(line);
        if said.last().unwrap().starts_with("Ctrl-C") {
            break;
        }
    }
    let url = said.iter().find_map(|line| line.trim().strip_prefix("gateway")).expect("it is ready").trim();
    let client = Client::new(url.to_owned());
    let (front, found) = (client.get("/"), client.get("/indexes/cities/search?q=sao+palo&limit=1").1);
    // Whatever the answers are, it is told to end.
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    assert!(child.wait().unwrap().success());
    let (status, page) = front;
    assert_eq!((status, &page["status"]), (200, &"Miroir is running".into()), "{page}");
    assert!(page["version"].is_string() && page["docs"].is_string(), "{page}");
    assert_eq!(page["console"], "/_miroir/admin", "{page}");
    assert!(found["hits"][0]["name"].as_str().unwrap().starts_with("S\u{e3}o"), "{found}");
}

#[test]
fn bad_options_are_refused_in_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port_in_use = taken.local_addr().unwrap().to_string();
    let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let not_a_directory = data.path().join("file");
    std::fs::write(&not_a_directory, "x").unwrap();
    let store = format!("sled:{}", data.path().join("store").display());
    let bad_store = format!("sled:{}", not_a_directory.display());
    let node = "a=http://127.0.0.1:1";
    let check = |arguments: &[&str], expected: &[&str]| {
        let mut child = Command::new(PROGRAM)
            .arg("role-gateway")
            .args(arguments)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Kept open until the end, because the child ends with its parent.
        let _parent = child.stdin.take();
        let output = child.wait_with_output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert_eq!(error.trim_end().lines().count(), 1, "{arguments:?}: {error}");
        for part in expected {
            assert!(error.contains(part), "{arguments:?} should name {part}: {error}");
        }
    };
    check(&["--nope"], &["--nope"]);
    check(&[], &["node"]);
    check(&["--node", "a=ftp://x"], &["node", "ftp://x", "http[s]://"]);
    check(&["--node", node, "--node", "a=http://127.0.0.1:2"], &["node", "ID a"]);
    check(&["--node", node, "--replication-factor", "2"], &["replication-factor", "2", "at most 1"]);
    check(&["--node", node, "--shards", "0"], &["shards", "0", "65536"]);
    check(&["--node", node, "--runtime", "tokio"], &["runtime", "tokio", "monoio"]);
    check(&["--node", node, "--listen", "nowhere"], &["listen", "nowhere"]);
    check(
        &["--node", node, "--store", &store, "--listen", &port_in_use],
        &["listen", &port_in_use, "in use"],
    );
    check(
        &["--node", node, "--listen", "127.0.0.1:0", "--metrics-listen", "off", "--store", &bad_store],
        &["store", "file", "directory"],
    );
    check(&["--node", node, "--store", &store, "--peer", "b"], &["peer", "b", "redis://"]);
    let service = serve_two_pods();
    let gateway = ["--node", node, "--listen", "127.0.0.1:0", "--metrics-listen", "off"];
    let company = [&gateway[..], &["--store", &store, "--peer-service", &service]].concat();
    check(&company, &["store", "pod-0, pod-1", "redis://"]);
    assert!(!data.path().join("store").exists(), "nothing is written");
    check(&["--node", node, "--config", "/nowhere/miroir.toml"], &["config", "/nowhere/miroir.toml"]);
}

/// Starts a DNS server that returns two targets for any service. Returns the service to resolve and the server's
/// address.
fn serve_two_pods() -> String {
    /// One SRV record: its name is that of the question; then class, a time to live of 5 s, 13 bytes: priority, weight,
    /// port, target.
    const RECORD: [u8; 18] = [0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 5, 0, 13, 0, 0, 0, 1, 30, 20];
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((length, client)) = socket.recv_from(&mut question) {
            let id = &question[..2];
            let head = [id, &[0x81, 0x80, 0, 1, 0, 2, 0, 0, 0, 0]].concat();
            let records = [b"pod-0", b"pod-1"].map(|pod| [&RECORD[..], &[5], pod, &[0]].concat());
            let answer = [&head, &question[12..length], &records.concat()].concat();
            let _ = socket.send_to(&answer, client);
        }
    });
    format!("_miroir._tcp.pods.example@{server}")
}
