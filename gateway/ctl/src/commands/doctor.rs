//! `miroir-ctl doctor`: what is wrong with the cluster, and what to do about it.
//!
//! Invariant: it changes nothing. The worst comes first, and each finding names its cause in one line.

use argh::{ArgsInfo, FromArgs};
use serde_json::{Value, json};

use super::Action;
use crate::kit::{
    clock,
    context::Context,
    failure::Failure,
    findings::{self, Finding, Level},
    report::{Outcome, Report},
    show::{Colour, painted},
};

/// Looks for what is wrong, and says what to do; exit code 4 when it finds
/// something.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "doctor", example = "miroir-ctl doctor\nmiroir-ctl doctor --json")]
pub(crate) struct Doctor {}

impl Action for Doctor {
    fn run(&self, context: &Context) -> anyhow::Result<Report> {
        let client = context.client()?;
        let ready = match client.get("/_miroir/ready") {
            Ok(ready) => ready,
            Err(error) => match error.downcast_ref::<Failure>() {
                Some(Failure::Unreachable { origin, reason }) => return Ok(unreachable(origin, reason)),
                _ => return Err(error),
            },
        };
        let topology = client.get("/_miroir/topology")?;
        let diagnosis = client.get("/_miroir/diagnosis")?;
        let found = findings::of(&ready, &topology, &diagnosis, clock::seconds_now());
        Ok(report(&found, json!({"ready": ready, "topology": topology, "diagnosis": diagnosis})))
    }

    fn is_worth_watching(&self) -> bool {
        true
    }
}

/// The report when nothing else can be asked.
fn unreachable(origin: &str, reason: &str) -> Report {
    let finding = Finding {
        level: Level::Critical,
        what: format!("the gateway at {origin} does not answer: {reason}"),
        action: "start it (systemctl status miroir, journalctl -u miroir), or name another with --url"
            .to_owned(),
    };
    report(&[finding], Value::Null)
}

fn report(found: &[Finding], seen: Value) -> Report {
    let is_good = found.iter().all(|finding| finding.level == Level::Note);
    let mut text = String::new();
    for finding in found {
        let (colour, label) = match finding.level {
            Level::Critical => (Colour::Red, "critical"),
            Level::Warning => (Colour::Yellow, "warning"),
            Level::Note => (Colour::Bold, "note"),
        };
        text.push_str(&format!("{}: {}; {}\n", painted(colour, label), finding.what, finding.action));
    }
    if is_good {
        text.push_str(&format!("{}\n", painted(Colour::Green, "nothing is wrong")));
    }
    let listed = found.iter().map(Finding::value).collect::<Vec<_>>();
    let answer = json!({"healthy": is_good, "findings": listed, "seen": seen});
    Report::good(answer, text).judged(is_good, Outcome::Unhealthy)
}
