//! `miroir-ctl status`: the cluster on one screen.

use argh::{ArgsInfo, FromArgs};
use serde_json::{Value, json};

use super::{Action, node};
use crate::kit::{
    context::Context,
    failure::Failure,
    report::{Outcome, Report},
    show::{Colour, painted, word},
    table::Table,
};

/// The cluster on one screen; exit code 4 when it is not well.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "status",
    example = "miroir-ctl status\nmiroir-ctl status --watch\nmiroir-ctl --json status"
)]
pub(crate) struct Status {}

impl Action for Status {
    fn run(&self, context: &Context) -> anyhow::Result<Report> {
        let client = context.client()?;
        let ready = client.get("/_miroir/ready")?;
        let topology = client.get("/_miroir/topology")?;
        let running = match client.get("/_miroir/operations?status=running&limit=5") {
            Ok(running) => running,
            // Without the store nobody knows them, and the rest is all the more worth seeing.
            Err(error) if is_store_away(&error) => Value::Null,
            Err(error) => return Err(error),
        };
        let is_good = ready["ready"] == true;
        let text = screen(client.origin(), &ready, &topology, &running);
        let seen = json!({"ready": ready, "topology": topology, "operations": running});
        let report = Report::good(seen, text);
        Ok(report.judged(is_good, Outcome::Unhealthy))
    }

    fn is_worth_watching(&self) -> bool {
        true
    }
}

/// Whether the gateway could not answer for lack of its store.
fn is_store_away(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(Failure::Refused { status: 503, .. }))
}

/// What an operator looks at first: whether all is there, what is missing, and by whom it is served.
fn screen(origin: &str, ready: &Value, topology: &Value, running: &Value) -> String {
    let heading = match ready["ready"] == true {
        true => painted(Colour::Green, "ready"),
        false => painted(Colour::Red, "not ready"),
    };
    let mut table = Table::bare();
    table.row(&["gateway".to_owned(), origin.to_owned()]);
    table.row(&["shards".to_owned(), coverage(ready, topology)]);
    table.row(&["indexes".to_owned(), topology["indexes"].as_array().map_or(0, Vec::len).to_string()]);
    table.row(&["store".to_owned(), store(ready)]);
    table.row(&["pods".to_owned(), pods(&topology["coordinator"])]);
    table.row(&["tasks".to_owned(), format!("{} have not ended", word(&topology["tasks"]["unfinished"]))]);
    table.row(&["operations".to_owned(), operations(running)]);
    table.row(&["versions".to_owned(), versions(topology)]);
    format!("{heading}\n{}\n{}", table.text(), node::lines(topology))
}

fn coverage(ready: &Value, topology: &Value) -> String {
    let (all, factor) = (word(&topology["shards"]), word(&topology["replicationFactor"]));
    match ready["uncoveredShards"].as_u64() {
        Some(0) => {
            let copies = if factor == "1" { "copy" } else { "copies" };
            format!("{all}, all with a healthy node; {factor} {copies} in each group")
        }
        _ => {
            let missing = word(&ready["uncoveredShards"]);
            painted(Colour::Red, &format!("{all}, {missing} without a healthy node"))
        }
    }
}

fn store(ready: &Value) -> String {
    match ready["storeReached"] == false {
        true => painted(Colour::Red, "does not answer: writes are refused until it does"),
        false => "answers".to_owned(),
    }
}

/// The operations that run, with their phases.
fn operations(running: &Value) -> String {
    if running.is_null() {
        return painted(Colour::Red, "not known without the store");
    }
    let operations = running["results"].as_array().into_iter().flatten();
    let shown = operations.map(|operation| {
        let (number, kind) = (word(&operation["operation"]), word(&operation["kind"]));
        format!("{number} {kind} ({})", word(&operation["phase"]))
    });
    let shown = shown.collect::<Vec<_>>();
    if shown.is_empty() { "none runs".to_owned() } else { painted(Colour::Yellow, &shown.join(", ")) }
}

/// The gateway's version, and those of the nodes.
fn versions(topology: &Value) -> String {
    let nodes = topology["nodes"].as_array().into_iter().flatten();
    let mut known = nodes.filter_map(|node| node["nodeVersion"].as_str()).collect::<Vec<_>>();
    known.sort_unstable();
    known.dedup();
    let nodes = if known.is_empty() { "-".to_owned() } else { known.join(", ") };
    format!("gateway {}, nodes {nodes}", word(&topology["gatewayVersion"]))
}

/// The pod that was asked, what it leads, the other pods that live, and those that are missing.
fn pods(coordinator: &Value) -> String {
    let leads = word(&coordinator["leads"]);
    let mut text = format!("{} (leads: {leads})", word(&coordinator["pod"]));
    for peer in coordinator["peers"].as_array().into_iter().flatten() {
        let name = word(&peer["name"]);
        match peer["alive"] == true {
            true => text.push_str(&format!(" {name}")),
            false => text.push_str(&painted(Colour::Red, &format!(" {name} is missing"))),
        }
    }
    text
}
