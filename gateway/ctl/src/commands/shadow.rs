//! `miroir-ctl shadow`: how the answers of shadows differ from the gateway's.

use argh::{ArgsInfo, FromArgs};
use serde_json::Value;

use super::Action;
use crate::kit::{context::Context, report::Report, show::word};

/// Shadows: clusters that get a copy of searches.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "shadow")]
pub(crate) struct Shadow {
    #[argh(subcommand)]
    verb: Verb,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum Verb {
    Diff(Diff),
}

/// Lists the newest differences, the newest last.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "diff", example = "miroir-ctl shadow diff --target next --limit 20")]
struct Diff {
    /// only this shadow
    #[argh(option)]
    target: Option<String>,
    /// only this kind: hits, ranking, latency or error
    #[argh(option)]
    kind: Option<String>,
    /// how many (default 100)
    #[argh(option)]
    limit: Option<u32>,
    /// only those after this number
    #[argh(option)]
    since: Option<u64>,
}

impl Action for Shadow {
    fn run(&self, context: &Context) -> anyhow::Result<Report> {
        let client = context.client()?;
        let Verb::Diff(Diff { target, kind, limit, since }) = &self.verb;
        let (limit, since) = (limit.map(|limit| limit.to_string()), since.map(|since| since.to_string()));
        let parameters = [("target", target), ("kind", kind), ("limit", &limit), ("sinceId", &since)];
        let given = parameters.iter().filter_map(|(name, value)| Some(format!("{name}={}", value.as_ref()?)));
        let query = given.collect::<Vec<_>>().join("&");
        let mark = if query.is_empty() { "" } else { "?" };
        let answer = client.get(&format!("/_miroir/shadow/diff{mark}{query}"))?;
        let text = answer["results"].as_array().into_iter().flatten().map(line).collect::<String>();
        Ok(Report::good(answer, text))
    }
}

fn line(diff: &Value) -> String {
    let (target, kind, index) = (word(&diff["target"]), word(&diff["kind"]), word(&diff["index"]));
    format!(
        "{} {target} {kind} {index} {}: {} | {}\n",
        diff["id"], diff["query"], diff["primary"], diff["shadow"]
    )
}
