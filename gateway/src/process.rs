//! One gateway process from its arguments to its exit code.
//!
//! Invariants: everything that can be wrong is found before the first client is accepted, and said
//! in one line with exit code 2; a data core that dies takes the process with it; SIGTERM and
//! SIGINT drain what is in flight and leave the store closed.

use std::{
    io::Write,
    net::{SocketAddr, TcpListener, ToSocketAddrs},
    path::Path,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, bail};
use arc_swap::{ArcSwap, ArcSwapOption};
use crossbeam::utils::CachePadded;
use router::{Node, NodeIndex, Topology};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::pki_types::ServerName;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};
use socket2::{Domain, Protocol, Socket, Type};
use store::{Lease, Reply, Store, StoreThread, Table, TaskKind, TaskRecord, TaskStatus, Versioned};
use time::OffsetDateTime;

use crate::{
    api::search_rule::{self, RULES},
    api::webhook::Webhooks,
    auth::{ApiKey, KeyRing},
    clock::{CLOCK, CLOCK_KEY, Clock},
    config::{self, Config, RuntimeChoice, StoreConfig, limits},
    control::{self, marks::NEWEST_TASKS},
    coordinator::{self, Coordinator, machine::PODS, peers},
    data::{
        self, change,
        leftovers::{self, LEFTOVERS},
    },
    health::Health,
    hints::{HINTS, Hints, SUSPECT_SHARDS, Suspicion, UNAPPLIED, Unapplied},
    moves::{self, Move},
    notify::Notifier,
    observe, outbound,
    repair::{board::Board, frozen::Frozen, tombstones},
    runtime::{self, Runtime, glommio::Glommio, monoio::Monoio},
    sessions::Sessions,
    shared::{KEYS, NodeAddress, Shared, WEBHOOKS, WEBHOOKS_KEY},
    snapshot::{Index, Snapshot},
    tls::{self, NodeTls},
};

/// Runs a gateway; `arguments` start with the program's name.
pub fn main(arguments: &[String]) -> ExitCode {
    let rest: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    let config = match config::parse(&rest, |name| std::env::var(name).ok()) {
        Ok(config::Parsed::Run(config)) => *config,
        Ok(config::Parsed::Check(config)) => {
            return match check(&config) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => refuse(&format!("{error:#}")),
            };
        }
        Ok(config::Parsed::Print(text)) => {
            let _ = writeln!(std::io::stdout().lock(), "{text}");
            return ExitCode::SUCCESS;
        }
        Err(error) => return refuse(&error.to_string()),
    };
    match run(config, &rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse(&format!("{error:#}")),
    }
}

/// `--check-config`: everything that can be known without touching the store or a port.
fn check(config: &Config) -> anyhow::Result<()> {
    resolve_nodes(config)?;
    tls::server(&config.tls)?;
    let _ = writeln!(std::io::stdout().lock(), "the configuration is sound");
    Ok(())
}

/// One clear line and exit code 2.
fn refuse(reason: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr().lock(), "miroir: {reason}");
    ExitCode::from(2)
}

fn run(config: Config, arguments: &[&str]) -> anyhow::Result<()> {
    // Taken first, so that no signal is lost while the gateway starts.
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).context("signals cannot be handled")?;
    let nodes = resolve_nodes(&config)?;
    let server_tls = tls::server(&config.tls)?;
    let reserved = reserve("--listen", config.listen)?;
    let metrics_socket =
        config.metrics_listen.map(|address| bind("--metrics-listen", address)).transpose()?;
    let (store, store_thread, coordinator) = open_store(&config)?;
    // Pods that start together do so one after the other.
    let starting = begin_start(&store, &coordinator)?;
    let topology = Arc::new(load_topology(&config, &store)?);
    // All of this before the first client can add to it, and while no other pod is at it.
    let is_first = live_pods(&store, &coordinator)?.is_empty();
    if is_first {
        finish_moves(&store, &wait(store.unfinished_tasks(usize::MAX))?)?;
        abandon_half_made(&store)?;
    }
    let mut interrupted = wait(store.unfinished_tasks(usize::MAX))?;
    interrupted.retain(|task| is_first || task.pod.as_deref() == Some(coordinator.pod()));
    let topology_of_nodes = Arc::clone(&topology);
    let snapshot = load_snapshot(topology, &store)?;
    let keys = load_keys(&config, &store)?;
    starting.map_or(Ok(()), |starting| wait(store.release_lease(&starting)))?;
    let webhooks = load_webhooks(&store)?;
    let rules = search_rule::read(wait(store.records(RULES, None, usize::MAX))?);
    interrupted.retain(|task| !task.accepted || is_resumed(task));
    if !config.anti_entropy {
        futures_lite::future::block_on(tombstones::forget_all(&store))
            .map_err(|error| anyhow!("--store: {error}"))?;
    }
    let prometheus = observe::metrics::install().context("metrics cannot be recorded")?;
    let (lanes, inboxes): (Vec<_>, Vec<_>) = (0..config.cores).map(|_| change::channel()).unzip();
    let clock = Clock::above(load_mark(&store, CLOCK, CLOCK_KEY)?.unwrap_or(0));
    let (health, hints) = load_hints(&config, &topology_of_nodes, &store)?;
    let shared = Arc::new(Shared {
        clock,
        sessions: Sessions::new(Instant::now()),
        health,
        hints,
        nodes,
        snapshot: ArcSwap::from_pointee(snapshot),
        keys: ArcSwap::from_pointee(keys),
        webhooks: ArcSwap::from_pointee(webhooks),
        rules: ArcSwap::from_pointee(rules),
        outbound: outbound::agent(&config.allowed_ip_networks, limits::OUTBOUND_TIMEOUT),
        store: store.observed(observe::store::observer()),
        coordinator,
        anti_entropy: Board::default(),
        tasks_ended: AtomicU64::new(0),
        frozen: Frozen::default(),
        prometheus,
        draining: AtomicBool::new(false),
        in_flight: (0..=config.cores).map(|_| CachePadded::new(AtomicUsize::new(0))).collect(),
        edge: ArcSwap::from_pointee(config.edge.clone()),
        tls: ArcSwapOption::new(server_tls),
        config,
    });
    let address = reserved.1;
    let threads = match shared.config.runtime {
        RuntimeChoice::Auto | RuntimeChoice::Monoio => {
            start::<Monoio>(&shared, address, lanes.into(), inboxes, interrupted)?
        }
        RuntimeChoice::Glommio => start::<Glommio>(&shared, address, lanes.into(), inboxes, interrupted)?,
    };
    let metrics_address = match metrics_socket {
        Some(socket) => Some(observe::endpoint::start(socket, Arc::clone(&shared))?),
        None => None,
    };
    announce(&shared, address, metrics_address);
    watch(threads);
    heed(&mut signals, &shared, arguments);
    drain(&shared, store_thread)
}

/// Reloads when asked to, and returns once the process is to end.
fn heed(signals: &mut Signals, shared: &Shared, arguments: &[&str]) {
    let notifier = Notifier::new(std::env::var("NOTIFY_SOCKET").ok().as_deref());
    notifier.ready("serving");
    for signal in signals.forever() {
        if signal != SIGHUP {
            observe::log::info("draining", &[("signal", &signal.to_string())]);
            break;
        }
        notifier.reloading();
        match reload(shared, arguments) {
            Ok(kept) => observe::log::info("reloaded", &[("needs_a_restart", &kept)]),
            // What was in force stays in force.
            Err(error) => observe::log::error("reload_failed", &[("reason", &format!("{error:#}"))]),
        }
        notifier.ready("serving");
    }
    notifier.stopping();
}

/// Reads options and certificates again: what clients may do and what they are served with changes at once. Says
/// whether other options differ, which take a restart.
fn reload(shared: &Shared, arguments: &[&str]) -> anyhow::Result<String> {
    let parsed = config::parse(arguments, |name| std::env::var(name).ok())?;
    let config::Parsed::Run(config) = parsed else { bail!("the options no longer start a gateway") };
    let server_tls = tls::server(&config.tls)?;
    if server_tls.is_some() != shared.tls.load().is_some() {
        bail!("--tls-certificate: TLS cannot be turned on or off while clients are served");
    }
    shared.tls.store(server_tls);
    shared.edge.store(Arc::new(config.edge.clone()));
    let same =
        Config { edge: shared.config.edge.clone(), tls: shared.config.tls.clone(), ..(*config).clone() };
    Ok(if same == shared.config { "nothing" } else { "other options" }.to_owned())
}

/// Does the swaps and renames that were accepted and not yet done, oldest first. Those that nodes have
/// a part in are resumed later (`data::moves::resume`).
fn finish_moves(store: &Store, unfinished: &[TaskRecord]) -> anyhow::Result<()> {
    let moves = |kind| matches!(kind, TaskKind::IndexSwap | TaskKind::IndexUpdate);
    let here = |task: &&TaskRecord| task.accepted && moves(task.kind) && task.node_tasks.is_empty();
    for task in unfinished.iter().filter(here) {
        let steps = Move::of_task(task);
        let indexes = wait(store.indexes())?;
        let find = |uid: &str| indexes.iter().find(|index| index.uid == uid).cloned();
        let now = OffsetDateTime::now_utc();
        // What is processing has changed the registry already (`data::moves`).
        if task.status == TaskStatus::Enqueued {
            wait(store.commit(moves::commit(&steps, task.uid, moves::begun(task, now), now, find)))?;
        }
        wait(store.update_task(task.uid, moves::ended(task)))?;
        observe::log::info("move_finished", &[("task", &task.uid.to_string())]);
    }
    Ok(())
}

/// Whether the control executor goes on with an accepted task.
fn is_resumed(task: &TaskRecord) -> bool {
    task.kind == TaskKind::IndexUpdate
}

/// What the last process was making, nobody is making any more.
fn abandon_half_made(store: &Store) -> anyhow::Result<()> {
    for record in wait(store.records(LEFTOVERS, None, usize::MAX))? {
        wait(store.put_record(LEFTOVERS, &record.key, leftovers::value(false), Some(record.revision)))?;
    }
    Ok(())
}

/// Starts the control executor and every data core.
fn start<R: Runtime>(
    shared: &Arc<Shared>,
    address: SocketAddr,
    lanes: Arc<[change::LaneSender]>,
    inboxes: Vec<change::LaneInbox>,
    interrupted: Vec<TaskRecord>,
) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let mut threads = vec![control::start::<R>(Arc::clone(shared), Arc::clone(&lanes), interrupted)?];
    let cpus = runtime::pinned_cpus(inboxes.len());
    for (number, inbox) in inboxes.into_iter().enumerate() {
        let cpu = cpus.get(number).copied();
        threads.push(data::start_core::<R>(
            number,
            cpu,
            address,
            Arc::clone(shared),
            Arc::clone(&lanes),
            inbox,
        )?);
    }
    Ok(threads)
}

/// Takes the process down when an executor ends: half a gateway is worse than none.
fn watch(threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        let name = thread.thread().name().unwrap_or("executor").to_owned();
        std::thread::spawn(move || {
            let _ = thread.join();
            observe::log::error("executor_died", &[("thread", &name)]);
            std::process::exit(70);
        });
    }
}

fn announce(shared: &Shared, address: SocketAddr, metrics: Option<SocketAddr>) {
    let ready = serde_json::json!({
        "listen": address.to_string(),
        "metrics": metrics.map(|address| address.to_string()),
        "pid": std::process::id(),
    });
    let _ = writeln!(std::io::stdout().lock(), "{ready}");
    let descriptors = raise_descriptors();
    let driver = if runtime::uring_available() { "io_uring" } else { "epoll" };
    let runtime = match shared.config.runtime {
        RuntimeChoice::Auto | RuntimeChoice::Monoio => Monoio::NAME,
        RuntimeChoice::Glommio => Glommio::NAME,
    };
    observe::log::info(
        "started",
        &[
            ("listen", &address.to_string()),
            ("runtime", runtime),
            ("driver", driver),
            ("cores", &shared.config.cores.to_string()),
            ("nodes", &shared.nodes.len().to_string()),
            ("version", env!("CARGO_PKG_VERSION")),
            ("tls", if shared.config.tls.server.is_some() { "on" } else { "off" }),
            ("pinned", if runtime::pinned_cpus(shared.config.cores).is_empty() { "no" } else { "yes" }),
            ("descriptors", &descriptors.to_string()),
        ],
    );
    let wanted = shared.config.cores.saturating_mul(shared.config.edge.connections_max) as u64;
    if descriptors < wanted {
        let (have, want) = (descriptors.to_string(), wanted.to_string());
        let consequence = "connections end where descriptors do; raise the limit (ulimit -n, LimitNOFILE=)";
        let fields = [("descriptors", &*have), ("connections", &*want), ("consequence", consequence)];
        observe::log::warn("few_descriptors", &fields);
    }
    metrics::gauge!("miroir_runtime_info", "runtime" => runtime, "driver" => driver).set(1.0);
    match &shared.config.master_key {
        None => observe::log::warn(
            "no_master_key",
            &[("consequence", "every client may do everything; set MIROIR_MASTER_KEY to require a key")],
        ),
        Some(key) if key.expose().len() < limits::MASTER_KEY_BYTES_LEAST => observe::log::warn(
            "short_master_key",
            &[("consequence", "it is easy to guess; `--env production` refuses it, as Meilisearch does")],
        ),
        Some(_) => {}
    }
}

/// Takes all the descriptors the process may have; gives how many.
fn raise_descriptors() -> u64 {
    let had = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: had.maximum, maximum: had.maximum };
    let limit = if setrlimit(Resource::Nofile, raised).is_ok() { raised } else { had };
    // Without a limit there is none.
    limit.current.unwrap_or(u64::MAX)
}

/// Lets requests in flight end, closes the store and ends.
fn drain(shared: &Shared, store_thread: StoreThread) -> anyhow::Result<()> {
    shared.draining.store(true, Ordering::Relaxed);
    let deadline = Instant::now() + shared.config.drain_timeout;
    shared.coordinator.drain();
    let in_flight = || shared.in_flight.iter().any(|count| count.load(Ordering::Relaxed) > 0);
    while (in_flight() || !shared.coordinator.has_given_back()) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    store_thread.join().map_err(|error| anyhow!("closing the store failed: {error}"))?;
    observe::log::info("stopped", &[]);
    // The executors never end by themselves; nothing of theirs is left to do.
    std::process::exit(0);
}

fn resolve_nodes(config: &Config) -> anyhow::Result<Vec<NodeAddress>> {
    let asked = config.nodes.iter().any(|node| node.url.tls);
    let client_tls = if asked { Some(tls::client(&config.tls)?) } else { None };
    let resolve = |node: &config::NodeConfig| {
        let host = node.url.authority();
        let found = (node.url.host.as_str(), node.url.port)
            .to_socket_addrs()
            .ok()
            .and_then(|mut addresses| addresses.next());
        let Some(address) = found else {
            bail!(
                "--node {}={}: the host cannot be resolved; allowed: a host or address this machine knows",
                node.id,
                node.url
            );
        };
        let tls = match (&client_tls, node.url.tls) {
            (Some(client), true) => {
                let name = ServerName::try_from(node.url.host.clone());
                let name = name.with_context(|| format!("--node {}={}", node.id, node.url))?;
                Some(NodeTls { config: Arc::clone(client), name })
            }
            _ => None,
        };
        Ok(NodeAddress { id: node.id.clone(), address, host, tls })
    };
    config.nodes.iter().map(resolve).collect()
}

/// Keeps a port for the data cores to share, and finds out which one it is when 0 was asked.
fn reserve(option: &str, address: SocketAddr) -> anyhow::Result<(Socket, SocketAddr)> {
    // Whoever listens there without sharing, or as another gateway, makes this fail.
    let probe = bind(option, address)?;
    let address = probe.local_addr()?;
    drop(probe);
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_port(true)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into()).map_err(|error| cannot_listen(option, address, &error))?;
    Ok((socket, address))
}

fn bind(option: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).map_err(|error| cannot_listen(option, address, &error))
}

fn cannot_listen(option: &str, address: SocketAddr, error: &std::io::Error) -> anyhow::Error {
    if error.kind() == std::io::ErrorKind::AddrInUse {
        return anyhow!("{option} {address}: the port is in use; allowed: a free port, or 0 for any");
    }
    anyhow!("{option} {address}: {error}; allowed: an address of this machine")
}

/// The store, whose tasks bear this pod's name where others share it.
fn open_store(config: &Config) -> anyhow::Result<(Store, StoreThread, Coordinator)> {
    let pod = config.pod_id.clone().unwrap_or_else(coordinator::fresh_pod_id);
    match &config.store {
        StoreConfig::Sled { path } => {
            refuse_company(config, path)?;
            let opened = store::open_sled(path);
            let (store, thread) =
                opened.map_err(|error| anyhow!("--store sled:{}: {error}", path.display()))?;
            Ok((store, thread, Coordinator::alone(pod).naming(config.peers.clone())))
        }
        StoreConfig::Redis { url } => {
            let options = store::RedisOptions { url: url.expose().to_owned(), clock: None };
            let (store, thread) = store::open_redis(options).map_err(|error| anyhow!("--store: {error}"))?;
            Ok((store.named(&pod), thread, Coordinator::shared(pod).naming(config.peers.clone())))
        }
    }
}

/// A store on one machine's disk is one pod's: several targets of the service need another.
fn refuse_company(config: &Config, path: &Path) -> anyhow::Result<()> {
    let Some(service) = &config.peer_service else { return Ok(()) };
    let pods = match peers::lookup(service) {
        Ok(pods) => pods,
        Err(error) => {
            // Who cannot be found cannot be refused.
            let fields = [("service", service.name.as_str()), ("reason", &error.to_string())];
            observe::log::warn("peers_not_found", &fields);
            return Ok(());
        }
    };
    if pods.len() > 1 {
        let (store, names) = (path.display(), pods.join(", "));
        bail!(
            "--store sled:{store}: {} has the pods {names}; more than one pod needs --store redis://HOST:PORT",
            service.name
        );
    }
    Ok(())
}

/// Waits until no other pod is starting.
fn begin_start(store: &Store, coordinator: &Coordinator) -> anyhow::Result<Option<Lease>> {
    if !coordinator.is_shared() {
        return Ok(None);
    }
    let deadline = Instant::now() + 2 * limits::POD_START_MAX;
    loop {
        let about = serde_json::Value::Null;
        let lease = wait(store.acquire_lease("start", coordinator.pod(), about, limits::POD_START_MAX))?;
        if lease.is_some() {
            return Ok(lease);
        }
        if Instant::now() >= deadline {
            bail!("--store: another pod has been starting for too long");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The other pods that live.
fn live_pods(store: &Store, coordinator: &Coordinator) -> anyhow::Result<Vec<String>> {
    let pods = wait(store.leases(PODS))?.into_iter().map(|lease| lease.holder);
    Ok(pods.filter(|pod| pod != coordinator.pod()).collect())
}

/// Waits for the store on a thread without an executor.
fn wait<T>(reply: Reply<T>) -> anyhow::Result<T> {
    futures_lite::future::block_on(reply).map_err(|error| anyhow!("--store: {error}"))
}

/// The stored topology, checked against the nodes given; made from them the first time.
fn load_topology(config: &Config, store: &Store) -> anyhow::Result<Topology> {
    let nodes = config.nodes.iter().map(|node| Node {
        id: node.id.clone(),
        url: node.url.to_string(),
        group: node.group,
        capacity: node.capacity,
    });
    let nodes: Vec<Node> = nodes.collect();
    let Some(stored) = wait(store.topology())? else {
        let topology =
            Topology::new(nodes, config.replication_factor).map_err(|error| anyhow!("--node: {error}"))?;
        let topology = topology.with_placement_for(config.shards);
        let value = serde_json::to_value(&topology).context("the topology cannot be stored")?;
        wait(store.put_topology(None, topology.version, value))?;
        return Ok(topology);
    };
    let mut topology: Topology =
        serde_json::from_value(stored.value).context("--store: the stored topology cannot be read")?;
    check_same_cluster(config, &topology, &nodes)?;
    for (known, given) in topology.nodes.iter_mut().zip(&nodes) {
        known.url.clone_from(&given.url);
    }
    if topology.placement(config.shards).is_none() {
        topology = topology.with_placement_for(config.shards);
        let value = serde_json::to_value(&topology).context("the topology cannot be stored")?;
        wait(store.put_topology(Some(stored.version), topology.version, value))?;
    }
    Ok(topology)
}

fn check_same_cluster(config: &Config, topology: &Topology, nodes: &[Node]) -> anyhow::Result<()> {
    let list = |nodes: &[Node]| {
        nodes.iter().map(|node| format!("{} in group {}", node.id, node.group)).collect::<Vec<_>>().join(", ")
    };
    if topology.nodes.len() != nodes.len()
        || topology
            .nodes
            .iter()
            .zip(nodes)
            .any(|(known, given)| known.id != given.id || known.group != given.group)
    {
        bail!(
            "--node: this store belongs to the nodes {}; given: {}; allowed: the same ids and groups in the same order (their URLs may change)",
            list(&topology.nodes),
            list(nodes)
        );
    }
    if topology.replication_factor != config.replication_factor {
        bail!(
            "--replication-factor {}: this store was made with {}; allowed: the same",
            config.replication_factor,
            topology.replication_factor
        );
    }
    Ok(())
}

fn load_snapshot(topology: Arc<Topology>, store: &Store) -> anyhow::Result<Snapshot> {
    let mut snapshot = Snapshot { topology: Arc::clone(&topology), indexes: ahash::AHashMap::new() };
    for record in wait(store.indexes())? {
        let Some(placement) = topology.placement(record.shards).cloned() else {
            bail!(
                "--store: the index `{}` has {} shards, which the topology does not place",
                record.uid,
                record.shards
            );
        };
        snapshot.indexes.insert(record.uid.clone(), Arc::new(Index::new(record, placement)));
    }
    Ok(snapshot)
}

/// What nodes have missed. Those that have something to catch up with serve nothing before that.
fn load_hints(config: &Config, topology: &Topology, store: &Store) -> anyhow::Result<(Health, Hints)> {
    let health = Health::new(config.nodes.len(), Instant::now());
    let hints = Hints::new(config.nodes.len(), config.hint_bytes_max);
    for size in wait(store.log_sizes(HINTS))? {
        if let Some(node) = topology.index_of(&size.stream) {
            hints.restore(node, size.entries, size.bytes);
            health.lags(node);
        }
    }
    for size in wait(store.log_sizes(SUSPECT_SHARDS))? {
        let Some(node) = topology.index_of(&size.stream) else { continue };
        for header in headers(store, SUSPECT_SHARDS, &size.stream)? {
            if let Ok(Suspicion::Everything { .. }) = serde_json::from_value(header) {
                hints.marked_for_copy(node);
                health.lags(node);
            }
        }
    }
    for size in wait(store.log_sizes(UNAPPLIED))? {
        let Some(node) = topology.index_of(&size.stream) else { continue };
        for header in headers(store, UNAPPLIED, &size.stream)? {
            let unapplied: Unapplied = serde_json::from_value(header).context("--store")?;
            hints.await_task(node, unapplied.task);
            health.lags(node);
        }
    }
    for (position, node) in config.nodes.iter().enumerate() {
        let newest = load_mark(store, NEWEST_TASKS, &node.id)?.and_then(|uid| u32::try_from(uid).ok());
        let index = NodeIndex(u16::try_from(position).unwrap_or(u16::MAX));
        newest.into_iter().for_each(|uid| hints.saw_task(index, uid));
    }
    Ok((health, hints))
}

/// The headers of a whole log.
fn headers(store: &Store, log: Table, stream: &str) -> anyhow::Result<Vec<serde_json::Value>> {
    let mut headers = Vec::new();
    let mut after = 0;
    loop {
        let page = wait(store.entries(log, stream, after, usize::MAX))?;
        let Some(last) = page.last() else { return Ok(headers) };
        after = last.sequence;
        headers.extend(page.into_iter().map(|entry| entry.header));
    }
}

fn load_mark(store: &Store, table: Table, key: &str) -> anyhow::Result<Option<u64>> {
    Ok(wait(store.record(table, key))?.and_then(|record| record.value.as_u64()))
}

fn load_webhooks(store: &Store) -> anyhow::Result<Versioned<Webhooks>> {
    let Some(record) = wait(store.record(WEBHOOKS, WEBHOOKS_KEY))? else {
        return Ok(Versioned { version: 0, value: Webhooks::new() });
    };
    let value =
        serde_json::from_value(record.value).context("--store: the stored webhooks cannot be read")?;
    Ok(Versioned { version: record.revision, value })
}

/// The stored keys; the default ones are made when there is a master key and no key at all.
fn load_keys(config: &Config, store: &Store) -> anyhow::Result<KeyRing> {
    let mut keys: Vec<(ApiKey, u64)> = Vec::new();
    loop {
        let after = keys.last().map(|(key, _)| key.uid.to_string());
        let records = wait(store.records(KEYS, after.as_deref(), limits::KEYS_PER_READ))?;
        if records.is_empty() {
            break;
        }
        for record in records {
            let key =
                serde_json::from_value(record.value).context("--store: a stored API key cannot be read")?;
            keys.push((key, record.revision));
        }
    }
    if keys.is_empty() && config.master_key.is_some() {
        for key in ApiKey::defaults(OffsetDateTime::now_utc()) {
            let value = serde_json::to_value(&key).context("an API key cannot be stored")?;
            let revision = wait(store.put_record(KEYS, &key.uid.to_string(), value, None))?;
            keys.push((key, revision));
        }
    }
    Ok(KeyRing::new(config.master_key.clone(), keys))
}
