//! `miroir-ctl operations`: what takes long, and how far it is.

use argh::{ArgsInfo, FromArgs};

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

impl Action for Operations {
    fn run(&self, context: &Context) -> anyhow::Result<Report> {
        match &self.verb {
            Verb::List(list) => list.run(context),
            Verb::Show(Show { number }) => {
                let asked = path(&["operations", &number.to_string()]);
                Ok(operation::report(context.client()?.get(&asked)?))
            }
        }
    }

    fn is_worth_watching(&self) -> bool {
        true
    }
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
