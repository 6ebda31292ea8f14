//! `miroir-ctl shards`: which nodes hold which shards.

use argh::FromArgs;
use serde_json::Value;

use crate::{
    client::Client,
    report::{Report, word},
};

/// Shards.
#[derive(FromArgs)]
#[argh(subcommand, name = "shards")]
pub(crate) struct Shards {
    #[argh(subcommand)]
    verb: Verb,
}

#[derive(FromArgs)]
#[argh(subcommand)]
enum Verb {
    List(List),
}

/// Lists which nodes hold each shard.
#[derive(FromArgs)]
#[argh(subcommand, name = "list")]
struct List {}

impl Shards {
    pub(crate) fn run(&self, client: &Client) -> anyhow::Result<Report> {
        match &self.verb {
            Verb::List(List {}) => {
                let shards = client.get("/_miroir/shards")?;
                let text = lines(&shards);
                Ok(Report { answer: shards, text, is_good: true })
            }
        }
    }
}

/// The owners of every shard, one shard a line, under a line for each group.
fn lines(shards: &Value) -> String {
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
