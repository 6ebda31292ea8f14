//! One gateway process from its arguments to its exit code.
//!
//! Invariants: everything that can be wrong is found before the first client is accepted, and reported in one line
//! with exit code 2. A data core that dies takes the process with it. SIGTERM and SIGINT drain what is in flight and
//! leave the store closed; so does SIGQUIT, which leaves the port to another process first.

mod hand_over;
pub mod metrics_endpoint;
mod port;
pub mod startup;
mod store_file;
pub mod systemd;
mod trace_export;
mod watchdog;

use std::{
    io::Write,
    net::SocketAddr,
    path::Path,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, bail};
use crossbeam::utils::CachePadded;
use router::NODES_MAX;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR2},
    iterator::Signals,
};
use store::{Store, StoreThread};

use crate::{
    clock,
    config::{self, Config, RuntimeChoice, StoreConfig, limits},
    nodes::address::NodeAddress,
    observe,
    pods::peers,
    process::{
        hand_over::{Predecessor, Upgrade},
        port::Port,
        startup::Parts,
        systemd::Notifier,
    },
    state::{
        leadership::{self, Coordinator},
        shared::Shared,
    },
    wire::{
        outbound,
        runtime::{self, Runtime},
        tls,
    },
};

/// Runs a gateway; `arguments` start with the program's name.
pub fn main(arguments: &[String]) -> ExitCode {
    let rest: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    if let Some((&"store", arguments)) = rest.split_first() {
        return match store_file::run(arguments) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => refuse(&format!("{error:#}")),
        };
    }
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
    match run(config, arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse(&format!("{error:#}")),
    }
}

/// `--check-config`: checks everything that can be known without touching the store or a port.
fn check(config: &Config) -> anyhow::Result<()> {
    for node in &config.nodes {
        NodeAddress::resolve(&node.id, &node.url, &config.tls)
            .map_err(|reason| anyhow!("--node {reason}"))?;
    }
    check_shadows(config)?;
    tls::server(&config.tls)?;
    // No node need be https for a file that is named to be read.
    tls::client(&config.tls)?;
    for warning in tls::expired(&config.tls, clock::utc())? {
        let _ = writeln!(std::io::stderr().lock(), "miroir: {warning}");
    }
    let driver = match runtime_of(config).try_out(executors(config))? {
        None => String::new(),
        Some(reason) => format!("; cores would run on epoll, without io_uring: {reason}"),
    };
    let _ = writeln!(std::io::stdout().lock(), "the configuration is sound{driver}");
    Ok(())
}

/// Writes one clear line and gives exit code 2.
fn refuse(reason: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr().lock(), "miroir: {reason}");
    ExitCode::from(2)
}

fn run(config: Config, arguments: &[String]) -> anyhow::Result<()> {
    // Signals are caught first, so that none is lost while the gateway starts.
    let mut signals =
        Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR2]).context("signals cannot be handled")?;
    refuse_unknown_nodes(&config)?;
    check_shadows(&config)?;
    let server_tls = tls::server(&config.tls)?;
    warn_of_expired(&config)?;
    let predecessor = config.take_over.map(Predecessor::find).transpose()?;
    let port = Port::reserve("--listen", config.listen, config.cores, predecessor.is_some())?;
    let metrics_port = config.metrics_listen.map(|address| {
        let port = Port::reserve("--metrics-listen", address, 1, predecessor.is_some())?;
        let socket = port.listen()?.pop().context("metrics have one socket")?;
        Ok::<_, anyhow::Error>((port, socket))
    });
    let metrics_port = metrics_port.transpose()?;
    if let Some(reason) = runtime_of(&config).try_out(executors(&config))? {
        observe::log::warn("no_io_uring", &[("reason", &reason), ("consequence", "cores run on epoll")]);
    }
    let notifier = || Notifier::new(std::env::var("NOTIFY_SOCKET").ok().as_deref());
    let beside = hand_over::serve_side_by_side(&config);
    // What this version cannot open is left to the other process. sled belongs to one process at a time.
    let opened = match &config.store {
        StoreConfig::Sled { path } => {
            store::inspect_sled(path).map(|()| None).map_err(|error| store_error(&config, &error))?
        }
        StoreConfig::Redis { .. } => Some(open_store(&config)?),
    };
    if let Some(predecessor) = predecessor.as_ref().filter(|_| !beside) {
        // Clients that come from now on wait in the queues of these sockets.
        port.listen()?;
        notifier().is_main();
        predecessor.ask_to_leave()?;
        predecessor.wait_for_end(config.drain_timeout + limits::HAND_OVER_END_MAX)?;
    }
    let watchdog =
        watchdog::interval(|name| std::env::var(name).ok(), std::process::id(), predecessor.is_some());
    let (store, store_thread, coordinator) = opened.map_or_else(|| open_store(&config), Ok)?;
    let prometheus = observe::metrics::install().context("metrics cannot be recorded")?;
    let tracer = match &config.otlp_endpoint {
        Some(url) => Some(trace_export::start(url, config.trace_sample, coordinator.pod())?),
        None => None,
    };
    let parts = Parts { config, tls: server_tls, store, coordinator, prometheus, tracer };
    let prepared = startup::prepare(parts, Instant::now, async |pause| std::thread::sleep(pause));
    let ready = futures_lite::future::block_on(prepared)?;
    let shared = Arc::clone(&ready.shared);
    watchdog.into_iter().for_each(|interval| shared.heartbeats.watch(watchdog::beat_period(interval)));
    let threads = ready.run(runtime_of(&shared.config), port.address, port.listen()?)?;
    let metrics_address = match metrics_port {
        Some((_, socket)) => Some(metrics_endpoint::start(socket, Arc::clone(&shared))?),
        None => None,
    };
    observe::process_limits::watch_memory(limits::METRICS_UPKEEP_INTERVAL)?;
    report_started(&shared, port.address, metrics_address);
    exit_when_executor_ends(threads);
    if let Some(predecessor) = predecessor.filter(|_| beside) {
        notifier().is_main();
        predecessor.ask_to_leave()?;
    }
    if let Some(interval) = watchdog {
        watchdog::start(Arc::clone(&shared), notifier(), interval)?;
    }
    let signal = wait_for_shutdown(&mut signals, &shared, arguments, &notifier());
    if signal == SIGQUIT {
        // The others see that first, so that they do not take the port's end for a failure.
        shared.handing_over.store(true, Ordering::Relaxed);
        port.leave();
    }
    drain(&shared, store_thread)
}

/// The runtime that the configuration names; `auto` is monoio.
const fn runtime_of(config: &Config) -> Runtime {
    match config.runtime {
        RuntimeChoice::Auto | RuntimeChoice::Monoio => Runtime::Monoio,
        RuntimeChoice::Glommio => Runtime::Glommio,
    }
}

/// How many executors a gateway has: one a core, and the control executor.
const fn executors(config: &Config) -> usize {
    config.cores + 1
}

/// Reloads on SIGHUP, starts a successor on SIGUSR2, and returns once the process has to end, with the signal that says
/// so.
fn wait_for_shutdown(
    signals: &mut Signals,
    shared: &Shared,
    arguments: &[String],
    notifier: &Notifier,
) -> i32 {
    let upgrade = Upgrade::new(arguments);
    let rest: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    notifier.ready("serving");
    for signal in signals.forever() {
        match signal {
            SIGUSR2 => upgrade.begin(),
            SIGHUP => {
                notifier.reloading();
                match reload(shared, &rest) {
                    Ok(kept) => observe::log::info("reloaded", &[("needs_a_restart", &kept)]),
                    // The old options stay in force.
                    Err(error) => observe::log::error("reload_failed", &[("reason", &format!("{error:#}"))]),
                }
                notifier.ready("serving");
            }
            _ => {
                observe::log::info("draining", &[("signal", &signal.to_string())]);
                if signal != SIGQUIT {
                    notifier.stopping();
                }
                return signal;
            }
        }
    }
    SIGTERM
}

/// Reads options and certificates again: limits for clients and certificates change at once. Tells whether other
/// options differ, which need a restart.
fn reload(shared: &Shared, arguments: &[&str]) -> anyhow::Result<String> {
    let parsed = config::parse(arguments, |name| std::env::var(name).ok())?;
    let config::Parsed::Run(config) = parsed else { bail!("the options no longer start a gateway") };
    let server_tls = tls::server(&config.tls)?;
    warn_of_expired(&config)?;
    if server_tls.is_some() != shared.tls.load().is_some() {
        bail!("--tls-certificate: TLS cannot be turned on or off while clients are served");
    }
    shared.tls.store(server_tls);
    shared.edge.store(Arc::new(config.edge.clone()));
    let same =
        Config { edge: shared.config.edge.clone(), tls: shared.config.tls.clone(), ..(*config).clone() };
    Ok(if same == shared.config { "nothing" } else { "other options" }.to_owned())
}

/// Logs certificates that nobody will take any more; whoever renews them need not restart.
fn warn_of_expired(config: &Config) -> anyhow::Result<()> {
    for reason in tls::expired(&config.tls, clock::utc())? {
        observe::log::warn("certificate_expired", &[("reason", &reason)]);
    }
    Ok(())
}

/// Ends the process when an executor ends: half a gateway is worse than none.
fn exit_when_executor_ends(threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        let name = thread.thread().name().unwrap_or("executor").to_owned();
        std::thread::spawn(move || {
            let _ = thread.join();
            observe::log::error("executor_died", &[("thread", &name)]);
            std::process::exit(70);
        });
    }
}

fn report_started(shared: &Shared, address: SocketAddr, metrics: Option<SocketAddr>) {
    let ready = serde_json::json!({
        "listen": address.to_string(),
        "metrics": metrics.map(|address| address.to_string()),
        "pid": std::process::id(),
    });
    let _ = writeln!(std::io::stdout().lock(), "{ready}");
    let descriptors = raise_descriptors();
    let runtime = runtime_of(&shared.config);
    let (runtime, driver) = (runtime.name(), runtime.driver());
    observe::log::info(
        "started",
        &[
            ("listen", &address.to_string()),
            ("runtime", runtime),
            ("driver", driver),
            ("cores", &shared.config.cores.to_string()),
            ("nodes", &shared.nodes.addresses.len().to_string()),
            ("version", &config::version()),
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
        Some(key) if key.expose().len() < limits::MASTER_KEY_BYTES_MIN => observe::log::warn(
            "short_master_key",
            &[("consequence", "it is easy to guess; `--env production` refuses it, as Meilisearch does")],
        ),
        Some(_) => {}
    }
}

/// Raises the limit of file descriptors to the allowed maximum; gives the limit.
fn raise_descriptors() -> u64 {
    let had = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: had.maximum, maximum: had.maximum };
    let limit = if setrlimit(Resource::Nofile, raised).is_ok() { raised } else { had };
    // `None` means that there is no limit.
    limit.current.unwrap_or(u64::MAX)
}

/// Lets requests in flight end, closes the store and ends the process.
fn drain(shared: &Shared, store_thread: StoreThread) -> anyhow::Result<()> {
    shared.draining.store(true, Ordering::Relaxed);
    let deadline = Instant::now() + shared.config.drain_timeout;
    shared.coordinator.drain();
    let any =
        |counts: &[CachePadded<AtomicUsize>]| counts.iter().any(|count| count.load(Ordering::Relaxed) > 0);
    // A connection that is open may be about to ask; its next answer closes it. Nobody waits for that but a client who
    // is to find the successor.
    let patience = Instant::now() + hand_over::idle_max(&shared.config);
    let has_open = || shared.is_handing_over() && any(&shared.connections) && Instant::now() < patience;
    while (any(&shared.in_flight) || has_open() || !shared.coordinator.has_given_back())
        && Instant::now() < deadline
    {
        std::thread::sleep(Duration::from_millis(5));
    }
    store_thread.join().map_err(|error| anyhow!("closing the store failed: {error}"))?;
    observe::log::info("stopped", &[]);
    // The executors never end by themselves, and they have nothing left to do.
    std::process::exit(0);
}

/// A gateway that is given no nodes must have a store that knows some, and a new one knows none.
fn refuse_unknown_nodes(config: &Config) -> anyhow::Result<()> {
    match &config.store {
        StoreConfig::Sled { path } if config.nodes.is_empty() && !path.exists() => bail!(
            "--node none: the store {} is new and knows no nodes; allowed: 1 to {NODES_MAX} nodes, for example --node n1=http://10.0.0.1:7700",
            path.display()
        ),
        StoreConfig::Sled { .. } | StoreConfig::Redis { .. } => Ok(()),
    }
}

/// Refuses shadows whose hosts lead to addresses that are neither public nor allowed. A name that does not resolve
/// now may do so later, and is judged again whenever it is asked.
fn check_shadows(config: &Config) -> anyhow::Result<()> {
    for shadow in &config.shadows {
        if !outbound::may_reach(&config.allowed_ip_networks, &shadow.url) {
            bail!(
                "--shadow {}: {} is an address of no public network; allow its network by --allowed-ip-networks",
                shadow.name,
                shadow.url
            );
        }
    }
    Ok(())
}

/// Opens the store; where pods share it, tasks carry this pod's name.
fn open_store(config: &Config) -> anyhow::Result<(Store, StoreThread, Coordinator)> {
    let pod = config.pod_id.clone().unwrap_or_else(leadership::fresh_pod_id);
    match &config.store {
        StoreConfig::Sled { path } => {
            refuse_company(config, path)?;
            let opened = store::open_sled(path);
            let (store, thread) = opened.map_err(|error| store_error(config, &error))?;
            Ok((store, thread, Coordinator::alone(pod).naming(config.peers.clone())))
        }
        StoreConfig::Redis { url } => {
            let options = store::RedisOptions { url: url.expose().to_owned(), clock: None };
            let (store, thread) = store::open_redis(options).map_err(|error| store_error(config, &error))?;
            Ok((store.named(&pod), thread, Coordinator::shared(pod).naming(config.peers.clone())))
        }
    }
}

/// The URL of Redis may hold a password, so that only a path is shown.
fn store_error(config: &Config, error: &store::OpenError) -> anyhow::Error {
    match &config.store {
        StoreConfig::Sled { path } => anyhow!("--store sled:{}: {error}", path.display()),
        StoreConfig::Redis { .. } => anyhow!("--store: {error}"),
    }
}

/// Refuses a sled store, which belongs to one pod, when the peer service has several targets.
fn refuse_company(config: &Config, path: &Path) -> anyhow::Result<()> {
    let Some(service) = &config.peer_service else { return Ok(()) };
    let pods = match peers::lookup(service) {
        Ok(pods) => pods,
        Err(error) => {
            // Without an answer nothing can be refused.
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
