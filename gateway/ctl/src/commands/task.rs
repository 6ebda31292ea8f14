//! `miroir-ctl task`: a task, and every node's part of it.

use argh::{ArgsInfo, FromArgs};
use serde_json::Value;

use super::Action;
use crate::kit::{
    client::path,
    context::Context,
    report::{Outcome, Report},
    show::{seconds, state, word},
    table::Table,
};

/// Tasks.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "task")]
pub(crate) struct Task {
    #[argh(subcommand)]
    verb: Verb,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum Verb {
    Status(Status),
}

/// Shows a task with every node's part of it; exit code 1 when it has failed.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "status", example = "miroir-ctl task status 7")]
struct Status {
    /// the uid that the gateway gave out
    #[argh(positional)]
    uid: u32,
}

impl Action for Task {
    fn run(&self, context: &Context) -> anyhow::Result<Report> {
        let Verb::Status(Status { uid }) = &self.verb;
        let task = context.client()?.get(&path(&["tasks", &uid.to_string()]))?;
        let text = lines(&task);
        let is_good = task["status"] != "failed";
        Ok(Report::good(task, text).judged(is_good, Outcome::Failed))
    }

    fn is_worth_watching(&self) -> bool {
        true
    }
}

/// A task in words: itself, its error, and a table of its nodes.
pub(crate) fn lines(task: &Value) -> String {
    let mut text = format!(
        "task {}: {} of {}, {}, {} old\n",
        word(&task["uid"]),
        word(&task["type"]),
        word(&task["indexUid"]),
        state(&task["status"]),
        seconds(&task["ageSeconds"])
    );
    if !task["error"].is_null() {
        text.push_str(&format!("error: {}\n", word(&task["error"]["message"])));
    }
    let mut table = Table::new(&["NODE", "STATE", "PART", "NODE'S TASK", "DOCUMENTS", "SHARDS", "ERROR"]);
    for part in task["nodes"].as_array().into_iter().flatten() {
        table.row(&[
            word(&part["node"]),
            state(&part["nodeState"]),
            state(&part["status"]),
            word(&part["taskUid"]),
            word(&part["documents"]),
            shards(&part["shards"]),
            word(&part["error"]["message"]),
        ]);
    }
    text + &table.text()
}

/// Shards in few words: a few by number, many by count.
fn shards(shards: &Value) -> String {
    match shards.as_array() {
        Some(several) if several.len() > 8 => format!("{} shards", several.len()),
        _ => word(shards),
    }
}
