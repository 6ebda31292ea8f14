//! `miroir-dev`: one command starts a real cluster on this machine, with a sample to search.
//! Invariants: it plays every part itself (node, gateway) in child processes. However it ends, none of them is left
//! running. On Ctrl-C and SIGTERM nothing is left on disk unless `--data` was given.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use argh::FromArgs;
use cluster::cluster::{Cluster, ClusterOptions, foreign_variables};
use cluster::dev::certificate::{self, Certificates};
use cluster::dev::load::{Load, RATE_MAX};
use cluster::dev::redis::Redis;
use serde_json::{Value, json};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use ureq::Agent;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The sample that `--sample cities` loads.
const CITIES: &str = include_str!("../../samples/cities.ndjson");
/// How long the first index may take.
const LOAD_MAX: Duration = Duration::from_secs(300);
/// Gateways of one cluster.
const PODS_MAX: usize = 16;
/// The time between two lines about the load.
const TOLD_EVERY: Duration = Duration::from_secs(5);
/// The pause between two polls of a task.
const TASK_PAUSE: Duration = Duration::from_millis(100);

/// A Miroir cluster on this machine: embedded nodes, the gateway in front, a sample to search.
#[derive(FromArgs)]
struct Arguments {
    /// nodes in all groups together, 3 by default
    #[argh(option, default = "3")]
    nodes: usize,
    /// replica groups, 1 by default
    #[argh(option, default = "1")]
    groups: usize,
    /// copies of each shard inside a group, 1 by default
    #[argh(option, default = "1")]
    replication_factor: usize,
    /// shards of each index, 64 by default
    #[argh(option, default = "64")]
    shards: usize,
    /// address of the gateway, 127.0.0.1:7700 by default
    #[argh(option, default = "SocketAddr::from(([127, 0, 0, 1], 7700))")]
    listen: SocketAddr,
    /// directory to keep the data in; without it the data goes away at the end
    #[argh(option)]
    data: Option<PathBuf>,
    /// a real Meilisearch binary to run as nodes
    #[argh(option)]
    node_bin: Option<PathBuf>,
    /// what to load: cities (the default) or none
    #[argh(option, default = "Sample::Cities")]
    sample: Sample,
    /// gateways over one Redis, 1 by default, which needs none
    #[argh(option, default = "1")]
    pods: usize,
    /// serve TLS, with an authority made for this cluster
    #[argh(switch)]
    tls: bool,
    /// write and search by itself, so many operations a second
    #[argh(option, default = "0")]
    load: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sample {
    Cities,
    None,
}

impl std::str::FromStr for Sample {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "cities" => Ok(Self::Cities),
            "none" => Ok(Self::None),
            other => Err(format!("`{other}` is no sample; allowed: cities, none")),
        }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(code) = cluster::roles::play(&arguments) {
        return code;
    }
    match run(&argh::from_env()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("miroir-dev: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let started = Instant::now();
    let temporary = match &arguments.data {
        Some(_) => None,
        None => Some(tempfile::Builder::new().prefix("miroir-dev-").tempdir()?),
    };
    let data = arguments.data.clone().or_else(|| temporary.as_ref().map(|dir| dir.path().to_owned()));
    let (program, data) = (std::env::current_exe()?, data.context("a data directory was just chosen")?);
    ensure!((1..=PODS_MAX).contains(&arguments.pods), "--pods {}: allowed: 1 to {PODS_MAX}", arguments.pods);
    ensure!(arguments.load <= RATE_MAX, "--load {}: allowed: 0 to {RATE_MAX}", arguments.load);
    let redis = if arguments.pods > 1 { Some(Redis::start(&program, &data)?) } else { None };
    let certificates = if arguments.tls { Some(certificate::make(&data.join("tls"))?) } else { None };
    let options = ClusterOptions {
        nodes: arguments.nodes,
        groups: arguments.groups,
        replication_factor: arguments.replication_factor,
        shards: arguments.shards,
        listen: arguments.listen,
        node_binary: arguments.node_bin.clone(),
        gateway_environment: secrets(),
        store: redis.as_ref().map(Redis::store),
        gateway_arguments: gateway_arguments(certificates.as_ref()),
        authority: certificates.as_ref().map(|made| made.authority.clone()),
        ..ClusterOptions::new(program, data)
    };
    let ignored = foreign_variables().collect::<Vec<_>>();
    if !ignored.is_empty() {
        say(&format!(
            "{} of the environment: not for this cluster, whose gateway needs no key",
            ignored.join(", ")
        ));
    }
    say(&format!("starting {} nodes and the gateway ...", arguments.nodes));
    let cluster = Cluster::start(options)?;
    if arguments.sample == Sample::Cities {
        load_cities(&cluster)?;
        give_cities_a_page(&cluster)?;
    }
    let pods = (1..arguments.pods).map(|number| cluster.start_pod(&format!("pod-{number}"), None));
    let pods = pods.collect::<anyhow::Result<Vec<_>>>()?;
    let mut urls = vec![cluster.url()];
    urls.extend(pods.iter().map(|pod| cluster.pod_url(pod)));
    describe(&cluster, arguments, &urls, started.elapsed());
    watch(&cluster, arguments, &urls, &mut signals)?;
    say("\nstopping ...");
    drop(pods);
    drop(cluster);
    drop(redis);
    drop(temporary);
    Ok(())
}

/// The gateway's arguments: the stream of changes is on, and connections are encrypted if there are certificates.
fn gateway_arguments(certificates: Option<&Certificates>) -> Vec<String> {
    let mut arguments = vec!["--cdc".to_owned(), "on".to_owned()];
    if let Some(made) = certificates {
        let path = |path: &Path| path.display().to_string();
        let [certificate, key] = [path(&made.certificate), path(&made.key)];
        arguments.extend(["--tls-certificate".to_owned(), certificate, "--tls-key".to_owned(), key]);
    }
    arguments
}

/// Runs the load, if any, and tells of it, until a signal comes.
fn watch(
    cluster: &Cluster,
    arguments: &Arguments,
    urls: &[String],
    signals: &mut Signals,
) -> anyhow::Result<()> {
    if arguments.load == 0 {
        signals.forever().next();
        return Ok(());
    }
    let load = Load::begin(urls, &cluster.agent()?, arguments.load);
    let (mut before, mut told) = (load.counts(), Instant::now());
    while signals.pending().next().is_none() {
        std::thread::sleep(TASK_PAUSE);
        if told.elapsed() >= TOLD_EVERY {
            let (done, failed) = load.counts();
            let rate = (done - before.0) as f32 / told.elapsed().as_secs_f32();
            say(&format!("load: {rate:.0} a second, {done} done, {failed} failed"));
            (before, told) = ((done, failed), Instant::now());
        }
    }
    Ok(())
}

/// Loads the sample through the gateway, as any client would.
fn load_cities(cluster: &Cluster) -> anyhow::Result<()> {
    let (url, agent) = (cluster.url(), cluster.agent()?);
    let settings = json!({
        "searchableAttributes": ["name", "alternateNames", "country"],
        "filterableAttributes": ["id", "country", "countryCode", "population", "timezone", "_geo"],
        "sortableAttributes": ["name", "population", "_geo"],
        // Of equal matches the larger city is meant.
        "rankingRules": ["words", "typo", "proximity", "attribute", "sort", "exactness", "population:desc"],
    });
    let mut answer =
        agent.post(format!("{url}/indexes")).send_json(json!({"uid": "cities", "primaryKey": "id"}))?;
    wait_for(&agent, &url, &answer.body_mut().read_json()?, "creating the index", true)?;
    let mut answer = agent.patch(format!("{url}/indexes/cities/settings")).send_json(settings)?;
    wait_for(&agent, &url, &answer.body_mut().read_json()?, "applying the settings", false)?;
    let mut answer = agent
        .post(format!("{url}/indexes/cities/documents"))
        .header("content-type", "application/x-ndjson")
        .send(CITIES)?;
    wait_for(&agent, &url, &answer.body_mut().read_json()?, "indexing 4449 cities", false)
}

/// Secrets of this cluster's own making, for as long as it runs. Those in the environment of this process win.
fn secrets() -> Vec<(&'static str, String)> {
    let names = ["SEARCH_UI_JWT_SECRET", "SEARCH_UI_SHARED_KEY", "ADMIN_SESSION_SEAL_KEY"];
    let missing = names.into_iter().filter(|name| std::env::var_os(name).is_none());
    missing.map(|name| (name, uuid::Uuid::new_v4().simple().to_string())).collect()
}

/// Gives the sample a search page, as an operator would.
fn give_cities_a_page(cluster: &Cluster) -> anyhow::Result<()> {
    let page = json!({
        "title": "Cities of the world",
        "subtitle": "4449 of the largest, from GeoNames",
        "placeholder": "Search cities, in any spelling",
        "display": {"title": "name", "subtitle": "country", "fields": ["population", "timezone"]},
        "facets": [
            {"attribute": "country", "label": "Country"},
            {"attribute": "population", "label": "Population", "kind": "range"},
            {"attribute": "timezone", "label": "Time zone"},
        ],
        "sorts": [
            {"sort": "population:desc", "label": "Largest first"},
            {"sort": "population:asc", "label": "Smallest first"},
            {"sort": "name:asc", "label": "By name"},
        ],
    });
    let url = format!("{}/_miroir/ui/search/cities/config", cluster.url());
    let mut answer = cluster.agent()?.post(url).send_json(page)?;
    ensure!(answer.status() == 200, "the search page: {}", answer.body_mut().read_to_string()?);
    Ok(())
}

/// Waits for a task and shows progress.
fn wait_for(agent: &Agent, url: &str, summary: &Value, doing: &str, may_exist: bool) -> anyhow::Result<()> {
    let uid = summary["taskUid"].as_u64().with_context(|| format!("{doing}: the gateway said {summary}"))?;
    let started = Instant::now();
    let terminal = std::io::stderr().is_terminal();
    loop {
        let task: Value = agent.get(format!("{url}/tasks/{uid}")).call()?.body_mut().read_json()?;
        match task["status"].as_str() {
            Some("succeeded") => break,
            Some("failed") if may_exist && task["error"]["code"] == "index_already_exists" => break,
            Some("failed" | "canceled") => bail!("{doing}: {}", task["error"]["message"]),
            _ => {}
        }
        ensure!(started.elapsed() < LOAD_MAX, "{doing} is not done after {LOAD_MAX:?}");
        if terminal {
            let _ = write!(std::io::stderr(), "\r{doing} ... {:.1} s", started.elapsed().as_secs_f32());
        }
        std::thread::sleep(TASK_PAUSE);
    }
    let start = if terminal { "\r" } else { "" };
    say(&format!("{start}{doing}: {:.1} s        ", started.elapsed().as_secs_f32()));
    Ok(())
}

fn describe(cluster: &Cluster, arguments: &Arguments, urls: &[String], took: Duration) {
    let url = cluster.url();
    say(&format!("\nMiroir is ready after {:.1} s.", took.as_secs_f32()));
    for url in urls {
        say(&format!("  gateway  {url}"));
    }
    say(&format!("  console  {url}/_miroir/admin"));
    if let Some(authority) = &cluster.options().authority {
        say(&format!("  trust    {} (curl --cacert, miroir-ctl --ca)", authority.display()));
    }
    for (number, node) in cluster.node_urls().iter().enumerate() {
        say(&format!("  node n{number}  {node}"));
    }
    say(&format!(
        "  {} shards, {} group(s), replication factor {}\n",
        arguments.shards, arguments.groups, arguments.replication_factor
    ));
    if arguments.sample == Sample::Cities {
        let json = "-H 'Content-Type: application/json'";
        say("Open:");
        say(&format!("  {url}/ui/search/cities  the search page of the sample"));
        say(&format!("  {url}/_miroir/admin  the console; this cluster has no keys, so any key opens it\n"));
        say("Try:");
        say(&format!("  curl '{url}/indexes/cities/search?q=sao+palo&limit=3'"));
        say(&format!(
            "  curl {url}/indexes/cities/search {json} -d '{{\"filter\":\"country = Japan\",\"sort\":[\"population:desc\"],\"facets\":[\"timezone\"],\"limit\":3}}'"
        ));
        say(&format!(
            "  curl {url}/indexes/cities/search {json} -d '{{\"filter\":\"_geoRadius(48.85, 2.35, 300000)\",\"sort\":[\"_geoPoint(48.85, 2.35):asc\"],\"limit\":3}}'"
        ));
    }
    say("\nCtrl-C stops everything.");
}

/// Prints one line for the user.
fn say(line: &str) {
    // A closed stderr must not stop the cluster.
    let _ = writeln!(std::io::stderr(), "{line}");
}
