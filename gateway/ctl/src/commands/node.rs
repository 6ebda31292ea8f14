//! `miroir-ctl node`: the nodes of the cluster.

use argh::{ArgsInfo, FromArgs};
use serde_json::Value;

use super::Action;
use crate::kit::{
    context::Context,
    report::Report,
    show::{bytes, painted, state, word, Colour},
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
}

/// Lists the nodes.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "list", example = "miroir-ctl node list")]
struct List {}

impl Action for Node {
    fn run(&self, context: &Context) -> anyhow::Result<Report> {
        match &self.verb {
            Verb::List(List {}) => {
                let topology = context.client()?.get("/_miroir/topology")?;
                let text = lines(&topology);
                Ok(Report::good(topology, text))
            }
        }
    }

    fn is_worth_watching(&self) -> bool {
        match &self.verb {
            Verb::List(List {}) => true,
        }
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
