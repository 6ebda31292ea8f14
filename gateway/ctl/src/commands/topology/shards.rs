//! `miroir-ctl shards`: which nodes hold which shards.

use argh::{ArgsInfo, FromArgs};
use serde_json::Value;

use super::Action;
use crate::kit::{context::Context, report::Report, show::word};

/// Shards.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "shards")]
pub(crate) struct Shards {
    #[argh(subcommand)]
    verb: Verb,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum Verb {
    List(List),
}

/// Lists which nodes hold each shard.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "list", example = "miroir-ctl shards list")]
struct List {}

impl Action for Shards {
    fn run(&self, context: &Context) -> anyhow::Result<Report> {
        match &self.verb {
            Verb::List(List {}) => {
                let shards = context.client()?.get("/_miroir/shards")?;
                let text = lines(&shards);
                Ok(Report::good(shards, text))
            }
        }
    }

    fn is_worth_watching(&self) -> bool {
        true
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
