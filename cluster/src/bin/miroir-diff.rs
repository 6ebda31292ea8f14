//! `miroir-diff`: asks one node and a cluster the same questions, and reports the differences.
//! Invariants: it plays every part itself in child processes. It leaves nothing running and nothing on disk. Exit code
//! 1 means that something differs which must be exact, 2 that the run failed to start.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use argh::FromArgs;
use cluster::cluster::ClusterOptions;
use cluster::differential::{Layout, Options, Ties, run};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Compares a cluster with one node: embedded nodes, or the Meilisearch binary that MIROIR_NODE_BIN names.
#[derive(FromArgs)]
struct Arguments {
    /// where everything random comes from, 1 by default
    #[argh(option, default = "1")]
    seed: u64,
    /// questions to ask, 5000 by default
    #[argh(option, default = "5_000")]
    queries: usize,
    /// documents of the largest index, 20000 by default
    #[argh(option, default = "20_000")]
    documents: usize,
    /// nodes in all groups together, 3 by default
    #[argh(option, default = "3")]
    nodes: usize,
    /// copies of each shard inside a group, 1 by default
    #[argh(option, default = "1")]
    replication_factor: usize,
    /// replica groups, 1 by default
    #[argh(option, default = "1")]
    groups: usize,
    /// families to ask, with commas between them; all by default
    #[argh(option, default = "String::new()")]
    families: String,
    /// runtime of the gateway: auto (the default), monoio, glommio
    #[argh(option, default = "\"auto\".to_owned()")]
    runtime: String,
    /// file for the report: Markdown if it ends in .md, else JSON lines
    #[argh(option)]
    report: Option<PathBuf>,
    /// nodes to kill before anything is asked, 0 by default
    #[argh(option, default = "0")]
    down: usize,
    /// write the cluster's documents again, as they are, while questions are asked
    #[argh(switch)]
    rewrite: bool,
    /// how the cluster holds each index: index (the default), alias (of one index), parts (an alias of three)
    #[argh(option, default = "Layout::Index", from_str_fn(layout))]
    layout: Layout,
    /// order among equals: strict (the default) or any
    #[argh(option, default = "Ties::Strict", from_str_fn(ties))]
    ties: Ties,
    /// differences to find the smallest case of, 10 by default
    #[argh(option, default = "10")]
    shrink: usize,
}

fn layout(text: &str) -> Result<Layout, String> {
    match text {
        "index" => Ok(Layout::Index),
        "alias" => Ok(Layout::Alias),
        "parts" => Ok(Layout::Parts(3)),
        other => Err(format!("`{other}` is no way to hold an index; allowed: index, alias, parts")),
    }
}

fn ties(text: &str) -> Result<Ties, String> {
    match text {
        "strict" => Ok(Ties::Strict),
        "any" => Ok(Ties::Any),
        other => Err(format!("`{other}` is no way to order equals; allowed: strict, any")),
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(code) = cluster::roles::play(&arguments) {
        return code;
    }
    match compare(&argh::from_env()) {
        Ok(false) => ExitCode::SUCCESS,
        Ok(true) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("miroir-diff: {error:#}"));
            ExitCode::from(2)
        }
    }
}

/// Whether a difference was found in something that must be exact.
fn compare(arguments: &Arguments) -> anyhow::Result<bool> {
    let data = tempfile::Builder::new().prefix("miroir-diff-").tempdir()?;
    let names = arguments.families.split(',').map(str::trim).filter(|name| !name.is_empty());
    let options = Options {
        seed: arguments.seed,
        queries: arguments.queries,
        documents: arguments.documents,
        families: names.map(str::to_owned).collect(),
        ties: arguments.ties,
        down: arguments.down,
        layout: arguments.layout,
        rewrite: arguments.rewrite,
        shrink_max: arguments.shrink,
        cluster: ClusterOptions {
            nodes: arguments.nodes,
            groups: arguments.groups,
            no_sync: true,
            replication_factor: arguments.replication_factor,
            node_binary: std::env::var_os("MIROIR_NODE_BIN").map(PathBuf::from),
            node_master_key: Some("the-key-of-the-nodes".to_owned()),
            gateway_arguments: vec!["--runtime".to_owned(), arguments.runtime.clone()],
            ..ClusterOptions::new(std::env::current_exe()?, data.path().to_owned())
        },
    };
    let report = run(&options, &mut say)?;
    let text = match &arguments.report {
        Some(path) if path.extension().is_some_and(|extension| extension == "md") => report.to_markdown(),
        Some(_) => report.to_json_lines(),
        None => report.to_markdown(),
    };
    match &arguments.report {
        Some(path) => {
            std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?
        }
        None => std::io::stdout().lock().write_all(text.as_bytes())?,
    }
    say(&format!("{} questions compared, {} unexplained", report.compared(), report.unexplained()));
    Ok(report.failed())
}

fn say(line: &str) {
    // A closed stderr must not stop the run.
    let _ = writeln!(std::io::stderr(), "{line}");
}
