//! Operations, which take long: shown, and followed to their end with a bar of progress.
//!
//! Invariant: the bar is drawn on a terminal's standard error only, so that standard output holds results alone.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

use super::{
    client::path,
    context::Context,
    report::{Outcome, Report},
    show::{bytes, seconds, state, word},
};

/// The pause between two looks at an operation.
const LOOK_PAUSE: Duration = Duration::from_millis(200);

/// Reports what the gateway has begun; `--watch` follows it from there.
pub(crate) fn begun(answer: Value) -> Report {
    let number = word(&answer["operation"]);
    let text =
        format!("operation {number} has begun; follow it: miroir-ctl operations show {number} --watch\n");
    Report::good(answer, text)
}

/// Waits until an operation has ended, however long that takes, and reports its end. A paused one is waited for as
/// well, with its reason in the bar.
pub(crate) fn follow(context: &Context, number: u64) -> anyhow::Result<Report> {
    follow_until(context, number, has_ended)
}

/// Waits until an operation has come so far, however long that takes, and reports how it is then.
pub(crate) fn follow_until(
    context: &Context,
    number: u64,
    is_far_enough: impl Fn(&Value) -> bool,
) -> anyhow::Result<Report> {
    let style = ProgressStyle::with_template("{msg} [{bar:30}] {pos}/{len}")?.progress_chars("=> ");
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr()).with_style(style);
    loop {
        let operation = context.client()?.get(&path(&["operations", &number.to_string()]))?;
        if is_far_enough(&operation) {
            bar.finish_and_clear();
            return Ok(report(operation));
        }
        let progress = &operation["progress"];
        bar.set_length(progress["documentsTotal"].as_u64().unwrap_or(0));
        bar.set_position(progress["documentsMoved"].as_u64().unwrap_or(0));
        bar.set_message(doing(&operation));
        std::thread::sleep(LOOK_PAUSE);
    }
}

/// Whether an operation has reached one of its ends.
pub(crate) fn has_ended(operation: &Value) -> bool {
    matches!(operation["status"].as_str(), Some("succeeded" | "failed" | "aborted"))
}

/// What an operation does at the moment: phase, rate, time left.
fn doing(operation: &Value) -> String {
    let progress = &operation["progress"];
    let mut text = format!("{} {}", word(&operation["kind"]), word(&operation["phase"]));
    if operation["status"] == "paused" {
        text.push_str(&format!(" (paused: {})", word(&operation["reason"])));
    }
    if let Some(rate) = progress["documentsPerSecond"].as_f64().filter(|rate| *rate > 0.0) {
        text.push_str(&format!(" {rate:.0}/s"));
    }
    if progress["secondsLeft"].is_number() {
        text.push_str(&format!(" {} left", seconds(&progress["secondsLeft"])));
    }
    text
}

/// The report of one operation; bad news when it failed or was aborted.
pub(crate) fn report(operation: Value) -> Report {
    let progress = &operation["progress"];
    let mut text = format!(
        "operation {}: {} {}, phase {}, {} of {} documents, {}\n",
        word(&operation["operation"]),
        word(&operation["kind"]),
        state(&operation["status"]),
        word(&operation["phase"]),
        word(&progress["documentsMoved"]),
        word(&progress["documentsTotal"]),
        bytes(&progress["bytesMoved"]),
    );
    if !operation["reason"].is_null() {
        text.push_str(&format!("reason: {}\n", word(&operation["reason"])));
    }
    let is_good = !matches!(operation["status"].as_str(), Some("failed" | "aborted"));
    Report::good(operation, text).judged(is_good, Outcome::Failed)
}
