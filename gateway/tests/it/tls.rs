//! TLS towards clients and nodes, with certificates made for the test.

use std::{
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};

use crate::{
    gateway::Gateway,
    wire::{Wire, connect},
};

const HEALTH: &[u8] = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n";
/// The longest wait for an event on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A certificate authority, and the folder of what it signs.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    directory: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let directory = tempfile::Builder::new().tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        std::fs::write(directory.path().join("ca.pem"), certificate.pem()).unwrap();
        let certificate = certificate.der().clone();
        Self { issuer: Issuer::new(params, key), certificate, directory }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    /// Writes a certificate for `localhost` and its key, `name.pem` and `name.key`.
    fn sign(&self, name: &str) {
        self.sign_for(name, "localhost", 2100);
    }

    /// The same for a host, until the end of a year.
    fn sign_for(&self, name: &str, host: &str, year: i32) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 12, 31);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let write = |extension: &str, text: String| {
            let path = PathBuf::from(self.path(name)).with_extension(extension);
            std::fs::write(path, text).unwrap();
        };
        write("pem", certificate.pem());
        write("key", key.serialize_pem());
    }

    fn server_arguments(&self) -> [String; 2] {
        [
            format!("--tls-certificate={}", self.path("server.pem")),
            format!("--tls-key={}", self.path("server.key")),
        ]
    }

    /// A client that trusts this authority, with its own certificate where one is named.
    fn client(
        &self,
        address: SocketAddr,
        own: Option<&str>,
    ) -> Wire<StreamOwned<ClientConnection, TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
        let config = match own {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let chain = vec![CertificateDer::from_pem_file(self.path(&format!("{name}.pem"))).unwrap()];
                let key = PrivateKeyDer::from_pem_file(self.path(&format!("{name}.key"))).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(Arc::new(config), name).unwrap();
        Wire::over(StreamOwned::new(session, connect(address)))
    }
}

fn start(runtime: &str, arguments: &[String]) -> Gateway {
    Gateway::start(runtime, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

fn is_served(wire: &mut Wire<StreamOwned<ClientConnection, TcpStream>>) -> bool {
    wire.send(HEALTH, usize::MAX);
    wire.read_answer(false).is_some_and(|answer| answer.status == 200)
}

#[test]
fn clients_are_served_over_tls() {
    let authority = Authority::new();
    authority.sign("server");
    for runtime in ["monoio", "glommio"] {
        let gateway = start(runtime, &authority.server_arguments());
        let mut wire = authority.client(gateway.address, None);
        // Many requests in a row, byte by byte, and a body of many records.
        wire.send(&HEALTH.repeat(50), 1000);
        for _ in 0..50 {
            assert_eq!(wire.read_answer(false).unwrap().status, 200);
        }
        wire.send(HEALTH, 1);
        assert_eq!(wire.read_answer(false).unwrap().status, 200);
        let body = vec![b' '; 3_000_000];
        let head = format!("POST /keys HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
        wire.send(&[head.as_bytes(), &body].concat(), usize::MAX);
        assert_eq!(wire.read_answer(false).unwrap().status, 401);
        assert!(is_served(&mut wire));

        let mut plain = Wire::connect(gateway.address);
        plain.send(HEALTH, usize::MAX);
        // A TLS alert comes back, or nothing: no HTTP response.
        let mut seen = Vec::new();
        let _ = std::io::Read::read_to_end(plain.stream(), &mut seen);
        assert!(!seen.starts_with(b"HTTP"), "{:?}", seen.escape_ascii());
        let refused = "miroir_request_refusals_total{reason=\"tls_handshake\"}";
        let deadline = Instant::now() + PATIENCE;
        while gateway.metric(refused) != Some(1.0) {
            assert!(Instant::now() < deadline, "the refusal is not counted on {runtime}");
        }
        assert!(is_served(&mut wire));
    }
}

#[test]
fn clients_show_certificates_where_they_are_asked_to() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    authority.sign("server");
    authority.sign("client");
    stranger.sign("client");
    let mut arguments = authority.server_arguments().to_vec();
    arguments.push(format!("--tls-client-ca={}", authority.path("ca.pem")));
    let gateway = start("monoio", &arguments);
    assert!(is_served(&mut authority.client(gateway.address, Some("client"))));
    // A client learns of the refusal when it reads: as an alert.
    let refused = |own: Option<&str>| {
        let mut wire = authority.client(gateway.address, own);
        wire.send(HEALTH, usize::MAX);
        std::io::Read::read(wire.stream(), &mut [0; 1]).is_err()
    };
    assert!(refused(None));
    std::fs::copy(stranger.path("client.pem"), authority.path("stranger.pem")).unwrap();
    std::fs::copy(stranger.path("client.key"), authority.path("stranger.key")).unwrap();
    assert!(refused(Some("stranger")));
}

#[test]
fn certificates_are_read_again_when_asked() {
    let authority = Authority::new();
    authority.sign("server");
    let gateway = start("monoio", &authority.server_arguments());
    let certificate = |wire: &mut Wire<StreamOwned<ClientConnection, TcpStream>>| {
        assert!(is_served(wire));
        wire.stream().conn.peer_certificates().unwrap()[0].clone().into_owned()
    };
    let mut old = authority.client(gateway.address, None);
    let first = certificate(&mut old);
    // A key that does not belong to the certificate changes nothing.
    authority.sign("other");
    std::fs::copy(authority.path("other.key"), authority.path("server.key")).unwrap();
    gateway.signal("-HUP");
    assert_eq!(certificate(&mut authority.client(gateway.address, None)), first);
    authority.sign("server");
    gateway.signal("-HUP");
    let deadline = Instant::now() + PATIENCE;
    while certificate(&mut authority.client(gateway.address, None)) == first {
        assert!(Instant::now() < deadline, "the old certificate is still shown");
    }
    assert!(is_served(&mut old), "who is connected stays so");
}

#[test]
fn nodes_are_asked_over_tls() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    authority.sign("server");
    // Another gateway serves as the node: only its health is asked for.
    let node = start("monoio", &authority.server_arguments());
    let url = format!("https://localhost:{}", node.address.port());
    for (runtime, signer, expected) in [
        ("monoio", &authority, "node_joining"),
        ("glommio", &authority, "node_joining"),
        ("monoio", &stranger, "node_down"),
    ] {
        let trust = format!("--node-ca={}", signer.path("ca.pem"));
        let gateway = Gateway::start_with_node(runtime, &url, &[&trust]);
        let deadline = Instant::now() + PATIENCE;
        // A node joins when its first probe was answered.
        let seen = loop {
            let log = gateway.log();
            match ["node_joining", "node_down"].into_iter().find(|event| log.contains(event)) {
                Some(event) => break event,
                None => assert!(Instant::now() < deadline, "the node was never probed: {log}"),
            }
        };
        assert_eq!(seen, expected, "{runtime}");
    }
}

#[test]
fn the_log_tells_why_a_node_does_not_serve() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let serve = |host: &str, year: i32| {
        authority.sign_for("server", host, year);
        start("monoio", &authority.server_arguments())
    };
    let (sound, elsewhere, expired) =
        (serve("localhost", 2100), serve("elsewhere.example", 2100), serve("localhost", 2020));
    let plain = Gateway::start("monoio", &[]);
    let check = |scheme: &str, port: u16, signer: &Authority, event: &str, reason: &str| {
        let trust = format!("--node-ca={}", signer.path("ca.pem"));
        let gateway = Gateway::start_with_node("monoio", &format!("{scheme}://localhost:{port}"), &[&trust]);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = gateway.log();
            let told = |line: &&str| line.contains(&format!(r#""event":"{event}""#)) && line.contains(reason);
            if log.lines().any(|line| told(&line)) {
                break;
            }
            assert!(Instant::now() < deadline, "no {event} that says {reason}: {log}");
        }
    };
    check("https", elsewhere.address.port(), &authority, "node_down", "not valid for name");
    check("https", expired.address.port(), &authority, "node_down", "expired");
    check("https", sound.address.port(), &stranger, "node_down", "invalid peer certificate");
    check("https", plain.address.port(), &authority, "node_down", "does not speak TLS");
    check("http", sound.address.port(), &authority, "node_down", "speaks TLS");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    check("http", nobody, &authority, "node_down", "refused");
    // A gateway as the node answers for its health without a key, and for its tasks with one alone.
    check("http", plain.address.port(), &authority, "node_not_joined", "--node-master-key");
}

#[test]
fn certificates_that_have_run_out_are_told_of() {
    let authority = Authority::new();
    authority.sign_for("server", "localhost", 2020);
    let check = |arguments: &[String], code: i32, said: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_miroir"));
        command.args(["--node", "a=http://127.0.0.1:1", "--check-config"]).args(arguments);
        let output = command.output().unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(said.iter().all(|part| text.contains(part)), "{text}");
        text
    };
    let expired = ["--tls-certificate", "has expired", "the configuration is sound"];
    check(&authority.server_arguments(), 0, &expired);
    let gateway = start("monoio", &authority.server_arguments());
    let told = || gateway.log().matches("certificate_expired").count();
    assert_eq!(told(), 1);
    gateway.signal("-HUP");
    let deadline = Instant::now() + PATIENCE;
    while told() < 2 {
        assert!(Instant::now() < deadline, "{}", gateway.log());
    }
    authority.sign("server");
    let text = check(&authority.server_arguments(), 0, &["the configuration is sound"]);
    assert!(!text.contains("expired"), "{text}");
    // The node is not https, and yet its authority's file is read.
    check(&["--node-ca=missing.pem".to_owned()], 2, &["--node-ca missing.pem"]);
}
