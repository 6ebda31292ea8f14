//! `miroir-ctl node`: the nodes of the cluster; they come, go and are replaced.

use argh::{ArgsInfo, FromArgs};
use serde_json::{Map, Value, json};

use super::Action;
use crate::kit::{
    change,
    client::path,
    context::Context,
    report::Report,
    show::{Colour, bytes, painted, state, word},
    table::Table,
};

/// Nodes.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "node")]
pub(crate) struct Node {
    #[argh(subcommand)]
    verb: Verb,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum Verb {
    List(List),
    Stats(Stats),
    Add(Add),
    Drain(Drain),
    Remove(Remove),
    Replace(Replace),
}

/// Lists the nodes.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "list", example = "miroir-ctl node list")]
struct List {}

/// Shows how many shards each node has, and what it has missed.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "stats", example = "miroir-ctl node stats")]
struct Stats {}

/// Adds an empty node and moves its share to it.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "add",
    example = "miroir-ctl node add n4 http://10.0.0.4:7700 --watch\nmiroir-ctl node add n4 http://10.0.0.4:7700 --dry-run"
)]
struct Add {
    /// its name
    #[argh(positional)]
    id: String,
    /// its URL
    #[argh(positional)]
    url: String,
    /// its replica group, 0 by default; a new number makes a new group
    #[argh(option)]
    group: Option<u16>,
    /// its capacity in proportion to the others', 1 by default
    #[argh(option)]
    capacity: Option<f64>,
    /// show what would move, and move nothing
    #[argh(switch)]
    dry_run: bool,
}

/// Moves everything off a node, which stays known and empty.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "drain", example = "miroir-ctl node drain n2 --watch")]
struct Drain {
    /// its name
    #[argh(positional)]
    id: String,
    /// show what would move, and move nothing
    #[argh(switch)]
    dry_run: bool,
}

/// Moves everything off a node and forgets it.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "remove",
    example = "miroir-ctl node remove n2 --watch\nmiroir-ctl node remove n2 --force --yes"
)]
struct Remove {
    /// its name
    #[argh(positional)]
    id: String,
    /// it is dead: its shards come from other copies
    #[argh(switch)]
    force: bool,
    /// show what would move, and move nothing
    #[argh(switch)]
    dry_run: bool,
}

/// Has another node take over what one has.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "replace", example = "miroir-ctl node replace n2 n5 http://10.0.0.5:7700 --watch")]
struct Replace {
    /// the name of the one that goes
    #[argh(positional)]
    id: String,
    /// the name of the one that comes
    #[argh(positional)]
    by: String,
    /// the URL of the one that comes
    #[argh(positional)]
    url: String,
    /// the one that goes is dead: its shards come from other copies
    #[argh(switch)]
    force: bool,
    /// show what would move, and move nothing
    #[argh(switch)]
    dry_run: bool,
}

impl Action for Node {
    fn run(&self, context: &Context) -> anyhow::Result<Report> {
        let client = context.client()?;
        match &self.verb {
            Verb::List(List {}) => {
                let topology = client.get("/_miroir/topology")?;
                let text = lines(&topology);
                Ok(Report::good(topology, text))
            }
            Verb::Stats(Stats {}) => {
                let topology = client.get("/_miroir/topology")?;
                let shards = client.get("/_miroir/shards")?;
                let text = stats(&topology, &shards);
                Ok(Report::good(json!({"topology": topology, "shards": shards}), text))
            }
            Verb::Add(add) => add.run(context),
            Verb::Drain(Drain { id, dry_run }) => {
                let answer = client.post(&path(&["nodes", id, "drain"]), &json!({"dryRun": dry_run}))?;
                Ok(change::report(answer))
            }
            Verb::Remove(Remove { id, force, dry_run }) => {
                if !dry_run {
                    let way = if *force { "without being asked for anything" } else { "once it is empty" };
                    context.confirm(id, &format!("Node {id} is forgotten {way}"))?;
                }
                let asked = format!("{}?force={force}&dryRun={dry_run}", path(&["nodes", id]));
                Ok(change::report(client.delete(&asked)?))
            }
            Verb::Replace(replace) => replace.run(context),
        }
    }

    fn is_worth_watching(&self) -> bool {
        matches!(self.verb, Verb::List(_) | Verb::Stats(_))
    }
}

impl Add {
    fn run(&self, context: &Context) -> anyhow::Result<Report> {
        let mut body = json!({"id": self.id, "url": self.url, "dryRun": self.dry_run});
        if let Some(group) = self.group {
            body["group"] = json!(group);
        }
        if let Some(capacity) = self.capacity {
            body["capacity"] = json!(capacity);
        }
        Ok(change::report(context.client()?.post("/_miroir/nodes", &body)?))
    }
}

impl Replace {
    fn run(&self, context: &Context) -> anyhow::Result<Report> {
        let (id, by) = (&self.id, &self.by);
        if !self.dry_run {
            context.confirm(id, &format!("Node {id} is forgotten once {by} has what it had"))?;
        }
        let asked = format!("{}?force={}", path(&["nodes", id, "replace"]), self.force);
        let body = json!({"id": by, "url": self.url, "dryRun": self.dry_run});
        Ok(change::report(context.client()?.post(&asked, &body)?))
    }
}

/// A table of a topology's nodes, one a line.
pub(crate) fn lines(topology: &Value) -> String {
    let mut table = Table::new(&["NODE", "STATE", "GROUP", "HINTS", "URL"]);
    for node in topology["nodes"].as_array().into_iter().flatten() {
        table.row(&[
            word(&node["id"]),
            state(&node["state"]),
            word(&node["group"]),
            hints(&node["hints"]),
            match node["reason"].as_str() {
                None => word(&node["url"]),
                // Why it does not serve.
                Some(_) => format!("{} {}", word(&node["url"]), painted(Colour::Red, &word(&node["reason"]))),
            },
        ]);
    }
    table.text()
}

/// What a node has missed.
fn hints(hints: &Value) -> String {
    if hints["copyNeeded"] == true {
        return painted(Colour::Red, "whole copy");
    }
    match hints["count"].as_u64() {
        None | Some(0) => word(&hints["count"]),
        Some(count) => painted(Colour::Yellow, &format!("{count} ({})", bytes(&hints["bytes"]))),
    }
}

/// A table of how many shards each node owns, by the number of shards of indexes.
fn stats(topology: &Value, shards: &Value) -> String {
    let placements = shards["placements"].as_array().map(Vec::as_slice).unwrap_or_default();
    let heads = placements.iter().map(|placement| format!("OF {}", word(&placement["shards"])));
    let heads = ["NODE", "STATE", "HINTS"].map(str::to_owned).into_iter().chain(heads).collect::<Vec<_>>();
    let mut table = Table::new(&heads.iter().map(String::as_str).collect::<Vec<_>>());
    let owned = placements.iter().map(owned).collect::<Vec<_>>();
    for node in topology["nodes"].as_array().into_iter().flatten() {
        let id = word(&node["id"]);
        let counts = owned.iter().map(|owned| owned.get(&id).map_or("0".to_owned(), Value::to_string));
        let cells = [id.clone(), state(&node["state"]), hints(&node["hints"])];
        table.row(&cells.into_iter().chain(counts).collect::<Vec<_>>());
    }
    table.text()
}

/// The number of shards of one placement, by node.
fn owned(placement: &Value) -> Map<String, Value> {
    let mut owned = Map::new();
    for group in placement["groups"].as_array().into_iter().flatten() {
        for owner in group["owners"].as_array().into_iter().flatten().flat_map(|owners| owners.as_array()) {
            for id in owner.iter().map(word) {
                let count = owned.get(&id).and_then(Value::as_u64).unwrap_or(0);
                owned.insert(id, json!(count + 1));
            }
        }
    }
    owned
}
