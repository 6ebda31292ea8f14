//! `miroir-chaos`: runs a cluster under load while its nodes or its gateway fail, and checks every write.
//! Invariants: it plays every part itself in child processes. It leaves nothing running and nothing on disk. Exit code
//! 1 means that a guarantee was violated, 2 that the run failed to start.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use argh::FromArgs;
use cluster::chaos::{Options, Report, Scenario, run};
use cluster::cluster::ClusterOptions;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Breaks a cluster under load: embedded nodes, or the Meilisearch binary that MIROIR_NODE_BIN names.
#[derive(FromArgs)]
struct Arguments {
    /// where everything random comes from, 1 by default
    #[argh(option, default = "1")]
    seed: u64,
    /// seconds for which things go wrong, 60 by default
    #[argh(option, default = "60")]
    seconds: u64,
    /// seconds one fault lasts at most, 10 by default
    #[argh(option, default = "10")]
    fault_seconds: u64,
    /// what goes wrong: nodes (the default), gateway, group, slow-node
    #[argh(option, default = "Scenario::Nodes", from_str_fn(scenario))]
    scenario: Scenario,
    /// nodes in all groups together, 3 by default
    #[argh(option, default = "3")]
    nodes: usize,
    /// copies of each shard inside a group, 2 by default
    #[argh(option, default = "2")]
    replication_factor: usize,
    /// replica groups, 1 by default
    #[argh(option, default = "1")]
    groups: usize,
    /// runtime of the gateway: auto (the default), monoio, glommio
    #[argh(option, default = "\"auto\".to_owned()")]
    runtime: String,
    /// a further argument of the gateway, as `--name=value`; may be given several times
    #[argh(option)]
    gateway: Vec<String>,
}

fn scenario(text: &str) -> Result<Scenario, String> {
    match text {
        "nodes" => Ok(Scenario::Nodes),
        "gateway" => Ok(Scenario::NodesAndGateway),
        "group" => Ok(Scenario::Group),
        "slow-node" => Ok(Scenario::SlowNode),
        other => Err(format!("`{other}` is no scenario; allowed: nodes, gateway, group, slow-node")),
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(code) = cluster::roles::play(&arguments) {
        return code;
    }
    match break_things(&argh::from_env()) {
        Ok(report) => {
            say(&report.to_string());
            if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            say(&format!("miroir-chaos: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn break_things(arguments: &Arguments) -> anyhow::Result<Report> {
    let data = tempfile::Builder::new().prefix("miroir-chaos-").tempdir()?;
    let mut gateway_arguments = vec!["--runtime".to_owned(), arguments.runtime.clone()];
    for argument in &arguments.gateway {
        match argument.split_once('=') {
            Some((name, value)) => gateway_arguments.extend([name.to_owned(), value.to_owned()]),
            None => gateway_arguments.push(argument.clone()),
        }
    }
    let options = Options {
        seed: arguments.seed,
        lasts: Duration::from_secs(arguments.seconds),
        fault_lasts: Duration::from_secs(arguments.fault_seconds),
        scenario: arguments.scenario,
        cluster: ClusterOptions {
            nodes: arguments.nodes,
            groups: arguments.groups,
            replication_factor: arguments.replication_factor,
            node_binary: std::env::var_os("MIROIR_NODE_BIN").map(PathBuf::from),
            node_master_key: Some("the-key-of-the-nodes".to_owned()),
            gateway_arguments,
            ..ClusterOptions::new(std::env::current_exe()?, data.path().to_owned())
        },
    };
    run(&options, &mut say)
}

fn say(line: &str) {
    // A closed stderr must not stop the run.
    let _ = writeln!(std::io::stderr(), "{line}");
}
