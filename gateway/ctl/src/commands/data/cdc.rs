//! `miroir-ctl cdc`: the stream of changes, and how far its sinks have come.

use std::io::Write;

use argh::{ArgsInfo, FromArgs};
use serde_json::{Value, json};

use crate::commands::Action;
use crate::kit::{
    context::Context,
    report::Report,
    show::{bytes, plain, seconds, word},
    table::Table,
};

/// How long one question waits for a change, in seconds.
const WAIT: u32 = 50;
/// Events in one answer.
const PAGE: u64 = 1000;

/// The stream of changes of documents.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "cdc")]
pub(crate) struct Cdc {
    #[argh(subcommand)]
    verb: Verb,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum Verb {
    Tail(Tail),
    Sinks(Sinks),
}

/// Prints changes as they come, one a line, until it is interrupted.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "tail",
    example = "miroir-ctl cdc tail --index films\nmiroir-ctl cdc tail --since 0 --limit 100 --json"
)]
struct Tail {
    /// only changes of this index
    #[argh(option)]
    index: Option<String>,
    /// begin behind this cursor, 0 for the oldest that is kept; by default with
    /// what comes from now on
    #[argh(option)]
    since: Option<u64>,
    /// end after so many changes, or a few more that were made together
    #[argh(option)]
    limit: Option<u64>,
}

/// Shows where changes are delivered, and how far each has come.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "sinks", example = "miroir-ctl cdc sinks --watch")]
struct Sinks {}

impl Action for Cdc {
    fn run(&self, context: &Context) -> anyhow::Result<Report> {
        match &self.verb {
            Verb::Tail(tail) => tail.run(context),
            Verb::Sinks(Sinks {}) => sinks(context),
        }
    }

    fn is_worth_watching(&self) -> bool {
        matches!(self.verb, Verb::Sinks(_))
    }
}

impl Tail {
    fn run(&self, context: &Context) -> anyhow::Result<Report> {
        let (mut since, mut told) = (self.since, Vec::new());
        loop {
            let left =
                self.limit.map_or(PAGE, |limit| limit.saturating_sub(told.len() as u64).clamp(1, PAGE));
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.append_pair("limit", &left.to_string()).append_pair("wait", &WAIT.to_string());
            if let Some(since) = since {
                query.append_pair("since", &since.to_string());
            }
            if let Some(index) = &self.index {
                query.append_pair("index", index);
            }
            let answer = context.client()?.get(&format!("/_miroir/changes?{}", query.finish()))?;
            let events = answer["results"].as_array().cloned().unwrap_or_default();
            let is_bounded = self.limit.is_some();
            let mut out = std::io::stdout().lock();
            for event in &events {
                match context.json {
                    // What has an end is one document.
                    true if is_bounded => {}
                    true => writeln!(out, "{event}")?,
                    false => writeln!(out, "{}", line(event))?,
                }
            }
            out.flush()?;
            since = answer["next"].as_u64().or(since);
            told.extend(events);
            if !is_bounded {
                told.clear();
            } else if self.limit.is_some_and(|limit| told.len() as u64 >= limit) {
                let text = format!("go on with --since {}\n", word(&json!(since)));
                return Ok(Report::good(json!({"results": told, "next": since}), text));
            }
        }
    }
}

/// One change in words.
fn line(event: &Value) -> String {
    let about = match event["primaryKeys"].as_array().map_or(0, Vec::len) {
        0 if event["operation"] == "refuse" => format!("because {}", word(&event["error"]["message"])),
        0 if event["operation"] == "cancel" => String::new(),
        0 if event["all"] == true => "all documents".to_owned(),
        0 => format!("where {}", word(&event["filter"])),
        _ => word(&event["primaryKeys"]),
    };
    let of = ["timestamp", "taskUid", "index", "operation"].map(|name| word(&event[name]));
    plain(&format!("{} {about}", of.join(" ")))
}

fn sinks(context: &Context) -> anyhow::Result<Report> {
    let answer = context.client()?.get("/_miroir/changes/sinks")?;
    let mut table =
        Table::new(&["SINK", "STATE", "CURSOR", "LAG", "BUFFERED", "DELIVERED", "DROPPED", "LAST ERROR"]);
    for sink in answer["results"].as_array().into_iter().flatten() {
        table.row(&[
            word(&sink["name"]),
            word(&sink["state"]),
            word(&sink["cursor"]),
            seconds(&sink["lagSeconds"]),
            bytes(&sink["bufferedBytes"]),
            word(&sink["delivered"]),
            word(&sink["dropped"]),
            word(&sink["lastError"]),
        ]);
    }
    Ok(Report::good(answer, table.text()))
}
