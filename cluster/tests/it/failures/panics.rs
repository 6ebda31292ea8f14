//! A panic in one request costs only its connection, on both runtimes.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::TestCluster;

#[test]
fn a_panic_costs_one_connection_on_monoio() {
    survive("monoio");
}

#[test]
fn a_panic_costs_one_connection_on_glommio() {
    survive("glommio");
}

fn survive(runtime: &str) {
    let cluster = TestCluster::start(|options| {
        // One core, so that the panic happens on the core of the other connections.
        options.gateway_arguments =
            ["--runtime", runtime, "--cores", "1", "--test-faults"].map(str::to_owned).into();
        options.nodes = 1;
    });
    let address = cluster.cluster.url().replace("http://", "");
    let mut others = (0..8).map(|_| TcpStream::connect(&address).unwrap()).collect::<Vec<_>>();
    for other in &mut others {
        assert!(ask(other, "").starts_with("HTTP/1.1 200"), "before the panics");
    }
    for _ in 0..20 {
        let mut victim = TcpStream::connect(&address).unwrap();
        let answer = ask(&mut victim, "x-miroir-test-panic: 1\r\n");
        assert!(answer.starts_with("HTTP/1.1 500") && answer.contains("connection: close"), "{answer}");
        assert_eq!(victim.read(&mut [0; 16]).unwrap(), 0, "the connection is closed");
    }
    for other in &mut others {
        assert!(ask(other, "").starts_with("HTTP/1.1 200"), "the connection made before the panics lives on");
    }
    let metrics = cluster.client.raw("GET", "/_miroir/metrics", &[], b"").unwrap().1;
    assert!(String::from_utf8(metrics).unwrap().contains("miroir_request_panics_total 20"));
}

/// Sends one request over an open connection. Returns the part of the answer that arrived in one piece.
fn ask(stream: &mut TcpStream, header: &str) -> String {
    stream.write_all(format!("GET /health HTTP/1.1\r\nhost: miroir\r\n{header}\r\n").as_bytes()).unwrap();
    let mut answer = vec![0; 4096];
    let count = stream.read(&mut answer).unwrap();
    String::from_utf8_lossy(&answer[..count]).into_owned()
}
