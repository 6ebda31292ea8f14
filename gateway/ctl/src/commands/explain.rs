//! `miroir-ctl explain`: how a search would go, and why.

use argh::{ArgsInfo, FromArgs};
use serde_json::{Value, json};

use super::Action;
use crate::kit::{
    context::Context,
    failure::Failure,
    report::Report,
    show::{Colour, painted, word},
    table::Table,
};

/// Shows how a search would go: its shards, its nodes, and why.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "explain",
    example = "miroir-ctl explain products --q shoe\nmiroir-ctl explain products --q shoe --execute"
)]
pub(crate) struct Explain {
    /// the index, or an alias
    #[argh(positional)]
    index: String,
    /// the words that are searched
    #[argh(option)]
    q: Option<String>,
    /// the whole body of the search, as JSON
    #[argh(option)]
    body: Option<String>,
    /// also run it
    #[argh(switch)]
    execute: bool,
}

impl Action for Explain {
    fn run(&self, context: &Context) -> anyhow::Result<Report> {
        let mut body = match &self.body {
            None => json!({}),
            Some(text) => serde_json::from_str::<Value>(text)
                .map_err(|error| Failure::usage(format!("option body: it is no JSON: {error}")))?,
        };
        if let Some(words) = &self.q {
            body["q"] = json!(words);
        }
        let index = percent_encoding::utf8_percent_encode(&self.index, percent_encoding::NON_ALPHANUMERIC);
        let execute = if self.execute { "?execute=true" } else { "" };
        let answer = context.client()?.post(&format!("/indexes/{index}/explain{execute}"), &body)?;
        let text = lines(&answer);
        Ok(Report::good(answer, text))
    }

    fn is_worth_watching(&self) -> bool {
        true
    }
}

fn lines(answer: &Value) -> String {
    let plan = &answer["plan"];
    let mut table = Table::bare();
    let mut row = |name: &str, value: String| table.row(&[name.to_owned(), value]);
    row("index", word(&answer["resolvedUid"]));
    row("shards", shards(&plan["targetShards"]));
    row("narrowed", format!("{} {}", word(&plan["narrowed"]), reason(&plan["narrowingReason"])));
    row("group", format!("{} {}", word(&plan["group"]["id"]), reason(&plan["group"]["reason"])));
    row("nodes", nodes(&plan["nodes"]));
    row("leg depth", word(&plan["legDepth"]));
    row("hedge", format!("{} after {} ms", word(&plan["hedge"]["armed"]), word(&plan["hedge"]["triggerMs"])));
    row("coalescing", word(&plan["coalescing"]));
    row("settings", format!("version {}", word(&plan["settingsVersion"])));
    row("p95", format!("{} ms, estimated", word(&plan["estimatedP95Ms"])));
    let mut text = table.text();
    for warning in answer["warnings"].as_array().into_iter().flatten() {
        text.push_str(&format!("{}: {}\n", painted(Colour::Yellow, "warning"), word(warning)));
    }
    if !answer["result"].is_null() {
        text.push_str(&format!("{:#}\n", answer["result"]));
    }
    text
}

fn shards(shards: &Value) -> String {
    match shards.as_array() {
        Some(several) if several.len() > 16 => format!("{} of them", several.len()),
        _ => word(shards),
    }
}

fn reason(reason: &Value) -> String {
    if reason.is_null() { String::new() } else { format!("({})", word(reason)) }
}

/// How many shards each node is asked for.
fn nodes(nodes: &Value) -> String {
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    for node in nodes.as_object().into_iter().flat_map(serde_json::Map::values) {
        *counts.entry(word(node)).or_default() += 1;
    }
    counts.iter().map(|(node, count)| format!("{node} for {count}")).collect::<Vec<_>>().join(", ")
}
