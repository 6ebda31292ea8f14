//! `miroir-dev` with several gateways, TLS and load of its own.

use std::{
    io::{BufRead, BufReader},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::support::PROGRAM;

/// How long ports may take to close.
const CLOSED_MAX: Duration = Duration::from_secs(60);

/// Ends the program when a test fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It fails only when the program has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_development_cluster_has_pods_certificates_and_load() {
    let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(["--nodes", "1", "--pods", "2", "--tls", "--load", "200", "--sample", "none"]);
    command.args(["--shards", "4", "--listen", "127.0.0.1:0", "--data"]).arg(data.path());
    let mut running = Running(command.stderr(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(running.0.stderr.take().unwrap()).lines().map(Result::unwrap);
    // What gateways log comes along.
    let mut said = |wanted: &str| {
        let line = lines.find(|line| line.starts_with(wanted));
        line.unwrap_or_else(|| panic!("it ended without {wanted:?}"))[wanted.len()..].trim().to_owned()
    };
    let urls = [said("  gateway"), said("  gateway")];
    assert!(said("  console").ends_with("/_miroir/admin"));
    let authority = said("  trust");
    let authority = std::fs::read(authority.split(' ').next().unwrap()).unwrap();
    let roots = RootCerts::from(vec![Certificate::from_pem(&authority).unwrap()]);
    let tls = TlsConfig::builder().root_certs(roots).build();
    let agent: ureq::Agent = ureq::Agent::config_builder().tls_config(tls).build().into();
    for url in &urls {
        assert!(url.starts_with("https://127.0.0.1:"), "{url}");
        assert_eq!(agent.get(format!("{url}/health")).call().unwrap().status(), 200);
        assert!(ureq::get(format!("{url}/health")).call().is_err(), "strangers do not trust it");
    }
    let load = said("load:");
    // A slow machine may refuse some of it.
    assert!(load.contains("a second") && !load.contains(" 0 done"), "{load}");
    let pid = running.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    // The rest is read, so that nothing waits for the pipe.
    lines.for_each(drop);
    assert!(running.0.wait().unwrap().success());
    // The kernel may close a port a moment after the end of its process.
    let deadline = Instant::now() + CLOSED_MAX;
    for url in urls {
        let address = url.trim_start_matches("https://").to_owned();
        while TcpStream::connect(&address).is_ok() {
            assert!(Instant::now() < deadline, "a gateway at {address} was left behind");
            std::thread::yield_now();
        }
    }
}

#[test]
fn counts_that_are_none_are_refused() {
    for (option, value) in [("--pods", "0"), ("--pods", "17"), ("--load", "10001")] {
        let output = Command::new(PROGRAM).args([option, value]).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(&format!("{option} {value}: allowed: ")), "{error}");
    }
}
