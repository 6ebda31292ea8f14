//! The `bench` command: canned nodes, the load generator, yardsticks, and the comparison of all.
//!
//! It starts only itself and the named programs, on the loopback interface, and they end with it.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use argh::FromArgs;
use bench::corpus::Shape;
use bench::{
    canned_node, changes, compare, load, plot, process, rebalance, wire, writes,
    yardsticks::{hyper, monoio},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measure the gateway against canned nodes, proxies and yardsticks.
#[derive(FromArgs)]
struct Arguments {
    #[argh(subcommand)]
    command: Subcommand,
}

#[derive(FromArgs)]
#[argh(subcommand)]
enum Subcommand {
    Compare(Compare),
    CannedNode(CannedNode),
    Load(Load),
    ScatterHyper(ScatterHyper),
    ScatterMonoio(ScatterMonoio),
    Launch(Launch),
    Overload(Overload),
    Crowd(Crowd),
    Ingest(Ingest),
    Scale(Scale),
    Plot(Plot),
    Writes(Writes),
    Rebalance(Rebalance),
    Changes(Changes),
}

/// Start nodes, the gateway and its peers; measure them in interleaved rounds; print and keep the figures.
#[derive(FromArgs)]
#[argh(subcommand, name = "compare")]
struct Compare {
    /// the gateway's executable (default: `miroir` beside this one)
    #[argh(option)]
    gateway: Option<PathBuf>,
    /// leave the gateway out
    #[argh(switch)]
    without_gateway: bool,
    /// run 3 rounds of 1 s windows, only to see that everything works
    #[argh(switch)]
    quick: bool,
    /// measured rounds per case (default 5)
    #[argh(option)]
    rounds: Option<usize>,
    /// seconds of one window (default 1.5)
    #[argh(option)]
    seconds: Option<f64>,
    /// only cases whose name contains this; may be repeated
    #[argh(option)]
    case: Vec<String>,
    /// the JSON-lines file to append to (default bench/history.jsonl)
    #[argh(option, default = "PathBuf::from(\"bench/history.jsonl\")")]
    history: PathBuf,
    /// append to no history
    #[argh(switch)]
    no_history: bool,
    /// let the kernel place all processes
    #[argh(switch)]
    unpinned: bool,
    /// requests a second of the open loop (default: half of what the slowest peer takes)
    #[argh(option)]
    rate: Option<f64>,
}

/// Play many nodes in one process, each on a port of the system's choice.
#[derive(FromArgs)]
#[argh(subcommand, name = "canned-node")]
struct CannedNode {
    /// how many nodes (default 3)
    #[argh(option, default = "3")]
    nodes: usize,
    /// hits in each answer (default 20)
    #[argh(option, default = "20")]
    hits: usize,
    /// bytes of one document (default 200)
    #[argh(option, default = "200")]
    document_bytes: usize,
}

/// Send requests and report answers, rate and latencies as one line of JSON.
#[derive(FromArgs)]
#[argh(subcommand, name = "load")]
struct Load {
    /// address of the server
    #[argh(option)]
    target: SocketAddr,
    /// speak TLS with a server that shows this certificate (a PEM file)
    #[argh(option)]
    trust: Option<PathBuf>,
    /// path of the request (default /indexes/bench/search)
    #[argh(option, default = "String::from(\"/indexes/bench/search\")")]
    path: String,
    /// JSON body sent with POST, or `@` and the file that holds it (default: the comparison's search for 20 hits)
    #[argh(option, default = "bench::corpus::client_request(20)")]
    body: String,
    /// bearer token
    #[argh(option)]
    key: Option<String>,
    /// connections over all threads (default 32)
    #[argh(option, default = "32")]
    connections: usize,
    /// threads (default 1)
    #[argh(option, default = "1")]
    threads: usize,
    /// requests a second, whatever the server does (default: closed loop)
    #[argh(option)]
    rate: Option<f64>,
    /// recorded seconds (default 5)
    #[argh(option, default = "5.0")]
    seconds: f64,
    /// unrecorded seconds before (default 0.5)
    #[argh(option, default = "0.5")]
    warm_up: f64,
}

/// Yardstick: the barest scatter on hyper and tokio.
#[derive(FromArgs)]
#[argh(subcommand, name = "scatter-hyper")]
struct ScatterHyper {
    /// address of a node; may be repeated
    #[argh(option)]
    node: Vec<SocketAddr>,
    /// hits in the answer (default 20)
    #[argh(option, default = "20")]
    hits: usize,
}

/// Yardstick: the barest scatter on monoio.
#[derive(FromArgs)]
#[argh(subcommand, name = "scatter-monoio")]
struct ScatterMonoio {
    /// address of a node; may be repeated
    #[argh(option)]
    node: Vec<SocketAddr>,
    /// hits in the answer (default 20)
    #[argh(option, default = "20")]
    hits: usize,
}

/// Compare writes through the gateway, in front of Meilisearch servers, with those of one such server.
#[derive(FromArgs)]
#[argh(subcommand, name = "writes")]
struct Writes {
    /// the gateway's executable (default: `miroir` beside this one)
    #[argh(option)]
    gateway: Option<PathBuf>,
    /// the executable of a Meilisearch server
    #[argh(option)]
    node: PathBuf,
    /// nodes behind the gateway (default 2)
    #[argh(option, default = "2")]
    nodes: usize,
    /// copies of each shard (default 2)
    #[argh(option, default = "2")]
    replication_factor: usize,
    /// rounds (default 5)
    #[argh(option, default = "5")]
    rounds: usize,
    /// seconds of a window of single documents (default 4)
    #[argh(option, default = "4.0")]
    seconds: f64,
    /// batches of 1000 documents in a round (default 20)
    #[argh(option, default = "20")]
    batches: usize,
    /// connections that write single documents (default 64)
    #[argh(option, default = "64")]
    connections: usize,
}

/// Add a node to a cluster that is searched and written to, and measure what that takes.
#[derive(FromArgs)]
#[argh(subcommand, name = "rebalance")]
struct Rebalance {
    /// the gateway's executable (default: `miroir` beside this one)
    #[argh(option)]
    gateway: Option<PathBuf>,
    /// the executable of a node: a Meilisearch server, or `miroir-node` (default: the one beside this one)
    #[argh(option)]
    node: Option<PathBuf>,
    /// nodes before one is added (default 3)
    #[argh(option, default = "3")]
    nodes: usize,
    /// thousands of documents that are there before (default 50)
    #[argh(option, default = "50")]
    thousands: u64,
    /// searches, and writes, a second (default 100 of each)
    #[argh(option, default = "100.0")]
    rate: f64,
    /// seconds of load before the change (default 10)
    #[argh(option, default = "10.0")]
    seconds: f64,
}

/// Deliver changes to a webhook that goes away and comes back under writes; print lags and memory.
#[derive(FromArgs)]
#[argh(subcommand, name = "changes")]
struct Changes {
    /// the gateway's executable (default: `miroir` beside this one)
    #[argh(option)]
    gateway: Option<PathBuf>,
    /// the executable of a node: a Meilisearch server, or `miroir-node` (default: the one beside this one)
    #[argh(option)]
    node: Option<PathBuf>,
    /// nodes (default 3)
    #[argh(option, default = "3")]
    nodes: usize,
    /// writes a second (default 500)
    #[argh(option, default = "500.0")]
    rate: f64,
    /// seconds that the webhook is there, then away, then there again (default 20)
    #[argh(option, default = "20.0")]
    seconds: f64,
    /// connections over which is written (default 64)
    #[argh(option, default = "64")]
    connections: usize,
}

/// Draw the history as an SVG picture.
#[derive(FromArgs)]
#[argh(subcommand, name = "plot")]
struct Plot {
    /// the JSON-lines file (default bench/history.jsonl)
    #[argh(option, default = "PathBuf::from(\"bench/history.jsonl\")")]
    history: PathBuf,
    /// the picture to write (default bench/history.svg)
    #[argh(option, default = "PathBuf::from(\"bench/history.svg\")")]
    picture: PathBuf,
}

/// Offer the gateway three times what it can take.
#[derive(FromArgs)]
#[argh(subcommand, name = "overload")]
struct Overload {
    /// the gateway's executable (default: `miroir` beside this one)
    #[argh(option)]
    gateway: Option<PathBuf>,
    /// rounds (default 3)
    #[argh(option, default = "3")]
    rounds: usize,
    /// seconds of one window (default 3)
    #[argh(option, default = "3.0")]
    seconds: f64,
    /// let the kernel place all processes
    #[argh(switch)]
    unpinned: bool,
}

/// Send payloads of 100 MB through the gateway to nodes that only count them.
#[derive(FromArgs)]
#[argh(subcommand, name = "ingest")]
struct Ingest {
    /// the gateway's executable (default: `miroir` beside this one)
    #[argh(option)]
    gateway: Option<PathBuf>,
    /// payloads (default 5)
    #[argh(option, default = "5")]
    rounds: usize,
}

/// Search over 64 connections and over 10 000, at one rate.
#[derive(FromArgs)]
#[argh(subcommand, name = "crowd")]
struct Crowd {
    /// the gateway's executable (default: `miroir` beside this one)
    #[argh(option)]
    gateway: Option<PathBuf>,
    /// rounds (default 3)
    #[argh(option, default = "3")]
    rounds: usize,
    /// seconds of one window (default 3)
    #[argh(option, default = "3.0")]
    seconds: f64,
    /// searches a second (default: half of the peak)
    #[argh(option)]
    rate: Option<f64>,
}

/// Fit a model of the cores that a rate needs, try it, and count pods for 100 000 searches a second.
#[derive(FromArgs)]
#[argh(subcommand, name = "scale")]
struct Scale {
    /// the gateway's executable (default: `miroir` beside this one)
    #[argh(option)]
    gateway: Option<PathBuf>,
    /// rounds of each rate (default 3)
    #[argh(option, default = "3")]
    rounds: usize,
    /// seconds of one window (default 3)
    #[argh(option, default = "3.0")]
    seconds: f64,
}

/// Pin this process and become another program (used by compare for all it starts).
#[derive(FromArgs)]
#[argh(subcommand, name = "launch")]
struct Launch {
    /// the core to run on (default: any)
    #[argh(option)]
    core: Option<usize>,
    /// the program and its arguments
    #[argh(positional, greedy)]
    program: Vec<String>,
}

fn main() -> anyhow::Result<()> {
    let arguments: Arguments = argh::from_env();
    match arguments.command {
        Subcommand::Compare(arguments) => run_compare(arguments),
        Subcommand::CannedNode(CannedNode { nodes, hits, document_bytes }) => {
            canned_node::serve(Shape { legs: nodes, hits, document_bytes })
        }
        Subcommand::Load(arguments) => run_load(arguments),
        Subcommand::ScatterHyper(ScatterHyper { node, hits }) => hyper::serve(&node, hits),
        Subcommand::ScatterMonoio(ScatterMonoio { node, hits }) => monoio::serve(&node, hits),
        Subcommand::Writes(arguments) => run_writes(arguments),
        Subcommand::Rebalance(arguments) => run_rebalance(arguments),
        Subcommand::Changes(arguments) => run_changes(arguments),
        Subcommand::Overload(arguments) => run_overload(arguments),
        Subcommand::Crowd(arguments) => run_crowd(arguments),
        Subcommand::Ingest(arguments) => run_ingest(arguments),
        Subcommand::Scale(arguments) => run_scale(arguments),
        Subcommand::Plot(Plot { history, picture }) => plot::run(&history, &picture),
        Subcommand::Launch(Launch { core, program }) => process::launch(core, &program),
    }
}

fn run_compare(arguments: Compare) -> anyhow::Result<()> {
    let (rounds, seconds) = if arguments.quick { (3, 1.0) } else { (5, 1.5) };
    let beside = std::env::current_exe().context("finding the running executable")?.with_file_name("miroir");
    let gateway = arguments.gateway.unwrap_or(beside);
    if !arguments.without_gateway && !gateway.is_file() {
        anyhow::bail!("there is no gateway at {}: build it, or use --without-gateway", gateway.display());
    }
    let options = compare::Options {
        gateway: (!arguments.without_gateway).then_some(gateway),
        rounds: arguments.rounds.unwrap_or(rounds),
        window: seconds_of(arguments.seconds.unwrap_or(seconds))?,
        warm_up: Duration::from_millis(300),
        cases: arguments.case,
        history: (!arguments.no_history).then_some(arguments.history),
        pinned: !arguments.unpinned,
        rate: arguments.rate,
    };
    compare::run(&options, &mut std::io::stdout())
}

fn run_writes(arguments: Writes) -> anyhow::Result<()> {
    let beside = std::env::current_exe().context("finding the running executable")?.with_file_name("miroir");
    let options = writes::Options {
        gateway: arguments.gateway.unwrap_or(beside),
        node: arguments.node,
        nodes: arguments.nodes,
        replication_factor: arguments.replication_factor,
        rounds: arguments.rounds,
        window: seconds_of(arguments.seconds)?,
        batches: arguments.batches,
        connections: arguments.connections,
    };
    writes::run(&options, &mut std::io::stdout())
}

fn run_rebalance(arguments: Rebalance) -> anyhow::Result<()> {
    let own = std::env::current_exe().context("finding the running executable")?;
    let options = rebalance::Options {
        gateway: arguments.gateway.unwrap_or_else(|| own.with_file_name("miroir")),
        node: arguments.node.unwrap_or_else(|| own.with_file_name("miroir-node")),
        nodes: arguments.nodes,
        documents: arguments.thousands * 1000,
        rate: arguments.rate,
        before: seconds_of(arguments.seconds)?,
    };
    rebalance::run(&options, &mut std::io::stdout())
}

fn run_changes(arguments: Changes) -> anyhow::Result<()> {
    let own = std::env::current_exe().context("finding the running executable")?;
    let options = changes::Options {
        gateway: arguments.gateway.unwrap_or_else(|| own.with_file_name("miroir")),
        node: arguments.node.unwrap_or_else(|| own.with_file_name("miroir-node")),
        nodes: arguments.nodes,
        rate: arguments.rate,
        phase: seconds_of(arguments.seconds)?,
        connections: arguments.connections,
    };
    changes::run(&options, &mut std::io::stdout())
}

fn run_overload(arguments: Overload) -> anyhow::Result<()> {
    let Overload { gateway, rounds, seconds, unpinned } = arguments;
    let options = gateway_alone(gateway, rounds, seconds)?;
    compare::overload::run(&compare::Options { pinned: !unpinned, ..options }, &mut std::io::stdout())
}

fn run_crowd(arguments: Crowd) -> anyhow::Result<()> {
    let Crowd { gateway, rounds, seconds, rate } = arguments;
    let options = gateway_alone(gateway, rounds, seconds)?;
    compare::crowd::run(&compare::Options { rate, ..options }, &mut std::io::stdout())
}

fn run_ingest(arguments: Ingest) -> anyhow::Result<()> {
    let options = gateway_alone(arguments.gateway, arguments.rounds, 0.0)?;
    compare::ingest::run(&options, &mut std::io::stdout())
}

fn run_scale(arguments: Scale) -> anyhow::Result<()> {
    let Scale { gateway, rounds, seconds } = arguments;
    let options = gateway_alone(gateway, rounds, seconds)?;
    compare::scale::run(&compare::Options { pinned: false, ..options }, &mut std::io::stdout())
}

fn gateway_alone(gateway: Option<PathBuf>, rounds: usize, seconds: f64) -> anyhow::Result<compare::Options> {
    let beside = std::env::current_exe().context("finding the running executable")?.with_file_name("miroir");
    Ok(compare::Options {
        gateway: Some(gateway.unwrap_or(beside)),
        rounds,
        window: seconds_of(seconds)?,
        // Admission control has to settle first.
        warm_up: Duration::from_secs(1),
        cases: Vec::new(),
        history: None,
        pinned: true,
        rate: None,
    })
}

fn run_load(arguments: Load) -> anyhow::Result<()> {
    let body = match arguments.body.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(file).with_context(|| format!("reading {file}"))?,
        None => arguments.body,
    };
    let report = load::run(&load::Options {
        target: arguments.target,
        trust: arguments.trust.map(|certificate| wire::trust(&certificate)).transpose()?,
        path: arguments.path,
        body,
        key: arguments.key,
        connections: arguments.connections,
        threads: arguments.threads,
        rate: arguments.rate,
        warm_up: seconds_of(arguments.warm_up)?,
        duration: seconds_of(arguments.seconds)?,
    })?;
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&report)?)?;
    Ok(())
}

fn seconds_of(seconds: f64) -> anyhow::Result<Duration> {
    Duration::try_from_secs_f64(seconds).with_context(|| format!("{seconds} is no number of seconds"))
}
