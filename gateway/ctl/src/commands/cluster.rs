//! `miroir-ctl cluster`: whether the cluster is well, in one line for scripts.

use argh::{ArgsInfo, FromArgs};
use serde_json::{Value, json};

use super::Action;
use crate::kit::{
    context::Context,
    report::{Outcome, Report},
    show::{Colour, painted, word},
};

/// The cluster as a whole.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "cluster")]
pub(crate) struct Cluster {
    #[argh(subcommand)]
    verb: Verb,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum Verb {
    Health(Health),
}

/// Whether every shard is covered, every node serves and the store answers;
/// exit code 4 when not.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "health", example = "miroir-ctl cluster health")]
struct Health {}

impl Action for Cluster {
    fn run(&self, context: &Context) -> anyhow::Result<Report> {
        let Verb::Health(Health {}) = &self.verb;
        let client = context.client()?;
        let ready = client.get("/_miroir/ready")?;
        let topology = client.get("/_miroir/topology")?;
        let troubles = troubles(&ready, &topology);
        let text = match troubles.is_empty() {
            true => painted(Colour::Green, "healthy") + "\n",
            false => format!("{}\n{}\n", painted(Colour::Red, "not healthy"), troubles.join("\n")),
        };
        let is_good = troubles.is_empty();
        let answer = json!({"healthy": is_good, "troubles": troubles, "ready": ready, "topology": topology});
        Ok(Report::good(answer, text).judged(is_good, Outcome::Unhealthy))
    }

    fn is_worth_watching(&self) -> bool {
        true
    }
}

/// What is missing, one line each.
fn troubles(ready: &Value, topology: &Value) -> Vec<String> {
    let mut found = Vec::new();
    if ready["uncoveredShards"] != 0 {
        found.push(format!("{} shards have no healthy node", word(&ready["uncoveredShards"])));
    }
    if ready["storeReached"] == false {
        found.push("the store does not answer".to_owned());
    }
    for node in topology["nodes"].as_array().into_iter().flatten() {
        let id = word(&node["id"]);
        // One that is leaving, or has left, is as it should be.
        if !matches!(node["state"].as_str(), Some("healthy" | "draining" | "removed")) {
            found.push(format!("node {id} is {}", word(&node["state"])));
        }
        if node["hints"]["copyNeeded"] == true {
            found.push(format!("node {id} needs a whole copy"));
        } else if node["hints"]["count"].as_u64().is_some_and(|count| count > 0) {
            found.push(format!("node {id} has missed {} writes", word(&node["hints"]["count"])));
        }
    }
    for peer in topology["coordinator"]["peers"].as_array().into_iter().flatten() {
        if peer["alive"] == false {
            found.push(format!("pod {} is missing", word(&peer["name"])));
        }
    }
    found
}
