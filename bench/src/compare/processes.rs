//! The processes of one case: canned nodes, the gateway, pass-through proxies and yardsticks.
//!
//! Invariants: a peer is listed only once it accepts connections; proxies that are not installed are omitted with a
//! message; the system chooses all ports.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::client::Client;
use crate::compare::Options;
use crate::compare::cases::{Asked, Case};
use crate::corpus::{self, Corpus};
use crate::process::{Guard, find_program};
use crate::wire;

/// The path that every peer is requested.
pub(super) fn path(case: &Case) -> &'static str {
    match case.asked {
        Asked::Search => "/indexes/bench/search",
        Asked::Write { .. } => "/indexes/bench/documents",
    }
}

pub(super) fn body(case: &Case) -> String {
    match case.asked {
        Asked::Search => corpus::client_request(case.shape.hits),
        Asked::Write { documents } => corpus::documents(documents),
    }
}

const MASTER_KEY: &str = "bench-master-key-0123456789";
const START_MAX: Duration = Duration::from_secs(30);
/// The pause between two checks of a process that cannot report when it is ready.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A running process under test.
pub(super) struct Peer {
    pub(super) name: &'static str,
    pub(super) address: SocketAddr,
    pub(super) key: Option<&'static str>,
    pub(super) process: Guard,
    pub(super) idle_resident_kib: u64,
    /// The folder for its logs.
    pub(super) folder: PathBuf,
    merges: bool,
}

/// All processes of one case; they end with it.
pub(super) struct Fleet {
    pub(super) peers: Vec<Peer>,
    _nodes: Guard,
    /// Dropped last, because the processes above write into it.
    _folder: tempfile::TempDir,
}

impl Fleet {
    /// Starts the nodes and then every peer that is installed on this machine.
    pub(super) fn start(case: &Case, options: &Options) -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("finding the running executable")?;
        Self::with(case, options, |start| {
            let mut peers = Vec::new();
            for proxy in [Proxy::Haproxy, Proxy::Nginx] {
                match find_program(proxy.name()) {
                    Some(program) => peers.push(start.proxy(proxy, &program)?),
                    None => eprintln!("{} is not installed: left out", proxy.name()),
                }
            }
            // The yardsticks do not support TLS.
            if case.is_search() && !case.tls {
                peers.push(start.yardstick("scatter-hyper", &own)?);
                peers.push(start.yardstick("scatter-monoio", &own)?);
            }
            if let Some(gateway) = &options.gateway {
                peers.push(start.gateway(gateway)?);
            }
            Ok(peers)
        })
    }

    /// Starts the nodes and only the gateway.
    pub(super) fn of_gateway(case: &Case, options: &Options, gateway: &Path) -> anyhow::Result<Self> {
        Self::with(case, options, |start| Ok(vec![start.gateway(gateway)?]))
    }

    fn with(
        case: &Case,
        options: &Options,
        peers: impl FnOnce(&Start<'_>) -> anyhow::Result<Vec<Peer>>,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("making a folder for configurations and logs")?;
        let own = std::env::current_exe().context("finding the running executable")?;
        if case.tls {
            make_certificate(folder.path())?;
        }
        let shape = case.shape;
        let arguments = [
            "canned-node",
            "--nodes",
            &shape.legs.to_string(),
            "--hits",
            &shape.hits.to_string(),
            "--document-bytes",
            &shape.document_bytes.to_string(),
        ]
        .map(ToOwned::to_owned);
        let log = folder.path().join("nodes.log");
        let mut node_process = Guard::start("canned-node", options.core_others(), &own, &arguments, &log)?;
        let nodes = node_process.listening()?;
        let start = Start { case, options, nodes: &nodes, folder: folder.path() };
        let peers = peers(&start)?;
        Ok(Self { peers, _nodes: node_process, _folder: folder })
    }
}

impl Peer {
    /// Fails unless the peer's answer is right: all legs merged, or the first leg passed through.
    pub(super) fn check(&self, case: &Case) -> anyhow::Result<()> {
        let client = client(self.address, self.key.map(ToOwned::to_owned), case, &self.folder)?;
        if !case.is_search() {
            return client.expect(202, "POST", path(case), &body(case)).map(drop);
        }
        let answer = client.expect(200, "POST", path(case), &body(case))?;
        let corpus = Corpus::new(case.shape);
        let expected = if self.merges { corpus.expected_ids() } else { corpus.leg_ids(0) };
        let hits = answer["hits"].as_array().context("the answer has no hits")?;
        let found: Vec<u64> = hits.iter().filter_map(|hit| hit["id"].as_u64()).collect();
        // With copies the gateway asks fewer nodes, and canned nodes ignore filters, so only the count is known.
        let is_right = if self.merges && self.name == GATEWAY && case.copies > 1 {
            found.len() == expected.len()
        } else {
            found == expected
        };
        if !is_right {
            bail!("the hits are {found:?} and should be {expected:?}");
        }
        let leaks = |name: &String| name.starts_with("_miroir_") || name.starts_with("_rankingScore");
        let leak =
            hits.iter().filter_map(Value::as_object).flat_map(|hit| hit.keys()).find(|name| leaks(name));
        if self.name == GATEWAY && leak.is_some() {
            bail!("the hits show {leak:?}, which nobody asked for");
        }
        Ok(())
    }
}

const GATEWAY: &str = "miroir";

/// Proxies that pass one leg through to the client.
#[derive(Clone, Copy)]
enum Proxy {
    Haproxy,
    Nginx,
}

impl Proxy {
    fn name(self) -> &'static str {
        match self {
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
        }
    }

    /// The configuration: one thread, keep-alive on both sides, no logs.
    fn configuration(self, listen: SocketAddr, node: SocketAddr, folder: &Path, tls: bool) -> String {
        let pem = certificate_and_key(folder).display().to_string();
        let listen = match (self, tls) {
            (_, false) => listen.to_string(),
            (Self::Haproxy, true) => format!("{listen} ssl crt {pem}"),
            (Self::Nginx, true) => format!("{listen} ssl; ssl_certificate {pem}; ssl_certificate_key {pem}"),
        };
        let folder = folder.display();
        match self {
            Self::Haproxy => format!(
                "global\n  nbthread 1\n  maxconn 9000\ndefaults\n  mode http\n  http-reuse always\n  \
                 timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n  timeout http-keep-alive 60s\n\
                 frontend clients\n  bind {listen}\n  default_backend nodes\n\
                 backend nodes\n  server node {node}\n"
            ),
            Self::Nginx => format!(
                "daemon off;\nmaster_process off;\nworker_processes 1;\npid {folder}/nginx.pid;\nerror_log stderr error;\n\
                 events {{ worker_connections 20000; }}\n\
                 http {{\n  access_log off;\n  keepalive_requests 1000000000;\n  keepalive_timeout 60s;\n  \
                 client_body_temp_path {folder}/body;\n  proxy_temp_path {folder}/proxy;\n  \
                 fastcgi_temp_path {folder}/fastcgi;\n  uwsgi_temp_path {folder}/uwsgi;\n  scgi_temp_path {folder}/scgi;\n  \
                 upstream nodes {{ server {node}; keepalive 256; keepalive_requests 1000000000; }}\n  \
                 server {{\n    listen {listen};\n    location / {{ proxy_pass http://nodes; proxy_http_version 1.1; \
                 proxy_set_header Connection \"\"; proxy_buffers 16 16k; }}\n  }}\n}}\n"
            ),
        }
    }

    fn arguments(self, configuration: &Path) -> Vec<String> {
        let file = configuration.display().to_string();
        match self {
            Self::Haproxy => vec!["-db".to_owned(), "-f".to_owned(), file],
            Self::Nginx => vec!["-c".to_owned(), file],
        }
    }
}

/// A client with the settings of the case's clients.
fn client(address: SocketAddr, key: Option<String>, case: &Case, folder: &Path) -> anyhow::Result<Client> {
    let trust = case.tls.then(|| wire::trust(&certificate(folder))).transpose()?;
    Ok(Client::new(address, key).trusting(trust))
}

/// Makes the certificate and key of this case's servers.
fn make_certificate(folder: &Path) -> anyhow::Result<()> {
    let made =
        rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).context("making a certificate")?;
    std::fs::write(certificate(folder), made.cert.pem())?;
    let both = format!("{}{}", made.cert.pem(), made.signing_key.serialize_pem());
    std::fs::write(certificate_and_key(folder), both).context("writing the certificate")
}

pub(super) fn certificate(folder: &Path) -> PathBuf {
    folder.join("certificate.pem")
}

fn certificate_and_key(folder: &Path) -> PathBuf {
    folder.join("server.pem")
}

/// What starting any process needs.
struct Start<'a> {
    case: &'a Case,
    options: &'a Options,
    nodes: &'a [SocketAddr],
    folder: &'a Path,
}

impl Start<'_> {
    fn proxy(&self, proxy: Proxy, program: &Path) -> anyhow::Result<Peer> {
        let (name, listen) = (proxy.name(), free_address()?);
        let file = self.folder.join(format!("{name}.conf"));
        std::fs::write(&file, proxy.configuration(listen, self.nodes[0], self.folder, self.case.tls))?;
        let mut process = self.spawn(name, program, &proxy.arguments(&file))?;
        self.wait(name, &mut process, || Ok(TcpStream::connect(listen).is_ok()))?;
        self.peer(name, listen, process, false)
    }

    fn yardstick(&self, name: &'static str, own: &Path) -> anyhow::Result<Peer> {
        let mut arguments = vec![name.to_owned(), "--hits".to_owned(), self.case.shape.hits.to_string()];
        for node in self.nodes {
            arguments.extend(["--node".to_owned(), node.to_string()]);
        }
        let mut process = self.spawn(name, own, &arguments)?;
        let listen = process.listening()?.first().copied().context("no address")?;
        self.peer(name, listen, process, true)
    }

    fn gateway(&self, program: &Path) -> anyhow::Result<Peer> {
        let (listen, metrics) = (free_address()?, free_address()?);
        let store = format!("sled:{}", self.folder.join("store").display());
        let mut arguments: Vec<String> = [
            ("--listen", listen.to_string()),
            ("--metrics-listen", metrics.to_string()),
            ("--cores", self.case.cores.to_string()),
            ("--runtime", "monoio".to_owned()),
            ("--shards", "64".to_owned()),
            ("--replication-factor", self.case.copies.to_string()),
            ("--store", store),
            ("--master-key", MASTER_KEY.to_owned()),
        ]
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect();
        arguments.extend(self.case.gateway.iter().map(ToString::to_string));
        if self.case.tls {
            let pem = certificate_and_key(self.folder).display().to_string();
            arguments.extend(["--tls-certificate".to_owned(), pem.clone(), "--tls-key".to_owned(), pem]);
        }
        for (index, node) in self.nodes.iter().enumerate() {
            arguments.extend(["--node".to_owned(), format!("n{index}=http://{node}")]);
        }
        let mut process = self.spawn(GATEWAY, program, &arguments)?;
        let client = client(listen, Some(MASTER_KEY.to_owned()), self.case, self.folder)?;
        self.wait(GATEWAY, &mut process, || {
            Ok(client.call("GET", "/_miroir/ready", "").is_ok_and(|(status, _)| status == 200))
        })?;
        let mut peer = self.peer(GATEWAY, listen, process, true)?;
        peer.key = Some(MASTER_KEY);
        let steps = [
            ("POST", "/indexes", json!({"uid": "bench", "primaryKey": "id"})),
            ("PATCH", "/indexes/bench/settings", json!({"sortableAttributes": ["price"]})),
        ];
        for (method, target, body) in steps {
            let accepted = client.expect(202, method, target, &body.to_string())?;
            let task = accepted["taskUid"].as_u64().context("the answer names no task")?;
            self.wait(GATEWAY, &mut peer.process, || {
                let task = client.expect(200, "GET", &format!("/tasks/{task}"), "")?;
                match task["status"].as_str() {
                    Some("failed" | "canceled") => bail!("{method} {target} ended as {task}"),
                    status => Ok(status == Some("succeeded")),
                }
            })?;
        }
        Ok(peer)
    }

    fn spawn(&self, name: &str, program: &Path, arguments: &[String]) -> anyhow::Result<Guard> {
        let log = self.folder.join(format!("{name}.log"));
        Guard::start(name, self.options.core_tested(), program, arguments, &log)
    }

    fn peer(
        &self,
        name: &'static str,
        address: SocketAddr,
        process: Guard,
        merges: bool,
    ) -> anyhow::Result<Peer> {
        let idle_resident_kib = process.counters()?.resident_kib;
        Ok(Peer { name, address, key: None, process, idle_resident_kib, folder: self.folder.into(), merges })
    }

    /// Polls until `is_ready`. Fails with the process's log when it ends or takes too long.
    fn wait(
        &self,
        name: &str,
        process: &mut Guard,
        mut is_ready: impl FnMut() -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_MAX;
        let log = || std::fs::read_to_string(self.folder.join(format!("{name}.log"))).unwrap_or_default();
        while !is_ready().with_context(|| format!("waiting for {name}"))? {
            process.check_alive().with_context(log)?;
            if Instant::now() > deadline {
                bail!("{name} is not ready after {START_MAX:?}: {}", log());
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }
}

/// A loopback address that was free a moment ago, for programs that cannot report a port that they chose.
fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("looking for a free port")?;
    listener.local_addr().context("asking for the port")
}
