//! `miroir-ctl routing`: whether keys are asked where their shards are, and the way back from a reshard.

use std::collections::BTreeMap;

use anyhow::Context as _;
use argh::{ArgsInfo, FromArgs};
use serde_json::{Value, json};

use super::Action;
use crate::kit::{
    client::{Client, path},
    context::Context,
    operation,
    report::{Outcome, Report},
    show::word,
};

/// Where keys are asked for.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "routing")]
pub(crate) struct Routing {
    #[argh(subcommand)]
    verb: Verb,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum Verb {
    Test(Test),
    Revert(Revert),
}

/// Has searches for single keys planned, and compares with the owners of
/// their shards; exit code 1 when one goes elsewhere.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "test", example = "miroir-ctl routing test --index products --samples 1000")]
struct Test {
    /// the index
    #[argh(option)]
    index: String,
    /// how many keys, 100 by default
    #[argh(option, default = "100")]
    samples: u32,
}

/// Has the copies from before a reshard serve again.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "revert", example = "miroir-ctl routing revert --index products --watch")]
struct Revert {
    /// the index
    #[argh(option)]
    index: String,
}

impl Action for Routing {
    fn run(&self, context: &Context) -> anyhow::Result<Report> {
        let client = context.client()?;
        match &self.verb {
            Verb::Test(Test { index, samples }) => test(client, index, *samples),
            Verb::Revert(Revert { index }) => {
                context.confirm(index, &format!("The present copies of {index} are dropped"))?;
                Ok(operation::begun(client.post("/_miroir/routing/revert", &json!({"index": index}))?))
            }
        }
    }
}

fn test(client: &Client, index: &str, samples: u32) -> anyhow::Result<Report> {
    let placed = client.get("/_miroir/shards")?;
    let mut indexes = placed["indexes"].as_array().into_iter().flatten();
    let known =
        indexes.find(|known| known["uid"] == index).with_context(|| format!("there is no index {index}"))?;
    let key =
        known["primaryKey"].as_str().with_context(|| format!("index {index} has no primary key yet"))?;
    let mut placements = placed["placements"].as_array().into_iter().flatten();
    let placement = placements.find(|placement| placement["shards"] == known["shards"]);
    let placement = placement.context("the shards of the index are not placed")?;
    let asked = format!("/indexes/{}/explain", path(&[index]).trim_start_matches("/_miroir/"));
    let mut wrong = Vec::new();
    let mut by_node: BTreeMap<String, u64> = BTreeMap::new();
    for sample in 0..samples {
        let body = json!({"filter": format!("{key} = \"routing-test-{sample}\""), "limit": 0});
        let plan = client.post(&asked, &body)?["plan"].take();
        for (shard, node) in plan["nodes"].as_object().into_iter().flatten() {
            *by_node.entry(word(node)).or_default() += 1;
            if !owns(placement, shard, node) {
                wrong.push(json!({"sample": sample, "shard": shard, "node": node}));
            }
        }
        let shards = plan["targetShards"].as_array().map_or(0, Vec::len);
        if shards != 1 {
            wrong.push(json!({"sample": sample, "shards": shards}));
        }
    }
    let mut text = format!("{samples} keys of {index} over {} shards: ", word(&known["shards"]));
    text.push_str(&if wrong.is_empty() {
        "each is asked for at an owner of its shard\n".to_owned()
    } else {
        format!("{} are asked for elsewhere\n", wrong.len())
    });
    for (node, count) in &by_node {
        text.push_str(&format!("{node} {count}\n"));
    }
    let is_good = wrong.is_empty();
    let answer = json!({"index": index, "samples": samples, "byNode": by_node, "wrong": wrong});
    Ok(Report::good(answer, text).judged(is_good, Outcome::Failed))
}

/// Whether a node is an owner of a shard in any group.
fn owns(placement: &Value, shard: &str, node: &Value) -> bool {
    let Ok(shard) = shard.parse::<usize>() else { return false };
    let groups = placement["groups"].as_array().into_iter().flatten();
    let mut owners = groups.filter_map(|group| group["owners"][shard].as_array()).flatten();
    owners.any(|owner| owner == node)
}
