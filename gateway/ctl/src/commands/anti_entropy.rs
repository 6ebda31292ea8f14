//! `miroir-ctl anti-entropy`: comparing and repairing the copies of documents.

use std::time::Duration;

use anyhow::ensure;
use argh::{ArgsInfo, FromArgs};
use serde_json::{Value, json};

use super::Action;
use crate::kit::{
    client::Client,
    context::Context,
    report::{Outcome, Report},
    show::word,
};

/// The time between two checks whether a pass has ended.
const PASS_POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Comparing and repairing the copies of documents.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "anti-entropy")]
pub(crate) struct AntiEntropy {
    #[argh(subcommand)]
    verb: Verb,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum Verb {
    Run(Run),
    Verify(Verify),
    Status(Status),
    History(History),
}

/// Compares all copies, makes them equal and waits until that is done.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "run", example = "miroir-ctl anti-entropy run --index products")]
struct Run {
    /// only this index
    #[argh(option)]
    index: Option<String>,
    /// only this node, its indexes and settings included
    #[argh(option)]
    node: Option<String>,
}

/// Compares all copies and repairs nothing; exit code 1 when they differ.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "verify",
    example = "miroir-ctl anti-entropy verify --index products --shards 0-63"
)]
struct Verify {
    /// only this index
    #[argh(option)]
    index: Option<String>,
    /// only these shards, FIRST-LAST
    #[argh(option)]
    shards: Option<String>,
}

/// The pass that runs, and the last one.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "status", example = "miroir-ctl anti-entropy status")]
struct Status {}

/// The passes that are remembered, newest first.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "history", example = "miroir-ctl anti-entropy history")]
struct History {}

impl Action for AntiEntropy {
    fn run(&self, context: &Context) -> anyhow::Result<Report> {
        let client = context.client()?;
        match &self.verb {
            Verb::Run(run) => {
                let ended = pass(client, &json!({"index": run.index, "node": run.node}))?;
                Ok(report_of(ended, false))
            }
            Verb::Verify(asked) => verify(client, asked.index.as_deref(), asked.shards.as_deref()),
            Verb::Status(Status {}) => {
                let status = client.get("/_miroir/anti-entropy")?;
                let text =
                    format!("running: {}\nlast:    {}\n", line(&status["running"]), line(&status["last"]));
                Ok(Report::good(status, text))
            }
            Verb::History(History {}) => {
                let history = client.get("/_miroir/anti-entropy/history")?;
                let passes = history["results"].as_array().into_iter().flatten();
                let text = passes.map(|pass| line(pass) + "\n").collect::<String>();
                Ok(Report::good(history, text))
            }
        }
    }

    fn is_worth_watching(&self) -> bool {
        matches!(self.verb, Verb::Status(_) | Verb::History(_))
    }
}

/// Compares all copies of an index, of some of its shards, or of everything, and repairs nothing.
pub(crate) fn verify(client: &Client, index: Option<&str>, shards: Option<&str>) -> anyhow::Result<Report> {
    let mut asked = json!({"index": index, "dryRun": true});
    if let Some(shards) = shards {
        asked["shards"] = json!(shards);
    }
    let ended = pass(client, &asked)?;
    Ok(report_of(ended, true))
}

/// Requests a pass and waits until it has ended, however long that takes.
fn pass(client: &Client, asked: &Value) -> anyhow::Result<Value> {
    let number = client.post("/_miroir/anti-entropy", asked)?["pass"].clone();
    loop {
        let status = client.get("/_miroir/anti-entropy")?;
        let is_dead = status["dead"].as_array().is_some_and(|dead| dead.contains(&number));
        ensure!(!is_dead, "every pod that began this pass has died of it");
        let history = client.get("/_miroir/anti-entropy/history")?;
        let mut passes = history["results"].as_array().into_iter().flatten();
        if let Some(ended) = passes.find(|pass| pass["number"] == number) {
            return Ok(ended.clone());
        }
        std::thread::sleep(PASS_POLL_INTERVAL);
    }
}

/// The report of a pass that has ended. Differences that were not repaired are bad news when copies must be equal.
fn report_of(ended: Value, must_be_equal: bool) -> Report {
    let report = &ended["report"];
    let differs = must_be_equal && report["differing"] != 0;
    let is_good = !differs && report["failed"] == 0 && report["undecided"] == 0;
    let text = line(&ended) + "\n";
    Report::good(ended, text).judged(is_good, Outcome::Failed)
}

/// Describes a pass in one line.
fn line(pass: &Value) -> String {
    if pass.is_null() {
        return "none".to_owned();
    }
    let report = &pass["report"];
    format!(
        "{} {}{}: {} shards, {} copies of documents compared, {} differ, {} rewritten, {} deleted, {} failed",
        word(&pass["startedAt"]),
        if pass["dryRun"] == true { "verify" } else { "run" },
        pass["index"].as_str().map(|uid| format!(" {uid}")).unwrap_or_default(),
        report["shards"],
        report["compared"],
        report["differing"],
        report["rewritten"],
        report["deleted"],
        report["failed"]
    )
}
