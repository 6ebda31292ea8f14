//! `miroir-ctl`: the operator's command line over the management API, and for moving a store that no gateway has
//! open.
//!
//! Invariants: it shows what the API answers and keeps no state. `--json` prints the API's own answer. The exit code
//! is 0 for done, 1 for a difference or failure that was found, 2 for what could not be asked.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use argh::FromArgs;
use futures_lite::future::block_on;
use serde_json::{Value, json};

use crate::config::{self, StoreConfig};

/// The longest wait for one answer.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// The pause between two checks of a running pass.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// Operates a Miroir cluster over the management API of a gateway.
#[derive(FromArgs)]
struct Arguments {
    /// the gateway, 127.0.0.1:7700 by default
    #[argh(option, default = "\"127.0.0.1:7700\".to_owned()")]
    address: String,
    /// the admin key, unless MIROIR_ADMIN_API_KEY or ~/.config/miroir/credentials has it
    #[argh(option)]
    admin_key: Option<String>,
    /// print the answers of the API as JSON
    #[argh(switch)]
    json: bool,
    #[argh(subcommand)]
    command: Command,
}

#[derive(FromArgs)]
#[argh(subcommand)]
enum Command {
    Status(Status),
    Node(Node),
    Shards(Shards),
    AntiEntropy(AntiEntropy),
    Store(StoreCommand),
}

/// A gateway's store, while no gateway has it open.
#[derive(FromArgs)]
#[argh(subcommand, name = "store")]
struct StoreCommand {
    #[argh(subcommand)]
    verb: StoreVerb,
}

#[derive(FromArgs)]
#[argh(subcommand)]
enum StoreVerb {
    Export(StoreExport),
    Import(StoreImport),
}

/// Writes all of a store into a file of JSON lines.
#[derive(FromArgs)]
#[argh(subcommand, name = "export")]
struct StoreExport {
    /// sled:PATH or redis://HOST:PORT, as the gateway has it
    #[argh(option)]
    store: String,
    /// the file to be made
    #[argh(positional)]
    file: PathBuf,
}

/// Fills an empty store from a file that `export` has written.
#[derive(FromArgs)]
#[argh(subcommand, name = "import")]
struct StoreImport {
    /// sled:PATH or redis://HOST:PORT, as the gateway has it
    #[argh(option)]
    store: String,
    /// the file to be read
    #[argh(positional)]
    file: PathBuf,
}

/// Whether every shard has a healthy node, and what state the nodes are in.
#[derive(FromArgs)]
#[argh(subcommand, name = "status")]
struct Status {}

/// Nodes.
#[derive(FromArgs)]
#[argh(subcommand, name = "node")]
struct Node {
    #[argh(subcommand)]
    verb: NodeVerb,
}

#[derive(FromArgs)]
#[argh(subcommand)]
enum NodeVerb {
    List(NodeList),
}

/// Lists the nodes.
#[derive(FromArgs)]
#[argh(subcommand, name = "list")]
struct NodeList {}

/// Shards.
#[derive(FromArgs)]
#[argh(subcommand, name = "shards")]
struct Shards {
    #[argh(subcommand)]
    verb: ShardsVerb,
}

#[derive(FromArgs)]
#[argh(subcommand)]
enum ShardsVerb {
    List(ShardsList),
}

/// Lists which nodes hold each shard.
#[derive(FromArgs)]
#[argh(subcommand, name = "list")]
struct ShardsList {}

/// Comparing and repairing the copies of documents.
#[derive(FromArgs)]
#[argh(subcommand, name = "anti-entropy")]
struct AntiEntropy {
    #[argh(subcommand)]
    verb: AntiEntropyVerb,
}

#[derive(FromArgs)]
#[argh(subcommand)]
enum AntiEntropyVerb {
    Run(Run),
    Verify(Verify),
    Status(PassStatus),
    History(History),
}

/// Compares all copies, makes them equal and waits until that is done.
#[derive(FromArgs)]
#[argh(subcommand, name = "run")]
struct Run {
    /// only this index
    #[argh(option)]
    index: Option<String>,
    /// only this node, its indexes and settings included
    #[argh(option)]
    node: Option<String>,
}

/// Compares all copies and repairs nothing; exit code 1 when they differ.
#[derive(FromArgs)]
#[argh(subcommand, name = "verify")]
struct Verify {
    /// only this index
    #[argh(option)]
    index: Option<String>,
}

/// The pass that runs, and the last one.
#[derive(FromArgs)]
#[argh(subcommand, name = "status")]
struct PassStatus {}

/// The passes that are remembered, newest first.
#[derive(FromArgs)]
#[argh(subcommand, name = "history")]
struct History {}

/// Runs the command; `arguments` start with the program's name.
pub fn main(arguments: &[String]) -> ExitCode {
    let rest = arguments.iter().skip(1).map(String::as_str).collect::<Vec<_>>();
    let parsed = match Arguments::from_args(&["miroir-ctl"], &rest) {
        Ok(parsed) => parsed,
        Err(exit) if exit.status.is_ok() => {
            let _ = writeln!(std::io::stdout().lock(), "{}", exit.output);
            return ExitCode::SUCCESS;
        }
        Err(exit) => {
            let _ = writeln!(std::io::stderr().lock(), "miroir-ctl: {}", exit.output.trim());
            return ExitCode::from(2);
        }
    };
    match run(&parsed) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr().lock(), "miroir-ctl: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if let Command::Store(StoreCommand { verb }) = &arguments.command {
        let (answer, text) = transfer(verb)?;
        let text = if arguments.json { format!("{answer:#}\n") } else { text };
        std::io::stdout().lock().write_all(text.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let api = Api { address: arguments.address.clone(), key: admin_key(arguments)? };
    let (answer, text, good) = match &arguments.command {
        Command::Status(_) => status(&api)?,
        Command::Node(Node { verb: NodeVerb::List(_) }) => {
            let topology = api.ask("GET", "/_miroir/topology", None)?;
            let text = nodes(&topology);
            (topology, text, true)
        }
        Command::Shards(Shards { verb: ShardsVerb::List(_) }) => {
            let shards = api.ask("GET", "/_miroir/shards", None)?;
            let text = shard_lines(&shards);
            (shards, text, true)
        }
        Command::AntiEntropy(AntiEntropy { verb }) => anti_entropy(&api, verb)?,
        Command::Store(_) => bail!("the store is not asked over the API"),
    };
    let text = if arguments.json { format!("{answer:#}\n") } else { text };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// An answer of the API, the same in words, and whether it is good news.
type Report = (Value, String, bool);

/// Exports a store from its backend, or imports one into it.
fn transfer(verb: &StoreVerb) -> anyhow::Result<(Value, String)> {
    let (named, file) = match verb {
        StoreVerb::Export(StoreExport { store, file }) | StoreVerb::Import(StoreImport { store, file }) => {
            (store, file)
        }
    };
    let (store, thread) = match config::store(Some(named))? {
        StoreConfig::Sled { path } => {
            // An export does not create a store that is missing.
            let is_there = matches!(verb, StoreVerb::Import(_)) || path.exists();
            ensure!(is_there, "store {}: there is none", path.display());
            store::open_sled(&path)?
        }
        StoreConfig::Redis { url } => {
            store::open_redis(store::RedisOptions { url: url.expose().to_owned(), clock: None })?
        }
    };
    let shown = file.display();
    let (verb, count) = match verb {
        StoreVerb::Export(_) => {
            let fresh = std::fs::File::create_new(file).with_context(|| format!("{shown} cannot be made"))?;
            let mut out = std::io::BufWriter::new(fresh);
            let written = block_on(store::transfer::export(&store, &mut out));
            if written.is_err() {
                // A part of the file would help nobody, so it is removed.
                let _ = std::fs::remove_file(file);
            }
            out.get_ref().sync_all()?;
            ("exported", written?)
        }
        StoreVerb::Import(_) => {
            let read = block_on(store::transfer::import(&store, file));
            ("imported", read.with_context(|| shown.to_string())?)
        }
    };
    thread.join()?;
    Ok((json!({"entries": count}), format!("{count} entries {verb}\n")))
}

fn status(api: &Api) -> anyhow::Result<Report> {
    let ready = api.ask("GET", "/_miroir/ready", None)?;
    let topology = api.ask("GET", "/_miroir/topology", None)?;
    let good = ready["ready"] == true;
    let text = format!(
        "{}: {} shards without a healthy node, {} indexes\n{}",
        if good { "ready" } else { "not ready" },
        ready["uncoveredShards"],
        topology["indexes"].as_array().map_or(0, Vec::len),
        nodes(&topology)
    );
    Ok((json!({"ready": ready, "topology": topology}), text, good))
}

fn nodes(topology: &Value) -> String {
    let mut text = format!("{:<20} {:<10} {:<6} {}\n", "NODE", "STATE", "GROUP", "URL");
    for node in topology["nodes"].as_array().into_iter().flatten() {
        let (id, state, url) = (word(&node["id"]), word(&node["state"]), word(&node["url"]));
        text.push_str(&format!("{id:<20} {state:<10} {:<6} {url}\n", node["group"].to_string()));
    }
    text
}

fn shard_lines(shards: &Value) -> String {
    let mut text = String::new();
    for placement in shards["placements"].as_array().into_iter().flatten() {
        for group in placement["groups"].as_array().into_iter().flatten() {
            text.push_str(&format!("group {}, {} shards\n", group["group"], placement["shards"]));
            for (shard, owners) in group["owners"].as_array().into_iter().flatten().enumerate() {
                let owners = owners.as_array().into_iter().flatten().map(word).collect::<Vec<_>>();
                text.push_str(&format!("{shard:>6} {}\n", owners.join(" ")));
            }
        }
    }
    text
}

fn anti_entropy(api: &Api, verb: &AntiEntropyVerb) -> anyhow::Result<Report> {
    let wanted = match verb {
        AntiEntropyVerb::Status(_) => {
            let status = api.ask("GET", "/_miroir/anti-entropy", None)?;
            let text = format!("running: {}\nlast:    {}\n", pass(&status["running"]), pass(&status["last"]));
            return Ok((status, text, true));
        }
        AntiEntropyVerb::History(_) => {
            let history = api.ask("GET", "/_miroir/anti-entropy/history", None)?;
            let lines = history["results"].as_array().into_iter().flatten().map(|of| pass(of) + "\n");
            let text = lines.collect::<String>();
            return Ok((history, text, true));
        }
        AntiEntropyVerb::Run(run) => json!({"index": run.index, "node": run.node}),
        AntiEntropyVerb::Verify(verify) => json!({"index": verify.index, "dryRun": true}),
    };
    let number = api.ask("POST", "/_miroir/anti-entropy", Some(&wanted))?["pass"].clone();
    let ended = loop {
        let status = api.ask("GET", "/_miroir/anti-entropy", None)?;
        let is_dead = status["dead"].as_array().is_some_and(|dead| dead.contains(&number));
        ensure!(!is_dead, "every pod that began this pass has died of it");
        let history = api.ask("GET", "/_miroir/anti-entropy/history", None)?;
        let mut passes = history["results"].as_array().into_iter().flatten();
        if let Some(ended) = passes.find(|pass| pass["number"] == number) {
            break ended.clone();
        }
        std::thread::sleep(LOOK_PAUSE);
    };
    let report = &ended["report"];
    let differs = matches!(verb, AntiEntropyVerb::Verify(_)) && report["differing"] != 0;
    let good = !differs && report["failed"] == 0 && report["undecided"] == 0;
    let text = pass(&ended) + "\n";
    Ok((ended, text, good))
}

/// Describes a pass in one line.
fn pass(pass: &Value) -> String {
    if pass.is_null() {
        return "none".to_owned();
    }
    let report = &pass["report"];
    format!(
        "{} {}{}: {} shards, {} copies of documents compared, {} differ, {} rewritten, {} deleted, {} failed",
        word(&pass["startedAt"]),
        if pass["dryRun"] == true { "verify" } else { "run" },
        pass["index"].as_str().map(|uid| format!(" {uid}")).unwrap_or_default(),
        report["shards"],
        report["compared"],
        report["differing"],
        report["rewritten"],
        report["deleted"],
        report["failed"]
    )
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

/// The admin key, from the first of these that has it: the environment, the file of credentials, the flag.
fn admin_key(arguments: &Arguments) -> anyhow::Result<Option<String>> {
    let set = |key: String| Some(key.trim().to_owned()).filter(|key| !key.is_empty());
    if let Some(key) = std::env::var("MIROIR_ADMIN_API_KEY").ok().and_then(set) {
        return Ok(Some(key));
    }
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let file = home.map(|home| home.join(".config/miroir/credentials"));
    let key = match file.filter(|file| file.exists()) {
        Some(file) => {
            let text = std::fs::read_to_string(&file);
            set(text.with_context(|| format!("{} cannot be read", file.display()))?)
        }
        None => None,
    };
    Ok(key.or_else(|| arguments.admin_key.clone()))
}

/// The management API of one gateway.
struct Api {
    address: String,
    key: Option<String>,
}

impl Api {
    /// Sends one request over its own connection. A 503 is a valid answer: a gateway that is not ready answers with
    /// it.
    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let stream = TcpStream::connect(&self.address);
        let mut stream = stream.with_context(|| format!("no gateway at {}", self.address))?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        let body = body.map(Value::to_string).unwrap_or_default();
        let key = self.key.as_ref().map(|key| format!("x-admin-key: {key}\r\n")).unwrap_or_default();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{key}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).context("the gateway gave no whole answer")?;
        let (head, body) = answer.split_once("\r\n\r\n").context("this is no HTTP server")?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok()).unwrap_or(0);
        let value: Value = serde_json::from_str(body).unwrap_or_default();
        match status {
            200..=299 => Ok(value),
            503 if value["ready"].is_boolean() => Ok(value),
            _ => bail!("{method} {path}: status {status}: {}", value["message"].as_str().unwrap_or(body)),
        }
    }
}
