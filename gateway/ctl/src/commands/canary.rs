//! `miroir-ctl canary`: searches that are run on a schedule, and what they found.

use std::path::PathBuf;

use anyhow::Context as _;
use argh::{ArgsInfo, FromArgs};
use serde_json::{Value, json};

use super::Action;
use crate::kit::{
    client::path,
    context::Context,
    report::{Outcome, Report},
    show::word,
};

/// Canaries: searches on a schedule, with assertions.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "canary")]
pub(crate) struct Canary {
    #[argh(subcommand)]
    verb: Verb,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum Verb {
    List(List),
    Create(Create),
    Status(Status),
    Capture(Capture),
    Delete(Delete),
}

/// Lists the canaries.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "list", example = "miroir-ctl canary list")]
struct List {}

/// Makes a canary from a file.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "create", example = "miroir-ctl canary create canary.json")]
struct Create {
    /// a JSON file with name, index, intervalSeconds, query and assertions
    #[argh(positional)]
    file: PathBuf,
}

/// Shows the last run of each canary; exit code 1 when one of them failed.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "status", example = "miroir-ctl canary status")]
struct Status {}

/// Makes canaries of the next searches of an index.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "capture", example = "miroir-ctl canary capture products --count 5 --prefix seen")]
struct Capture {
    /// the index
    #[argh(positional)]
    index: String,
    /// how many canaries
    #[argh(option)]
    count: u32,
    /// the beginning of their names
    #[argh(option)]
    prefix: String,
}

/// Deletes a canary with its runs.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "delete", example = "miroir-ctl canary delete seen-1")]
struct Delete {
    /// the canary
    #[argh(positional)]
    name: String,
}

impl Action for Canary {
    fn run(&self, context: &Context) -> anyhow::Result<Report> {
        let client = context.client()?;
        match &self.verb {
            Verb::List(List {}) => {
                let answer = client.get("/_miroir/canaries")?;
                let text = answer["results"].as_array().into_iter().flatten().map(listed).collect::<String>();
                Ok(Report::good(answer, text))
            }
            Verb::Create(Create { file }) => {
                let shown = file.display();
                let text =
                    std::fs::read_to_string(file).with_context(|| format!("{shown} cannot be read"))?;
                let body = serde_json::from_str(&text).with_context(|| format!("{shown} is not JSON"))?;
                let answer = client.post("/_miroir/canaries", &body)?;
                let text = listed(&answer);
                Ok(Report::good(answer, text))
            }
            Verb::Status(Status {}) => {
                let answer = client.get("/_miroir/canaries/status")?;
                let canaries = answer["results"].as_array().map(Vec::as_slice).unwrap_or_default();
                let last = |canary: &Value| canary["runs"].as_array().and_then(|runs| runs.last()).cloned();
                let text =
                    canaries.iter().map(|canary| state(canary, last(canary).as_ref())).collect::<String>();
                let is_good = canaries.iter().filter_map(last).all(|run| run["passed"] == true);
                Ok(Report::good(answer, text).judged(is_good, Outcome::Failed))
            }
            Verb::Capture(Capture { index, count, prefix }) => {
                let body = json!({"index": index, "count": count, "namePrefix": prefix});
                let answer = client.post("/_miroir/canaries/capture", &body)?;
                let text = format!("the next {count} searches of {index} become canaries\n");
                Ok(Report::good(answer, text))
            }
            Verb::Delete(Delete { name }) => {
                client.delete(&path(&["canaries", name]))?;
                Ok(Report::good(json!({"name": name, "deleted": true}), format!("{name} is deleted\n")))
            }
        }
    }
}

fn listed(canary: &Value) -> String {
    let assertions = canary["assertions"].as_array().into_iter().flatten();
    let kinds = assertions.map(|assertion| word(&assertion["type"])).collect::<Vec<_>>().join(", ");
    let (name, index) = (word(&canary["name"]), word(&canary["index"]));
    format!("{name:<30} {index} every {} s: {kinds}\n", canary["intervalSeconds"])
}

/// One line on a canary's last run.
fn state(canary: &Value, last: Option<&Value>) -> String {
    let name = word(&canary["name"]);
    let Some(run) = last else { return format!("{name:<30} has not run yet\n") };
    let at = word(&run["at"]);
    if run["passed"] == true {
        return format!("{name:<30} passed {at} in {} ms\n", run["milliseconds"]);
    }
    let failures = run["failures"].as_array().into_iter().flatten();
    let failures = failures.map(|failure| {
        format!(
            "{} expected {} observed {}",
            word(&failure["type"]),
            failure["expected"],
            failure["observed"]
        )
    });
    format!("{name:<30} FAILED {at}: {}\n", failures.collect::<Vec<_>>().join("; "))
}
