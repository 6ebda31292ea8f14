//! `miroir-ctl node`: the nodes of the cluster.

use argh::FromArgs;
use serde_json::Value;

use crate::{
    client::Client,
    report::{Report, word},
};

/// Nodes.
#[derive(FromArgs)]
#[argh(subcommand, name = "node")]
pub(crate) struct Node {
    #[argh(subcommand)]
    verb: Verb,
}

#[derive(FromArgs)]
#[argh(subcommand)]
enum Verb {
    List(List),
}

/// Lists the nodes.
#[derive(FromArgs)]
#[argh(subcommand, name = "list")]
struct List {}

impl Node {
    pub(crate) fn run(&self, client: &Client) -> anyhow::Result<Report> {
        match &self.verb {
            Verb::List(List {}) => {
                let topology = client.get("/_miroir/topology")?;
                let text = lines(&topology);
                Ok(Report { answer: topology, text, is_good: true })
            }
        }
    }
}

/// A table of a topology's nodes, one per line.
pub(crate) fn lines(topology: &Value) -> String {
    let mut text =
        format!("{:<20} {:<10} {:<6} {}\n", "NODE", "STATE", "GROUP", "URL, and why it does not serve");
    for node in topology["nodes"].as_array().into_iter().flatten() {
        let (id, state, url) = (word(&node["id"]), word(&node["state"]), word(&node["url"]));
        let reason = node["reason"].as_str().map_or(String::new(), |reason| format!("  {reason}"));
        text.push_str(&format!("{id:<20} {state:<10} {:<6} {url}{reason}\n", node["group"].to_string()));
    }
    text
}
