//! A whole cluster as child processes: nodes, and a gateway in front of them.
//! Invariants: a started cluster is ready. Every child dies with its handle, and with its parent. A restarted child
//! keeps its address and its data. The caller chooses the data directory.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::faulty_proxy::Proxy;
use crate::node_process::{NodeKind, NodeProcess, SpawnOptions};

/// How long a gateway may take until every shard is covered.
const READY_MAX: Duration = Duration::from_secs(60);
/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(120);
/// The pause between two polls of a starting gateway.
const READY_PAUSE: Duration = Duration::from_millis(10);

/// The options of a cluster.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// The directory of everything durable.
    pub data: PathBuf,
    /// The binary that runs as node and as gateway: `miroir-dev`.
    pub program: PathBuf,
    /// A real Meilisearch binary to run as nodes instead.
    pub node_binary: Option<PathBuf>,
    /// Nodes in all groups together.
    pub nodes: usize,
    pub groups: usize,
    pub replication_factor: usize,
    pub shards: usize,
    /// The address for clients; port 0 picks a free port.
    pub listen: SocketAddr,
    /// Whether the nodes have fault switches (embedded nodes only).
    pub control: bool,
    /// Whether the gateway reaches the nodes through proxies that can be told to misbehave.
    pub proxied: bool,
    /// Whether embedded nodes do not wait for the disk; only for tests without crashes.
    pub no_sync: bool,
    /// Additional arguments of the gateway.
    pub gateway_arguments: Vec<String>,
    /// Additional environment of the gateway.
    pub gateway_environment: Vec<(&'static str, String)>,
    /// The gateway's `--store`; by default a sled store below `data`.
    pub store: Option<String>,
    /// The key of the nodes, which clients never learn.
    pub node_master_key: Option<String>,
    /// The authority of the gateway's certificate, as PEM, where the arguments make it serve TLS.
    pub authority: Option<PathBuf>,
}

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    options: ClusterOptions,
    nodes: Vec<Option<NodeProcess>>,
    ports: Vec<u16>,
    /// One for each node, if the options request proxies.
    proxies: Vec<Proxy>,
    gateway: Option<GatewayProcess>,
    listen: SocketAddr,
}

/// An additional gateway of the same cluster, which shares its store.
#[derive(Debug)]
pub struct Pod {
    process: GatewayProcess,
}

#[derive(Debug)]
struct GatewayProcess {
    child: Child,
    listen: SocketAddr,
}

impl ClusterOptions {
    /// Three nodes, one group, no replicas, on free ports.
    pub fn new(program: PathBuf, data: PathBuf) -> Self {
        Self {
            data,
            program,
            node_binary: None,
            nodes: 3,
            groups: 1,
            replication_factor: 1,
            shards: 64,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            control: false,
            no_sync: false,
            proxied: false,
            gateway_arguments: Vec::new(),
            gateway_environment: Vec::new(),
            store: None,
            node_master_key: None,
            authority: None,
        }
    }
}

impl Cluster {
    /// Starts the nodes, then the gateway, and waits until every shard is covered.
    pub fn start(options: ClusterOptions) -> anyhow::Result<Self> {
        ensure!(options.groups >= 1 && options.nodes >= options.groups, "every group needs a node");
        let listen = options.listen;
        let (nodes, ports, proxies) = (Vec::new(), Vec::new(), Vec::new());
        let mut cluster = Self { nodes, ports, proxies, gateway: None, listen, options };
        for number in 0..cluster.options.nodes {
            cluster.ports.push(0);
            cluster.nodes.push(None);
            cluster.start_node(number)?;
            if cluster.options.proxied {
                let address = SocketAddr::from(([127, 0, 0, 1], cluster.ports[number]));
                cluster.proxies.push(Proxy::start(address)?);
            }
        }
        cluster.start_gateway()?;
        Ok(cluster)
    }

    /// Base URL of the gateway, without a slash at the end.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme(), self.listen)
    }

    fn scheme(&self) -> &'static str {
        if self.options.authority.is_some() { "https" } else { "http" }
    }

    /// Base URL of an additional gateway.
    pub fn pod_url(&self, pod: &Pod) -> String {
        format!("{}://{}", self.scheme(), pod.address())
    }

    /// A client that trusts the gateway's certificate, and for which no status is an error.
    ///
    /// # Errors
    /// When the authority cannot be read.
    pub fn agent(&self) -> anyhow::Result<ureq::Agent> {
        let Some(file) = &self.options.authority else { return Ok(agent()) };
        let text = std::fs::read(file)?;
        let authority = ureq::tls::Certificate::from_pem(&text)?;
        let roots = ureq::tls::RootCerts::from(vec![authority]);
        let tls = ureq::tls::TlsConfig::builder().root_certs(roots).build();
        Ok(ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(ANSWER_MAX))
            .tls_config(tls)
            .build()
            .into())
    }

    /// Base URLs of the running nodes, in order.
    pub fn node_urls(&self) -> Vec<String> {
        self.nodes.iter().flatten().map(NodeProcess::url).collect()
    }

    /// A running node.
    pub fn node(&self, number: usize) -> Option<&NodeProcess> {
        self.nodes.get(number).and_then(Option::as_ref)
    }

    /// The proxy in front of a node, if the options request proxies.
    pub fn proxy(&self, number: usize) -> Option<&Proxy> {
        self.proxies.get(number)
    }

    /// The options with which it was started.
    pub fn options(&self) -> &ClusterOptions {
        &self.options
    }

    /// Sets the additional environment of the gateway from its next start on.
    pub fn set_gateway_environment(&mut self, environment: Vec<(&'static str, String)>) {
        self.options.gateway_environment = environment;
    }

    /// Changes the options, of which processes that are started from now on take notice.
    pub fn change_options(&mut self, change: impl FnOnce(&mut ClusterOptions)) {
        change(&mut self.options);
    }

    /// Kills the gateway with SIGKILL. Returns when its port is free again, which may be after the end of the process:
    /// the kernel cancels io_uring requests later.
    pub fn kill_gateway(&mut self) -> anyhow::Result<()> {
        let mut gateway = self.gateway.take().context("the gateway does not run")?;
        gateway.child.kill()?;
        gateway.child.wait()?;
        let deadline = Instant::now() + READY_MAX;
        while let Err(error) = TcpListener::bind(self.listen) {
            ensure!(Instant::now() < deadline, "the port of the killed gateway stays in use: {error}");
            std::thread::sleep(READY_PAUSE);
        }
        Ok(())
    }

    /// Kills a node with SIGKILL.
    pub fn kill_node(&mut self, number: usize) -> anyhow::Result<()> {
        self.nodes[number].take().context("the node does not run")?.kill()
    }

    /// Starts a node, on its old address if it had one.
    pub fn start_node(&mut self, number: usize) -> anyhow::Result<()> {
        let options = SpawnOptions {
            master_key: self.options.node_master_key.clone(),
            control: self.options.control,
            no_sync: self.options.no_sync,
            leading_arguments: leading_arguments(&self.options),
            port: self.ports[number],
        };
        let data = self.options.data.join(format!("node-{number}"));
        let node = match &self.options.node_binary {
            Some(binary) => NodeProcess::spawn(NodeKind::Meilisearch, binary, &data, &options)?,
            None => NodeProcess::spawn(NodeKind::Embedded, &self.options.program, &data, &options)?,
        };
        self.ports[number] = node.address().port();
        self.nodes[number] = Some(node);
        Ok(())
    }

    /// Starts a node that the gateway is not told of; answers its number.
    pub fn start_spare_node(&mut self) -> anyhow::Result<usize> {
        let number = self.ports.len();
        self.ports.push(0);
        self.nodes.push(None);
        self.start_node(number)?;
        Ok(number)
    }

    /// Starts the gateway, on its old address if it had one.
    pub fn start_gateway(&mut self) -> anyhow::Result<()> {
        self.start_gateway_unready()?;
        self.wait_until_ready()
    }

    /// Like `start_gateway`, for missing nodes: the gateway serves, but perhaps not every shard.
    pub fn start_gateway_unready(&mut self) -> anyhow::Result<()> {
        let gateway = GatewayProcess::spawn(&self.gateway_command(), &self.options.gateway_environment)?;
        self.listen = gateway.listen;
        self.gateway = Some(gateway);
        Ok(())
    }

    /// Starts an additional gateway on a free port, or on the given one. It serves, but may not be ready yet.
    pub fn start_pod(&self, id: &str, listen: Option<SocketAddr>) -> anyhow::Result<Pod> {
        let (program, mut arguments) = self.gateway_command();
        let listen = listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)));
        let at = arguments.iter().position(|argument| argument == "--listen").context("it listens")?;
        arguments[at + 1] = listen.to_string();
        arguments.extend(["--pod-id".to_owned(), id.to_owned()]);
        Ok(Pod { process: GatewayProcess::spawn(&(program, arguments), &self.options.gateway_environment)? })
    }

    /// The gateway's arguments.
    fn gateway_command(&self) -> (PathBuf, Vec<String>) {
        let options = &self.options;
        let mut arguments = vec!["role-gateway".to_owned(), "--listen".to_owned(), self.listen.to_string()];
        let mut option = |name: &str, value: String| arguments.extend([format!("--{name}"), value]);
        option("metrics-listen", "127.0.0.1:0".to_owned());
        let own = || format!("sled:{}", options.data.join("gateway").display());
        option("store", options.store.clone().unwrap_or_else(own));
        option("shards", options.shards.to_string());
        option("replication-factor", options.replication_factor.to_string());
        let per_group = options.nodes.div_ceil(options.groups);
        // What has come since is known to the store alone.
        for (number, port) in self.ports.iter().enumerate().take(options.nodes) {
            let port = self.proxies.get(number).map_or(*port, |proxy| proxy.address().port());
            let group = number / per_group;
            option("node", format!("n{number}=http://127.0.0.1:{port},group={group}"));
        }
        if let Some(key) = &options.node_master_key {
            option("node-master-key", key.clone());
        }
        arguments.extend(options.gateway_arguments.iter().cloned());
        (options.program.clone(), arguments)
    }

    /// Waits until the gateway reports that every shard has a healthy owner.
    pub fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let agent = self.agent()?;
        let deadline = Instant::now() + READY_MAX;
        let url = format!("{}/_miroir/ready", self.url());
        loop {
            if agent.get(&url).call().is_ok_and(|answer| answer.status() == 200) {
                return Ok(());
            }
            if let Some(gateway) = &mut self.gateway
                && let Some(status) = gateway.child.try_wait()?
            {
                bail!("the gateway ended before it was ready: {status}");
            }
            ensure!(Instant::now() < deadline, "the gateway is not ready after {READY_MAX:?}");
            std::thread::sleep(READY_PAUSE);
        }
    }
}

impl Pod {
    pub fn url(&self) -> String {
        format!("http://{}", self.process.listen)
    }

    pub fn address(&self) -> SocketAddr {
        self.process.listen
    }

    /// The process id, for signals.
    pub fn process_id(&self) -> u32 {
        self.process.child.id()
    }

    /// Waits for the end of the process, which the caller has requested.
    pub fn wait(&mut self) -> anyhow::Result<std::process::ExitStatus> {
        // `Child::wait` would close its standard input, which means to it that its parent is gone.
        loop {
            if let Some(status) = self.process.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(READY_PAUSE);
        }
    }
}

impl GatewayProcess {
    fn spawn(
        (program, arguments): &(PathBuf, Vec<String>),
        environment: &[(&'static str, String)],
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        // What somebody exports for a gateway of their own must not change this one.
        for name in foreign_variables() {
            command.env_remove(name);
        }
        let mut child = command
            .args(arguments)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let stdout = child.stdout.take().context("the child's stdout is piped")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let Ok(ready) = serde_json::from_str::<Value>(&line) else {
            bail!("the gateway ended before it was ready: {}", child.wait()?);
        };
        let listen = ready["listen"].as_str().context("the ready line names no address")?.parse()?;
        Ok(Self { child, listen })
    }
}

impl Drop for GatewayProcess {
    fn drop(&mut self) {
        // Both fail only when the child has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Arguments that select the part, for a binary that plays several; none for a real Meilisearch.
fn leading_arguments(options: &ClusterOptions) -> Vec<String> {
    if options.node_binary.is_some() { Vec::new() } else { vec!["role-node".to_owned()] }
}

/// The variables of the environment that a gateway could read; a cluster's gateway gets arguments alone.
pub fn foreign_variables() -> impl Iterator<Item = String> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    names.filter(|name| name.starts_with("MIROIR_"))
}

/// A blocking HTTP client for which no status is an error.
pub fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(ANSWER_MAX)).build().into()
}
