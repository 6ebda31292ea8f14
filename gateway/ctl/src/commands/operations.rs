//! `miroir-ctl operations`: what takes long, and how far it is.

use argh::{ArgsInfo, FromArgs};
use serde_json::json;

use super::Action;
use crate::kit::{
    client::path,
    context::Context,
    operation,
    report::Report,
    show::{seconds, state, word},
    table::Table,
};

/// Operations, which take long.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "operations")]
pub(crate) struct Operations {
    #[argh(subcommand)]
    verb: Verb,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum Verb {
    List(List),
    Show(Show),
    Pause(Pause),
    Resume(Resume),
    Abort(Abort),
    Cutover(Cutover),
}

/// Lists operations, newest first.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "list",
    example = "miroir-ctl operations list\nmiroir-ctl operations list --status running --limit 5"
)]
struct List {
    /// only these: queued, running, paused, succeeded, failed or aborted
    #[argh(option)]
    status: Option<String>,
    /// only of this kind, such as addNode
    #[argh(option)]
    kind: Option<String>,
    /// at most so many, 20 by default
    #[argh(option, default = "20")]
    limit: u32,
}

/// Shows one operation; with --watch, until it has ended.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "show", example = "miroir-ctl operations show 42 --watch")]
struct Show {
    /// its number
    #[argh(positional)]
    number: u64,
}

/// Stops an operation where it is; `resume` goes on from there.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "pause", example = "miroir-ctl operations pause 42")]
struct Pause {
    /// its number
    #[argh(positional)]
    number: u64,
}

/// Goes on with a paused operation.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "resume", example = "miroir-ctl operations resume 42 --watch")]
struct Resume {
    /// its number
    #[argh(positional)]
    number: u64,
}

/// Gives up an operation and puts back what it began.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "abort", example = "miroir-ctl operations abort 42 --yes")]
struct Abort {
    /// its number
    #[argh(positional)]
    number: u64,
}

/// Takes over what an operation has prepared.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "cutover", example = "miroir-ctl operations cutover 42 --watch")]
struct Cutover {
    /// its number
    #[argh(positional)]
    number: u64,
}

impl Action for Operations {
    fn run(&self, context: &Context) -> anyhow::Result<Report> {
        match &self.verb {
            Verb::List(list) => list.run(context),
            Verb::Show(Show { number }) => {
                let asked = path(&["operations", &number.to_string()]);
                Ok(operation::report(context.client()?.get(&asked)?))
            }
            Verb::Pause(Pause { number }) => wish(context, *number, "pause"),
            Verb::Resume(Resume { number }) => wish(context, *number, "resume"),
            Verb::Abort(Abort { number }) => {
                context.confirm(&number.to_string(), &format!("Operation {number} is given up"))?;
                wish(context, *number, "abort")
            }
            Verb::Cutover(Cutover { number }) => wish(context, *number, "cutover"),
        }
    }

    fn is_worth_watching(&self) -> bool {
        matches!(self.verb, Verb::List(_) | Verb::Show(_))
    }
}

/// Tells the gateway what an operator wants of an operation.
fn wish(context: &Context, number: u64, wish: &str) -> anyhow::Result<Report> {
    let asked = path(&["operations", &number.to_string(), wish]);
    Ok(operation::report(context.client()?.post(&asked, &json!({}))?))
}

impl List {
    fn run(&self, context: &Context) -> anyhow::Result<Report> {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("limit", &self.limit.to_string());
        for (name, value) in [("status", &self.status), ("kind", &self.kind)] {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        let answer = context.client()?.get(&format!("/_miroir/operations?{}", query.finish()))?;
        let mut table = Table::new(&["NUMBER", "KIND", "STATUS", "PHASE", "DOCUMENTS", "LEFT", "REASON"]);
        for operation in answer["results"].as_array().into_iter().flatten() {
            let progress = &operation["progress"];
            table.row(&[
                word(&operation["operation"]),
                word(&operation["kind"]),
                state(&operation["status"]),
                word(&operation["phase"]),
                format!("{}/{}", word(&progress["documentsMoved"]), word(&progress["documentsTotal"])),
                seconds(&progress["secondsLeft"]),
                word(&operation["reason"]),
            ]);
        }
        // The list holds no single operation that could be followed.
        Ok(Report::good(answer, table.text()))
    }
}
