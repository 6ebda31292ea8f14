//! `miroir-ctl rebalance`: shards move from nodes with more than their share to those with less.

use argh::{ArgsInfo, FromArgs};
use serde_json::json;

use super::Action;
use crate::kit::{change, context::Context, operation, report::Report, show::word};

/// Evening out.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "rebalance")]
pub(crate) struct Rebalance {
    #[argh(subcommand)]
    verb: Verb,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum Verb {
    Start(Start),
    Status(Status),
}

/// Moves shards to nodes that have less than their share.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "start",
    example = "miroir-ctl rebalance start --watch\nmiroir-ctl rebalance start --dry-run"
)]
struct Start {
    /// show what would move, and move nothing
    #[argh(switch)]
    dry_run: bool,
}

/// Shows the operation that is under way, else the last one.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "status", example = "miroir-ctl rebalance status")]
struct Status {}

impl Action for Rebalance {
    fn run(&self, context: &Context) -> anyhow::Result<Report> {
        let client = context.client()?;
        match &self.verb {
            Verb::Start(Start { dry_run }) => {
                Ok(change::report(client.post("/_miroir/rebalance", &json!({"dryRun": dry_run}))?))
            }
            Verb::Status(Status {}) => {
                let mut answer = client.get("/_miroir/rebalance/status")?;
                let waiting = format!("{} operations are not done\n", word(&answer["waiting"]));
                match answer["operation"].take() {
                    operation if operation.is_object() => {
                        let report = operation::report(operation);
                        Ok(Report { text: report.text.clone() + &waiting, ..report })
                    }
                    _ => Ok(Report::good(answer, waiting)),
                }
            }
        }
    }

    fn is_worth_watching(&self) -> bool {
        matches!(self.verb, Verb::Status(_))
    }
}
