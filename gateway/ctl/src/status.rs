//! `miroir-ctl status`: whether the cluster is ready, and its nodes.

use argh::FromArgs;
use serde_json::json;

use crate::{client::Client, node, report::Report};

/// Whether every shard has a healthy node, and what state the nodes are in.
#[derive(FromArgs)]
#[argh(subcommand, name = "status")]
pub(crate) struct Status {}

impl Status {
    pub(crate) fn run(&self, client: &Client) -> anyhow::Result<Report> {
        let ready = client.get("/_miroir/ready")?;
        let topology = client.get("/_miroir/topology")?;
        let is_good = ready["ready"] == true;
        let text = format!(
            "{}: {} shards without a healthy node, {} indexes\n{}",
            if is_good { "ready" } else { "not ready" },
            ready["uncoveredShards"],
            topology["indexes"].as_array().map_or(0, Vec::len),
            node::lines(&topology)
        );
        Ok(Report { answer: json!({"ready": ready, "topology": topology}), text, is_good })
    }
}
