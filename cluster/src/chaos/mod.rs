//! Chaos: a cluster under load while its nodes, or the gateway, fail; and a checker that knows every answer.
//! Invariants: everything random comes from the seed, but not the scheduling of threads. A run is bounded in time. The
//! checker knows every acknowledged operation (`register`), so it judges all of them, not a sample.
//!
//! `load` writes and reads, `faults` draws faults, `copies_equal` compares the copies afterwards.

pub(crate) mod copies_equal;
pub mod copies_placed;
pub(crate) mod faults;
pub(crate) mod load;
pub(crate) mod register;
pub(crate) mod report;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::json;

pub use crate::chaos::faults::{DELAY, Fault, Incident};
pub use crate::chaos::report::Report;

use crate::chaos::load::Load;
use crate::cluster::{Cluster, ClusterOptions};
use crate::differential::Client;
use crate::faulty_proxy::Trouble;

/// One run.
#[derive(Debug, Clone)]
pub struct Options {
    pub seed: u64,
    pub cluster: ClusterOptions,
    /// How long faults occur.
    pub lasts: Duration,
    /// The longest duration of one fault; a stopped process is stopped for exactly this long.
    pub fault_lasts: Duration,
    pub scenario: Scenario,
}

/// The kind of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// Faults of one node after the other.
    Nodes,
    /// Like `Nodes`, and the gateway is killed every few seconds.
    NodesAndGateway,
    /// Faults of all nodes of one group at once.
    Group,
    /// Only one slow node, to measure searches meanwhile.
    SlowNode,
}

/// The index that is written, and the number of its documents that nobody changes.
const INDEX: &str = "registers";
const STATIC_DOCUMENTS: u64 = 200;
/// How long copies may take to become equal after the last fault.
const LEVEL_MAX: Duration = Duration::from_secs(30);
/// The interval between two kills of the gateway.
const GATEWAY_LIVES: Duration = Duration::from_secs(3);

/// Runs a scenario and returns its observations, including violations.
///
/// # Errors
/// When the run could not be set up.
pub fn run(options: &Options, say: &mut dyn FnMut(&str)) -> anyhow::Result<Report> {
    say(&format!("seed {} scenario {:?}", options.seed, options.scenario));
    let mut cluster = Cluster::start(ClusterOptions { proxied: true, ..options.cluster.clone() })?;
    prepare(&cluster)?;
    let load = Load::new(cluster.url(), options.seed, options.scenario == Scenario::NodesAndGateway);
    let stop = AtomicBool::new(false);
    let troubled = std::thread::scope(|scope| {
        let workers = load.start(scope, &stop);
        load.wait_until_busy();
        let quiet = load.read_times();
        let troubled = match options.scenario {
            Scenario::Nodes => node_faults(&mut cluster, options, false, say),
            Scenario::NodesAndGateway => node_faults(&mut cluster, options, true, say),
            Scenario::Group => group_fault(&mut cluster, options, say),
            Scenario::SlowNode => slow_node(&cluster, options),
        };
        let times = (quiet, load.read_times());
        stop.store(true, Ordering::Relaxed);
        for worker in workers {
            ensure!(worker.join().is_ok(), "a worker has panicked");
        }
        troubled.map(|()| times)
    });
    let mut report = load.report();
    report.search_times(troubled?);
    report.level_after = copies_equal::wait(&cluster, LEVEL_MAX, &mut report, say)?;
    load.check(&cluster, &mut report)?;
    Ok(report)
}

/// Runs a cluster under load while `act` does something to it, and says what was seen. Nothing is to be noticed of it:
/// every read must be answered whole.
///
/// # Errors
/// When the run could not be made, or what `act` says; what went wrong in it is in the report.
pub fn under_load(
    cluster: &mut Cluster,
    seed: u64,
    gateway_dies: bool,
    act: impl FnOnce(&mut Cluster) -> anyhow::Result<()>,
) -> anyhow::Result<Report> {
    prepare(cluster)?;
    let load = Load::new(cluster.url(), seed, gateway_dies);
    let stop = AtomicBool::new(false);
    let acted = std::thread::scope(|scope| {
        let workers = load.start(scope, &stop);
        load.wait_until_busy();
        let acted = act(cluster);
        stop.store(true, Ordering::Relaxed);
        for worker in workers {
            ensure!(worker.join().is_ok(), "a worker has panicked");
        }
        acted
    });
    let mut report = load.report();
    acted.with_context(|| format!("so far: {report}"))?;
    report.level_after = copies_placed::wait(cluster, LEVEL_MAX, &mut report)?;
    load.check(cluster, &mut report)?;
    Ok(report)
}

/// Creates the index and the documents that searches count.
fn prepare(cluster: &Cluster) -> anyhow::Result<()> {
    let client = Client::new(cluster.url(), None);
    client.done("POST", "/indexes", Some(&json!({"uid": INDEX, "primaryKey": "id"})))?;
    let settings = json!({"filterableAttributes": ["kind"], "searchableAttributes": ["text"]});
    client.done("PATCH", &format!("/indexes/{INDEX}/settings"), Some(&settings))?;
    let documents = (0..STATIC_DOCUMENTS).map(|number| {
        json!({"id": format!("static-{number}"), "kind": "static", "text": format!("word {number}")})
    });
    let documents = documents.collect::<Vec<_>>().into();
    client.done("POST", &format!("/indexes/{INDEX}/documents"), Some(&documents))
}

/// Makes one node after the other fail, until the time is over.
fn node_faults(
    cluster: &mut Cluster,
    options: &Options,
    kills_gateway: bool,
    say: &mut dyn FnMut(&str),
) -> anyhow::Result<()> {
    let mut random = fastrand::Rng::with_seed(options.seed);
    let end = Instant::now() + options.lasts;
    let mut next_kill = Instant::now() + GATEWAY_LIVES;
    let mut current: Option<Incident> = None;
    while Instant::now() < end {
        let next = faults::draw(
            &mut random,
            cluster.options().nodes,
            current.map(|incident| incident.node),
            options.fault_lasts,
        );
        say(&format!("node {} {:?} for {:?}", next.node, next.fault, next.lasts));
        begin(cluster, next)?;
        if let Some(last) = current.take() {
            // The previous fault ends a moment after this one has begun.
            std::thread::sleep(last.overlap);
            heal(cluster, last)?;
        }
        let over = Instant::now() + next.lasts;
        while Instant::now() < over {
            if kills_gateway && Instant::now() >= next_kill {
                say("the gateway is killed");
                cluster.kill_gateway()?;
                cluster.start_gateway_unready()?;
                next_kill = Instant::now() + GATEWAY_LIVES;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        if next.overlap.is_zero() {
            heal(cluster, next)?;
            std::thread::sleep(next.pause);
        } else {
            current = Some(next);
        }
    }
    current.map_or(Ok(()), |last| heal(cluster, last))
}

fn group_fault(cluster: &mut Cluster, options: &Options, say: &mut dyn FnMut(&str)) -> anyhow::Result<()> {
    let per_group = cluster.options().nodes.div_ceil(cluster.options().groups);
    let gone = cluster.options().nodes - per_group..cluster.options().nodes;
    say(&format!("the nodes {gone:?}, a group, are killed"));
    for node in gone.clone() {
        cluster.kill_node(node)?;
    }
    std::thread::sleep(options.lasts);
    for node in gone {
        cluster.start_node(node)?;
    }
    Ok(())
}

fn slow_node(cluster: &Cluster, options: &Options) -> anyhow::Result<()> {
    let proxy = cluster.proxy(0).context("the cluster has proxies")?;
    proxy.set(Trouble::Delay(DELAY));
    std::thread::sleep(options.lasts);
    proxy.set(Trouble::None);
    Ok(())
}

fn begin(cluster: &mut Cluster, incident: Incident) -> anyhow::Result<()> {
    let node = incident.node;
    match incident.fault {
        Fault::Killed => cluster.kill_node(node),
        Fault::Stopped => cluster.node(node).context("the node runs")?.pause(),
        Fault::Line(trouble) => {
            cluster.proxy(node).context("the cluster has proxies")?.set(trouble);
            Ok(())
        }
    }
}

fn heal(cluster: &mut Cluster, incident: Incident) -> anyhow::Result<()> {
    let node = incident.node;
    match incident.fault {
        Fault::Killed => cluster.start_node(node),
        Fault::Stopped => cluster.node(node).context("the node runs")?.resume(),
        Fault::Line(_) => {
            cluster.proxy(node).context("the cluster has proxies")?.set(Trouble::None);
            Ok(())
        }
    }
}
