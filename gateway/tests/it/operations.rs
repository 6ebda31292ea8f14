//! What an operator does: check options, reload them, end the gateway in order, read its log.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use crate::{gateway::Gateway, wire::Wire};

const HEALTH: &[u8] = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n";
/// The longest wait for an event on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn options_are_checked_without_a_start() {
    let check = |arguments: &[&str], code: i32, said: &str| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_miroir")).args(arguments).arg("--check-config").output();
        let output = output.unwrap();
        let all = [output.stdout, output.stderr].concat();
        let text = String::from_utf8(all).unwrap();
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.contains(said), "{text}");
    };
    let node = ["--node", "a=http://127.0.0.1:1"];
    check(&node, 0, "the configuration is sound");
    check(&[&node[..], &["--head-timeout", "0s"]].concat(), 2, "option head-timeout");
    check(&[&node[..], &["--tls-key", "k.pem"]].concat(), 2, "option tls-certificate");
    let missing = ["--tls-certificate", "missing.pem", "--tls-key", "missing.key"];
    check(&[&node[..], &missing].concat(), 2, "--tls-certificate missing.pem");
}

#[test]
fn limits_are_read_again_when_asked() {
    let directory = tempfile::Builder::new().tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = directory.path().join("miroir.toml");
    fs::write(&path, "headers-max = 10\n").unwrap();
    let gateway = Gateway::start("monoio", &["--config", path.to_str().unwrap()]);
    let many = format!("GET /health HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: b\r\n".repeat(20));
    let status = || {
        let mut wire = Wire::connect(gateway.address);
        wire.send(many.as_bytes(), usize::MAX);
        wire.read_answer(false).map(|answer| answer.status)
    };
    assert_eq!(status(), Some(431));
    // An unreadable file changes nothing.
    fs::write(&path, "headers-max = \"many\"\n").unwrap();
    gateway.signal("-HUP");
    fs::write(&path, "headers-max = 50\n").unwrap();
    gateway.signal("-HUP");
    let deadline = Instant::now() + PATIENCE;
    while status() != Some(200) {
        assert!(Instant::now() < deadline, "the new limit does not hold");
    }
}

#[test]
fn a_gateway_ends_in_order() {
    let gateway = Gateway::start("monoio", &["--drain-timeout", "5s"]);
    let mut idle = Wire::connect(gateway.address);
    idle.send(HEALTH, usize::MAX);
    assert_eq!(idle.read_answer(false).unwrap().status, 200);
    gateway.signal("-TERM");
    assert_eq!(gateway.wait().code(), Some(0));
    assert_eq!(idle.read_answer(false), None);
}

#[test]
fn requests_are_logged_without_what_they_hold() {
    for (queries, shown) in [("off", false), ("on", true)] {
        let gateway = Gateway::start("monoio", &["--log-requests=all", &format!("--log-queries={queries}")]);
        let mut wire = Wire::connect(gateway.address);
        wire.send(
            b"GET /health?q=what-I-seek HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine-7\r\n\r\n",
            usize::MAX,
        );
        assert_eq!(wire.read_answer(false).unwrap().status, 200);
        wire.send(
            b"GET /keys/a-secret-key HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer b-secret\r\n\r\n",
            usize::MAX,
        );
        assert_eq!(wire.read_answer(false).unwrap().status, 403);
        let log = gateway.log();
        assert!(log.contains("\"event\":\"request\",\"id\":\"mine-7\",\"method\":\"GET\""), "{log}");
        assert!(log.contains("\"status\":\"403\""), "{log}");
        assert!(!log.contains("secret"), "{log}");
        assert_eq!(log.contains("what-I-seek"), shown, "{log}");
    }
}
