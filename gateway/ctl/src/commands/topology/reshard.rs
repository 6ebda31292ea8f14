//! `miroir-ctl reshard`: another number of shards for one index.

use anyhow::bail;
use argh::{ArgsInfo, FromArgs};
use serde_json::{Value, json};

use super::Action;
use crate::kit::{
    change,
    client::path,
    context::Context,
    failure::Failure,
    operation,
    report::{Outcome, Report},
    show::{bytes, seconds, word},
};

/// Another number of shards for an index.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "reshard")]
pub(crate) struct Reshard {
    #[argh(subcommand)]
    verb: Verb,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum Verb {
    Simulate(Simulate),
    Start(Start),
    Status(Status),
    Watch(Watch),
    Stats(Stats),
    Cutover(Cutover),
    Pause(Pause),
    Resume(Resume),
    Abort(Abort),
    CheckWindow(CheckWindow),
}

/// Shows what another number of shards will cost, and changes nothing.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "simulate",
    example = "miroir-ctl reshard simulate --index products --new-shards 256 --docs-avg-size 10kb"
)]
struct Simulate {
    /// the index
    #[argh(option)]
    index: String,
    /// the number of shards that it is to have
    #[argh(option)]
    new_shards: u32,
    /// documents a second, 0 (as many as go) by default
    #[argh(option, default = "0")]
    throttle: u32,
    /// size of a document, such as 10kb, instead of what nodes say
    #[argh(option)]
    docs_avg_size: Option<String>,
}

/// Begins.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "start",
    example = "miroir-ctl reshard start --index products --new-shards 256 --throttle 10000 --schedule-window off-peak"
)]
struct Start {
    /// the index
    #[argh(option)]
    index: String,
    /// the number of shards that it is to have
    #[argh(option)]
    new_shards: u32,
    /// documents a second, 0 (as many as go) by default
    #[argh(option, default = "0")]
    throttle: u32,
    /// the window in which it may begin
    #[argh(option)]
    schedule_window: Option<String>,
    /// wait for `reshard cutover` once the copies are verified
    #[argh(switch)]
    manual_cutover: bool,
}

/// Shows how many shards an index has, what is kept, and its operation.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "status", example = "miroir-ctl reshard status --index products")]
struct Status {
    /// the index; else that of the last reshard
    #[argh(option)]
    index: Option<String>,
}

/// Follows the last reshard to its end, or until it waits for `cutover`.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "watch", example = "miroir-ctl reshard watch")]
struct Watch {
    /// the index; else that of the last reshard
    #[argh(option)]
    index: Option<String>,
}

/// Shows the figures of the last reshard.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "stats", example = "miroir-ctl reshard stats")]
struct Stats {
    /// the index; else that of the last reshard
    #[argh(option)]
    index: Option<String>,
}

/// Has verified copies serve; a cutover that was made already is no error.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "cutover", example = "miroir-ctl reshard cutover --watch")]
struct Cutover {
    /// the index; else that of the last reshard
    #[argh(option)]
    index: Option<String>,
}

/// Stops for a while.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "pause", example = "miroir-ctl reshard pause")]
struct Pause {
    /// the index; else that of the last reshard
    #[argh(option)]
    index: Option<String>,
}

/// Goes on.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "resume", example = "miroir-ctl reshard resume --watch")]
struct Resume {
    /// the index; else that of the last reshard
    #[argh(option)]
    index: Option<String>,
}

/// Gives up: the new copies are dropped.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "abort", example = "miroir-ctl reshard abort --yes")]
struct Abort {
    /// the index; else that of the last reshard
    #[argh(option)]
    index: Option<String>,
}

/// Whether the windows in which a reshard may begin are open; exit code 1
/// when not.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "check-window",
    example = "miroir-ctl reshard check-window\nmiroir-ctl reshard check-window --schedule-window off-peak"
)]
struct CheckWindow {
    /// only this one
    #[argh(option)]
    schedule_window: Option<String>,
}

impl Action for Reshard {
    fn run(&self, context: &Context) -> anyhow::Result<Report> {
        match &self.verb {
            Verb::Simulate(simulate) => simulate.run(context),
            Verb::Start(start) => start.run(context),
            Verb::Status(Status { index }) => status(context, index.as_deref()),
            Verb::Watch(Watch { index }) => watch(context, index.as_deref()),
            Verb::Stats(Stats { index }) => Ok(stats(last(context, index.as_deref())?)),
            Verb::Cutover(Cutover { index }) => cutover(context, index.as_deref()),
            Verb::Pause(Pause { index }) => ask(context, index.as_deref(), "pause"),
            Verb::Resume(Resume { index }) => ask(context, index.as_deref(), "resume"),
            Verb::Abort(Abort { index }) => {
                let last = last(context, index.as_deref())?;
                let name = word(&last["index"]);
                context.confirm(&name, &format!("The new copies of {name} are dropped"))?;
                ask(context, index.as_deref(), "abort")
            }
            Verb::CheckWindow(CheckWindow { schedule_window }) => {
                windows(context, schedule_window.as_deref())
            }
        }
    }

    fn is_worth_watching(&self) -> bool {
        matches!(self.verb, Verb::Status(_) | Verb::Stats(_))
    }
}

impl Simulate {
    fn run(&self, context: &Context) -> anyhow::Result<Report> {
        let size = self.docs_avg_size.as_deref().map(size).transpose()?;
        let body = json!({"shards": self.new_shards, "throttle": self.throttle, "dryRun": true});
        let mut plan = context.client()?.post(&path(&["indexes", &self.index, "reshard"]), &body)?;
        if let (Some(size), Some(documents), Some(copies)) =
            (size, plan["documents"].as_u64(), plan["copies"].as_u64())
        {
            let all = documents.saturating_mul(copies).saturating_mul(size);
            (plan["bytes"], plan["storageBytes"]) = (json!(all), json!(all));
        }
        let text = change::plan(&plan)
            + &format!(
                "storage needed: {} more, for {} after the cutover; every write is made {} times\n",
                bytes(&plan["storageBytes"]),
                seconds(&plan["keptSeconds"]),
                word(&plan["writeAmplification"])
            );
        Ok(Report::good(plan, text))
    }
}

impl Start {
    fn run(&self, context: &Context) -> anyhow::Result<Report> {
        let body = json!({
            "shards": self.new_shards,
            "throttle": self.throttle,
            "scheduleWindow": self.schedule_window,
            "autoCutover": !self.manual_cutover,
        });
        let answer = context.client()?.post(&path(&["indexes", &self.index, "reshard"]), &body)?;
        Ok(operation::begun(answer))
    }
}

/// Reads a size such as `10kb`.
fn size(text: &str) -> anyhow::Result<u64> {
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|char: char| char.is_ascii_alphabetic());
    let unit = match &lower[digits.len()..] {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        _ => 0,
    };
    let bytes = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    let bytes = bytes.filter(|bytes| *bytes > 0);
    bytes.ok_or_else(|| {
        Failure::usage(format!("option docs-avg-size: {text:?} is not allowed; give a size such as 10kb"))
    })
}

/// The last reshard, of an index or of any.
fn last(context: &Context, index: Option<&str>) -> anyhow::Result<Value> {
    let list = context.client()?.get("/_miroir/operations?kind=reshard&limit=1000")?;
    let mut known = list["results"].as_array().into_iter().flatten();
    let found = known.find(|operation| index.is_none_or(|index| operation["index"] == index));
    match (found, index) {
        (Some(operation), _) => Ok(operation.clone()),
        (None, Some(index)) => bail!("index {index} was not resharded that the gateway remembers"),
        (None, None) => bail!("no index was resharded that the gateway remembers"),
    }
}

fn number(operation: &Value) -> anyhow::Result<u64> {
    operation["operation"].as_u64().ok_or_else(|| anyhow::anyhow!("the operation has no number"))
}

/// Asks something of the last reshard.
fn ask(context: &Context, index: Option<&str>, wish: &str) -> anyhow::Result<Report> {
    let number = number(&last(context, index)?)?.to_string();
    let answer = context.client()?.post(&path(&["operations", &number, wish]), &json!({}))?;
    Ok(operation::report(answer))
}

fn watch(context: &Context, index: Option<&str>) -> anyhow::Result<Report> {
    let number = number(&last(context, index)?)?;
    let is_far_enough = |operation: &Value| operation::has_ended(operation) || waits_for_cutover(operation);
    let mut report = operation::follow_until(context, number, is_far_enough)?;
    if waits_for_cutover(&report.answer) {
        report.text.push_str("the new copies are verified; have them serve: miroir-ctl reshard cutover\n");
    }
    Ok(report)
}

/// Whether a reshard has verified its copies and waits for an operator.
fn waits_for_cutover(operation: &Value) -> bool {
    operation["status"] == "paused" && operation["phase"] == "CutoverBegin"
}

fn cutover(context: &Context, index: Option<&str>) -> anyhow::Result<Report> {
    let last = last(context, index)?;
    if last["status"] != "succeeded" {
        return ask(context, index, "cutover");
    }
    let mut report = operation::report(last);
    report.text.push_str("the new copies serve already\n");
    Ok(report)
}

fn status(context: &Context, index: Option<&str>) -> anyhow::Result<Report> {
    let index = match index {
        Some(index) => index.to_owned(),
        None => word(&last(context, None)?["index"]),
    };
    let status = context.client()?.get(&path(&["indexes", &index, "reshard", "status"]))?;
    let mut text = format!("index {index}: {} shards\n", word(&status["shards"]));
    if status["kept"].is_object() {
        let kept = &status["kept"];
        text.push_str(&format!("kept: {} shards until {}\n", word(&kept["shards"]), word(&kept["until"])));
    }
    if status["operation"].is_object() {
        text.push_str(&operation::report(status["operation"].clone()).text);
    }
    Ok(Report::good(status, text))
}

fn stats(operation: Value) -> Report {
    let progress = &operation["progress"];
    let text = format!(
        "phase      {}\ndocuments  {} of {}\nrate       {}/s\nbytes      {}\nrepaired   {}\nleft       {}\n",
        word(&operation["phase"]),
        word(&progress["documentsMoved"]),
        word(&progress["documentsTotal"]),
        word(&progress["documentsPerSecond"]),
        bytes(&progress["bytesMoved"]),
        word(&progress["deltaDocuments"]),
        seconds(&progress["secondsLeft"]),
    );
    // It is watched again and again, not followed to its end.
    Report::good(json!({"stats": operation}), text)
}

fn windows(context: &Context, only: Option<&str>) -> anyhow::Result<Report> {
    let answer = context.client()?.get("/_miroir/rebalance/status")?;
    let known = answer["scheduleWindows"].as_array().map(Vec::as_slice).unwrap_or_default();
    let asked = known.iter().filter(|window| only.is_none_or(|only| window["name"] == only));
    let asked = asked.collect::<Vec<_>>();
    if let (Some(only), true) = (only, asked.is_empty()) {
        return Err(Failure::usage(format!("option schedule-window: the gateway knows no window {only:?}")));
    }
    let mut text = String::new();
    for window in &asked {
        match window["isOpen"] == true {
            true => text.push_str(&format!("{}: open\n", word(&window["window"]))),
            false => text.push_str(&format!(
                "{}: opens in {} minutes\n",
                word(&window["window"]),
                word(&window["opensInMinutes"])
            )),
        }
    }
    if asked.is_empty() {
        text.push_str("the gateway has no --schedule-window: long work begins when it is asked for\n");
    }
    let is_open = asked.iter().all(|window| window["isOpen"] == true);
    Ok(Report::good(json!({"scheduleWindows": asked}), text).judged(is_open, Outcome::Failed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        let read = |text: &str| size(text).ok();
        assert_eq!(
            ["10kb", "1KiB", "7", "2mb"].map(read),
            [Some(10_000), Some(1_024), Some(7), Some(2_000_000)]
        );
        assert_eq!(["", "kb", "0", "3gb", "-1", "99999999999999999999mb"].map(read), [None; 6]);
    }
}
