//! `miroir-ctl writes`: what has not ended, and its end by hand.

use argh::{ArgsInfo, FromArgs};
use serde_json::{Value, json};

use super::{Action, task};
use crate::kit::{
    context::Context,
    failure::Failure,
    report::{Outcome, Report},
    show::{seconds, state, word},
    table::Table,
};

/// Writes that have not ended.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "writes")]
pub(crate) struct Writes {
    #[argh(subcommand)]
    verb: Verb,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum Verb {
    List(List),
    Fail(Fail),
}

/// Lists writes that have not ended, oldest first; exit code 1 when some are
/// stuck.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "list",
    example = "miroir-ctl writes list --stuck\nmiroir-ctl writes list --index products --doc-id 42"
)]
struct List {
    /// only those that should have ended by now
    #[argh(switch)]
    stuck: bool,
    /// only writes of this index
    #[argh(option)]
    index: Option<String>,
    /// only writes that may concern this document
    #[argh(option)]
    doc_id: Option<String>,
}

/// Ends a write that does not end by itself; its copies are compared after.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "fail",
    example = "miroir-ctl writes fail --index products --doc-id 42 --reason lost --yes\nmiroir-ctl writes fail --task 7 --reason lost --yes"
)]
struct Fail {
    /// the document whose write is ended, with --index
    #[argh(option)]
    doc_id: Option<String>,
    /// the index of the document
    #[argh(option)]
    index: Option<String>,
    /// the uid of the task, in place of a document
    #[argh(option)]
    task: Option<u32>,
    /// why, as clients will read it
    #[argh(option)]
    reason: String,
}

impl Action for Writes {
    fn run(&self, context: &Context) -> anyhow::Result<Report> {
        match &self.verb {
            Verb::List(list) => list.run(context),
            Verb::Fail(fail) => fail.run(context),
        }
    }

    fn is_worth_watching(&self) -> bool {
        matches!(self.verb, Verb::List(_))
    }
}

impl List {
    fn run(&self, context: &Context) -> anyhow::Result<Report> {
        let mut query = form_urlencoded::Serializer::new(String::new());
        if self.stuck {
            query.append_pair("stuck", "true");
        }
        for (name, value) in [("index", &self.index), ("documentId", &self.doc_id)] {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        let answer = context.client()?.get(&format!("/_miroir/writes?{}", query.finish()))?;
        let mut table = Table::new(&["TASK", "INDEX", "TYPE", "STATUS", "AGE", "WAITS FOR"]);
        for task in answer["results"].as_array().into_iter().flatten() {
            table.row(&[
                word(&task["uid"]),
                word(&task["indexUid"]),
                word(&task["type"]),
                state(&task["status"]),
                seconds(&task["ageSeconds"]),
                awaited(task),
            ]);
        }
        let (limit, text) = (answer["stuckAfterSeconds"].clone(), table.text());
        let old = |task: &Value| task["ageSeconds"].as_f64() > limit.as_f64();
        let is_good = !answer["results"].as_array().into_iter().flatten().any(old);
        Ok(Report::good(answer, text).judged(is_good, Outcome::Failed))
    }
}

/// The nodes whose parts have not ended, with their states.
fn awaited(task: &Value) -> String {
    let parts = task["nodes"].as_array().into_iter().flatten();
    let waiting =
        parts.filter(|part| !matches!(part["status"].as_str(), Some("succeeded" | "failed" | "canceled")));
    let nodes = waiting.map(|part| format!("{} ({})", word(&part["node"]), word(&part["nodeState"])));
    let nodes = nodes.collect::<Vec<_>>();
    if nodes.is_empty() { "-".to_owned() } else { nodes.join(" ") }
}

impl Fail {
    fn run(&self, context: &Context) -> anyhow::Result<Report> {
        let name = match (&self.task, &self.doc_id, &self.index) {
            (Some(task), None, None) => task.to_string(),
            (None, Some(document), Some(_)) => document.clone(),
            _ => return Err(Failure::usage("give either --task, or --doc-id with --index")),
        };
        context.confirm(&name, "The write is ended as failed, although nodes may have done it")?;
        let body = json!({
            "taskUid": self.task,
            "documentId": self.doc_id,
            "index": self.index,
            "reason": self.reason,
        });
        let ended = context.client()?.post("/_miroir/writes/fail", &body)?;
        let text = task::lines(&ended);
        Ok(Report::good(ended, text))
    }
}
